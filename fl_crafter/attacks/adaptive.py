"""Adaptive inversion: a decoder trained on what the defence makes of the attacker's own images."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.fine_tuning import decode, fine_tune


@dataclass(frozen=True)
class AdaptiveDecoder(Attack):
    """Knows the defence: protects public faces by it and learns to see through the result.

    A defence that only hides from the attackers it has met gives way to this one. It does not know
    the random draws of the victim's protection.

    Attributes:
        images: public faces that it protects, at most; photographs before drawn ones.
        steps: of training, from the weights of the decoder of clean features.
        batch_size: faces per step.
        learning_rate: peak of the schedule.
    """

    images: int = 400
    steps: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    name: str = "adaptive_decoder"
    adaptive: ClassVar[bool] = True

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve holds the last training loss.

        Raises:
            ValueError: the knowledge holds no defence.
        """
        if knowledge.release is None:
            raise ValueError(f"{self.name} must know the defence: set AttackerKnowledge.release")
        image = knowledge.public_image[: self.images]
        with torch.no_grad():
            clean = torch.cat([knowledge.encoder(part) for part in image.to(feature).split(64)])
        protected = torch.cat([knowledge.release(part) for part in clean.split(64)])
        decoder, loss = fine_tune(
            knowledge,
            image,
            feature=protected,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            random=random,
            title="adaptive eavesdropper",
        )
        return Reconstruction(decode(decoder, feature), [loss])
