from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.supercore.grpc import GRPC_MAX_MESSAGE_LENGTH
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_crafter.flower.payload import (
    Payload,
    PayloadError,
    PayloadTerms,
    one_line,
    read_payload,
    write_payload,
)
from fl_crafter.transcript import Purpose

SHAPE = (2, 3, 4)
TERMS = PayloadTerms(feature_shape=SHAPE, attributes=3, clients=4, quota=8)


def some(count: int = 5, *, seed: int = 0, **changes: Any) -> Payload:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count, 3), generator=random).float()
    payload = Payload(
        feature=torch.randn(count, *SHAPE, generator=random),
        labels=labels.masked_fill(labels == 2, float("nan")),
        client=2,
        round=3,
        purpose=Purpose.TRAIN,
    )
    return replace(payload, **changes)


def array_of(values: np.ndarray) -> Array:
    return Array(values)


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, TERMS.quota),
    client=st.integers(0, TERMS.clients - 1),
    round=st.integers(1, 10**6),
    purpose=st.sampled_from(Purpose),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 10**6),
)
def test_what_is_written_is_read(
    count: int, client: int, round: int, purpose: Purpose, dtype: Any, seed: int
) -> None:
    payload = some(count, seed=seed, client=client, round=round, purpose=purpose)
    back = read_payload(write_payload(payload, dtype=dtype), TERMS, round=round, purpose=purpose)
    exact = payload.feature.half().float() if dtype == "float16" else payload.feature
    assert torch.equal(back.feature, exact)
    assert torch.equal(back.labels.isnan(), payload.labels.isnan())
    assert torch.equal(back.labels.nan_to_num(9), payload.labels.nan_to_num(9))
    assert (back.client, back.round, back.purpose) == (client, round, purpose)
    assert back.transcript().row.tolist() == list(range(count))


def test_float16_halves_the_bytes() -> None:
    sizes = [
        len(write_payload(some(8), dtype=dtype).array_records["features"]["feature"].data)
        for dtype in ("float16", "float32")
    ]
    numbers = 8 * 2 * 3 * 4
    assert sizes[1] - sizes[0] == 2 * numbers


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_feature_that_is_not_finite_is_neither_written_nor_read(bad: float) -> None:
    payload = some()
    payload.feature[1, 0, 0, 0] = bad
    with pytest.raises(PayloadError, match="not finite"):
        write_payload(payload)
    content = write_payload(some())
    content["features"]["feature"] = array_of(payload.feature.half().numpy())
    with pytest.raises(PayloadError, match="not finite"):
        read_payload(content, TERMS)


def test_a_value_that_overflows_on_the_wire_is_not_written() -> None:
    payload = some()
    payload.feature[0, 0, 0, 0] = 1e6
    with pytest.raises(PayloadError, match="float16"):
        write_payload(payload)
    assert write_payload(payload, dtype="float32")


def test_values_and_norms_have_limits() -> None:
    large = some(feature=torch.full((5, *SHAPE), 90.0))
    assert read_payload(write_payload(large), TERMS)
    with pytest.raises(PayloadError, match=r"beyond \+-50"):
        read_payload(write_payload(large), replace(TERMS, value_limit=50.0))
    with pytest.raises(PayloadError, match="root mean square"):
        read_payload(write_payload(large), replace(TERMS, norm_limit=50.0))


@pytest.mark.parametrize("label", [0.5, 2.0, -1.0, float("inf")])
def test_a_label_is_0_1_or_nan(label: float) -> None:
    payload = some()
    payload.labels[0, 0] = label
    with pytest.raises(PayloadError, match="label"):
        read_payload(write_payload(payload), TERMS)


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(PayloadError, match="1 to 8"):
        read_payload(write_payload(some(9)), TERMS)
    with pytest.raises(PayloadError, match="1 to 8"):
        read_payload(write_payload(some(0)), TERMS)


def test_flower_sends_a_large_message_in_pieces_far_below_its_limit() -> None:
    """Its limit of 2 GiB is one of a request, and each piece goes in a request of its own."""
    feature = torch.rand(200, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    content = write_payload(some(feature=feature, labels=torch.zeros(200, 3)))
    pieces = [len(each.deflate()) for each in get_all_nested_objects(content).values()]
    assert sum(pieces) > feature.nbytes / 2
    assert max(pieces) < 6 * 2**20 < GRPC_MAX_MESSAGE_LENGTH == 2**31 - 1


def test_another_round_or_purpose_is_refused() -> None:
    content = write_payload(some())
    with pytest.raises(PayloadError, match="round 3, not for round 4"):
        read_payload(content, TERMS, round=4)
    with pytest.raises(PayloadError, match="train, not for evaluation"):
        read_payload(content, TERMS, purpose=Purpose.EVALUATION)


ENVELOPE = {"version": 1, "client": 2, "round": 3, "purpose": 0}
FEATURE = np.zeros((5, *SHAPE), np.float16)


def edit(content: RecordDict, record: str, value: object) -> None:
    content[record] = value  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("record", "value", "reason"),
    [
        ("envelope", ConfigRecord({**ENVELOPE, "version": 2}), "version 2"),
        ("envelope", ConfigRecord({**ENVELOPE, "version": True}), "version must be a whole"),
        ("envelope", ConfigRecord({**ENVELOPE, "client": 4}), "from 0 to 3"),
        ("envelope", ConfigRecord({**ENVELOPE, "client": -1}), "from 0 to 3"),
        ("envelope", ConfigRecord({**ENVELOPE, "round": 0}), "from 1 to 1000000"),
        ("envelope", ConfigRecord({**ENVELOPE, "round": 2**63}), "from 1 to 1000000"),
        ("envelope", ConfigRecord({**ENVELOPE, "purpose": 2}), "0 .train. or 1"),
        ("envelope", ConfigRecord({**ENVELOPE, "purpose": "train"}), "purpose must be a whole"),
        ("envelope", ConfigRecord({**ENVELOPE, "name": "anna"}), "exactly the keys"),
        ("envelope", ConfigRecord({"version": 1}), "exactly the keys"),
        ("metrics", MetricRecord({"num-examples": 4}), "shape"),
        ("metrics", MetricRecord({"num-examples": 5.0}), "number of rows"),
        ("metrics", MetricRecord({"num-examples": [5]}), "number of rows"),
        ("metrics", ConfigRecord({"num-examples": 5}), "of type MetricRecord"),
        ("image", ArrayRecord({"image": Array(np.zeros(3))}), "no others"),
        ("features", ArrayRecord({"feature": Array(FEATURE)}), "exactly the keys"),
    ],
)
def test_a_message_of_another_form_is_refused(record: str, value: object, reason: str) -> None:
    content = write_payload(some())
    edit(content, record, value)
    with pytest.raises(PayloadError, match=reason):
        read_payload(content, TERMS)


def forged(data: bytes, *, dtype: str = "float16", shape: tuple[int, ...] = (5, *SHAPE)) -> Array:
    return Array(dtype=dtype, shape=shape, stype="numpy.ndarray", data=data)


HONEST = Array(FEATURE).data
HUGE = HONEST.replace(b"(5, 2, 3, 4)", b"(5, 2, 3, 9)")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (Array(np.zeros((5, 2, 3, 5), np.float16)), "was agreed"),
        (Array("float16", (1,) * 2_000_000, "numpy.ndarray", HONEST), "was agreed.$"),
        (Array(np.zeros((5, *SHAPE), np.float64)), "float16 or float32"),
        (Array(np.zeros((5, *SHAPE), np.int16)), "float16 or float32"),
        (forged(HONEST, dtype="float32"), "declared type and shape"),
        (forged(HUGE), "declared type and shape"),
        (forged(HONEST[:-2]), "more or fewer bytes"),
        (forged(HONEST + b"name"), "more or fewer bytes"),
        (forged(b"not numpy at all"), "declared type and shape"),
        (forged(b""), "declared type and shape"),
        (forged(HONEST.replace(b"(5, 2", b"(-1,2")), "declared type and shape"),
        (Array(np.asfortranarray(FEATURE)), "declared type and shape"),
        (forged(HONEST.replace(b"'<f2'", b"'>f2'")), "declared type and shape"),
        (Array("float16", (5, *SHAPE), "pickle", HONEST), "NumPy array"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(array: Array, reason: str) -> None:
    content = write_payload(some())
    content["features"]["feature"] = array
    with pytest.raises(PayloadError, match=reason):
        read_payload(content, TERMS)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(HONEST) - 1), value=st.integers(0, 255))
def test_a_damaged_array_is_refused_or_reads_as_finite_numbers(place: int, value: int) -> None:
    data = bytearray(HONEST)
    data[place] = value
    content = write_payload(some(labels=torch.zeros(5, 3)))
    content["features"]["feature"] = forged(bytes(data))
    try:
        back = read_payload(content, TERMS)
    except PayloadError:
        return
    assert back.feature.shape == (5, *SHAPE)
    assert torch.isfinite(back.feature).all()


def test_a_strangers_reason_becomes_one_short_line() -> None:
    assert one_line("Traceback\n  line 3\nOSError: no room\n") == "OSError: no room"
    assert one_line("\x1b[31mred\x07" + "x" * 999) == "[31mred" + "x" * 293
    assert one_line(" \n") == "The client failed."


def test_a_refusal_quotes_no_content() -> None:
    content = write_payload(some())
    edit(content, "envelope", ConfigRecord({**ENVELOPE, "person": "anna"}))
    with pytest.raises(PayloadError) as refusal:
        read_payload(content, TERMS)
    assert "anna" not in str(refusal.value)
    assert "person" not in str(refusal.value)
