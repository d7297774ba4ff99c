"""CelebA's official files: read as they are, refused where they disagree."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fl_crafter.faces import celeba
from fl_crafter.faces.record import Faces, Role

ATTRIBUTES, IDENTITY, IMAGES = "list_attr_celeba.txt", "identity_CelebA.txt", "img_align_celeba"


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_roles_file_is_followed(celeba_roles: Path) -> None:
    faces = celeba.read(celeba_roles, size=16)
    assert faces.name == "celeba" and faces.attribute_names == ("Male", "Smiling", "Bald")
    assert faces.image.shape == (70, 3, 16, 16)
    assert faces.with_role(Role.PUBLIC).people() == [9, 10]
    assert faces.with_role(Role.EVAL_TRAIN).people() == [7, 8]
    assert Counter(faces.role) == {Role.PUBLIC: 25, Role.EVAL_TRAIN: 36, Role.EVAL_TEST: 9}


def test_labels_stay_with_their_photographs(celeba_roles: Path) -> None:
    faces = celeba.read(celeba_roles, size=16)
    place = 1  # 007001.jpg, whose second attribute is -1
    assert faces.identity[place] == 7
    assert faces.attributes[:2].tolist() == [[1, 1, 0], [1, 0, 0]]
    brightest = (faces.image[:, 0].amax((1, 2)) * 255).round() - 100
    assert (brightest - faces.identity).abs().max() <= 2, "tones tell the person, but for JPEG"


def test_who_decides_the_split_is_told(celeba_roles: Path) -> None:
    assert not celeba.split_is_drawn(celeba_roles)
    (celeba_roles / "roles.csv").unlink()
    assert celeba.split_is_drawn(celeba_roles) and celeba.split_is_drawn(celeba_roles.parent)


def test_without_roles_people_are_split_by_seed(celeba_root: Path) -> None:
    faces = celeba.read(celeba_root, size=8)
    tests = faces.with_role(Role.EVAL_TEST)
    assert tests.people() == [7, 8, 10], "person 9 has fewer than 20 photographs"
    assert Counter(tests.identity.tolist()) == {7: 5, 8: 4, 10: 4}, "a fifth of each"
    assert faces.with_role(Role.PUBLIC).people() == [9]


def test_people_asked_for_are_private_and_the_rest_public(celeba_root: Path) -> None:
    faces = celeba.read(celeba_root, size=8, people=1, seed=3)
    assert len(faces.with_role(Role.EVAL_TEST).people()) == 1
    assert len(faces.with_role(Role.PUBLIC).people()) == 3


def test_limits_are_kept_and_follow_the_seed(celeba_roles: Path) -> None:
    def read(seed: int) -> Faces:
        return celeba.read(
            celeba_roles, size=8, people=1, photos_per_person=10, public=6, seed=seed
        )

    assert Counter(read(0).role) == {Role.PUBLIC: 6, Role.EVAL_TRAIN: 8, Role.EVAL_TEST: 2}
    assert torch.equal(read(0).attributes, read(0).attributes)
    assert {tuple(read(seed).with_role(Role.EVAL_TEST).people()) for seed in range(8)} == {
        (7,),
        (8,),
    }


def test_limits_decode_only_what_is_chosen(celeba_roles: Path) -> None:
    for path in (celeba_roles / IMAGES).glob("010*.jpg"):
        path.write_bytes(b"broken")
    for path in (celeba_roles / IMAGES).glob("009*.jpg"):
        path.write_bytes(b"broken")
    assert set(celeba.read(celeba_roles, size=8, public=0).role) == set(Role) - {Role.PUBLIC}


def test_the_folder_around_it_will_do(celeba_roles: Path) -> None:
    assert len(celeba.read(celeba_roles.parent, size=8, public=0)) == 45


@pytest.mark.parametrize("limit", [{"people": 0}, {"photos_per_person": 1}, {"public": -1}])
def test_limits_that_leave_nothing_are_refused(
    celeba_roles: Path, refused: Callable[..., str], limit: dict[str, int]
) -> None:
    ((name, value),) = limit.items()
    refused(lambda: celeba.read(celeba_roles, **limit), f"{name}={value}")  # type: ignore[arg-type]


def test_more_people_than_there_are_is_refused(
    celeba_roles: Path, refused: Callable[..., str]
) -> None:
    refused(lambda: celeba.read(celeba_roles, people=3), celeba_roles, "people=3", "2 private")


def test_a_size_too_small_for_a_face_is_refused(
    celeba_roles: Path, refused: Callable[..., str]
) -> None:
    refused(lambda: celeba.read(celeba_roles, size=4), "size=4")


def test_a_wrong_root_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(lambda: celeba.read(None), "root is missing", IMAGES)
    refused(lambda: celeba.read(tmp_path / "nowhere"), tmp_path / "nowhere", IMAGES)
    refused(lambda: celeba.read(tmp_path), f"{tmp_path} holds no {IMAGES}")


def test_an_empty_dataset_is_refused(celeba_root: Path, refused: Callable[..., str]) -> None:
    for path in (celeba_root / IMAGES).iterdir():
        path.unlink()
    (celeba_root / ATTRIBUTES).write_text("0\nMale Smiling Bald\n")
    (celeba_root / IDENTITY).write_text("\n")
    refused(lambda: celeba.read(celeba_root), celeba_root, "holds no photographs")


@pytest.mark.parametrize("name", [ATTRIBUTES, IDENTITY])
def test_a_missing_list_is_named(celeba_root: Path, refused: Callable[..., str], name: str) -> None:
    (celeba_root / name).unlink()
    refused(lambda: celeba.read(celeba_root), celeba_root / name, "is missing")


@pytest.mark.parametrize("name", [ATTRIBUTES, IDENTITY, "roles.csv"])
def test_an_empty_list_is_named(celeba_roles: Path, refused: Callable[..., str], name: str) -> None:
    (celeba_roles / name).write_text("")
    refused(lambda: celeba.read(celeba_roles), celeba_roles / name, "is empty")


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        (ATTRIBUTES, "70\n", "71\n", ("70 rows", "71")),
        (ATTRIBUTES, "Male Smiling Bald", "Male Bald", ("line 3", "3 values for 2")),
        (ATTRIBUTES, "007000.jpg  1  1 -1", "007000.jpg  1  1", ("line 3", "2 values for 3")),
        (ATTRIBUTES, "007000.jpg  1  1 -1", "007000.jpg  1  0 -1", ("line 3", "'0'")),
        (ATTRIBUTES, "007001.jpg", "007000.jpg", ("line 4", "repeats 007000.jpg")),
        (IDENTITY, "007000.jpg 7", "007000.jpg", ("line 1", "'007000.jpg'")),
        (IDENTITY, "007000.jpg 7", "007000.jpg seven", ("line 1", "seven")),
        (IDENTITY, "007001.jpg", "007000.jpg", ("line 2", "repeats 007000.jpg")),
        ("roles.csv", "image,identity,role", "image,identity,part", ("'role'",)),
        ("roles.csv", "007000.jpg,7,eval_test", "007000.jpg,7,test", ("007000.jpg", "'test'")),
        ("roles.csv", "007000.jpg,7,eval_test", "007000.jpg,7", ("line 2", "2 values for 3")),
        ("roles.csv", "007001.jpg", "007000.jpg", ("line 3", "repeats 007000.jpg")),
        ("roles.csv", "007000.jpg,7,", "007000.jpg,8,", ("007000.jpg", "person 8", "7")),
    ],
)
def test_a_damaged_list_is_refused(
    celeba_roles: Path,
    refused: Callable[..., str],
    name: str,
    old: str,
    new: str,
    named: tuple[str, ...],
) -> None:
    _edit(celeba_roles / name, old, new)
    refused(lambda: celeba.read(celeba_roles), celeba_roles / name, *named)


@pytest.mark.parametrize("name", [ATTRIBUTES, IDENTITY, "roles.csv"])
def test_photograph_without_label_is_refused(
    celeba_roles: Path, refused: Callable[..., str], name: str
) -> None:
    lines = (celeba_roles / name).read_text().splitlines(keepends=True)
    kept = [line for line in lines if "009001.jpg" not in line]
    (celeba_roles / name).write_text("".join(kept).replace("70\n", "69\n", 1))
    refused(
        lambda: celeba.read(celeba_roles),
        f"009001.jpg in {celeba_roles / IMAGES}",
        f"no row in {celeba_roles / name}",
    )


def test_label_without_photograph_is_refused(
    celeba_roles: Path, refused: Callable[..., str]
) -> None:
    for name in ("009001.jpg", "009002.jpg"):
        (celeba_roles / IMAGES / name).unlink()
    refused(lambda: celeba.read(celeba_roles), ATTRIBUTES, "009001.jpg (like 1 more)")


def test_a_person_on_two_sides_is_refused(celeba_roles: Path, refused: Callable[..., str]) -> None:
    _edit(celeba_roles / "roles.csv", "007003.jpg,7,eval_train", "007003.jpg,7,public")
    refused(lambda: celeba.read(celeba_roles), celeba_roles, "person 7", "both public and private")


def test_a_truncated_photograph_is_refused(celeba_roles: Path, refused: Callable[..., str]) -> None:
    path = celeba_roles / IMAGES / "008004.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    refused(lambda: celeba.read(celeba_roles, size=8), path, "cannot be decoded")


def test_a_list_that_is_no_text_is_refused(celeba_root: Path, refused: Callable[..., str]) -> None:
    (celeba_root / IDENTITY).write_bytes(b"\xff\xfe\x00\x01")
    refused(lambda: celeba.read(celeba_root), celeba_root / IDENTITY, "UTF-8")
