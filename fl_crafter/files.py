"""Write files whole or not at all, one process to a folder, and tell their contents apart."""

import hashlib
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fl_crafter.errors import InputError


@contextmanager
def replacing(path: Path) -> Generator[Path, None, None]:
    """A temporary path beside `path`, renamed to it at the end; after an error nothing is left.

    The folder is made if it is missing. The bytes are on the disk before the name is: after a power
    failure there is the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def only_here(folder: Path) -> Generator[None, None, None]:
    """Keep a folder for this process; the lock goes with the process, however that ends.

    Args:
        folder: need not be there yet; the lock is a file beside it, `.NAME.lock`.

    Raises:
        InputError: another process has it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"Another run is writing to {folder}; wait for it, or name another folder with --out."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_toml(values: Mapping[str, bool | int | float | str]) -> str:
    """Flat TOML; JSON's spelling of strings, unescaped, and of finite numbers is TOML's too."""
    return "".join(
        f"{key} = {json.dumps(value, allow_nan=False, ensure_ascii=False)}\n"
        for key, value in values.items()
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
