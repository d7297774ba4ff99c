"""The standard suite: attacks in increasing cost, for one call."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.attacks.pixels import WhiteBoxPixels
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.inversion.inverters import LevenbergMarquardt

BUDGETS = ("smoke", "cpu", "gpu")
Judge = Callable[[Tensor, Tensor], Tensor]


def standard(budget: str = "cpu") -> list[Attack]:
    """The attacks of a budget, in increasing cost; nothing is left for the user to tune.

    Args:
        budget: one of `BUDGETS`. `smoke` only shows that everything runs, `cpu` takes minutes for
            some hundred features on two cores, and `gpu` is the strongest.

    Raises:
        ValueError: there is no such budget.
    """
    if budget == "smoke":
        return [
            BlackBoxDecoder(steps=2, batch_size=4),
            WhiteBoxLatent(inverter=LevenbergMarquardt(steps=1, inner_iterations=2)),
            WhiteBoxPixels(steps=3),
            AdaptiveDecoder(images=8, steps=2, batch_size=4),
        ]
    if budget == "cpu":
        return [
            BlackBoxDecoder(steps=100),
            AdaptiveDecoder(images=600, steps=150),
            WhiteBoxLatent(),
            WhiteBoxPixels(),
        ]
    if budget == "gpu":
        return [
            BlackBoxDecoder(steps=3000),
            AdaptiveDecoder(images=4000, steps=3000),
            WhiteBoxLatent(inverter=LevenbergMarquardt(steps=30, inner_iterations=8), restarts=2),
            WhiteBoxPixels(steps=1000, restarts=1),
        ]
    raise ValueError(f"there is no budget {budget!r}; choose one of {', '.join(BUDGETS)}")


def run_suite(
    attacks: Sequence[Attack],
    feature: Float[Tensor, "count channels rows columns"],
    knowledge: AttackerKnowledge,
    *,
    random: torch.Generator,
    identified: Judge | None = None,
) -> Iterator[tuple[Attack, Reconstruction, Int64[Tensor, "some"]]]:
    """Run attacks one after the other on the features of a transcript.

    Adaptive attacks are left out where the knowledge holds no defence.

    Args:
        attacks: in increasing cost; those that were prepared need not learn again.
        feature: from a transcript.
        knowledge: see `AttackerKnowledge`.
        random: gives every attack a source of its own, so that what one draws changes no other.
        identified: the judge's word on reconstructions and the rows of `feature` that they are of.
            Rows that it names true are left out of later attacks, and nothing else is made of it:
            it saves time and cannot change a worst case.

    Yields:
        The attack, what it reconstructed, and the rows of `feature` in question, rising.

    Raises:
        ValueError: there is no feature, or one is not finite.
    """
    if not len(feature) or not bool(feature.isfinite().all()):
        raise ValueError(
            f"the suite got {len(feature)} features; it takes one or more, all of them finite"
        )
    left = torch.arange(len(feature))
    for attack in attacks:
        own = torch.Generator().manual_seed(int(torch.randint(2**31, (1,), generator=random)))
        if (attack.adaptive and knowledge.release is None) or not len(left):
            continue
        part = feature[left.to(feature.device)]
        result = attack.reconstruct(part, knowledge, random=own)
        yield attack, result, left
        if identified is not None:
            left = left[~identified(result.image, left).cpu()]
