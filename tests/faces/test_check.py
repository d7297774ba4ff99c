"""Datasets are looked at before they are used, and splits are stored by name."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_crafter.errors import InputError
from fl_crafter.faces import celeba
from fl_crafter.faces.check import PARTS, check_dataset, describe
from fl_crafter.faces.listing import Limits, chosen_photos
from fl_crafter.faces.open import DATASETS, SIZES, open_faces
from fl_crafter.faces.record import Role


def test_sizes_are_the_papers() -> None:
    assert SIZES.keys() == set(DATASETS)
    assert [SIZES[name] for name in ("celeba", "lfw", "vggface2", "wild112")] == [64, 128, 112, 112]


def test_celeba_with_roles(celeba_roles: Path) -> None:
    found = check_dataset("celeba", celeba_roles, limits=Limits())
    assert {part.path for part in found.there} == {part.path for part in PARTS["celeba"]}
    assert found.missing == () and found.split == "the roles in the folder"
    assert found.listed == 70 and found.people == 4 and len(found.photos) == 70
    text = describe("celeba", found)
    for line in (
        "there     img_align_celeba: the aligned photographs",
        "listed    70 photographs of 4 people; the whole dataset has 202,599 of 10,177",
        "used      public: 25 photographs of 2 people",
        "used      eval_train: 36 photographs of 2 people",
        "used      eval_test: 9 photographs of 2 people",
        "labels    3 attributes, known for 70 of 70 photographs",
        "size      64 x 64 pixels",
    ):
        assert line in text.splitlines()
    assert "007000.jpg" not in text


def test_celeba_without_roles(celeba_root: Path) -> None:
    found = check_dataset("celeba", celeba_root, limits=Limits(seed=3))
    assert [part.path for part in found.missing] == ["roles.csv"]
    assert found.split == "the dataset's usual one, seed 3"
    assert "optional  roles.csv" in describe("celeba", found)


@pytest.mark.parametrize(
    "lost", ["list_attr_celeba.txt", "identity_CelebA.txt", "img_align_celeba"]
)
def test_a_missing_part_is_named(celeba_root: Path, refused: Callable[..., str], lost: str) -> None:
    (celeba_root / lost).rename(celeba_root.parent / "elsewhere")
    refused(lambda: check_dataset("celeba", celeba_root, limits=Limits()), celeba_root, lost)


def test_what_is_published_without_labels_is_enough(lfw_plain: Path, vggface2_root: Path) -> None:
    found = check_dataset("lfw", lfw_plain, limits=Limits())
    assert "labels    none" in describe("lfw", found) and found.size == 128
    (vggface2_root / "labels.csv").unlink()
    found = check_dataset("vggface2", vggface2_root, limits=Limits())
    assert "labels    none" in describe("vggface2", found) and found.size == 112


def test_a_broken_photograph_is_found(celeba_root: Path, refused: Callable[..., str]) -> None:
    path = sorted((celeba_root / "img_align_celeba").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-30])
    refused(lambda: check_dataset("celeba", celeba_root, limits=Limits()), path)


def test_what_has_no_layout_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(lambda: check_dataset("orl", tmp_path, limits=Limits()), "'orl'", "vggface2")
    nowhere = tmp_path / "nowhere"
    refused(lambda: check_dataset("lfw", nowhere, limits=Limits()), nowhere)


def test_the_thousand_most_photographed(celeba_roles: Path) -> None:
    listing = celeba.list_celeba(celeba_roles)
    photos = chosen_photos(listing, limits=Limits(people=2, split="celeba_1000"))
    private = {photo.identity for photo in photos if photo.role != Role.PUBLIC}
    assert private == {7, 10}, "25 and 22 photographs; the roles in the folder say 7 and 8"
    count = Counter((photo.identity, photo.role) for photo in photos)
    assert count[7, Role.EVAL_TEST] == 2 and count[7, Role.EVAL_TRAIN] == 23
    assert count[8, Role.PUBLIC] == 20 and count[9, Role.PUBLIC] == 3


def test_a_named_split_is_the_same_for_the_same_seed(celeba_root: Path) -> None:
    def tests(seed: int, split: str) -> set[str]:
        limits = Limits(people=2, seed=seed, split=split)
        photos = chosen_photos(celeba.list_celeba(celeba_root), limits=limits)
        return {photo.path.name for photo in photos if photo.role == Role.EVAL_TEST}

    assert tests(0, "celeba_1000") == tests(0, "celeba_1000") != tests(1, "celeba_1000")
    assert len({frozenset(tests(seed, "crafter_celeba")) for seed in range(5)}) > 1
    with pytest.raises(InputError, match="'other'.*celeba_1000"):
        tests(0, "other")


def test_a_split_reaches_every_reader(celeba_roles: Path) -> None:
    faces = open_faces("celeba", celeba_roles, size=8, people=2, split="celeba_1000")
    assert faces.with_role(Role.EVAL_TEST).people() == [7, 10]
