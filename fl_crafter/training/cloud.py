"""Train the cloud model on features that were shared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from fl_crafter.models.head import head
from fl_crafter.randomness import seeded


@dataclass(frozen=True)
class CloudTraining:
    """Settings of `train_cloud`.

    Attributes:
        epochs: passes over all features.
        batch_size: features per update.
        learning_rate: Adam's, of the layers that were trained before.
        head_learning_rate: Adam's, of the last layer, which starts anew for new attributes.
        weight_decay: L2 penalty, on every weight.
        rate_decay: both rates are multiplied by it after every round.
        class_balance: weigh the two classes of an attribute as if they were equally frequent.
        flip: probability with which clients flip each label, which the loss takes into account.
    """

    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 1e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    rate_decay: float = 1.0
    class_balance: bool = False
    flip: float = 0.0


Take = Callable[[Int64[Tensor, " chosen"]], Float[Tensor, "chosen channels rows columns"]]


def train_cloud(
    cloud: nn.Module,
    feature: Take,
    labels: Float[Tensor, "count attributes"],
    *,
    settings: CloudTraining,
    random: torch.Generator,
    weight: Float[Tensor, " count"] | None = None,
    round: int = 1,
) -> float:
    """Train the cloud model, in place, on features.

    Batch normalisation stays in evaluation mode: it keeps the statistics of the many public faces
    rather than those of a few private ones. Labels that are nan count for nothing.

    Args:
        cloud: features -> one logit per attribute.
        feature: positions -> features, fetched batch by batch; a federation hands over those of
            this round and a draw of the earlier ones, so that no round is forgotten.
        labels: 0 or 1, or nan.
        settings: see `CloudTraining`.
        random: draws the order of the rows, and what dropout drops.
        weight: of each row in the loss; 1 by default.
        round: from 1; decides on the rates.

    Returns:
        Mean binary cross-entropy over the last epoch.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    device = next(cloud.parameters()).device
    share = torch.ones(len(labels)) if weight is None else weight
    share = share[:, None] * _class_weights(labels, settings)
    cloud.train()
    for module in cloud.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.eval()
    optimizer = torch.optim.Adam(
        _groups(cloud, settings, round), weight_decay=settings.weight_decay
    )
    loss = 0.0
    # dropout draws from torch's own generator, which differs from process to process
    with seeded(random, device):
        for _ in range(settings.epochs):
            order = torch.randperm(len(labels), generator=random).split(settings.batch_size)
            loss = _epoch(cloud, optimizer, feature, labels, share, order, flip=settings.flip)
    cloud.eval()
    return loss


def _epoch(
    cloud: nn.Module,
    optimizer: torch.optim.Optimizer,
    feature: Take,
    labels: Tensor,
    share: Tensor,
    order: Sequence[Tensor],
    *,
    flip: float,
) -> float:
    """One pass over the rows; returns the mean loss."""
    device = next(cloud.parameters()).device
    total, seen = 0.0, 0.0
    for chosen in order:
        target, factor = labels[chosen].to(device), share[chosen].to(device)
        known = ~torch.isnan(target)
        mass = float(factor[known].sum())
        if not mass:
            continue
        logits = cloud(feature(chosen).to(device))
        each = _loss(logits[known], target[known], flip)
        loss = (each * factor[known]).sum() / mass
        if not torch.isfinite(loss):
            raise FloatingPointError(
                "the cloud model's loss is not finite; lower cloud-learning-rate"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * mass
        seen += mass
    return total / seen if seen else 0.0


def _loss(logits: Tensor, target: Tensor, flip: float) -> Tensor:
    """Cross-entropy of each label, for labels of which a share `flip` is flipped."""
    if not flip:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = flip + (1 - 2 * flip) * torch.sigmoid(logits)
    return F.binary_cross_entropy(probability, target, reduction="none")


def _class_weights(labels: Tensor, settings: CloudTraining) -> Tensor:
    """Weight of each label: 1, or half the inverse frequency of its class."""
    if not settings.class_balance:
        return torch.ones_like(labels)
    count = (~torch.isnan(labels)).sum(0)
    positive = torch.nansum(labels, 0)
    each = [count / (2 * number.clamp(min=1)) for number in (count - positive, positive)]
    return torch.where(labels == 1, each[1], each[0])


def _groups(cloud: nn.Module, settings: CloudTraining, round: int) -> list[dict[str, object]]:
    last = list(head(cloud)[1].parameters())
    known = {id(parameter) for parameter in last}
    body = [parameter for parameter in cloud.parameters() if id(parameter) not in known]
    decay = settings.rate_decay ** (round - 1)
    return [
        {"params": body, "lr": settings.learning_rate * decay},
        {"params": last, "lr": settings.head_learning_rate * decay},
    ]
