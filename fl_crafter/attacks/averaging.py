"""Averaging over several releases of one image, or over several photographs of one person."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.queries import Release


@dataclass(frozen=True)
class Averaging(Attack):
    """Another attack on the mean of the features that are known to belong together.

    What a defence draws anew for every release, and what differs between photographs, averages out;
    who is shown does not. That rows belong together, the attacker has to know: from the sender or
    from a linking.

    Attributes:
        inner: the attack.
        group: number of the image or person of each row.
        one_image: whether the rows of a group are releases of one image. An adaptive attack then
            learns from means of as many releases, of its own images.
    """

    inner: Attack
    group: Int64[Tensor, " batch"]
    one_image: bool = False
    name: str = "averaging"

    def applies(self, knowledge: AttackerKnowledge) -> bool:
        """See `Attack`."""
        return self.inner.applies(knowledge)

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "Averaging":
        """See `Attack`."""
        return replace(self, inner=self.inner.prepare(knowledge, random=random))

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the rows of a group share one image.

        Raises:
            ValueError: there is not one group for each feature.
        """
        if len(self.group) != len(feature):
            raise ValueError(
                f"{self.name} got {len(feature)} features of {len(self.group)} groups; give each "
                "row its group"
            )
        _, place, size = self.group.unique(return_inverse=True, return_counts=True)
        place = place.to(feature.device)
        total = feature.new_zeros(len(size), *feature.shape[1:]).index_add_(0, place, feature)
        mean = total / size.to(feature)[:, None, None, None]
        if self.one_image and knowledge.release is not None:
            often = round(float(size.float().mean()))
            knowledge = replace(knowledge, release=mean_release(knowledge.release, often))
        found = self.inner.reconstruct(mean, knowledge, random=random)
        return replace(found, image=found.image[place])


def mean_release(release: Release, often: int) -> Release:
    """A defence that releases the mean of several releases."""
    return lambda feature: torch.stack([release(feature) for _ in range(often)]).mean(0)
