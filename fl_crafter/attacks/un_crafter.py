"""The un-crafter: learn to undo a defence, then invert what it hid."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.attacks.queries import BATCH, Queries
from fl_crafter.chunks import in_chunks
from fl_crafter.models.decoder import Rescaled, ResidualBlock
from fl_crafter.randomness import seeded
from fl_crafter.training.loop import cosine_rate

Estimate = Callable[[Tensor], Tensor]
HELD_OUT = 0.2


class Regression(ABC):
    """Learns clean features from released ones."""

    @abstractmethod
    def fit(self, queries: Queries, *, random: torch.Generator) -> tuple[Estimate, list[float]]:
        """A function of released features, and its relative error on faces that were held out.

        The error comes last, after those that learning passed through, if any.
        """


def split_faces(queries: Queries) -> tuple[Queries, Queries]:
    """Rows to learn from and rows held out, of different faces.

    Raises:
        ValueError: there are fewer than two faces.
    """
    faces = int(queries.face.max()) + 1
    if faces < 2:
        raise ValueError("to learn a defence takes two public faces or more")
    held_out = queries.face >= min(faces - 1, round(faces * (1 - HELD_OUT)))
    return queries.select(~held_out), queries.select(held_out)


def relative_error(estimate: Tensor, clean: Tensor, mean: Tensor) -> float:
    """Mean squared error, in units of that of the mean feature."""
    return float((estimate - clean).square().mean() / (mean - clean).square().mean())


@dataclass(frozen=True)
class RidgeRegression(Regression):
    """The best linear map, in closed form: what hides a face linearly is undone.

    Attributes:
        weights: of the ridge, in units of the kernel's mean eigenvalue. The one with the smallest
            error on faces held out is taken.
    """

    weights: tuple[float, ...] = (1e-6, 1e-4, 1e-2, 1e-1, 1.0, 10.0)

    def fit(self, queries: Queries, *, random: torch.Generator) -> tuple[Estimate, list[float]]:
        """See `Regression`; `random` is not used."""
        train, held_out = split_faces(queries)
        mean = train.clean.mean(0)
        kernel = _Kernel(train)
        errors = [
            relative_error(kernel.solve(weight)(held_out.released), held_out.clean, mean)
            for weight in self.weights
        ]
        best = min(range(len(errors)), key=errors.__getitem__)
        return _Kernel(queries).solve(self.weights[best]), [errors[best]]


class _Kernel:
    """The linear kernel of the queries: their number may be far below the feature's size."""

    def __init__(self, queries: Queries) -> None:
        self.shape = queries.clean.shape[1:]
        released, clean = queries.released.flatten(1), queries.clean.flatten(1)
        self.released_mean, self.clean_mean = released.mean(0), clean.mean(0)
        self.released, self.clean = released - self.released_mean, clean - self.clean_mean
        kernel = self.released.double() @ self.released.double().T
        self.values, self.vectors = torch.linalg.eigh(kernel)

    def solve(self, weight: float) -> Estimate:
        # where the defence releases one feature for all, nothing but the mean is left
        ridge = (weight * self.values.mean()).clamp_min(1e-9)
        inverse = (self.vectors / (self.values.clamp_min(0) + ridge)) @ self.vectors.T
        dual = (inverse @ self.clean.double()).to(self.clean)

        def estimate(feature: Tensor) -> Tensor:
            kernel = (feature.flatten(1) - self.released_mean) @ self.released.T
            return (kernel @ dual + self.clean_mean).unflatten(1, self.shape)

        return estimate


@dataclass(frozen=True)
class NetworkRegression(Regression):
    """A residual convolutional network: it undoes what no linear map does.

    Attributes:
        steps: of training.
        batch_size: released features per step.
        learning_rate: peak of the cosine schedule.
        width: channels of the hidden layers.
        checks: how often the error on faces held out is looked at; the best look counts.
    """

    steps: int = 200
    batch_size: int = 32
    learning_rate: float = 1e-3
    width: int = 128
    checks: int = 5

    def fit(self, queries: Queries, *, random: torch.Generator) -> tuple[Estimate, list[float]]:
        """See `Regression`; the error at each check, and the best."""
        train, held_out = split_faces(queries)
        mean, spread = train.clean.mean(0), train.clean.std().clamp_min(1e-6)
        network = self._network(train, random)
        adam = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))

        def estimate(feature: Tensor) -> Tensor:
            return mean + spread * in_chunks(network, feature, BATCH)

        errors, best = [], {}
        for index in range(self.steps):
            for group in adam.param_groups:
                group["lr"] = cosine_rate(index, self.steps, peak=self.learning_rate)
            chosen = torch.randint(len(train), (self.batch_size,), generator=random)
            wanted = (train.clean[chosen] - mean) / spread
            loss = F.mse_loss(network(train.released[chosen]), wanted)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            if (index + 1) * self.checks // self.steps > index * self.checks // self.steps:
                errors.append(relative_error(estimate(held_out.released), held_out.clean, mean))
                if errors[-1] == min(errors):
                    best = {key: value.clone() for key, value in network.state_dict().items()}
        network.load_state_dict(best)
        return estimate, [*errors, min(errors)]

    def _network(self, train: Queries, random: torch.Generator) -> nn.Module:
        channels_in, channels = train.released.shape[1], train.clean.shape[1]
        with seeded(random):
            network = nn.Sequential(
                nn.Conv2d(channels_in, self.width, 3, 1, 1),
                nn.ReLU(),
                ResidualBlock(self.width),
                ResidualBlock(self.width),
                nn.Conv2d(self.width, channels, 3, 1, 1),
            )
        return Rescaled(network, train.released).to(train.released)


@dataclass(frozen=True)
class UnCrafter(Attack):
    """Learns to undo the defence on public faces, then inverts the estimated clean feature.

    Not in the paper, and cheap: it needs no more than queries.

    Attributes:
        regression: released features -> clean ones.
        inverter: of clean features.
        images: public faces that it protects, at most.
        draws: how often it protects each, with fresh randomness of the defence.
    """

    regression: Regression = field(default_factory=RidgeRegression)
    inverter: Attack = field(default_factory=lambda: BlackBoxDecoder(steps=0))
    images: int = 400
    draws: int = 1
    name: str = "un_crafter"
    adaptive: ClassVar[bool] = True

    def prepare(self, knowledge: AttackerKnowledge, *, random: torch.Generator) -> "UnCrafter":
        """See `Attack`; what inverts learns before it has seen any feature."""
        return replace(self, inverter=self.inverter.prepare(knowledge, random=random))

    def reconstruct(
        self,
        feature: Float[Tensor, "batch channels rows columns"],
        knowledge: AttackerKnowledge,
        *,
        random: torch.Generator,
    ) -> Reconstruction:
        """See `Attack`; the curve is the relative error on faces held out.

        Raises:
            ValueError: the knowledge holds no defence, or fewer than two public faces.
        """
        queries = knowledge.query(images=self.images, draws=self.draws)
        estimate, errors = self.regression.fit(queries, random=random)
        found = self.inverter.reconstruct(estimate(feature), knowledge, random=random)
        return replace(found, loss_curve=errors)
