"""What an attack is: it turns what crossed the wire into pictures, knowing only what it states."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.queries import Queries, QueryMemory, Release, features_of
from fl_crafter.models.generator import ImageGenerator

PUBLIC = 256  # faces that tell how much features vary


@dataclass(frozen=True)
class AttackerKnowledge:
    """All that the eavesdropper knows besides the transcript.

    Attributes:
        encoder: the victim's, frozen.
        public_image: photographs of other people, `[count, 3, height, width]` in [0, 1].
        generator: trained on public faces.
        amortiser: features -> latents of the generator, a start for inversions; None where there is
            none, as for a generator that was brought along.
        decoder: trained on clean features of public faces, a start for decoders.
        cloud: the public model of the task behind the encoder, features -> `[batch, outputs]`; None
            where it is not known.
        defence_decoder: the one that a trained defence played against and stores, with which
            adaptive decoders go on; None where there is none.
        release: the victim's defence, as a function of clean features, for adaptive attacks.
        batch: rows that the victim protects together, so that queries are answered as it would.
        query_image: public faces to query the defence with; `public_image` by default. A defence
            that releases something of its own public faces treats those unlike a private face, so
            give it others.
        memory: what the defence answered already.
        public_labels: attributes of `public_image`, 0 or 1, nan where unknown.
        labels: the attributes that were shared with the features under attack, likewise; one row
            for each feature.
    """

    encoder: nn.Module
    public_image: Float[Tensor, "count 3 height width"]
    generator: ImageGenerator
    amortiser: nn.Module | None
    decoder: nn.Module
    cloud: nn.Module | None = None
    defence_decoder: nn.Module | None = None
    release: Release | None = None
    batch: int = 64
    query_image: Float[Tensor, "queries 3 height width"] | None = None
    memory: QueryMemory = field(default_factory=QueryMemory, repr=False, compare=False)
    public_labels: Float[Tensor, "count attributes"] | None = None
    labels: Float[Tensor, "batch attributes"] | None = None

    @property
    def device(self) -> torch.device:
        """Where the encoder computes."""
        return next(self.encoder.parameters(), torch.empty(0)).device

    def public_feature(self) -> Float[Tensor, "some channels rows columns"]:
        """Clean features of the first public faces, enough to tell how much features vary."""
        return features_of(self.encoder, self.public_image[:PUBLIC])

    def query(self, *, images: int, draws: int = 1) -> Queries:
        """What the defence makes of the attacker's own faces.

        Args:
            images: of them at most, the first ones.
            draws: how often each is protected, with the defence's randomness anew.

        Raises:
            ValueError: the defence is not known.
        """
        if self.release is None:
            raise ValueError(
                "an adaptive attack must know the defence: set AttackerKnowledge.release"
            )
        own = self.public_image if self.query_image is None else self.query_image
        return self.memory.ask(
            self.encoder, self.release, own, images=images, draws=draws, batch=self.batch
        )


@dataclass(frozen=True)
class Reconstruction:
    """What an attack made of a batch of features.

    Attributes:
        image: one image in [0, 1] for each feature, in its order.
        loss_curve: the attack's own loss as it ran, the start first and at last that of what it
            returns, which is the best; it never sees the truth.
        zero_gradients: share of the rows whose first gradient was zero or not finite; more than a
            few say that gradients are hidden, not that the face is. 0 where none is taken.

    Raises:
        ValueError: the picture or the curve is not finite: such an attack has failed, and would
            count for the defence.
    """

    image: Float[Tensor, "batch 3 height width"]
    loss_curve: list[float] = field(default_factory=list)
    zero_gradients: float = 0.0

    def __post_init__(self) -> None:
        """Check that the attack ended with numbers."""
        broken = int((~self.image.isfinite().flatten(1).all(1)).sum())
        if broken or not all(map(math.isfinite, self.loss_curve)):
            raise ValueError(
                f"an attack failed: {broken} of {len(self.image)} pictures are not finite, and its "
                f"loss went {self.loss_curve}"
            )


class Attack(ABC):
    """Reconstructs images from features. Truth never enters; it joins in the evaluation.

    Attributes:
        name: what tables call it.
        adaptive: whether it needs to know the defence, `AttackerKnowledge.release`.
    """

    name: str
    adaptive: ClassVar[bool] = False

    def applies(self, knowledge: AttackerKnowledge) -> bool:
        """Whether the knowledge holds what the attack needs."""
        return not self.adaptive or knowledge.release is not None

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "Attack":
        """The attack after all that it can learn before it has seen any feature.

        One preparation serves several transcripts; by default there is nothing to learn.
        """
        return self

    @abstractmethod
    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """Images for features as they crossed the wire.

        Args:
            feature: from a transcript.
            knowledge: see `AttackerKnowledge`.
            random: source of restarts, initialisation and batches.
        """
