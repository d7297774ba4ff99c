"""AdvLearn: an encoder that plays against the decoder which inverts it (Xiao et al., AAAI 2020)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.training.loop import Trainable, run_training
from fl_crafter.training.task import attribute_loss, check_share, draw_images, only


@dataclass(frozen=True)
class AdvLearnTraining:
    """Settings of `train_advlearn`.

    Attributes:
        privacy_weight: the paper's lambda, of the decoder's error against the task's loss, in
            [0, 1]; published at 0.1, 0.5 and 0.8.
        rounds: turns of decoder and encoder; published 500.
        phase_steps: updates in each turn, about an epoch.
        batch_size: images per update.
        learning_rate: Adam's.
        seed: of order and augmentation.
    """

    privacy_weight: float = 0.5
    rounds: int = 8
    phase_steps: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a weight that is no share."""
        check_share(self.privacy_weight)

    @property
    def steps(self) -> int:
        """Of the whole training: the decoder begins, and has the last word."""
        return (2 * self.rounds + 1) * self.phase_steps


def reconstruction_error(
    rebuilt: Float[Tensor, "batch 3 height width"], image: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, ""]:
    """||x - Dec(Enc x)||^2 / (H W) of each sample, averaged; both images in [0, 1]."""
    return (rebuilt - image).square().sum(1).mean()


def train_advlearn(
    model: SplitModel,
    decoder: nn.Module,
    public: Shaped[Tensor, "public 3 height width"],
    private: Shaped[Tensor, "private 3 height width"],
    attributes: Float[Tensor, "private attributes"],
    *,
    settings: AdvLearnTraining,
    checkpoint: Path | None = None,
) -> dict[str, float]:
    """Train the decoder, and the model against it, turn by turn; all in place.

    The model stays in evaluation mode: it begins trained, and its batch statistics are what the
    decoder meets afterwards.

    Args:
        model: trained beforehand on the attributes.
        decoder: the simulated eavesdropper, features -> images in [0, 1].
        public: photographs of others that it learns from, uint8 in [0, 255].
        private: photographs that the model is trained on, uint8.
        attributes: of these, 0, 1 or nan.
        settings: see `AdvLearnTraining`.
        checkpoint: file to store the training state in and to resume from.

    Returns:
        The last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    whole = nn.ModuleDict({"encoder": model.encoder, "cloud": model.cloud, "decoder": decoder})
    whole.eval()
    device = next(decoder.parameters()).device
    inverting = torch.optim.Adam(decoder.parameters(), lr=settings.learning_rate)
    hiding = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)

    def invert() -> dict[str, float]:
        only(decoder, among=whole)
        image = draw_images(public, settings.batch_size, random=random)[0].to(device)
        loss = reconstruction_error(decoder(model.encoder(image)), image)
        inverting.zero_grad(set_to_none=True)
        loss.backward()
        inverting.step()
        return {"decoder": loss.item()}

    def hide() -> dict[str, float]:
        only(model.encoder, model.cloud, among=whole)
        image, chosen = draw_images(private, settings.batch_size, random=random)
        image, target = image.to(device), attributes[chosen].to(device)
        feature = model.encoder(image)
        task = attribute_loss(model.cloud(feature), target)
        seen = reconstruction_error(decoder(feature), image)
        loss = (1 - settings.privacy_weight) * task - settings.privacy_weight * seen
        hiding.zero_grad(set_to_none=True)
        loss.backward()
        hiding.step()
        return {"task": task.item(), "hidden": seen.item()}

    def step(index: int) -> dict[str, float]:
        return hide() if index // settings.phase_steps % 2 else invert()

    figures = run_training(
        step,
        Trainable({"whole": whole}, {"inverting": inverting, "hiding": hiding}, random),
        steps=settings.steps,
        title="advlearn",
        settings=settings,
        data=(public, private, attributes),
        checkpoint=checkpoint,
    )
    freeze(whole)
    return figures
