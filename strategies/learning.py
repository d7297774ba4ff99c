"""What the server makes of stored messages: whom it trusts, what it trains on, how it is judged."""

import logging
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from fl_crafter.training.cloud import CloudTraining, train_cloud
from strategies.robust import clip_norms, contradicts_the_others, embedding, reference_norm
from strategies.store import StoredMessage, StoredRows
from strategies.utility import AttributeUtility, attribute_utility, predict

_log = logging.getLogger("fl_crafter")


def distrusted(cloud: nn.Module, messages: Sequence[StoredMessage]) -> list[int]:
    """Clients whose labels the other clients' rows contradict; see `contradicts_the_others`."""
    clients = sorted({message.client for message in messages})
    own = [[m for m in messages if m.client == client] for client in clients]
    limit = norm_limit(messages)
    seen = [[embedding(cloud, clip_norms(m.features(), limit=limit)) for m in each] for each in own]
    found = contradicts_the_others(
        [torch.cat(each) for each in seen],
        [torch.cat([m.labels for m in each]) for each in own],
    )
    bad = [client for client, is_bad in zip(clients, found.tolist(), strict=True) if is_bad]
    for client in bad:
        _log.warning("the labels of client %d contradict the other clients'", client)
    return bad


def train_on_stored(
    cloud: nn.Module,
    messages: Sequence[StoredMessage],
    *,
    round: int,
    replay_rows: int,
    settings: CloudTraining,
    random: torch.Generator,
) -> tuple[int, float]:
    """Train on the new rows and on a draw of the earlier ones.

    Args:
        cloud: trained in place.
        messages: new and earlier ones.
        round: whose messages are new.
        replay_rows: earlier rows that are gone over again, at most.
        settings: see `CloudTraining`.
        random: draws earlier rows and the order of training.

    Returns:
        Number of rows, and the loss of the last epoch.
    """
    rows = StoredRows(list(messages))
    new = torch.tensor([message.round == round for message in messages])
    is_new = new.repeat_interleave(rows.counts)
    earlier = (~is_new).nonzero().flatten()
    if len(earlier) > replay_rows:
        drawn = torch.randperm(len(earlier), generator=random)[:replay_rows]
        earlier = earlier[drawn.sort().values]
    kept = torch.cat([earlier, is_new.nonzero().flatten()])
    loss = train_cloud(
        cloud,
        partial(_clipped, rows, kept, norm_limit(messages)),
        rows.labels[kept],
        weight=rows.weight[kept],
        settings=settings,
        random=random,
        round=round,
    )
    return len(kept), loss


def judge(
    cloud: nn.Module, messages: Sequence[StoredMessage], *, names: tuple[str, ...], flip: float
) -> AttributeUtility:
    """The utility on stored features, read message by message; see `attribute_utility`."""
    score = torch.cat([predict(cloud, message.features()) for message in messages])
    labels = torch.cat([message.labels for message in messages])
    return attribute_utility(score, labels, names=names, flip=flip)


def norm_limit(messages: Sequence[StoredMessage]) -> float:
    """See `reference_norm`; many small messages give no client more of a say than one."""
    clients = sorted({message.client for message in messages})
    own = [[m.norm for m in messages if m.client == client] for client in clients]
    return reference_norm([torch.cat(norms) for norms in own])


def _clipped(rows: StoredRows, kept: Tensor, limit: float, index: Tensor) -> Tensor:
    return clip_norms(rows.take(kept[index]), limit=limit)
