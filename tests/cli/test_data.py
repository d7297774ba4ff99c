"""`fl-crafter data`: the check and the stored split, on the files of synthetic datasets."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from fl_crafter.faces.open import open_faces
from fl_crafter.faces.record import Role
from tests.faces.conftest import celeba_root, vggface2_root

__all__ = ["celeba_root", "vggface2_root"]


def test_check(celeba_root: Path, run: Callable[..., Result], refused: Callable[..., str]) -> None:
    result = run("data", "check", "celeba", celeba_root, "--people", "2")
    assert result.exit_code == 0, result.output
    assert "used      eval_test" in result.output and "of 2 people" in result.output
    (celeba_root / "identity_CelebA.txt").unlink()
    refused("data", "check", "celeba", celeba_root, named=("identity_CelebA.txt",))


@pytest.mark.parametrize(("name", "table"), [("celeba", "roles.csv"), ("vggface2", None)])
def test_a_stored_split_is_read_back(
    name: str,
    table: str | None,
    celeba_root: Path,
    vggface2_root: Path,
    tmp_path: Path,
    run: Callable[..., Result],
) -> None:
    root = {"celeba": celeba_root, "vggface2": vggface2_root}[name]
    given = ("data", "split", name, root, "--split", "celeba_1000", "--people", "2")
    stored = [tmp_path / each for each in ("a.csv", "b.csv", "c.csv")]
    for path, seed in zip(stored, "001", strict=True):
        result = run(*given, "--seed", seed, "--out", path)
        assert result.exit_code == 0, result.output
    assert stored[0].read_text() == stored[1].read_text() != stored[2].read_text()
    if table:
        (root / table).write_text(stored[0].read_text())
        read = open_faces(name, root, size=8)
        made = open_faces(name, root, size=8, people=2, split="celeba_1000")
        assert read.role == made.role and Role.PUBLIC in read.role
    else:
        assert "n000003/0001_01.jpg,n000003," in stored[0].read_text()
