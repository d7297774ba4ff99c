"""Run what this package must not import in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

ENDING = 60.0  # seconds that an interrupted process has to bring its state into order


def run_child(*arguments: object, folder: Path | None = None, results: bool = True) -> None:
    """Run `python -m ARGUMENTS` and end this command with its exit code if that is not 0.

    Args:
        arguments: of the interpreter, after `-m`.
        folder: where it works; here by default.
        results: whether what it prints is this command's result; else it goes to the standard
            error.
    """
    command: Sequence[str] = [sys.executable, "-m", *map(str, arguments)]
    child = subprocess.Popen(command, cwd=folder, stdout=None if results else sys.stderr)
    try:
        status = child.wait()
    except KeyboardInterrupt:
        # the terminal has interrupted it too: it stores what it has
        try:
            child.wait(ENDING)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
        raise
    if status:
        raise typer.Exit(status)
