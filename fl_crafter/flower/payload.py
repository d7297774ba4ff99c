"""The feature message: what a client sends, and all that is checked before anybody uses it.

A message holds one ArrayRecord `features` (arrays `feature` and `labels`), one MetricRecord
`metrics` (`num-examples`) and one ConfigRecord `envelope` (`version`, `client`, `round`,
`purpose`). Nothing else may be in it: no image, no name, no identity. Rows are in an order that
only the client knows.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    ConfigRecordValues,
    MetricRecord,
    RecordDict,
)
from jaxtyping import Float
from torch import Tensor

from fl_crafter.transcript import Purpose, Transcript

VERSION = 1
FEATURES, ENVELOPE, METRICS = "features", "envelope", "metrics"
FEATURE, LABELS, COUNT = "feature", "labels", "num-examples"
SERIALIZED = "numpy.ndarray"

WireDtype = Literal["float16", "float32"]


class PayloadError(ValueError):
    """A refused message; the text is one sentence that names the reason and quotes no content."""


def one_line(reason: str) -> str:
    """The last line of a stranger's text, short and without control characters, to be logged.

    A Ray worker's error carries its whole traceback: the last line says what happened.
    """
    lines = reason.strip().splitlines() or ["The client failed."]
    return "".join(each for each in lines[-1] if each.isprintable())[:300]


@dataclass(frozen=True)
class PayloadTerms:
    """What a feature message has to look like; known to both sides before the first round.

    Attributes:
        feature_shape: channels, rows and columns of one feature.
        attributes: number of labels per row.
        clients: number of clients; their numbers start at 0.
        rounds: last round that a message may be of.
        quota: rows that one message may hold at most.
        value_limit: largest absolute value in a feature.
        norm_limit: largest root mean square of one feature.
        norm_floor: smallest root mean square of one feature; no face gives an empty one.
    """

    feature_shape: tuple[int, int, int]
    attributes: int
    clients: int
    rounds: int = 1_000_000
    quota: int = 512
    value_limit: float = 1000.0
    norm_limit: float = 100.0
    norm_floor: float = 1e-4


@dataclass(frozen=True)
class Payload:
    """The content of one feature message.

    Attributes:
        feature: `[count, channels, rows, columns]`, finite.
        labels: `[count, attributes]`, 0 or 1, nan where the client shares none.
        client: partition number of the sender.
        round: round of the federation, from 1.
        purpose: what the features may be used for.
    """

    feature: Float[Tensor, "count channels rows columns"]
    labels: Float[Tensor, "count attributes"]
    client: int
    round: int
    purpose: Purpose

    def transcript(self) -> Transcript:
        """The same rows as an eavesdropper notes them down."""
        count = len(self.feature)
        return Transcript(
            feature=self.feature,
            labels=self.labels,
            client=torch.full((count,), self.client),
            round=torch.full((count,), self.round),
            purpose=torch.full((count,), int(self.purpose)),
            row=torch.arange(count),
        )


def write_payload(payload: Payload, *, dtype: WireDtype = "float16") -> RecordDict:
    """Content of the Flower message for a payload.

    Args:
        payload: rows already shuffled.
        dtype: of features and labels on the wire; float16 halves the bytes.

    Raises:
        PayloadError: a feature is not finite, or becomes so in `dtype`.
    """
    wire = torch.float16 if dtype == "float16" else torch.float32
    feature = payload.feature.detach().cpu().to(wire)
    if not torch.isfinite(feature).all():
        raise PayloadError(f"The feature holds values that are not finite in {dtype}.")
    arrays = {
        FEATURE: Array(feature.contiguous().numpy()),
        LABELS: Array(payload.labels.detach().cpu().to(wire).contiguous().numpy()),
    }
    envelope: dict[str, ConfigRecordValues] = {
        "version": VERSION,
        "client": payload.client,
        "round": payload.round,
        "purpose": int(payload.purpose),
    }
    return RecordDict(
        {
            FEATURES: ArrayRecord(arrays),
            METRICS: MetricRecord({COUNT: len(feature)}),
            ENVELOPE: ConfigRecord(envelope),
        }
    )


def read_payload(
    content: RecordDict,
    terms: PayloadTerms,
    *,
    round: int | None = None,
    purpose: Purpose | None = None,
) -> Payload:
    """Check the content of a message from end to end and return it; nothing is repaired.

    Cheap checks come first: no array is decoded before its declared and its real shape, type and
    size are known to be those of `terms`.

    Args:
        content: of a reply without error.
        terms: what to insist on.
        round: the round that was asked for; None takes any.
        purpose: the purpose that was asked for; None takes any.

    Raises:
        PayloadError: the message is refused.
    """
    _check_names(content)
    client, stated_round, stated_purpose = _read_envelope(content, terms)
    if round is not None and stated_round != round:
        raise PayloadError(f"The message is for round {stated_round}, not for round {round}.")
    if purpose is not None and stated_purpose != purpose:
        raise PayloadError(
            f"The message is for {stated_purpose.name.lower()}, not for {purpose.name.lower()}."
        )
    count = content.metric_records[METRICS][COUNT]
    if type(count) is not int or not 1 <= count <= terms.quota:
        raise PayloadError(f"The number of rows must be a whole number from 1 to {terms.quota}.")
    arrays = content.array_records[FEATURES]
    feature = decode_array(arrays[FEATURE], (count, *terms.feature_shape), name="feature")
    labels = decode_array(arrays[LABELS], (count, terms.attributes), name="labels")
    _check_values(feature, labels, terms)
    return Payload(feature, labels, client, stated_round, stated_purpose)


def decode_array(array: Array, shape: tuple[int, ...], *, name: str) -> Tensor:
    """Decode an array as float32 if it is exactly of this shape and of a wire type.

    Raises:
        PayloadError: the declared or the real type, shape or size differs.
    """
    if array.stype != SERIALIZED or array.dtype not in ("float16", "float32"):
        raise PayloadError(f"The {name} must be a float16 or float32 NumPy array.")
    if tuple(array.shape) != shape:
        raise PayloadError(f"The {name} has another shape than {shape}, which was agreed.")
    dtype = {"float16": "<f2", "float32": "<f4"}[array.dtype]
    body = _array_body(array.data, dtype, shape)
    if body is None:
        raise PayloadError(f"The {name} is not what its declared type and shape say.")
    if len(body) != int(np.prod(shape)) * np.dtype(dtype).itemsize:
        raise PayloadError(f"The {name} holds more or fewer bytes than its shape takes.")
    return torch.from_numpy(np.frombuffer(body, dtype).astype(np.float32).reshape(shape))


def half_if_exact(feature: Tensor) -> Tensor:
    """In half precision where nothing is lost by it, as for what came in half precision."""
    half = feature.half()
    return half if torch.equal(half.float(), feature) else feature


def _array_body(data: bytes, dtype: str, shape: tuple[int, ...]) -> memoryview | None:
    """The numbers behind a .npy header of version 1.0, or None if the header is another one.

    NumPy's own reader evaluates a stranger's header; only one header is right, so compare.
    """
    magic, begin = b"\x93NUMPY\x01\x00", 10
    end = begin + int.from_bytes(data[8:begin], "little")
    agreed = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    if data[:8] != magic or data[begin:end].rstrip(b" \n") != agreed.encode():
        return None
    return memoryview(data)[end:]


def _check_names(content: RecordDict) -> None:
    """Exactly the agreed records with exactly the agreed keys."""
    if set(content) != {FEATURES, METRICS, ENVELOPE}:
        raise PayloadError(
            f"A feature message holds the records {FEATURES}, {METRICS} and {ENVELOPE}, no others."
        )
    agreed: tuple[tuple[str, type, set[str]], ...] = (
        (FEATURES, ArrayRecord, {FEATURE, LABELS}),
        (METRICS, MetricRecord, {COUNT}),
        (ENVELOPE, ConfigRecord, {"version", "client", "round", "purpose"}),
    )
    for name, kind, keys in agreed:
        if type(content[name]) is not kind or set(content[name]) != keys:
            raise PayloadError(
                f"The record {name} must be of type {kind.__name__} with exactly the keys "
                f"{', '.join(sorted(keys))}."
            )


def _read_envelope(content: RecordDict, terms: PayloadTerms) -> tuple[int, int, Purpose]:
    envelope = content.config_records[ENVELOPE]
    for key in ("version", "client", "round", "purpose"):
        if type(envelope[key]) is not int:
            raise PayloadError(f"The field {key} must be a whole number.")
    version, client, stated, purpose = (
        int(envelope[key])  # type: ignore[arg-type]
        for key in ("version", "client", "round", "purpose")
    )
    if version != VERSION:
        raise PayloadError(f"The message has version {version}; this side speaks {VERSION}.")
    if not 0 <= client < terms.clients:
        raise PayloadError(f"The client number must be from 0 to {terms.clients - 1}.")
    if not 1 <= stated <= terms.rounds:
        raise PayloadError(f"The round must be from 1 to {terms.rounds}.")
    if purpose not in {int(kind) for kind in Purpose}:
        raise PayloadError("The purpose must be 0 (train) or 1 (evaluation).")
    return client, stated, Purpose(purpose)


def _check_values(feature: Tensor, labels: Tensor, terms: PayloadTerms) -> None:
    if not torch.isfinite(feature).all():
        raise PayloadError("The feature holds values that are not finite.")
    if feature.abs().amax() > terms.value_limit:
        raise PayloadError(f"A feature value is beyond +-{terms.value_limit:g}.")
    norm = feature.square().mean(dim=(1, 2, 3)).sqrt()
    if norm.amax() > terms.norm_limit:
        raise PayloadError(f"A feature's root mean square is beyond {terms.norm_limit:g}.")
    if norm.amin() < terms.norm_floor:
        raise PayloadError(f"A feature's root mean square is below {terms.norm_floor:g}.")
    if not (torch.isnan(labels) | (labels == 0) | (labels == 1)).all():
        raise PayloadError("A label is neither 0 nor 1, nor nan for one that is not shared.")
