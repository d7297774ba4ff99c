"""The release gate: a client looks at its own release as an eavesdropper would, and refuses."""

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.defences.target import Unseen


class ReleaseGate(Defence):
    """Refuses releases from which a simulated eavesdropper still sees the person.

    One person seen is enough for the status of the whole batch, so that whoever knows no more than
    the status releases nothing; `Protected.identified` says which rows to leave out.

    Args:
        defence: whose releases are looked at.
        unseen: who looks, and when a person counts as seen.
    """

    def __init__(self, defence: Defence, *, unseen: Unseen) -> None:
        self.defence = defence
        self.name, self.shape = defence.name, defence.shape
        self.unseen = unseen

    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`; with status `identified` the feature must not be released."""
        result = self.defence.protect(feature, random=random)
        if result.status == Status.DIVERGED:
            return result
        similarity = self.unseen.similarity(feature, result.feature)
        figures = result.figures | {"seen_similarity": float(similarity.max())}
        seen = ~(similarity <= self.unseen.limit)  # nan is no proof of safety
        if result.status == Status.IDENTIFIED:  # of an inner gate, which sees something else
            inner = torch.ones_like(seen) if result.identified is None else result.identified
            seen = seen | inner.to(seen)
        if bool(seen.any()):
            return Protected(result.feature, Status.IDENTIFIED, figures, identified=seen)
        return Protected(result.feature, result.status, figures)
