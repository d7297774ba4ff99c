"""Adaptive inversion: decoders trained on what the defence makes of the attacker's own images."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.fine_tuning import decode, fine_tune
from fl_crafter.attacks.queries import Queries
from fl_crafter.models.decoder import ConvolutionalDecoder, DenseDecoder, Rescaled
from fl_crafter.randomness import seeded

Start = Literal["prepared", "convolutional", "dense", "generator"]


@dataclass(frozen=True)
class AdaptiveDecoder(Attack):
    """Knows the defence: protects public faces by it and learns to see through the result.

    A defence that only hides from the attackers it has met gives way to this one. It does not know
    the random draws of the victim's protection.

    Attributes:
        images: public faces that it protects, at most.
        draws: how often it protects each, with fresh randomness of the defence.
        steps: of training.
        batch_size: faces per step.
        learning_rate: peak of the schedule.
        start: what is trained:

            - `prepared`: of three decoders the one that draws the attacker's own faces best, which
              are that of clean features, the same on features brought to the spread of clean ones,
              and the one that a trained defence played against and stores;
            - `convolutional` and `dense`: random weights; the latter does not need the feature's
              layout;
            - `generator`: generator and amortiser are re-tuned together, which keeps a prior of
              faces.
    """

    images: int = 400
    draws: int = 1
    steps: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    start: Start = "prepared"
    name: str = "adaptive_decoder"
    adaptive: ClassVar[bool] = True

    def applies(self, knowledge: AttackerKnowledge) -> bool:
        """See `Attack`; to re-tune a generator takes the amortiser before it."""
        has_start = self.start != "generator" or knowledge.amortiser is not None
        return has_start and super().applies(knowledge)

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve holds the last training loss.

        Raises:
            ValueError: the knowledge holds no defence, or not what the start is made of.
        """
        queries = knowledge.query(images=self.images, draws=self.draws)
        decoder, loss = fine_tune(
            knowledge,
            queries.image,
            feature=queries.released,
            decoder=self._decoder(queries, knowledge, random),
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            random=random,
            title=self.name.replace("_", " "),
        )
        return Reconstruction(decode(decoder, feature), [loss])

    def _decoder(
        self, queries: Queries, knowledge: AttackerKnowledge, random: torch.Generator
    ) -> nn.Module:
        feature = queries.released
        if self.start == "prepared":
            rescaled = Rescaled(knowledge.decoder, feature, queries.clean).to(feature)
            known = [knowledge.decoder, rescaled, knowledge.defence_decoder]
            return min((each for each in known if each), key=partial(_error, queries=queries))
        if self.start == "generator":
            if knowledge.amortiser is None:
                raise ValueError(f"{self.name} needs an amortiser: set AttackerKnowledge.amortiser")
            return nn.Sequential(knowledge.amortiser, knowledge.generator)
        side = knowledge.public_image.shape[-1]
        return new_decoder(feature, side, dense=self.start == "dense", random=random)


def _error(decoder: nn.Module, *, queries: Queries) -> float:
    """Mean squared pixel error on some of the attacker's own faces."""
    image = decode(decoder, queries.released[:64])
    return float((image - queries.image[:64].to(image)).square().mean())


def new_decoder(
    feature: Float[Tensor, "count channels rows columns"],
    side: int,
    *,
    dense: bool,
    random: torch.Generator,
) -> nn.Module:
    """A decoder with random weights, where the features are, and used to their spread.

    Args:
        feature: some that it is to meet.
        side: of the images, in pixels.
        dense: see `fresh_decoder`.
        random: of the weights.
    """
    with seeded(random):
        fresh = fresh_decoder(feature.shape[1:], side, dense=dense)
    return Rescaled(fresh, feature).to(feature)


def fresh_decoder(shape: torch.Size, side: int, *, dense: bool) -> nn.Module:
    """A decoder with random weights.

    Args:
        shape: (channels, rows, columns) of the feature.
        side: of the images, in pixels.
        dense: whether it mixes all of the feature before it draws.
    """
    channels, rows, columns = shape
    widths = (128, 96, 64, 48, 32, 24, *[16] * side.bit_length())
    if dense:
        start = side
        while start % 2 == 0 and start >= 8:
            start //= 2
        doublings = widths[1 : _doublings(start, side) + 1]
        return DenseDecoder((channels, rows, columns), widths=doublings, start=start)
    return ConvolutionalDecoder(channels, widths=widths[: _doublings(rows, side) + 1])


def _doublings(start: int, side: int) -> int:
    """How often `start` doubles to `side`.

    Raises:
        ValueError: it never does.
    """
    doublings = (side // start).bit_length() - 1
    if start << doublings != side or doublings < 1:
        raise ValueError(f"a decoder doubles {start} rows until they are {side}, which never is")
    return doublings
