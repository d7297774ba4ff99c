"""The release gate: a client looks at its own release as an eavesdropper would, and refuses."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status


class ReleaseGate(Defence):
    """Refuses releases from which a simulated eavesdropper still sees the person.

    What the eavesdropper makes of the released feature is compared with what it makes of the clean
    one, the best picture that it could hope for. One person seen is enough to refuse the whole
    batch: its rows leave together or not at all.

    Args:
        defence: whose releases are looked at.
        eavesdropper: features -> images in [0, 1], such as a shipped decoder.
        embed: images -> unit vectors, by the network that says who is seen; not the evaluator that
            judges the result afterwards.
        limit: cosine above which two pictures show one person.
    """

    def __init__(
        self,
        defence: Defence,
        *,
        eavesdropper: Callable[[Tensor], Tensor],
        embed: Callable[[Tensor], Tensor],
        limit: float,
    ) -> None:
        self.defence = defence
        self.name = defence.name
        self.eavesdropper = eavesdropper
        self.embed = embed
        self.limit = limit

    def protect(
        self, feature: Float[Tensor, "batch channels rows columns"], *, random: torch.Generator
    ) -> Protected:
        """See `Defence`; with status `identified` the feature must not be released."""
        result = self.defence.protect(feature, random=random)
        if result.status == Status.DIVERGED:
            return result
        with torch.no_grad():
            pictures = (self.eavesdropper(each) for each in (feature, result.feature))
            clean, seen = (self.embed(picture) for picture in pictures)
        similarity = (clean * seen).sum(1)
        figures = result.figures | {"seen_similarity": float(similarity.max())}
        # nan is no proof of safety
        if not bool((similarity <= self.limit).all()):
            return Protected(result.feature, Status.IDENTIFIED, figures)
        return Protected(result.feature, result.status, figures)
