"""The notebooks run from their first cell to their last, and none of what they show is kept."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.docs.conftest import ROOT

NOTEBOOKS = sorted(ROOT.glob("examples/*.ipynb"))


def code_of(path: Path) -> list[Any]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_shown_is_kept(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = code_of(path)
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert not any("attachments" in cell for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, reader: Path) -> None:
    """Cell by cell in this process: they are plain Python, and torch is imported already."""
    namespace: dict[str, Any] = {"__name__": "__notebook__"}
    for number, cell in enumerate(code_of(path)):
        exec(compile(cell.source, f"{path.name}, cell {number}", "exec"), namespace)
