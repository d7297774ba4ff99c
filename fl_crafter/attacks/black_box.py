"""Black-box inversion: a decoder trained on public faces and their features."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.fine_tuning import decode, fine_tune


@dataclass(frozen=True)
class BlackBoxDecoder(Attack):
    """Decodes features with a decoder that was trained on clean features of public faces.

    Starting from the weights that the eavesdropper prepared, it trains on the public photographs at
    hand, with the victim's own preprocessing. What it inverts by is the encoder's output alone, but
    its training loss holds the distance of features too: a gradient through the encoder that a
    strict black box has to do without, and so a stronger attack.

    Attributes:
        steps: of training on the public photographs; 0 uses the prepared decoder as it is.
        batch_size: photographs per step.
        learning_rate: peak of the schedule.
        trained: the decoder after its training; None trains it on the first features seen.
        loss_curve: of that training.
    """

    steps: int = 30
    batch_size: int = 32
    learning_rate: float = 3e-4
    trained: nn.Module | None = None
    loss_curve: tuple[float, ...] = ()
    name: str = "black_box_decoder"
    adversarial_weight: ClassVar[float] = 0.0

    def prepare(
        self, knowledge: AttackerKnowledge, *, random: torch.Generator
    ) -> "BlackBoxDecoder":
        """See `Attack`; trains the decoder."""
        if not self.steps:
            return replace(self, trained=knowledge.decoder)
        trained, loss = fine_tune(
            knowledge,
            knowledge.public_image,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            adversarial_weight=self.adversarial_weight,
            random=random,
            title="eavesdropper",
        )
        return replace(self, trained=trained, loss_curve=(loss,))

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve holds the last training loss."""
        if self.trained is None:
            return self.prepare(knowledge, random=random).reconstruct(
                feature, knowledge, random=random
            )
        return Reconstruction(decode(self.trained, feature), list(self.loss_curve))


@dataclass(frozen=True)
class AdversarialDecoder(BlackBoxDecoder):
    """The same, but a critic that learns beside it to tell its pictures from faces has a say too.

    What a mean over several faces would look like is blurred; the critic asks for one of them.
    """

    name: str = "black_box_decoder_adversarial"
    adversarial_weight: ClassVar[float] = 0.03
