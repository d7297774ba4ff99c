"""Build a defence by name, from what a client has: shipped weights and public features."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.assets import load_amortiser, load_decoder, load_generator
from fl_crafter.assets.trained import DISCO, DISCO_RANDOM, TRAINED, load_trained
from fl_crafter.defences.base import Defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.latent import CrafterLatent
from fl_crafter.defences.crafter.simulated import (
    LATENT_WEIGHT,
    BlackBoxDecoder,
    SimulatedEavesdropper,
    WhiteBoxLatent,
)
from fl_crafter.defences.crafter.utility import FeatureUtility, TaskUtility
from fl_crafter.defences.noise import Noise
from fl_crafter.defences.projection import Projection
from fl_crafter.defences.recognition import EigenRecogniser, limit_for
from fl_crafter.defences.substitution import Substitution, TransportSubstitution
from fl_crafter.defences.target import Promise, Targeted, Unseen, WithinBudget
from fl_crafter.defences.trained import Disco, Retrained
from fl_crafter.defences.undefended import Undefended
from fl_crafter.errors import InputError
from fl_crafter.inversion.problem import latent_inversion

NAMES: tuple[str, ...] = (
    "none",
    "noise",
    "substitution",
    "transport",
    "projection",
    "crafter",
    "crafter_simulated",
    "crafter_z",
)
"""Of the defences that any client can use, with any encoder."""

# Utility weights that a target tries, from much privacy to much utility.
TARGET_WEIGHTS: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class DefenceSettings:
    """Choices of all defences; each uses its own.

    Attributes:
        deviation: of the noise, in units of the features' spread.
        neighbours: public features averaged by substitution.
        components: principal components kept by projection.
        crafter: see `CrafterSettings`.
        start_neighbours: public features averaged to the face that `crafter` starts from.
        latent_eavesdropper: weight of the white-box eavesdropper that `crafter_simulated`
            simulates, with its implicit gradient; 0 leaves it out.
        amortised_eavesdropper: weight of its amortised form, generator after amortiser, which has a
            plain gradient and costs a tenth; 0 leaves it out.
        decoder_eavesdropper: weight of the simulated black-box decoder; 0 leaves it out.
    """

    deviation: float = 1.0
    neighbours: int = 1
    components: int = 64
    crafter: CrafterSettings = field(default_factory=CrafterSettings)
    start_neighbours: int = 16
    latent_eavesdropper: float = 1.0
    amortised_eavesdropper: float = 0.0
    decoder_eavesdropper: float = 1.0

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "DefenceSettings":
        """The settings in a run's configuration, whose names have underscores."""
        own = {field.name for field in dataclasses.fields(DefenceSettings)} - {"crafter"}
        crafter = CrafterSettings(
            utility_weight=config["utility_weight"],
            steps=config["crafting_steps"],
            rate=config["crafting_rate"],
        )
        return DefenceSettings(crafter=crafter, **{name: config[name] for name in own})


def build_defence(
    name: str,
    *,
    encoder: nn.Module,
    cloud: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    settings: DefenceSettings | None = None,
    weights: Path | None = None,
) -> Defence:
    """The defence called `name`.

    Args:
        name: one of `NAMES`, or of `TRAINED`, whose `Defence.model` takes the place of encoder and
            cloud model.
        encoder: the encoder that made the features.
        cloud: the public cloud model behind it: its outputs are what `crafter` keeps, and they say
            which public face is near for `substitution` and `transport`.
        public_feature: features of public faces.
        settings: see `DefenceSettings`.
        weights: folder of the simulated eavesdroppers' weights, the shipped ones by default; for a
            trained defence the file that `fl-crafter train` wrote.

    Raises:
        InputError: unknown name, or weights that are missing or of something else.
    """
    if name in TRAINED:
        return _trained(name, weights, device=public_feature.device)
    settings = settings or DefenceSettings()
    builders: dict[str, Callable[[], Defence]] = {
        "none": Undefended,
        "noise": lambda: Noise(public_feature, deviation=settings.deviation),
        "substitution": lambda: Substitution(
            public_feature,
            neighbours=settings.neighbours,
            embedding=TaskUtility(cloud, public_feature),
        ),
        "transport": lambda: TransportSubstitution(
            public_feature, embedding=TaskUtility(cloud, public_feature)
        ),
        "projection": lambda: Projection(public_feature, components=settings.components),
        "crafter": lambda: _crafter(cloud, public_feature, settings),
        "crafter_simulated": lambda: Crafter(
            eavesdroppers(encoder, public_feature, settings=settings, weights=weights),
            settings=settings.crafter,
            name="crafter_simulated",
        ),
        "crafter_z": lambda: CrafterLatent(
            encoder,
            load_generator(weights).to(public_feature.device),
            load_amortiser(weights).to(public_feature.device),
            settings=settings.crafter,
        ),
    }
    if name not in builders:
        raise InputError(
            f"There is no defence '{name}'; choose one of {', '.join(NAMES + TRAINED)}."
        )
    return builders[name]()


def _trained(name: str, weights: Path | None, *, device: torch.device) -> Defence:
    if weights is None:
        raise InputError(
            f"{name} is a trained defence; name the file that 'fl-crafter train' wrote as weights."
        )
    parts = load_trained(weights, name)
    parts.module().to(device)
    return Disco(parts) if name in (DISCO, DISCO_RANDOM) else Retrained(parts)


def build_targeted(
    name: str,
    promise: Promise | float,
    *,
    encoder: nn.Module,
    cloud: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    settings: DefenceSettings | None = None,
    weights: Path | None = None,
) -> Targeted:
    """One of the crafters, which finds the utility weight for each person by itself.

    Args:
        name: `crafter`, `crafter_simulated` or `crafter_z`.
        promise: a budget of utility loss, for the best privacy within it; or whom the person must
            not be shown to (`simulated_observer`), for the smallest change that hides it.
        encoder: see `build_defence`.
        cloud: see `build_defence`.
        public_feature: see `build_defence`.
        settings: but for the utility weight.
        weights: see `build_defence`.

    Raises:
        InputError: the defence has no utility weight, or the budget is not above 0.
    """
    if not name.startswith("crafter"):
        raise InputError(f"A target needs a defence with a utility weight; '{name}' has none.")
    made = build_defence(
        name,
        encoder=encoder,
        cloud=cloud,
        public_feature=public_feature,
        settings=settings,
        weights=weights,
    )
    assert isinstance(made, Crafter | CrafterLatent)
    rungs = [made.with_utility_weight(weight) for weight in TARGET_WEIGHTS]
    if isinstance(promise, Promise):
        return Targeted(rungs[::-1], promise=promise)
    task = name == "crafter"
    utility = TaskUtility(cloud, public_feature) if task else FeatureUtility()
    try:
        return Targeted(rungs, promise=WithinBudget(utility, budget=promise))
    except ValueError as error:
        raise InputError(f"The utility {error}.") from error


def _crafter(cloud: nn.Module, public_feature: Tensor, settings: DefenceSettings) -> Crafter:
    """From the mean of the public faces that the task's model finds most alike, to its outputs.

    Start and utility see the clean feature through those outputs only: they are the bottleneck.
    """
    utility = TaskUtility(cloud, public_feature)
    count = min(settings.start_neighbours, len(public_feature))
    start = Substitution(public_feature, neighbours=count, embedding=utility)
    return Crafter(utility=utility, start=start, settings=settings.crafter)


def simulated_observer(
    encoder: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    *,
    false_match: float,
    random: torch.Generator,
    weights: Path | None = None,
) -> Unseen:
    """Whom a release must not show a person to: the shipped decoder, with a limit from the public.

    Args:
        encoder: the encoder that made the features.
        public_feature: features of public faces; half of them fit the recogniser, half the limit.
        false_match: share of pairs of different people that are taken for one person.
        random: divides the public features.
        weights: folder of the decoder's weights; the shipped ones by default.

    Raises:
        InputError: there are too few public features.
    """
    if len(public_feature) < 64:
        raise InputError(
            f"A release gate needs 64 public features, not {len(public_feature)}; raise "
            "generated-images, or set release-false-match to 0."
        )
    decoder = load_decoder("decoder", weights).to(public_feature.device)
    with torch.no_grad():
        seen = torch.cat([decoder(part) for part in public_feature.split(64)])
    order = torch.randperm(len(seen), generator=random).to(seen.device)
    fitted, held_out = seen[order].tensor_split(2)
    recogniser = EigenRecogniser(encoder, fitted)
    limit = limit_for(recogniser, held_out, false_match=false_match)
    return Unseen(eavesdropper=decoder, embed=recogniser, limit=limit)


def eavesdroppers(
    encoder: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    *,
    settings: DefenceSettings,
    weights: Path | None = None,
) -> list[SimulatedEavesdropper]:
    """The eavesdroppers that `crafter_simulated` simulates, those of weight 0 left out."""
    chosen: list[SimulatedEavesdropper] = []
    device = public_feature.device
    if settings.latent_eavesdropper:
        generator = load_generator(weights).to(device)
        chosen.append(
            WhiteBoxLatent(
                generator=generator,
                problem=latent_inversion(generator, encoder, latent_weight=LATENT_WEIGHT),
                amortiser=load_amortiser(weights).to(device),
                weight=settings.latent_eavesdropper,
            )
        )
    if settings.amortised_eavesdropper:
        chosen.append(
            BlackBoxDecoder(
                decoder=nn.Sequential(load_amortiser(weights), load_generator(weights)).to(device),
                public_feature=public_feature,
                weight=settings.amortised_eavesdropper,
                name="amortised",
            )
        )
    if settings.decoder_eavesdropper:
        chosen.append(
            BlackBoxDecoder(
                decoder=load_decoder("decoder", weights).to(device),
                public_feature=public_feature,
                weight=settings.decoder_eavesdropper,
            )
        )
    return chosen
