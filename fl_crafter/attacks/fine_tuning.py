"""Train the eavesdropper's decoder; shared by the attacks that decode."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.chunks import in_chunks
from fl_crafter.picture import as_bytes
from fl_crafter.training.decoder import DecoderTraining, train_decoder


def fine_tune(
    knowledge: AttackerKnowledge,
    image: Float[Tensor, "count 3 height width"],
    *,
    feature: Float[Tensor, "count channels rows columns"] | None = None,
    decoder: nn.Module | None = None,
    steps: int,
    batch_size: int,
    learning_rate: float,
    adversarial_weight: float = 0.0,
    random: torch.Generator,
    title: str,
) -> tuple[nn.Module, float]:
    """A trained copy of a decoder, and its last pixel loss.

    Args:
        knowledge: whose decoder and encoder are used, and left as they are.
        image: public faces in [0, 1].
        feature: what a defence released for each; clean features of augmented faces by default.
        decoder: to start from; by default the one that the eavesdropper prepared.
        steps: of training.
        batch_size: faces per step.
        learning_rate: peak of the schedule.
        adversarial_weight: of a critic's judgement in the loss.
        random: gives the seed of the training.
        title: shown beside the progress bar.
    """
    decoder = copy.deepcopy(decoder or knowledge.decoder).requires_grad_(True)
    settings = DecoderTraining(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        adversarial_weight=adversarial_weight,
        seed=int(torch.randint(2**31, (1,), generator=random)),
    )
    trained, figures = train_decoder(
        decoder,
        knowledge.encoder,
        as_bytes(image),
        feature=feature,
        settings=settings,
        title=title,
    )
    return trained, figures["pixel"]


def decode(
    decoder: nn.Module, feature: Float[Tensor, "count channels rows columns"]
) -> Float[Tensor, "count 3 height width"]:
    """Images in [0, 1], without gradient, at bounded memory."""
    return in_chunks(decoder, feature)
