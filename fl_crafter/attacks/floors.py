"""Floors: what is seen of a person without inverting anything; defences are judged by them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.queries import features_of


@dataclass(frozen=True)
class AverageFace(Attack):
    """The mean public face for everybody: what an attacker sees who does not look."""

    name: str = "average_face"

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`."""
        mean = knowledge.public_image.mean(0).to(feature)
        return Reconstruction(mean.expand(len(feature), -1, -1, -1).clone())


@dataclass(frozen=True)
class NearestPublicFace(Attack):
    """The public face whose clean feature is nearest to the one that was released."""

    name: str = "nearest_public_face"

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`."""
        public = features_of(knowledge.encoder, knowledge.public_image)
        return Reconstruction(_nearest(feature, public, knowledge.public_image))


@dataclass(frozen=True)
class NearestReleasedFace(Attack):
    """The public face that the defence makes most alike what was released.

    Attributes:
        images: public faces that it protects, at most.
        draws: how often it protects each, with fresh randomness of the defence.
    """

    images: int = 400
    draws: int = 1
    name: str = "nearest_released_face"
    adaptive: ClassVar[bool] = True

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`.

        Raises:
            ValueError: the knowledge holds no defence.
        """
        queries = knowledge.query(images=self.images, draws=self.draws)
        return Reconstruction(_nearest(feature, queries.released, queries.image))


def _nearest(feature: Tensor, known: Tensor, image: Tensor) -> Tensor:
    nearest = torch.cdist(feature.flatten(1), known.flatten(1)).argmin(1)
    return image[nearest.to(image.device)].to(feature)


@dataclass(frozen=True)
class AttributeMeanFace(Attack):
    """The mean of the public faces whose attributes are nearest to the shared ones.

    It looks at the labels alone, and so no defence of features changes what it sees.

    Attributes:
        neighbours: public faces averaged.
    """

    neighbours: int = 16
    name: str = "attribute_mean_face"

    def applies(self, knowledge: AttackerKnowledge) -> bool:
        """See `Attack`; it needs labels on both sides."""
        return knowledge.labels is not None and knowledge.public_labels is not None

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`.

        Raises:
            ValueError: the knowledge lacks the labels of the features, or of the public faces.
        """
        labels, public = knowledge.labels, knowledge.public_labels
        if labels is None or public is None:
            raise ValueError(
                f"{self.name} looks at labels: set AttackerKnowledge.labels and public_labels"
            )
        # an attribute that one side does not know counts as half a difference
        ours, theirs = (each.nan_to_num(0.5).to(feature) for each in (labels, public))
        distance = torch.cdist(ours, theirs, p=1.0)
        count = min(self.neighbours, len(public))
        nearest = distance.topk(count, dim=1, largest=False).indices.cpu()
        image = [knowledge.public_image[rows].mean(0) for rows in nearest]
        return Reconstruction(torch.stack(image).to(feature))
