"""How far what an eavesdropper sees of a person is from what it would see of anybody.

The paper's loss compares a batch of inversions with a batch of average faces. A batch of many
different people, perfectly reconstructed, is itself a sample of faces: that distance can be small
with everyone exposed. The definition behind it (epsilon-PII) is about ONE person's feature; so here
the critic sees pairs: `(reference of person i, reconstruction of person i)` against `(reference of
person i, prior image)`. The Wasserstein distance of the two is zero only if the reconstruction is
independent of the person and distributed as the prior, however many people share a batch.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.models.critic import Critic, gradient_penalty
from fl_crafter.randomness import seeded


class Distance(ABC):
    """Follows the reconstructions of one batch while it is crafted."""

    @abstractmethod
    def adapt(self, image: Float[Tensor, "batch 3 height width"]) -> None:
        """Follow the reconstructions as they are in this crafting step."""

    @abstractmethod
    def privacy_loss(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 3 height width"]]:
        """Privacy loss of each reconstruction, and its gradient with respect to the images."""

    @abstractmethod
    def gap(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
        """Each person's share of the distance; its mean is large for exposed people."""


class DistanceSettings(ABC):
    """Settings of a kind of distance."""

    @abstractmethod
    def begin(
        self,
        reference: Float[Tensor, "batch 3 height width"],
        prior: Float[Tensor, "count 3 height width"],
        *,
        random: torch.Generator,
    ) -> Distance:
        """The distance for one batch.

        Args:
            reference: what identifies each person: the reconstruction of the clean feature.
            prior: images of nobody in particular, as the same eavesdropper would see them.
            random: source of all of its randomness.
        """


def gap_figures(eavesdropper: str, gap: Float[Tensor, " batch"]) -> dict[str, float]:
    """The mean privacy gap of a batch, and its standard error where there is one, by name."""
    name = f"{eavesdropper}_privacy_gap"
    figures = {name: float(gap.mean())}
    if len(gap) > 1:
        figures[f"{name}_standard_error"] = float(gap.std() / len(gap) ** 0.5)
    return figures


def view(
    image: Float[Tensor, "batch 3 height width"], *, pool: int, light: float
) -> Float[Tensor, "batch 2 rows columns"]:
    """What distances see of an image: structure, and luminance at a lower weight."""
    grey = luminance(image, pool=pool)
    return torch.cat([structure(grey), grey * light], 1)


@dataclass(frozen=True)
class CriticSettings(DistanceSettings):
    """Settings of the WGAN-GP critic that is trained afresh for each batch.

    Attributes:
        widths: channels of its convolutions.
        rate: Adam's learning rate.
        warm_up: steps before crafting begins.
        steps: steps per crafting step.
        penalty: weight of the gradient penalty.
        batch_size: pairs of each kind per step.
        pool: images are averaged over squares of this side first.
        light: weight of the luminance beside its structure (see `structure`) in what it sees.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    rate: float = 1.5e-3
    warm_up: int = 40
    steps: int = 4
    penalty: float = 10.0
    batch_size: int = 32
    pool: int = 2
    light: float = 0.5

    def begin(self, reference: Tensor, prior: Tensor, *, random: torch.Generator) -> Distance:
        """See `DistanceSettings`; warms the critic up on the references."""
        critic = PairedCritic(reference, prior, settings=self, random=random)
        critic.train(reference, steps=self.warm_up)
        return critic

    def view(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 2 rows columns"]:
        """See `view`."""
        return view(image, pool=self.pool, light=self.light)


def luminance(
    image: Float[Tensor, "batch 3 height width"], *, pool: int
) -> Float[Tensor, "batch 1 rows columns"]:
    """Luminance (ITU-R BT.601), averaged over squares of `pool` pixels.

    Colour is left out: it tells a grey photograph from a coloured prior, but nobody from another.
    """
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return F.avg_pool2d((image * weights).sum(1, keepdim=True), pool)


def structure(
    grey: Float[Tensor, "batch 1 rows columns"],
) -> Float[Tensor, "batch 1 rows columns"]:
    """Locally normalised luminance: the shapes of a face without its light.

    Most of the distance between two photographs is light, on which a critic of raw images spends
    the whole perturbation while the person stays recognisable.
    """
    side = 2 * (grey.shape[-1] // 8) + 1
    mean = F.avg_pool2d(grey, side, 1, side // 2, count_include_pad=False)
    centred = grey - mean
    energy = F.avg_pool2d(centred.square(), side, 1, side // 2, count_include_pad=False)
    return centred / (energy + 1e-3).sqrt()


class PairedCritic(Distance):
    """A critic of (reference, image) pairs, following one batch while it is crafted.

    Args:
        reference: what identifies each person, `[batch, 3, height, width]`.
        prior: images of nobody in particular, as the same eavesdropper would see them.
        settings: see `CriticSettings`.
        random: source of initialisation, pairing and batches.
        person: whom each reference shows, and each image of the prior likewise; by default nobody
            in the prior is in the batch.

    Raises:
        ValueError: all of them show one person.
    """

    def __init__(
        self,
        reference: Float[Tensor, "batch 3 height width"],
        prior: Float[Tensor, "count 3 height width"],
        *,
        settings: CriticSettings,
        random: torch.Generator,
        person: Int64[Tensor, " batch"] | None = None,
    ) -> None:
        if person is not None and len(person.unique()) < 2:
            raise ValueError("a critic of pairs takes pictures of two people or more")
        self.settings = settings
        self.random = random
        self.person = person
        self.reference = settings.view(reference)
        self.prior = settings.view(prior)
        with seeded(random):
            self.critic = Critic(
                settings.widths, image_size=self.prior.shape[-1], channels=4, kernel=4, norm=False
            ).to(reference.device)
        self.optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=settings.rate, betas=(0.5, 0.9)
        )

    def _pick(self, count: int, among: int) -> Tensor:
        return torch.randint(among, (count,), generator=self.random)

    def _strangers(self, rows: Int64[Tensor, " pairs"]) -> Int64[Tensor, " pairs"]:
        """For each of these references an image of the prior, which shows somebody else."""
        drawn = self._pick(len(rows), len(self.prior))
        if self.person is not None:
            while len(same := (self.person[drawn] == self.person[rows]).nonzero().flatten()):
                drawn[same] = self._pick(len(same), len(self.prior))
        return drawn

    def train(self, image: Float[Tensor, "batch 3 height width"], *, steps: int) -> None:
        """Let the critic learn what separates the reconstructions from the prior."""
        small = self.settings.view(image)
        for _ in range(steps):
            rows = self._pick(self.settings.batch_size, len(small))
            strangers = self._strangers(rows)
            joint = torch.cat([self.reference[rows], small[rows]], 1)
            product = torch.cat([self.reference[rows], self.prior[strangers]], 1)
            flip = torch.rand(len(rows), 1, 1, 1, generator=self.random).to(joint) < 0.5
            joint = torch.where(flip, joint.flip(3), joint)
            product = torch.where(flip, product.flip(3), product)
            scores = self.critic(torch.cat([joint, product]))
            gap = scores[len(rows) :].mean() - scores[: len(rows)].mean()
            penalty = gradient_penalty(self.critic, joint, product, random=self.random)
            self.optimizer.zero_grad(set_to_none=True)
            (self.settings.penalty * penalty - gap).backward()
            self.optimizer.step()

    def adapt(self, image: Tensor) -> None:
        """See `Distance`."""
        self.train(image, steps=self.settings.steps)

    def privacy_loss(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 3 height width"]]:
        """Privacy loss of each reconstruction, minus the critic's score, and its image gradient."""
        leaf = image.detach().requires_grad_(True)
        with torch.enable_grad():
            small = self.settings.view(leaf)
            loss = -self.critic(torch.cat([self.reference, small], 1))
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    def gap(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
        """Score of the prior, beside each person's reference, minus that of the reconstruction.

        Its mean is the critic's estimate of the Wasserstein distance: large for exposed people.
        """
        with torch.no_grad():
            small = self.settings.view(image)
            own = self.critic(torch.cat([self.reference, small], 1))
            others = []
            for _ in range(4):
                strangers = self._pick(len(image), len(self.prior))
                pair = torch.cat([self.reference, self.prior[strangers]], 1)
                others.append(self.critic(pair))
        return torch.stack(others).mean(0) - own


def estimate_epsilon_pii(
    reconstruction: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    prior: Float[Tensor, "count 3 height width"] | None = None,
    *,
    person: Int64[Tensor, " batch"] | None = None,
    settings: CriticSettings = CriticSettings(warm_up=150, pool=4),
    folds: int = 2,
    random: torch.Generator,
) -> Float[Tensor, " batch"]:
    """Each sample's share of the epsilon-PII estimate, by critics that never trained on it.

    The mean over samples estimates the distance between what the eavesdropper sees of these people
    and what it sees of anybody (Crafter's definition, empirically). It holds for this eavesdropper
    and this critic only; it is not differential privacy.

    Args:
        reconstruction: what the eavesdropper made of the released features.
        reference: the person's own picture, or the best reconstruction of the clean feature.
        prior: public faces as the same eavesdropper would see them. By default the reconstructions
            of the other people: blur, light and whatever else all of its pictures share then
            counts for nothing, and 0 says that a picture does not tell whose it is.
        person: whom each sample shows, whose others the critic has not seen either; all of them
            different people by default.
        settings: of the critics; `warm_up` is the number of their training steps.
        folds: parts of the people, each judged by a critic trained on the others.
        random: source of folds, initialisation and batches.

    Raises:
        ValueError: there are fewer people than folds, or too few to be compared with each other.
    """
    if person is None:
        person = torch.arange(len(reconstruction))
    people, index = person.cpu().unique(return_inverse=True)
    fewest = folds if prior is not None else 2 * folds
    if len(people) < fewest:
        raise ValueError(
            f"epsilon-PII is estimated from {fewest} people or more, not {len(people)}"
        )
    part = (torch.randperm(len(people), generator=random) % folds)[index]
    result = torch.zeros(len(reconstruction))
    for fold in range(folds):
        inside, outside = part == fold, part != fold
        others = reconstruction[outside] if prior is None else prior
        critic = PairedCritic(
            reference[outside],
            others,
            settings=settings,
            random=random,
            person=index[outside] if prior is None else None,
        )
        critic.train(reconstruction[outside], steps=settings.warm_up)
        critic.reference = settings.view(reference[inside])
        result[inside] = critic.gap(reconstruction[inside]).cpu()
    return result
