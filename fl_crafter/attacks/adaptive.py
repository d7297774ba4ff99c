"""Adaptive inversion: a decoder trained on what the defence makes of the attacker's own images."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.training.decoder import DecoderTraining, train_decoder


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
        decoder = copy.deepcopy(knowledge.decoder)
        for parameter in decoder.parameters():
            parameter.requires_grad_(True)
        settings = DecoderTraining(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=int(torch.randint(2**31, (1,), generator=random)),
        )
        decoder, figures = train_decoder(
            decoder,
            knowledge.encoder,
            (image * 255).round().byte(),
            feature=protected,
            settings=settings,
            title="adaptive eavesdropper",
        )
        with torch.no_grad():
            found = torch.cat([decoder(part) for part in feature.split(64)])
        return Reconstruction(found, [figures["pixel"]])
