"""VGGFace2's layout and its hair colours."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_crafter.faces import vggface2
from fl_crafter.faces.record import Role


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_colours_are_one_of_five_or_unknown(vggface2_root: Path) -> None:
    faces = vggface2.read(vggface2_root, size=16)
    assert faces.attribute_names == vggface2.COLOURS and faces.attributes.shape == (36, 5)
    assert faces.attributes[0].tolist() == [0, 1, 0, 0, 0]  # photograph 1: Blond_Hair
    unknown = faces.attributes.isnan()
    assert unknown.any(1).sum() == 3 and unknown.all(1).sum() == 3
    assert (faces.attributes[~unknown.any(1)].sum(1) == 1).all()


def test_identity_is_the_folders_number(vggface2_root: Path) -> None:
    faces = vggface2.read(vggface2_root, size=8)
    assert faces.people() == [3, 7, 11]
    assert faces.with_role(Role.PUBLIC).people() == [7]
    assert Counter(faces.role) == {Role.PUBLIC: 12, Role.EVAL_TRAIN: 18, Role.EVAL_TEST: 6}


def test_without_roles_people_are_split_by_seed(vggface2_root: Path) -> None:
    table = vggface2_root / "labels.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("".join(f"{image},{who},{hair}\n" for image, who, _, hair in lines))
    faces = vggface2.read(vggface2_root, size=8)
    assert len(faces.with_role(Role.EVAL_TEST).people()) == 1, "half of three, or all are private"
    assert len(vggface2.read(vggface2_root, size=8, people=2).with_role(Role.PUBLIC)) == 12


def test_a_stand_in_keeps_its_own_name(vggface2_root: Path) -> None:
    assert vggface2.list_wild112(vggface2_root).name == "wild112"


def published(root: Path) -> Path:
    """The same photographs as VGGFace2 is published, with MAAD-Face's table."""
    (root / "train").mkdir()
    rows = [["Filename", "Identity", "Male", *vggface2.COLOURS]]
    for number, person in enumerate(("n000003", "n000007", "n000011")):
        (root / person).rename(root / "train" / person)
        for index in range(1, 12):  # photograph 12 is not in the table
            marks = [-1, -1, 0, -1, -1]
            if index != 3:  # which has no colour
                marks[number] = 1
            if index == 4:
                marks[4] = 1  # and this one two
            rows.append([f"{person}/{index:04d}_01.jpg", person, "1", *map(str, marks)])
    rows.append(["n009999/0001_01.jpg", "n009999", "1", *["-1"] * 5])  # not in the folder
    (root / "labels.csv").unlink()
    (root / "MAAD_Face.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return root


def test_the_published_layout(vggface2_root: Path) -> None:
    faces = vggface2.read(published(vggface2_root), size=8)
    assert len(faces) == 36 and faces.people() == [3, 7, 11]
    unknown = faces.attributes.isnan().all(1)
    assert unknown.nonzero().flatten().tolist() == [
        p * 12 + i for p in range(3) for i in (2, 3, 11)
    ]
    for number in range(3):
        wanted = [float(place == number) for place in range(5)]
        assert faces.attributes[number * 12].tolist() == wanted


def test_without_labels_there_are_no_attributes(vggface2_root: Path) -> None:
    (vggface2_root / "labels.csv").unlink()
    faces = vggface2.read(vggface2_root, size=8)
    assert faces.attributes.shape == (36, 0) and len(faces.with_role(Role.EVAL_TEST).people()) == 1


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [("Bald", "bald", ("'Bald'",)), (",1,1,", ",1,", ("line 2", "7 values"))],
)
def test_a_damaged_published_table_is_refused(
    vggface2_root: Path, refused: Callable[..., str], old: str, new: str, named: tuple[str, ...]
) -> None:
    table = published(vggface2_root) / "MAAD_Face.csv"
    _edit(table, old, new)
    refused(lambda: vggface2.read(vggface2_root), table, *named)


def test_a_wrong_root_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(lambda: vggface2.read(None), "root is missing", "n000001")
    refused(lambda: vggface2.read(tmp_path), f"{tmp_path} has no sub-folders")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("hair_colour", "hair", ("'hair_colour'",)),
        ("Blond_Hair", "blonde", ("n000003/0001_01.jpg", "'blonde'", "Blond_Hair")),
        ("n000003,", "n000007,", ("n000003/0001_01.jpg", "identity n000007")),
        ("eval_train", "train", ("n000003/0001_01.jpg", "'train'")),
        ("n000003/0002_01.jpg", "n000003/0001_01.jpg", ("line 3", "repeats n000003/0001")),
        ("n000003/0002_01.jpg", "n000003/0099_01.jpg", ("n000003/0002_01.jpg in", "has no row")),
    ],
)
def test_a_damaged_table_is_refused(
    vggface2_root: Path, refused: Callable[..., str], old: str, new: str, named: tuple[str, ...]
) -> None:
    _edit(vggface2_root / "labels.csv", old, new)
    refused(lambda: vggface2.read(vggface2_root), vggface2_root / "labels.csv", *named)


def test_label_without_photograph_is_refused(
    vggface2_root: Path, refused: Callable[..., str]
) -> None:
    (vggface2_root / "n000007" / "0003_01.jpg").unlink()
    refused(lambda: vggface2.read(vggface2_root), "row for n000007/0003_01.jpg")


def test_a_folder_that_is_no_person_is_refused(
    vggface2_root: Path, refused: Callable[..., str]
) -> None:
    (vggface2_root / "n000003").rename(vggface2_root / "ann")
    table = vggface2_root / "labels.csv"
    table.write_text(table.read_text().replace("n000003", "ann"))
    refused(lambda: vggface2.read(vggface2_root), vggface2_root / "ann", "n000001")


def test_a_person_on_two_sides_is_refused(vggface2_root: Path, refused: Callable[..., str]) -> None:
    _edit(vggface2_root / "labels.csv", "n000007,public", "n000007,eval_test")
    refused(lambda: vggface2.read(vggface2_root), "person n000007", "both public and private")


def test_a_truncated_photograph_is_refused(
    vggface2_root: Path, refused: Callable[..., str]
) -> None:
    path = vggface2_root / "n000011" / "0004_01.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    refused(lambda: vggface2.read(vggface2_root, size=8), path, "cannot be decoded")
