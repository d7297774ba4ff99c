"""Any folder of people."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fl_crafter.faces import folder
from fl_crafter.faces.record import Role


def test_every_photograph_is_read_once(folder_root: Path) -> None:
    faces = folder.read(folder_root, size=8)
    assert faces.identity.bincount().tolist() == [1, 2, 3, 4, 5, 6]
    assert faces.attributes.shape == (21, 0)
    assert faces.with_role(Role.PUBLIC).people() == [0], "who has one photograph is public"


def test_half_of_the_people_are_private_where_all_could_be(folder_root: Path) -> None:
    for path in (folder_root / "person 1").iterdir():
        path.unlink()
    (folder_root / "person 1").rmdir()
    assert len(folder.read(folder_root, size=8).with_role(Role.EVAL_TEST).people()) == 2


def test_seed_and_limits(folder_root: Path) -> None:
    faces = folder.read(folder_root, size=8, people=2, photos_per_person=2, public=3, seed=5)
    assert len(faces) == 2 * 2 + 3
    assert len(faces.with_role(Role.EVAL_TEST)) == 2
    again = folder.read(folder_root, size=8, people=2, photos_per_person=2, public=3, seed=5)
    assert again.identity.tolist() == faces.identity.tolist() and again.role == faces.role


def test_a_wrong_root_is_refused(folder_root: Path, refused: Callable[..., str]) -> None:
    refused(lambda: folder.read(None), "root is missing")
    refused(lambda: folder.read(folder_root / "person 9"), "person 9", "not a folder")
    refused(lambda: folder.read(folder_root / "person 2"), "person 2", "no sub-folders")
    refused(lambda: folder.read(folder_root / "person 1" / "0.jpg"), "0.jpg", "not a folder")


def test_an_empty_person_is_refused(folder_root: Path, refused: Callable[..., str]) -> None:
    (folder_root / "person 7").mkdir()
    refused(lambda: folder.read(folder_root), folder_root / "person 7", "no photographs")


def test_too_many_people_are_refused(folder_root: Path, refused: Callable[..., str]) -> None:
    refused(lambda: folder.read(folder_root, people=6), folder_root, "people=6", "1 to 5")


@pytest.mark.parametrize("name", ["person 3/0.jpg", "person 3/1.png", "person 3/2.bmp"])
def test_a_truncated_photograph_is_refused(
    folder_root: Path, refused: Callable[..., str], name: str
) -> None:
    path = folder_root / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(lambda: folder.read(folder_root, size=8), path)
