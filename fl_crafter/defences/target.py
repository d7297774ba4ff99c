"""Targets instead of weights: the first of several settings that keeps a promise, per person.

    privacy:  the smallest change after which a simulated eavesdropper tells the person no more
    utility:  the most private release within a budget of what the cloud may lose

The chosen setting is not released, but a feature may show it; where `promise` looks at more of the
clean feature than the defence does, so does the choice.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status, utility_loss
from fl_crafter.defences.crafter.utility import Utility


class Promise(ABC):
    """What a release must keep.

    Attributes:
        broken: status of a result in which somebody's release does not keep it.
    """

    broken: Status

    @abstractmethod
    def kept(
        self, feature: Float[Tensor, " batch *shape"], released: Float[Tensor, " batch *shape"]
    ) -> Bool[Tensor, " batch"]:
        """Whether each release keeps it, given the clean features."""


class WithinBudget(Promise):
    """The cloud loses no more than a budget.

    Args:
        utility: what the cloud is to keep.
        budget: largest utility loss, in its units; for `TaskUtility` the mean squared change of the
            outputs, in units of their spread over public faces.
    """

    broken = Status.NOT_CONVERGED

    def __init__(self, utility: Utility, *, budget: float) -> None:
        if not budget > 0:
            raise ValueError(f"budget must be above 0, not {budget}")
        self.utility, self.budget = utility, budget

    def kept(self, feature: Tensor, released: Tensor) -> Tensor:
        """See `Promise`."""
        with torch.no_grad():
            return self.utility.loss(released, self.utility.target(feature)) <= self.budget


class Unseen(Promise):
    """A simulated eavesdropper's pictures before and after do not show one person.

    What the eavesdropper makes of the clean feature is the best picture that it could hope for.

    Args:
        eavesdropper: features -> images in [0, 1], such as a shipped decoder.
        embed: images -> unit vectors, by the network that says who is seen; not the evaluator that
            judges the result afterwards.
        limit: cosine above which two pictures show one person.
    """

    broken = Status.IDENTIFIED

    def __init__(
        self,
        *,
        eavesdropper: Callable[[Tensor], Tensor],
        embed: Callable[[Tensor], Tensor],
        limit: float,
    ) -> None:
        self.eavesdropper, self.embed, self.limit = eavesdropper, embed, limit

    def similarity(
        self, feature: Float[Tensor, " batch *shape"], released: Float[Tensor, " batch *shape"]
    ) -> Float[Tensor, " batch"]:
        """Cosine of the two pictures."""
        with torch.no_grad():
            clean, seen = (self.embed(self.eavesdropper(each)) for each in (feature, released))
            return (clean * seen).sum(1)

    def kept(self, feature: Tensor, released: Tensor) -> Tensor:
        """See `Promise`; a similarity that is not a number is no proof of safety."""
        return self.similarity(feature, released) <= self.limit


class Targeted(Defence):
    """Releases for each person what the first defence makes that keeps the promise.

    Whom none of them serves gets what the last one makes, and the result has the promise's
    `broken` status.

    Args:
        defences: in the order in which they are wanted: for a privacy target from the smallest
            change to the largest, for a utility budget from the most private to the least.
        promise: see `Promise`.

    Raises:
        ValueError: there is no defence.
    """

    def __init__(self, defences: Sequence[Defence], *, promise: Promise) -> None:
        if not defences:
            raise ValueError("Targeted needs at least one defence")
        self.defences, self.promise = tuple(defences), promise
        self.name = defences[0].name

    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`; only those who are not served yet are protected again."""
        released = feature.clone()
        left = torch.arange(len(feature), device=feature.device)
        status, tried = Status.OK, 0
        for defence in self.defences:
            tried += 1
            result = defence.protect(feature[left], random=random)
            released[left] = result.feature
            if result.status == Status.DIVERGED:
                return Protected(released, Status.DIVERGED)
            if result.status == Status.IDENTIFIED:
                # nobody may leave of whom a gate within says so, whatever the promise
                return Protected(released, Status.IDENTIFIED)
            status = max(status, result.status, key=list(Status).index)
            left = left[~self.promise.kept(feature[left], result.feature)]
            if not len(left):
                break
        else:
            status = max(status, self.promise.broken, key=list(Status).index)
        figures = {
            "utility_loss": float(utility_loss(released, feature).mean()),
            "settings_tried": float(tried),
            "unmet": len(left) / len(feature),
        }
        unmet = torch.zeros(len(feature), dtype=torch.bool, device=feature.device)
        unmet[left] = True
        seen = unmet if status == Status.IDENTIFIED else None
        return Protected(released, status, figures, identified=seen)
