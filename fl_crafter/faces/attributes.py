"""Attributes by name."""

from collections.abc import Sequence

from fl_crafter.errors import InputError


def listed(names: str) -> tuple[str, ...]:
    """The names in a text with commas between them; an empty text has none.

    Raises:
        InputError: there are commas, and no name.
    """
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if names and not found:
        raise InputError(f"{names!r} names nothing; give names with commas between, or nothing.")
    return found


def places_of(asked: Sequence[str], known: Sequence[str], *, what: str) -> tuple[int, ...]:
    """Where the asked attributes are among the known ones.

    Args:
        asked: names.
        known: names.
        what: names the asked ones in the message.

    Raises:
        InputError: a name is not known, or asked for twice.
    """
    if not set(asked) <= set(known) or len(set(asked)) != len(asked):
        raise InputError(
            f"{what} must be different names out of {', '.join(known)}, not {', '.join(asked)!r}."
        )
    return tuple(list(known).index(name) for name in asked)
