"""Distances to average faces by optimal transport (POT), without a critic to train.

Like the critic they compare pairs (`distance.py`): the joint sample of (reference of person i,
reconstruction of person i) with the product sample of (reference of person i, prior image). They
are zero only in the limit of many samples; with the tens of a batch, in a space of hundreds of
dimensions, the cheapest plan is still far from free, and much of the gradient is pull towards the
mean of the prior.
"""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from fl_crafter.defences.crafter.distance import Distance, DistanceSettings, view


class Transport(StrEnum):
    """How the transport is computed."""

    EXACT = "exact"
    SINKHORN = "sinkhorn"
    SLICED = "sliced"


@dataclass(frozen=True)
class TransportSettings(DistanceSettings):
    """Settings of a transport distance between pairs of images.

    Attributes:
        kind: see `Transport`.
        regularisation: entropic, for `sinkhorn`, in units of the mean cost.
        projections: directions of `sliced`, drawn anew in each crafting step.
        strangers: prior images beside each reference in the product sample.
        pool: images are averaged over squares of this side first.
        light: weight of the luminance beside its structure, see `view`.
    """

    kind: Transport = Transport.EXACT
    regularisation: float = 0.05
    projections: int = 256
    strangers: int = 4
    pool: int = 4
    light: float = 0.5

    def begin(self, reference: Tensor, prior: Tensor, *, random: torch.Generator) -> Distance:
        """See `DistanceSettings`."""
        return TransportDistance(reference, prior, settings=self, random=random)


class TransportDistance(Distance):
    """Mean squared distance along the cheapest plan, between pairs; see the module.

    Args:
        reference: see `DistanceSettings.begin`.
        prior: see `DistanceSettings.begin`.
        settings: see `TransportSettings`.
        random: draws the product sample and the directions.
    """

    def __init__(
        self,
        reference: Tensor,
        prior: Tensor,
        *,
        settings: TransportSettings,
        random: torch.Generator,
    ) -> None:
        self.settings, self.random = settings, random
        self._reference, self._prior = self._vector(reference), self._vector(prior)
        self._draw()

    def _vector(self, image: Tensor) -> Tensor:
        small = view(image, pool=self.settings.pool, light=self.settings.light).flatten(1)
        return small / small.shape[1] ** 0.5

    def _draw(self) -> None:
        """A new product sample."""
        count = len(self._reference) * self.settings.strangers
        chosen = torch.randint(len(self._prior), (count,), generator=self.random)
        own = self._reference.repeat(self.settings.strangers, 1)
        self._product = torch.cat([own, self._prior[chosen]], 1)

    def adapt(self, image: Tensor) -> None:
        """See `Distance`; there is nothing to train, only other strangers to meet."""
        self._draw()

    def privacy_loss(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See `Distance`; the gradient leaves the plan as it is, which is exact at its optimum."""
        leaf = image.detach().requires_grad_(True)
        with torch.enable_grad():
            loss = self._each(leaf)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    def gap(self, image: Tensor) -> Tensor:
        """See `Distance`; a squared distance, not in the critic's units."""
        with torch.no_grad():
            return self._each(image)

    def _each(self, image: Tensor) -> Tensor:
        joint = torch.cat([self._reference, self._vector(image)], 1)
        if self.settings.kind == Transport.SLICED:
            return self._sliced(joint)
        cost = torch.cdist(joint, self._product).square()
        return (self._plan(cost.detach().double()).to(cost) * cost).sum(1) * len(joint)

    def _plan(self, cost: Tensor) -> Tensor:
        import ot  # POT, which takes a second to import

        rows, columns = (ot.unif(count, type_as=cost) for count in cost.shape)
        if self.settings.kind == Transport.EXACT:
            plan = ot.emd(rows, columns, cost)
        else:
            strength = self.settings.regularisation * float(cost.mean())
            plan = ot.sinkhorn(rows, columns, cost, strength, method="sinkhorn_log", warn=False)
        assert isinstance(plan, Tensor)
        return plan

    def _sliced(self, joint: Tensor) -> Tensor:
        """Squared distances along random directions, of sorted projections, per sample."""
        size, strangers = joint.shape[1], self.settings.strangers
        direction = torch.randn(size, self.settings.projections, generator=self.random).to(joint)
        direction = direction / direction.norm(dim=0)
        own = joint @ direction
        order = own.argsort(0)
        # every joint sample has `strangers` partners, those next to it in order
        partner = (self._product @ direction).sort(0).values
        partner = partner.view(len(joint), strangers, -1)
        cost = (own.gather(0, order)[:, None] - partner).square().mean(1)
        return torch.zeros_like(own).scatter(0, order, cost).mean(1) * size
