"""Bound what poisoned clients can do: weigh rows by what the others say of them."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fl_crafter.models.head import head

RIDGE = 1.0
FEWEST_ROWS = 4


def clip_norms(
    feature: Float[Tensor, "count channels rows columns"], *, limit: float
) -> Float[Tensor, "count channels rows columns"]:
    """Scale rows down whose root mean square exceeds `limit`."""
    norm = feature.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return feature * (limit / norm.clamp(min=1e-12)).clamp(max=1.0)


def copy_weights(feature: Float[Tensor, "count channels rows columns"]) -> Float[Tensor, " count"]:
    """1 / copies for each row of a message, so that k copies of one feature count once."""
    digests = [hashlib.sha256(row.numpy().tobytes()).digest() for row in feature.contiguous()]
    copies = Counter(digests)
    return torch.tensor([1 / copies[digest] for digest in digests])


@torch.no_grad()
def embedding(
    cloud: nn.Module, feature: Float[Tensor, "count channels rows columns"]
) -> Float[Tensor, "count dimensions"]:
    """What the cloud model's last layer is given for features, on the CPU."""
    given: list[Tensor] = []
    handle = head(cloud)[1].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        cloud.eval()
        cloud(feature.to(next(cloud.parameters()).device))
    finally:
        handle.remove()
    return given[0].flatten(1).cpu()


def contradicts_the_others(
    embeddings: Sequence[Float[Tensor, "_ dimensions"]],
    labels: Sequence[Float[Tensor, "_ attributes"]],
    *,
    tolerance: float = 3.0,
) -> Bool[Tensor, " clients"]:
    """Clients whose labels the other clients' rows contradict.

    For each client, a ridge regression on the rows of all others predicts this client's labels.
    Honest labels agree with it, random ones do not care, flipped ones disagree: the client with the
    worst correlation is found out when that is below zero by more than `tolerance` standard errors.
    The others are then looked at again without it, since its rows may have made them look bad.
    Where half the clients would have to go nobody can say who is right, and nobody is found out.

    Args:
        embeddings: of each client's rows.
        labels: of each client's rows, 0, 1 or nan.
        tolerance: standard errors below zero.
    """
    found = torch.zeros(len(embeddings), dtype=torch.bool)
    while True:
        left = (~found).nonzero().flatten().tolist()
        if 2 * len(left) <= len(embeddings) or len(left) < 3:
            return torch.zeros_like(found)
        agreement = _agreement([embeddings[i] for i in left], [labels[i] for i in left])
        worst = int(agreement.argmin())
        if agreement[worst] >= -tolerance:
            return found
        found[left[worst]] = True


def _agreement(embeddings: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """How well the others' rows predict each client's labels, in standard errors.

    The regression without a client's rows is that of the normal equations less its own part, so
    that memory does not grow with its rows.
    """
    everything = torch.cat(list(embeddings)).double()
    mean, scale = everything.mean(0), everything.std(0, correction=0).clamp(min=1e-6)
    rows = [torch.cat([(e - mean) / scale, e.new_ones(len(e), 1)], 1).double() for e in embeddings]
    target = [torch.nan_to_num(2 * each - 1, nan=0.0).double() for each in labels]
    stacked, wanted = torch.cat(rows), torch.cat(target)
    penalty = RIDGE * max(1.0, len(stacked) / 10)
    gram = stacked.T @ stacked + penalty * torch.eye(stacked.shape[1], dtype=torch.float64)
    moment = stacked.T @ wanted
    each = []
    for own, truth in zip(rows, target, strict=True):
        weights = torch.linalg.solve(gram - own.T @ own, moment - own.T @ truth)
        each.append(_correlation(own @ weights, truth))
    return torch.tensor(each)


def _correlation(predicted: Tensor, target: Tensor) -> float:
    """Correlation over all labels at hand, in standard errors over rows.

    0 for fewer rows than tell a spread: two that are centred have the same product.
    """
    known = target != 0
    if not known.any():
        return 0.0
    centred = [_centred(each, known) for each in (predicted, target)]
    products = (centred[0] * centred[1]).sum(1) / known.sum(1).clamp(min=1)
    if len(products) < FEWEST_ROWS:
        return 0.0
    spread = products.std()
    return float(products.mean() / (spread / len(products) ** 0.5).clamp(min=1e-12))


def _centred(values: Tensor, known: Tensor) -> Tensor:
    """Each column less its mean over the known rows, and in units of its spread; 0 elsewhere."""
    count = known.sum(0).clamp(min=1)
    centred = (values - (values * known).sum(0) / count) * known
    return centred / (centred.square().sum(0) / count).sqrt().clamp(min=1e-9)


def reference_norm(norms: Sequence[Float[Tensor, "..."]], *, factor: float = 3.0) -> float:
    """The norm beyond which rows are clipped: `factor` times the median of the clients' medians."""
    return factor * float(torch.stack([each.median() for each in norms]).median())
