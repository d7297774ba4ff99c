"""Rows that stay with the client: what else a reply says of them is taken out of it."""

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from jaxtyping import Bool
from torch import Tensor

from fl_crafter.flower.payload import COUNT, PayloadError


def leave_out(seen: Bool[Tensor, " batch"], content: RecordDict, *, record: str, key: str) -> None:
    """Take rows out of all that goes along with the features, in place; the features stay.

    Args:
        seen: the rows.
        content: of a reply whose arrays are all in `record`.
        record: name of that ArrayRecord.
        key: name of the features in it.

    Raises:
        PayloadError: something in the reply may tell of single rows, and cannot be matched to them.
    """
    rows, kept = len(seen), (~seen).numpy()
    arrays = content.array_records[record]
    if any(array.shape[:1] != (rows,) for array in arrays.values()):
        raise PayloadError("A row was withheld, and an array has not one row for each feature.")
    settings = [*content.metric_records.values(), *content.config_records.values()]
    if any(isinstance(value, list) for each in settings for value in each.values()):
        raise PayloadError("A row was withheld, and a list in the reply may still tell of it.")
    content[record] = ArrayRecord(
        {
            name: array if name == key else Array(array.numpy()[kept])
            for name, array in arrays.items()
        }
    )
    for metrics in content.metric_records.values():
        _count_again(metrics, rows, int(kept.sum()))


def _count_again(metrics: MetricRecord, rows: int, left: int) -> None:
    if COUNT not in metrics:
        return
    if metrics[COUNT] != rows:
        raise PayloadError(f"A row was withheld, and {COUNT} is not the number of features.")
    metrics[COUNT] = left
