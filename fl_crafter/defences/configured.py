"""Build a defence by name, from what a client has: shipped weights and public features."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.assets import load_amortiser, load_decoder, load_generator
from fl_crafter.defences.base import Defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.simulated import (
    BlackBoxDecoder,
    SimulatedEavesdropper,
    WhiteBoxLatent,
)
from fl_crafter.defences.projection import Projection
from fl_crafter.defences.substitution import Substitution
from fl_crafter.defences.undefended import Undefended
from fl_crafter.errors import InputError
from fl_crafter.inversion.problem import latent_inversion

NAMES = ("none", "substitution", "projection", "crafter")


@dataclass(frozen=True)
class DefenceSettings:
    """Choices of all defences; each uses its own.

    Attributes:
        neighbours: public features averaged by substitution.
        components: principal components kept by projection.
        crafter: see `CrafterSettings`.
        start_neighbours: public features averaged to the substitutes that Crafter starts from; 0
            starts from the clean features, as published.
        latent_eavesdropper: weight of the simulated white-box eavesdropper, with its implicit
            gradient; 0 leaves it out.
        amortised_eavesdropper: weight of its amortised form, generator after amortiser, which has a
            plain gradient and costs a tenth; 0 leaves it out.
        decoder_eavesdropper: weight of the simulated black-box decoder; 0 leaves it out.
    """

    neighbours: int = 1
    components: int = 64
    crafter: CrafterSettings = field(default_factory=CrafterSettings)
    start_neighbours: int = 16
    latent_eavesdropper: float = 0.0
    amortised_eavesdropper: float = 1.0
    decoder_eavesdropper: float = 1.0


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
        name: one of `NAMES`.
        encoder: the encoder that made the features.
        cloud: the public cloud model behind it, whose first stage says which public face is near.
        public_feature: features of public faces.
        settings: see `DefenceSettings`.
        weights: folder of the simulated eavesdroppers' weights; the shipped ones by default.

    Raises:
        InputError: unknown name.
    """
    settings = settings or DefenceSettings()
    builders: dict[str, Callable[[], Defence]] = {
        "none": Undefended,
        "substitution": lambda: Substitution(
            public_feature, neighbours=settings.neighbours, embedding=first_stage(cloud)
        ),
        "projection": lambda: Projection(public_feature, components=settings.components),
        "crafter": lambda: Crafter(
            eavesdroppers(encoder, public_feature, settings=settings, weights=weights),
            settings.crafter,
            start=_start(cloud, public_feature, settings.start_neighbours),
        ),
    }
    if name not in builders:
        raise InputError(f"There is no defence '{name}'; choose one of {', '.join(NAMES)}.")
    return builders[name]()


def _start(cloud: nn.Module, public_feature: Tensor, neighbours: int) -> Defence | None:
    if not neighbours:
        return None
    count = min(neighbours, len(public_feature))
    return Substitution(public_feature, neighbours=count, embedding=first_stage(cloud))


def first_stage(cloud: nn.Module) -> Callable[[Tensor], Tensor]:
    """The cloud model's first stage: features -> vectors in which like faces are near."""
    stage = next(cloud.children())

    def embed(feature: Tensor) -> Tensor:
        return stage(feature).flatten(1)

    return embed


def eavesdroppers(
    encoder: nn.Module,
    public_feature: Float[Tensor, "count channels rows columns"],
    *,
    settings: DefenceSettings,
    weights: Path | None = None,
) -> list[SimulatedEavesdropper]:
    """The eavesdroppers that Crafter simulates, those of weight 0 left out."""
    chosen: list[SimulatedEavesdropper] = []
    device = public_feature.device
    if settings.latent_eavesdropper:
        generator = load_generator(weights).to(device)
        chosen.append(
            WhiteBoxLatent(
                generator=generator,
                problem=latent_inversion(generator, encoder),
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
