"""Substitution: release the feature of a public face that looks alike to the cloud."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.chunks import in_chunks
from fl_crafter.defences.base import Defence, Protected, utility_loss

Embedding = Callable[[Tensor], Tensor]


class Substitution(Defence):
    """Releases the mean feature of the nearest public faces instead of the person's.

    The end of the trade-off where the eavesdropper sees a public person; it learns the choice only.

    Args:
        public_feature: features of public faces, `[count, channels, rows, columns]`.
        neighbours: how many public features are averaged.
        embedding: features -> vectors, the space in which "nearest" is meant; None for the feature.

    Raises:
        ValueError: more neighbours than there are public features.
    """

    name = "substitution"

    def __init__(
        self,
        public_feature: Float[Tensor, "count channels rows columns"],
        *,
        neighbours: int = 1,
        embedding: Embedding | None = None,
    ) -> None:
        count = len(public_feature)
        if not 1 <= neighbours <= count:
            raise ValueError(
                f"neighbours must be between 1 and {count} for {count} public features, "
                f"not {neighbours}"
            )
        self.public_feature = public_feature
        self.neighbours = neighbours
        self.embedding = embedding or _flat
        self._public = in_chunks(self.embedding, public_feature, 256).flatten(1)

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; `random` is not used."""
        distance = self._distance(feature)
        nearest = distance.topk(self.neighbours, dim=1, largest=False).indices
        released = self.public_feature[nearest].mean(1)
        loss = float(utility_loss(released, feature).mean())
        return Protected(released, figures={"utility_loss": loss})

    def _distance(self, feature: Tensor) -> Float[Tensor, "batch count"]:
        with torch.no_grad():
            here = self.embedding(feature).flatten(1)
        return torch.cdist(here, self._public)


class TransportSubstitution(Substitution):
    """Assigns public faces to a batch by optimal transport, so that they are a sample of the prior.

    Every public face is as likely to be released as any other: what the choice tells of a person is
    shared among the batch. The plan is exact (POT's `emd`); each person's face is drawn from the
    plan's row. Unlike the other controls it depends on the batch.

    Args:
        public_feature: see `Substitution`.
        embedding: see `Substitution`.
    """

    name = "transport"

    def __init__(
        self,
        public_feature: Float[Tensor, "count channels rows columns"],
        *,
        embedding: Embedding | None = None,
    ) -> None:
        super().__init__(public_feature, embedding=embedding)

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        """See `Defence`; `random` draws from the plan."""
        import ot  # POT, which takes a second to import

        cost = self._distance(feature).square().double()
        rows, columns = (ot.unif(count, type_as=cost) for count in cost.shape)
        plan = ot.emd(rows, columns, cost)
        chosen = torch.multinomial(plan.cpu(), 1, generator=random)[:, 0].to(feature.device)
        released = self.public_feature[chosen]
        loss = float(utility_loss(released, feature).mean())
        return Protected(released, figures={"utility_loss": loss})


def _flat(feature: Tensor) -> Tensor:
    return feature.flatten(1)
