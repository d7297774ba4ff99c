"""A Flower mod that protects whatever a ClientApp returns: Crafter as a plug-in."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import torch
from flwr.app import Array, ArrayRecord, Context, Error, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status, unfit
from fl_crafter.errors import InputError
from fl_crafter.flower.payload import PayloadError, decode_array
from fl_crafter.flower.withholding import leave_out
from fl_crafter.randomness import secret_generator

Randomness = Callable[[Message, Context], torch.Generator]
Observer = Callable[[Message, Context, Protected], None]
FailureObserver = Callable[[Message, Context, Exception], None]

MOST_NUMBERS = 16
"""In metrics and settings of one reply: far fewer than the 128 of an embedding that names a person.
It is against carelessness: an app that hides data in its numbers is not stopped."""
PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
"""Of records, metrics and settings: no path, no file's name with its suffix, no encoded bytes."""

_log = logging.getLogger("fl_crafter")


class RefusedRelease(Exception):
    """A reply that must not leave; the text is one sentence without content of the reply."""


def fresh_random(message: Message, context: Context) -> torch.Generator:
    """A generator that nobody else can repeat; the mod's default."""
    return secret_generator()


def protect_array(
    array: Array,
    defence: Defence,
    *,
    random: torch.Generator,
    device: torch.device | str = "cpu",
    withhold: bool = False,
) -> tuple[Array, Protected]:
    """Protect features as they lie in a message: decode, protect, check, encode with the same type.

    Args:
        array: clean features, float16 or float32, `[batch, *shape]`, of a shape that the defence
            takes: most want `[batch, channels, rows, columns]`, that of a `Protector` any.
        defence: what replaces them.
        random: source of the defence's randomness.
        device: where the defence works.
        withhold: leave rows out that a release gate names, instead of refusing them all.

    Returns:
        The array to send, and what the defence reported of all rows, with the figure `seconds`.

    Raises:
        RefusedRelease: clean or protected features are not finite, not of the agreed form, the
            defence diverged or left a feature as it was, or a release gate still sees a person;
            with `withhold`, everybody.
    """
    if len(array.shape) < 2:
        raise RefusedRelease("The features must have a row for each image; nothing was sent.")
    if not array.shape[0]:
        raise RefusedRelease("There are no features in the reply; nothing was sent.")
    try:
        clean = decode_array(array, tuple(array.shape), name="feature")
    except PayloadError as error:
        raise RefusedRelease(f"{str(error).removesuffix('.')}; nothing was sent.") from error
    if not torch.isfinite(clean).all():
        raise RefusedRelease("The clean features are not finite; nothing was sent.")
    if defence.shape is not None and clean.shape[1:] != defence.shape:
        raise RefusedRelease(
            f"A feature has the shape {list(clean.shape[1:])}, and {defence.name} was built for "
            f"{list(defence.shape)}; build it for this encoder. Nothing was sent."
        )
    began = time.monotonic()
    protected = defence.protect(clean.to(device), random=random)
    seconds = time.monotonic() - began
    wire = torch.float16 if array.dtype == "float16" else torch.float32
    why = unfit(protected, clean, defence, wire=wire)
    if why:
        raise RefusedRelease(f"{why}; nothing was sent.")
    seen = _seen(protected, len(clean))
    if seen.any() and (seen.all() or not withhold):
        raise RefusedRelease(
            f"The release gate still saw a person after {defence.name}; nothing was sent."
        )
    feature = protected.feature.detach().cpu().to(wire)
    figures = protected.figures | {"seconds": seconds}
    return Array(feature[~seen].contiguous().numpy()), replace(protected, figures=figures)


def _seen(protected: Protected, rows: int) -> Tensor:
    """Which rows must not leave; all of them where the defence does not say, or not clearly."""
    if protected.status != Status.IDENTIFIED:
        return torch.zeros(rows, dtype=torch.bool)
    seen = protected.identified
    if seen is None or seen.dtype != torch.bool or seen.shape != (rows,) or not seen.any():
        return torch.ones(rows, dtype=torch.bool)
    return seen.cpu()


class CrafterMod:
    """Replaces the features in a ClientApp's reply by protected ones.

    Put it LAST in the list of mods: Flower makes the last one the innermost, so every other mod,
    and everything beyond, sees protected features only. The ClientApp and the server need no
    change::

        mod = CrafterMod(lambda: build_defence("crafter", ...), record="features", key="feature")
        app = ClientApp(mods=[message_size_mod, mod])

    A reply without arrays passes as it is, if its settings may. A reply that cannot be protected
    becomes an error reply of one sentence, and so does an exception in the ClientApp, of which only
    the type's name is sent: its text may name people and files, and goes to the client's own log.
    Of an error that the ClientApp returns only the code is sent.

    Args:
        defence: a defence, or a function of no argument that makes one; it is called once per
            process.
        record: name of the ArrayRecord in the reply that holds the features.
        key: name of the features in that record.
        passing: names of further arrays, in the same record, that may leave unprotected, such as
            labels. Any array not named here is refused, since it may be a copy of the features. So
            are bytes, texts, lists and many numbers among metrics and settings, and names that may
            be a file's, see `check_settings`; here their names may be given too. A few numbers
            leave as they are.
        random: gives the defence's generator for a message; by default a fresh, secret one each
            time. Only a simulation, to be repeatable, has reason to give another.
        observe: is told the client's own account of each protection, which stays on the device.
        observe_failure: is told of an exception in the ClientApp or the defence, on the device too.
        device: where the defence works.
        withhold: a row that a release gate still sees is left out of the features and of the arrays
            that pass, which must then have a row for each feature; `num-examples` counts those that
            leave, and a list among metrics or settings, which may tell of the row, refuses the
            reply. Only for an app whose rows stand for themselves: by default one such row refuses
            the reply.
    """

    def __init__(
        self,
        defence: Defence | Callable[[], Defence],
        *,
        record: str = "features",
        key: str = "feature",
        passing: tuple[str, ...] = (),
        random: Randomness = fresh_random,
        observe: Observer | None = None,
        observe_failure: FailureObserver | None = None,
        device: torch.device | str = "cpu",
        withhold: bool = False,
    ) -> None:
        if isinstance(passing, str):
            raise TypeError(f"passing is the text {passing!r}; give a tuple of names")
        self._defence = defence
        self.record = record
        self.key = key
        self.passing = passing
        self.random = random
        self.observe = observe
        self.observe_failure = observe_failure
        self.device = device
        self.withhold = withhold

    @property
    def defence(self) -> Defence:
        """The defence; made at the first use in this process."""
        if not isinstance(self._defence, Defence):
            self._defence = self._defence()
        return self._defence

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Call the inner app and protect its reply."""
        try:
            reply = call_next(message, context)
            if reply.has_error():
                _log.error("the client failed: %s", reply.error.reason)
                return error_reply(message, "The client reported an error.", code=reply.error.code)
            protected = self._protect(reply.content, message, context)
            if protected is not None and self.observe is not None:
                self.observe(message, context, protected)
            return reply
        except (RefusedRelease, PayloadError) as refusal:
            _log.warning("%s", refusal)
            return error_reply(message, str(refusal))
        except Exception as error:
            # whatever went wrong, neither the clean reply nor the error's text may leave
            self._tell(message, context, error)
            return failure_reply(message, error)

    def _tell(self, message: Message, context: Context, error: Exception) -> None:
        if self.observe_failure is None:
            return
        try:
            self.observe_failure(message, context, error)
        except Exception as another:
            # nor may the text of what went wrong on the way
            _log.error("the failure was not noted: %s", another, exc_info=another)

    def _protect(self, content: RecordDict, message: Message, context: Context) -> Protected | None:
        """Replace the features in a reply; returns the defence's account, None without arrays."""
        check_settings(content, allowed=self.passing)
        if not content.array_records:
            return None
        if set(content.array_records) != {self.record}:
            _refuse(f"Arrays may leave in the record {self.record} only; nothing was sent.")
        arrays = content.array_records[self.record]
        if self.key not in arrays:
            _refuse(f"The record {self.record} holds no array {self.key}; nothing was sent.")
        if not set(arrays) <= {self.key, *self.passing}:
            _refuse(
                f"The record {self.record} holds arrays that are neither {self.key} nor allowed "
                "to pass; nothing was sent."
            )
        array, protected = protect_array(
            arrays[self.key],
            self.defence,
            random=self.random(message, context),
            device=self.device,
            withhold=self.withhold,
        )
        if protected.status == Status.IDENTIFIED:
            assert protected.identified is not None, "who is seen and not told apart is refused"
            leave_out(protected.identified.cpu(), content, record=self.record, key=self.key)
        kept = content.array_records[self.record]
        content[self.record] = ArrayRecord(
            {name: array if name == self.key else passing for name, passing in kept.items()}
        )
        return protected


def check_settings(content: RecordDict, *, allowed: tuple[str, ...] = ()) -> None:
    """Refuse what may be a photograph, a feature, a file's name or a person's beside the arrays.

    Args:
        content: of a reply.
        allowed: names of settings and metrics that may be bytes, texts or lists, or no
            `PLAIN_NAME`.

    Raises:
        RefusedRelease: another one is; or there are more than `MOST_NUMBERS` numbers together.
    """
    numbers = 0
    if not all(PLAIN_NAME.fullmatch(name) for name in content):
        _refuse("Records must have plain names; nothing was sent.")
    for record in (*content.config_records.values(), *content.metric_records.values()):
        for name, value in record.items():
            if name in allowed:
                continue
            if not PLAIN_NAME.fullmatch(name):
                _refuse("Metrics and settings must have plain names; nothing was sent.")
            if isinstance(value, bytes | str | list):
                _refuse(
                    "Bytes, texts and lists may not leave beside the features unless CrafterMod's "
                    "passing names them; nothing was sent."
                )
            numbers += 1
    if numbers > MOST_NUMBERS:
        _refuse(
            f"More than {MOST_NUMBERS} numbers may not leave beside the features unless "
            "CrafterMod's passing names them; nothing was sent."
        )


def _refuse(sentence: str) -> NoReturn:
    raise RefusedRelease(sentence)


def error_reply(
    message: Message, sentence: str, *, code: int = ErrorCode.MOD_FAILED_PRECONDITION
) -> Message:
    """The answer of a client that sends nothing else."""
    return Message(Error(code, sentence), reply_to=message)


def failure_reply(message: Message, error: Exception) -> Message:
    """The answer after an exception: its type's name leaves, its text goes to the client's log."""
    trace = None if isinstance(error, InputError) else error
    _log.error("the client failed: %s", error, exc_info=trace)
    return error_reply(message, f"The client failed with {type(error).__name__}.")
