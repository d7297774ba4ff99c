"""Build a defence by name, from what a client has: shipped weights and public features."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.assets import load_amortiser, load_decoder, load_generator
from fl_crafter.assets.trained import DISCO, DISCO_RANDOM, TRAINED, load_trained
from fl_crafter.chunks import in_chunks
from fl_crafter.defences.base import UNDEFENDED, Defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.latent import CrafterLatent
from fl_crafter.defences.crafter.pixels import DecodedStart, PixelSpace
from fl_crafter.defences.crafter.simulated import (
    LATENT_WEIGHT,
    PIXEL_SOLVER,
    PIXEL_WEIGHT,
    SimulatedDecoder,
    SimulatedEavesdropper,
    SimulatedWhiteBox,
)
from fl_crafter.defences.crafter.utility import TaskUtility
from fl_crafter.defences.noise import Noise
from fl_crafter.defences.projection import Projection
from fl_crafter.defences.substitution import Substitution, TransportSubstitution
from fl_crafter.defences.trained import Disco, Retrained
from fl_crafter.defences.undefended import Undefended
from fl_crafter.errors import InputError
from fl_crafter.faces.attributes import listed, places_of
from fl_crafter.faces.celeba import ATTRIBUTES
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.linear_solvers import ConjugateGradient
from fl_crafter.inversion.problem import latent_inversion
from fl_crafter.models.head import SomeOutputs

NAMES: tuple[str, ...] = (
    "none",
    "noise",
    "substitution",
    "transport",
    "projection",
    "crafter",
    "crafter_simulated",
    "crafter_published",
    "crafter_z",
)
"""Of the defences that any client can use without training; of them those of
`fl_crafter.defences.any_encoder` go with other encoders than the shipped one."""


KEEPING = ("substitution", "transport", "crafter")
"""Of those the ones that go by the cloud model's outputs, and can be told which."""


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
        pixel_eavesdropper: weight of a simulated white box over pixels; 0 leaves it out.
        keep: places of the cloud model's outputs that `crafter` keeps and the substitutions go by;
            empty takes all of them.
    """

    deviation: float = 1.0
    neighbours: int = 1
    components: int = 64
    crafter: CrafterSettings = field(default_factory=CrafterSettings)
    start_neighbours: int = 16
    latent_eavesdropper: float = 1.0
    amortised_eavesdropper: float = 0.0
    decoder_eavesdropper: float = 1.0
    pixel_eavesdropper: float = 0.0
    keep: tuple[int, ...] = field(default=(), repr=False)  # results name it by itself

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "DefenceSettings":
        """The settings in a run's configuration, whose names have underscores.

        Of CelebA's attributes those that the task asks for are kept if nothing is named: those the
        shipped model tells. Runs of before `keep` kept all.
        """
        fields = {field.name for field in dataclasses.fields(DefenceSettings)}
        own = fields - {"crafter", "keep"}
        crafter = CrafterSettings(
            utility_weight=config["utility_weight"],
            steps=config["crafting_steps"],
            rate=config["crafting_rate"],
        )
        return DefenceSettings(
            crafter=crafter,
            keep=_asked(config) if "keep" in config else (),
            **{name: config[name] for name in own},
        )


def shipped_outputs(names: Sequence[str]) -> tuple[int, ...]:
    """Places of the shipped cloud model's outputs with these names.

    Raises:
        InputError: it has no such output, or one is named twice.
    """
    return places_of(names, ATTRIBUTES, what="outputs to keep")


def check_keep(name: str) -> None:
    """Make sure that a defence can be told what to keep.

    Raises:
        InputError: it does not look at the cloud model's outputs.
    """
    if name not in KEEPING:
        raise InputError(
            f"'{name}' does not go by the cloud model's outputs, so that it cannot keep some of "
            f"them; take {', '.join(KEEPING)}, or leave keep out."
        )


def kept(cloud: nn.Module, settings: DefenceSettings, feature: Tensor) -> nn.Module:
    """The cloud model as the defence is to see it, with the outputs to keep alone.

    Args:
        cloud: features -> `[batch, outputs]`.
        settings: say which.
        feature: of public faces.
    """
    return SomeOutputs(cloud, settings.keep, feature) if settings.keep else cloud


def _asked(config: Mapping[str, Any]) -> tuple[int, ...]:
    named = listed(config["keep"])
    if not named and config["dataset"] == "celeba":
        named = listed(config["attributes"])
    return shipped_outputs(named)


def check_name(name: str, known: tuple[str, ...] = NAMES) -> None:
    """Make sure that there is such a defence.

    Raises:
        InputError: there is none.
    """
    if name not in known:
        setting = " and its setting by an option of its own" if ":" in name else ""
        raise InputError(
            f"There is no defence '{name}'; choose one of {', '.join(known)}{setting}."
        )


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
        InputError: unknown name, outputs to keep that the cloud model does not have, or weights
            that are missing or of something else.
    """
    if name in TRAINED:
        return trained_defence(name, weights, device=public_feature.device)
    settings = settings or DefenceSettings()
    cloud = kept(cloud, settings, public_feature)
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
        "crafter_published": lambda: Crafter(
            [_latent(encoder, public_feature.device, 1.0, weights)],
            settings=settings.crafter,
            name="crafter_published",
        ),
        "crafter_z": lambda: CrafterLatent(
            encoder,
            load_generator(weights).to(public_feature.device),
            load_amortiser(weights).to(public_feature.device),
            settings=settings.crafter,
        ),
    }
    check_name(name, NAMES + TRAINED)
    defence = builders[name]()
    if name != UNDEFENDED:
        defence.shape = public_feature.shape[1:]
    return defence


def trained_defence(name: str, weights: Path | None, *, device: torch.device | str) -> Defence:
    """The defence of `TRAINED` whose weights are in a file, with encoder and cloud model.

    Raises:
        InputError: there is no file, or it is of something else.
    """
    if weights is None:
        raise InputError(
            f"{name} is a trained defence; name the file that 'fl-crafter train' wrote as weights."
        )
    parts = load_trained(weights, name)
    parts.module().to(device)
    return Disco(parts) if name in (DISCO, DISCO_RANDOM) else Retrained(parts)


def _crafter(cloud: nn.Module, public_feature: Tensor, settings: DefenceSettings) -> Crafter:
    """From the mean of the public faces that the task's model finds most alike, to its outputs.

    Start and utility see the clean feature through those outputs only: they are the bottleneck.
    """
    utility = TaskUtility(cloud, public_feature)
    count = min(settings.start_neighbours, len(public_feature))
    start = Substitution(public_feature, neighbours=count, embedding=utility)
    return Crafter(utility=utility, start=start, settings=settings.crafter)


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
        chosen.append(_latent(encoder, device, settings.latent_eavesdropper, weights))
    if settings.amortised_eavesdropper:
        chosen.append(
            SimulatedDecoder(
                decoder=nn.Sequential(load_amortiser(weights), load_generator(weights)).to(device),
                public_feature=public_feature,
                weight=settings.amortised_eavesdropper,
                name="amortised",
            )
        )
    if settings.pixel_eavesdropper:
        chosen.append(_pixels(encoder, public_feature, settings.pixel_eavesdropper, weights))
    if settings.decoder_eavesdropper:
        chosen.append(
            SimulatedDecoder(
                decoder=load_decoder("decoder", weights).to(device),
                public_feature=public_feature,
                weight=settings.decoder_eavesdropper,
            )
        )
    return chosen


def _latent(
    encoder: nn.Module, device: torch.device, weight: float, weights: Path | None
) -> SimulatedWhiteBox:
    generator = load_generator(weights).to(device)
    problem = latent_inversion(generator, encoder, latent_weight=LATENT_WEIGHT)
    like = torch.empty(0, generator.latent_size, device=device)
    return SimulatedWhiteBox(
        generator=generator,
        # the same probes for everybody: a release must not depend on them
        problem=problem.preconditioned(like, random=torch.Generator().manual_seed(0)),
        amortiser=load_amortiser(weights).to(device),
        weight=weight,
    )


def _pixels(
    encoder: nn.Module, public_feature: Tensor, weight: float, weights: Path | None
) -> SimulatedWhiteBox:
    decoder = load_decoder("decoder", weights).to(public_feature.device)
    seen = in_chunks(decoder, public_feature)
    space = PixelSpace(seen)
    return SimulatedWhiteBox(
        generator=space,
        problem=latent_inversion(space, encoder, latent_weight=PIXEL_WEIGHT),
        amortiser=DecodedStart(decoder, space),
        first=LevenbergMarquardt(steps=4, inner_iterations=4),
        first_solver=PIXEL_SOLVER,
        warm_solver=ConjugateGradient(4),
        weight=weight,
        name="pixels",
    )
