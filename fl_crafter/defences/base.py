"""What a defence is: it replaces features by features that may leave the device."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fl_crafter.models.split import SplitModel

UNDEFENDED = "none"


class Status(StrEnum):
    """How a defence ended."""

    OK = "ok"
    NOT_CONVERGED = "not_converged"
    DIVERGED = "diverged"
    IDENTIFIED = "identified"


@dataclass(frozen=True)
class Protected:
    """Features that a defence releases, and how it went.

    Attributes:
        feature: of the clean feature's shape. With status `diverged` or `identified` it must not
            be released.
        status: see `Status`.
        figures: what the defence measured, by name, such as `utility_loss`.
        identified: with status `identified`, the rows that it is about; None means all of them.
    """

    feature: Float[Tensor, " batch *shape"]
    status: Status = Status.OK
    figures: dict[str, float] = field(default_factory=dict)
    identified: Bool[Tensor, " batch"] | None = None


class Defence(ABC):
    """Protects features on the user's device. It sees features only, so any client can use it.

    Attributes:
        name: what tables call it.
        model: what a trained defence brings in place of the victim's encoder and cloud model;
            `protect` then takes this encoder's features. None leaves the victim's as they are.
        decoder: the eavesdropper that a trained defence met, which an adaptive one goes on from.
        shape: of one feature, as the defence was built for; None where any goes.
    """

    name: str
    shape: torch.Size | None = None
    model: SplitModel | None = None
    decoder: nn.Module | None = None

    @abstractmethod
    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """Features to release instead of `feature`.

        Args:
            feature: clean features of one or more private images.
            random: source of all of the defence's randomness.
        """


def join(feature: Float[Tensor, " batch *shape"], parts: Sequence[Protected]) -> Protected:
    """One result for a whole batch: the parts' worst status, their figures weighted by rows.

    Args:
        feature: of the whole batch.
        parts: its results, at least one; a figure that one lacks is averaged over the others.
    """
    order = list(Status)
    status = max((part.status for part in parts), key=order.index)
    figures: dict[str, float] = {}
    for name in {name: None for part in parts for name in part.figures}:
        known = [part for part in parts if name in part.figures]
        rows = sum(len(part.feature) for part in known)
        total = sum(part.figures[name] * len(part.feature) for part in known)
        figures[name] = total / rows
    return Protected(feature, status, figures)


def in_micro_batches(
    feature: Float[Tensor, "batch channels rows columns"],
    size: int,
    protect: Callable[[Tensor], Protected],
) -> Protected:
    """Protect a batch in parts of at most `size`, which bounds the memory; `join` says how.

    A part that is not finite has diverged.

    Args:
        feature: clean features.
        size: of a part.
        protect: makes one part's result, of its shape.

    Raises:
        ValueError: features are not of four dimensions.
    """
    if feature.ndim != 4:
        raise ValueError(
            f"features have shape {list(feature.shape)}; give [batch, channels, rows, columns], or "
            "take the defence of a Protector, which brings those of any shape to it"
        )
    # kernels of another memory layout round otherwise, and many steps make much of it
    feature = feature.detach().contiguous()
    released = torch.empty_like(feature)
    parts = []
    for part, place in zip(feature.split(size), released.split(size), strict=True):
        finite = bool(torch.isfinite(part).all())
        with torch.enable_grad():  # defences differentiate, also where a caller does not
            protected = protect(part) if finite else Protected(part, Status.DIVERGED)
        place.copy_(protected.feature)
        parts.append(replace(protected, feature=place))
    return join(released, parts)


def utility_loss(
    protected: Float[Tensor, " batch *shape"], feature: Float[Tensor, " batch *shape"]
) -> Float[Tensor, " batch"]:
    """Mean squared change of each sample's feature (Crafter's utility loss)."""
    return (protected - feature).flatten(1).square().mean(1)


def unfit(
    protected: Protected,
    clean: Float[Tensor, " batch *shape"],
    defence: "Defence",
    *,
    wire: torch.dtype | None = None,
) -> str:
    """Why features must not leave, as the beginning of a sentence; empty where they may.

    What a release gate says is about single rows, and is left to whoever can leave rows out.

    Args:
        protected: what the defence made.
        clean: of what.
        defence: that made it.
        wire: type in which the features leave; a small change may be lost in it.
    """
    name, feature = defence.name, protected.feature.detach().cpu()
    clean = clean.detach().cpu()
    if protected.status == Status.DIVERGED:
        return f"The defence {name} diverged"
    if feature.shape != clean.shape:
        return f"The defence {name} changed the shape"
    if wire is not None:
        feature, clean = feature.to(wire), clean.to(wire)
    if not bool(feature.isfinite().all()):
        kind = f" in {str(wire).removeprefix('torch.')}" if wire else ""
        return f"The features protected by {name} are not finite{kind}"
    # a trained defence may protect in its own encoder, before any feature is there
    if name != UNDEFENDED and defence.model is None:
        if bool((feature == clean).flatten(1).all(1).any()):
            return f"The defence {name} changed nothing"
    return ""
