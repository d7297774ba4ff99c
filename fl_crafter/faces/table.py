"""Label files, checked row by row."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from fl_crafter.errors import InputError
from fl_crafter.faces.record import Role

Row = dict[str, str]
Value = TypeVar("Value")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        InputError: the file is missing, empty or not text.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; put it back, or give the folder that has it")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; fetch it again") from None
    if not lines:
        raise InputError(f"{path} is empty; fetch it again")
    return lines


def read_table(
    path: Path, *, columns: Sequence[str], key: Sequence[str] = ("image",)
) -> dict[str, Row]:
    """The rows of a CSV file by their key.

    Args:
        path: a CSV file whose first line names its columns.
        columns: columns that it must have, the key aside; it may have more.
        key: the columns that name each row once, joined by "/".

    Raises:
        InputError: the file or a column is missing, a row is too long or too short, or a key comes
            twice.
    """
    reader = csv.reader(read_lines(path))
    header = next(reader)
    for column in (*key, *columns):
        if header.count(column) != 1:
            raise InputError(
                f"{path} has {header.count(column)} columns named {column!r}; "
                "its first line must name it once"
            )
    rows: dict[str, Row] = {}
    for values in reader:
        if not values:
            continue
        if len(values) != len(header):
            raise InputError(
                f"{path} line {reader.line_num} has {len(values)} values for {len(header)} "
                "columns; mend the row"
            )
        row = dict(zip(header, values, strict=True))
        name = "/".join(row[column] for column in key)
        add_once(rows, name, row, where=f"{path} line {reader.line_num}")
    return rows


def add_once(rows: dict[str, Value], name: str, value: Value, *, where: str) -> None:
    """Add a row, refusing a name that is there already."""
    if name in rows:
        raise InputError(f"{where} repeats {name}; keep one row for it")
    rows[name] = value


def check_match(
    photos: Collection[str], rows: Collection[str], *, folder: Path, table: Path
) -> None:
    """Refuse photographs without a row and rows without a photograph."""
    unlabelled = sorted(set(photos).difference(rows))
    if unlabelled:
        raise InputError(
            f"{unlabelled[0]}{and_more(unlabelled)} in {folder} has no row in {table}; "
            "add the row or remove the photograph"
        )
    absent = sorted(set(rows).difference(photos))
    if absent:
        raise InputError(
            f"{table} has a row for {absent[0]}{and_more(absent)}, which is not in {folder}; "
            "add the photograph or remove the row"
        )


def and_more(names: Sequence[str]) -> str:
    """How many more there are than the first, for an error message."""
    return f" (like {len(names) - 1} more)" if len(names) > 1 else ""


def parse_role(text: str, *, where: str) -> Role:
    """The role that a label file names."""
    try:
        return Role(text)
    except ValueError:
        raise InputError(f"{where} has role {text!r}; use {', '.join(Role)}") from None


def parse_binary(text: str, *, where: str) -> float:
    """An attribute's value in a CSV file: 0, 1, or empty for unknown."""
    if text not in ("0", "1", ""):
        raise InputError(f"{where} is {text!r}; use 0, 1 or nothing")
    return float(text) if text else float("nan")
