"""The standard suite: attacks in increasing cost, for one call."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.black_box import AdversarialDecoder, BlackBoxDecoder
from fl_crafter.attacks.floors import (
    AttributeMeanFace,
    AverageFace,
    NearestPublicFace,
    NearestReleasedFace,
)
from fl_crafter.attacks.hybrid import WhiteBoxHybrid
from fl_crafter.attacks.outputs import ThroughOutputs
from fl_crafter.attacks.pixels import AdaptivePixels, WhiteBoxChannels, WhiteBoxPixels
from fl_crafter.attacks.priors import WithEigenfaces
from fl_crafter.attacks.un_crafter import NetworkRegression, UnCrafter
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt

BUDGETS = ("smoke", "cpu", "gpu")


def standard(budget: str = "cpu") -> list[Attack]:
    """The attacks of a budget, in increasing cost; nothing is left for the user to tune.

    Args:
        budget: one of `BUDGETS`. `smoke` only shows that everything runs, `cpu` takes minutes for
            some hundred features on two cores, and `gpu` is the strongest.

    Raises:
        ValueError: there is no such budget.
    """
    if budget not in BUDGETS:
        raise ValueError(f"there is no budget {budget!r}; choose one of {', '.join(BUDGETS)}")
    return {"smoke": _smoke, "cpu": _cpu, "gpu": _gpu}[budget]()


def _smoke() -> list[Attack]:
    quick = LevenbergMarquardt(steps=1, inner_iterations=2)
    latent = WhiteBoxLatent(inverter=quick, probes=32)
    return [
        *_floors(images=8),
        BlackBoxDecoder(steps=2, batch_size=4),
        UnCrafter(images=8, name="un_crafter_ridge"),
        AdaptiveDecoder(images=8, steps=2, batch_size=4),
        WhiteBoxPixels(steps=3),
        WhiteBoxChannels(WhiteBoxPixels(steps=3)),
        WithEigenfaces(latent, latent_size=4),
        latent,
        ThroughOutputs(latent),
    ]


def _cpu() -> list[Attack]:
    """What earned its place: see docs/attacks.md for what each finds, and what it costs."""
    return [
        *_floors(images=600),
        BlackBoxDecoder(steps=100),
        UnCrafter(images=600, name="un_crafter_ridge"),
        AdaptiveDecoder(images=600, steps=150),
        WhiteBoxPixels(),
        WhiteBoxChannels(),
        WhiteBoxLatent(),
        ThroughOutputs(),
    ]


def _gpu() -> list[Attack]:
    long = LevenbergMarquardt(steps=24, inner_iterations=8, damping=1e-3)
    latent = WhiteBoxLatent(inverter=long, restarts=1)
    pixels = WhiteBoxPixels(steps=200, restarts=1)
    network = NetworkRegression(steps=1500, batch_size=64)
    undo = partial(UnCrafter, inverter=pixels, images=4000, draws=4)
    learn = partial(AdaptiveDecoder, images=4000, draws=4, steps=2000, batch_size=64)
    return [
        *_floors(images=4000),
        BlackBoxDecoder(steps=1500),
        AdversarialDecoder(steps=1500),
        undo(name="un_crafter_ridge"),
        undo(network, name="un_crafter_network"),
        learn(),
        learn(start="convolutional", name="adaptive_decoder_scratch"),
        learn(start="dense", name="adaptive_decoder_dense"),
        learn(start="generator", name="adaptive_generator"),
        pixels,
        WhiteBoxChannels(WhiteBoxPixels(steps=200, variation_weight=1.5)),
        WithEigenfaces(latent, latent_size=1000),
        latent,
        ThroughOutputs(replace(latent, candidates=256)),
        WhiteBoxHybrid(latent=latent, steps=60),
        AdaptivePixels(WhiteBoxPixels(steps=60)),
    ]


def beyond_cpu() -> list[Attack]:
    """The kinds of attack that the `cpu` budget leaves out, at sizes of its own: minutes each.

    The first is there for comparison.
    """
    learn = partial(AdaptiveDecoder, images=600)
    return [
        BlackBoxDecoder(steps=100),
        UnCrafter(NetworkRegression(steps=300), images=600, name="un_crafter_network"),
        learn(start="dense", steps=600, name="adaptive_decoder_dense"),
        learn(start="generator", steps=150, name="adaptive_generator"),
        WithEigenfaces(WhiteBoxLatent()),
        WhiteBoxHybrid(),
        AdaptivePixels(),
    ]


def _floors(*, images: int) -> list[Attack]:
    return [
        AverageFace(),
        AttributeMeanFace(),
        NearestPublicFace(),
        NearestReleasedFace(images=images),
    ]


def most_queries(attacks: Sequence[Attack]) -> int:
    """How many faces the adaptive ones of these attacks would query a defence with, at most."""
    return max((getattr(attack, "images", 0) for attack in attacks), default=0)


def run_suite(
    attacks: Sequence[Attack],
    feature: Float[Tensor, "count channels rows columns"],
    knowledge: AttackerKnowledge,
    *,
    random: torch.Generator,
) -> Iterator[tuple[Attack, Reconstruction]]:
    """Run attacks one after the other on the features of a transcript.

    Attacks that need what the knowledge does not hold, such as the defence, are left out.

    Args:
        attacks: those that were prepared need not learn again.
        feature: from a transcript.
        knowledge: see `AttackerKnowledge`.
        random: gives every attack a source of its own, so that what one draws changes no other.

    Yields:
        The attack, and what it reconstructed of each row of `feature`.

    Raises:
        ValueError: there is no feature, or one is not finite.
    """
    if not len(feature) or not bool(feature.isfinite().all()):
        raise ValueError(
            f"the suite got {len(feature)} features; it takes one or more, all of them finite"
        )
    for attack in attacks:
        own = torch.Generator().manual_seed(int(torch.randint(2**31, (1,), generator=random)))
        if attack.applies(knowledge):
            yield attack, attack.reconstruct(feature, knowledge, random=own)
