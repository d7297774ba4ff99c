"""The paper's judge: an identity classifier trained on other photographs of the private people."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from fl_crafter.evaluation.evaluator import CallableEvaluator
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.training import augment
from fl_crafter.training.loop import Trainable, cosine_rate, run_training


@dataclass(frozen=True)
class OracleTraining:
    """Settings of `train_oracle`.

    Attributes:
        steps: number of updates.
        batch_size: photographs per update.
        learning_rate: peak of the cosine schedule.
        scale: of the cosines before the softmax.
        seed: of initialisation, order and augmentation.
    """

    steps: int = 600
    batch_size: int = 48
    learning_rate: float = 1e-3
    scale: float = 16.0
    seed: int = 0


class _Embedding(nn.Module):
    """A split model without its head: images in [0, 1] -> unit vectors."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.layers = nn.Sequential(model.encoder, *list(model.cloud.children())[:-1])

    def forward(self, image: Float[Tensor, "count 3 height width"]) -> Tensor:
        return functional.normalize(self.layers(image), dim=1)


def train_oracle(
    faces: Faces,
    start: SplitModel,
    *,
    settings: OracleTraining | None = None,
) -> CallableEvaluator:
    """Train a cosine classifier (Wang et al., 2017) on raw `eval_train` photographs.

    It knows the people that it is asked for, as the paper's oracle does, and so sees more than a
    stranger would; what attacks made is never shown to it while it learns.

    Args:
        faces: the whole dataset; only its `eval_train` photographs are used.
        start: a public model whose weights are the start; it is left as it is.
        settings: see `OracleTraining`.
    """
    settings = settings or OracleTraining()
    train = faces.with_role(Role.EVAL_TRAIN)
    people, person = train.identity.unique(return_inverse=True)
    random = torch.Generator().manual_seed(settings.seed)
    embedding = _Embedding(copy.deepcopy(start)).requires_grad_(True).train()
    width = embedding(train.image[:2]).shape[1]
    head = nn.Linear(width, len(people), bias=False)
    nn.init.normal_(head.weight, generator=random)
    network = nn.ModuleDict({"embedding": embedding, "head": head})
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)

    def step(index: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(index, settings.steps, peak=settings.learning_rate)
        chosen = torch.randint(len(train), (settings.batch_size,), generator=random)
        image = augment.random_flip(train.image[chosen], random=random)
        image = augment.random_zoom(image, amount=0.1, random=random)
        cosine = embedding(image) @ functional.normalize(head.weight, dim=1).T
        loss = functional.cross_entropy(settings.scale * cosine, person[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    run_training(
        step,
        Trainable({"oracle": network}, {"adam": optimizer}, random),
        steps=settings.steps,
        title="oracle",
        settings=settings,
    )
    return CallableEvaluator(freeze(embedding), name="oracle")
