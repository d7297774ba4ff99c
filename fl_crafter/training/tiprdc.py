"""TIPRDC: features that keep the image but not the person (Li et al., KDD 2020)."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from fl_crafter.models.information import InformationCritic, information_bound
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.training.loop import Trainable, run_training
from fl_crafter.training.task import attribute_loss, check_share, draw_images, only


@dataclass(frozen=True)
class TiprdcTraining:
    """Settings of `train_tiprdc`.

    Attributes:
        privacy_weight: the paper's lambda, of the classifier's error against the information kept,
            in [0, 1]; published at 0.1, 0.5 and 0.8.
        classifier_steps: updates before the game, of encoder and classifier together.
        steps: updates of the game, each of encoder, classifier and critic.
        head_steps: updates of the cloud model afterwards, on the frozen encoder's features.
        batch_size: images per update.
        learning_rate: Adam's, in the game.
        classifier_rate: Adam's, before the game.
        head_rate: Adam's, after it.
        weight_decay: in the game.
        seed: of order, augmentation and shuffling.
    """

    privacy_weight: float = 0.5
    classifier_steps: int = 200
    steps: int = 150
    head_steps: int = 200
    batch_size: int = 64
    learning_rate: float = 1e-4
    classifier_rate: float = 1e-3
    head_rate: float = 3e-4
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a weight that is no share."""
        check_share(self.privacy_weight)


@dataclass(frozen=True)
class Game:
    """The three who play, and what the encoder's loss weighs.

    Attributes:
        encoder: hides the person and keeps the image.
        classifier: features -> one logit per person.
        critic: estimates how much of the image the feature keeps.
        privacy_weight: see `TiprdcTraining`.
    """

    encoder: nn.Module
    classifier: nn.Module
    critic: InformationCritic
    privacy_weight: float

    def information(
        self, image: Tensor, feature: Tensor, person: Tensor, *, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """The critic's bound on what feature and person tell of the image, in nats."""
        seen, read = self.critic.read_image(image), self.critic.read_feature(feature)
        order = torch.randperm(len(image), generator=random).to(image.device)
        return information_bound(
            self.critic(seen, read, person), self.critic(seen[order], read, person)
        )

    def encoder_loss(
        self, image: Tensor, person: Tensor, *, random: torch.Generator
    ) -> Float[Tensor, ""]:
        """-lambda CE(CF(z), u) - (1 - lambda) I(x; z, u)."""
        feature = self.encoder(image)
        named = F.cross_entropy(self.classifier(feature), person)
        kept = self.information(image, feature, person, random=random)
        return -self.privacy_weight * named - (1 - self.privacy_weight) * kept


class _Trainer:
    """The three parts of the training, one update at a time."""

    def __init__(
        self, model: SplitModel, game: Game, settings: TiprdcTraining, random: torch.Generator
    ) -> None:
        self.game, self.cloud, self.random = game, model.cloud, random
        self.whole = nn.ModuleDict(
            {
                "encoder": model.encoder,
                "cloud": model.cloud,
                "classifier": game.classifier,
                "critic": game.critic,
            }
        )
        self.whole.eval()
        game.classifier.train()
        game.critic.train()
        rate, decay = settings.learning_rate, settings.weight_decay

        def adam(*parts: nn.Module, rate: float, decay: float = 0.0) -> torch.optim.Adam:
            weights = nn.ModuleList(parts).parameters()
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay)

        self.optimizers = {
            "first": adam(game.encoder, game.classifier, rate=settings.classifier_rate),
            "encoder": adam(game.encoder, rate=rate, decay=decay),
            "classifier": adam(game.classifier, rate=rate, decay=decay),
            "critic": adam(game.critic, rate=rate, decay=decay),
            "cloud": adam(model.cloud, rate=settings.head_rate),
        }

    def first(self, image: Tensor, person: Tensor) -> dict[str, float]:
        """Encoder and classifier together, before the game."""
        game = self.game
        only(game.encoder, game.classifier, among=self.whole)
        loss = F.cross_entropy(game.classifier(game.encoder(image)), person)
        return {"before": self._update("first", loss)}

    def play(self, image: Tensor, person: Tensor) -> dict[str, float]:
        """One update of each of the three."""
        game = self.game
        only(game.encoder, among=self.whole)
        self._update("encoder", game.encoder_loss(image, person, random=self.random))
        with torch.no_grad():  # anew, as the encoder has moved
            feature = game.encoder(image)
        only(game.classifier, among=self.whole)
        named = self._update("classifier", F.cross_entropy(game.classifier(feature), person))
        only(game.critic, among=self.whole)
        kept = game.information(image, feature, person, random=self.random)
        return {"named": named, "information": -self._update("critic", -kept)}

    def head(self, image: Tensor, target: Tensor) -> dict[str, float]:
        """The cloud model, on features of the frozen encoder."""
        only(self.cloud, among=self.whole)
        loss = attribute_loss(self.cloud(self.game.encoder(image)), target)
        return {"task": self._update("cloud", loss)}

    def _update(self, name: str, loss: Tensor) -> float:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()
        return loss.item()


def train_tiprdc(
    model: SplitModel,
    classifier: nn.Module,
    critic: InformationCritic,
    images: Shaped[Tensor, "count 3 height width"],
    person: Int64[Tensor, " count"],
    attributes: Float[Tensor, "count attributes"],
    *,
    settings: TiprdcTraining,
    checkpoint: Path | None = None,
) -> dict[str, float]:
    """Train the encoder in the game, then the cloud model on its features; all in place.

    Encoder and cloud model stay in evaluation mode, as in `train_advlearn`; the encoder never sees
    the attributes, as the paper's point is a feature for tasks that are not known yet.

    Args:
        model: where encoder and cloud model begin.
        classifier: features -> one logit per person, fresh.
        critic: fresh.
        images: photographs, uint8 in [0, 255].
        person: on each, 0 to people - 1: the private label.
        attributes: of each, 0, 1 or nan.
        settings: see `TiprdcTraining`.
        checkpoint: file to store the training state in and to resume from.

    Returns:
        The last figures.
    """
    random = torch.Generator().manual_seed(settings.seed)
    game = Game(model.encoder, classifier, critic, settings.privacy_weight)
    trainer = _Trainer(model, game, settings, random)
    device = next(classifier.parameters()).device

    def step(index: int) -> dict[str, float]:
        image, chosen = draw_images(images, settings.batch_size, random=random)
        image, own = image.to(device), person[chosen].to(device)
        if index < settings.classifier_steps:
            return trainer.first(image, own)
        if index < settings.classifier_steps + settings.steps:
            return trainer.play(image, own)
        return trainer.head(image, attributes[chosen].to(device))

    figures = run_training(
        step,
        Trainable({"whole": trainer.whole}, trainer.optimizers, random),
        steps=settings.classifier_steps + settings.steps + settings.head_steps,
        title="tiprdc",
        settings=settings,
        data=(images, person, attributes),
        checkpoint=checkpoint,
    )
    freeze(trainer.whole)
    return figures
