"""LFW, with labels and plain."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_crafter.faces import lfw
from fl_crafter.faces.record import Role


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_labels_are_the_papers_ten(lfw_root: Path) -> None:
    faces = lfw.read(lfw_root, size=16)
    assert faces.attribute_names == lfw.ATTRIBUTES and len(lfw.ATTRIBUTES) == 10
    assert faces.identity.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert faces.role[:2] == (Role.EVAL_TEST, Role.EVAL_TRAIN)
    assert faces.attributes[0].tolist() == [1] * 10 and faces.attributes[1].tolist() == [0] * 10
    assert faces.attributes[8:].isnan().all(), "public photographs have no attributes"


def test_the_folder_around_it_will_do(lfw_root: Path) -> None:
    assert len(lfw.read(lfw_root.parent, size=8)) == 10


def test_limits(lfw_root: Path) -> None:
    faces = lfw.read(lfw_root, size=8, people=1, photos_per_person=2, public=1)
    assert Counter(faces.role) == {Role.PUBLIC: 1, Role.EVAL_TRAIN: 1, Role.EVAL_TEST: 1}


def test_the_plain_layout_is_split_by_seed(lfw_plain: Path) -> None:
    faces = lfw.read(lfw_plain, size=8)
    assert faces.attributes.shape == (63, 0) and faces.attribute_names == ()
    assert faces.with_role(Role.EVAL_TEST).people() == [0, 2, 5]
    assert faces.with_role(Role.PUBLIC).people() == [1, 3, 4]
    assert Counter(faces.role) == {Role.PUBLIC: 3, Role.EVAL_TRAIN: 48, Role.EVAL_TEST: 12}


def scores(root: Path) -> Path:
    """The published scores: the first photograph of each person has every attribute."""
    columns = ["Blurry", *reversed(lfw.ATTRIBUTES)]
    lines = [
        "# Labeled Faces in the Wild attributes",
        "\t".join(["#", "person", "imagenum", *columns]),
    ]
    for path in sorted(root.glob("*/*.jpg")):
        if path.parent.name == "B_B":
            continue
        number = int(path.stem[-4:])
        values = [f"{0.7 if number == 1 else -1.2}"] * len(columns)
        lines.append("\t".join([path.parent.name.replace("_", " "), str(number), *values]))
    table = root / "lfw_attributes.txt"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_published_scores_are_attributes_by_their_sign(lfw_plain: Path) -> None:
    scores(lfw_plain)
    faces = lfw.read(lfw_plain, size=8)
    assert faces.attribute_names == lfw.ATTRIBUTES
    assert faces.attributes[0].tolist() == [1] * 10 and faces.attributes[1].tolist() == [0] * 10
    assert faces.attributes[20].isnan().all(), "B_B is not in the table"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Chubby", "Round", ("'Chubby'",)),
        ("A A\t2\t", "A A\t1\t", ("repeats A_A_0001.jpg",)),
        ("A A\t3\t-1.2", "A A\t3\tyes", ("line 5",)),
    ],
)
def test_damaged_scores_are_refused(
    lfw_plain: Path, refused: Callable[..., str], old: str, new: str, named: tuple[str, ...]
) -> None:
    table = scores(lfw_plain)
    text = table.read_text()
    if new == "A A\t3\tyes":
        lines = text.splitlines()
        place = next(i for i, line in enumerate(lines) if line.startswith("A A\t3\t"))
        lines[place] = lines[place].replace("-1.2", "yes")
        table.write_text("\n".join(lines))
        named = (f"line {place + 1}",)
    else:
        _edit(table, old, new)
    refused(lambda: lfw.read(lfw_plain), table, *named)


def test_a_wrong_root_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(lambda: lfw.read(None), "root is missing")
    refused(lambda: lfw.read(tmp_path / "nowhere"), tmp_path / "nowhere", "not a folder")
    refused(lambda: lfw.read(tmp_path), tmp_path, "no sub-folders")


@pytest.mark.parametrize("name", ["roles.csv", "attributes.csv"])
def test_a_missing_table_is_named(lfw_root: Path, refused: Callable[..., str], name: str) -> None:
    (lfw_root / name).unlink()
    refused(lambda: lfw.read(lfw_root), lfw_root / name, "is missing")


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("attributes.csv", "Middle Aged", "Middle-aged", ("'Middle Aged'",)),
        ("attributes.csv", "Middle Aged", "Male", ("2 columns named 'Male'",)),
        ("attributes.csv", "Bee_0001.jpg,7,1", "Bee_0001.jpg,7,-1", ("Ann_Bee_0001", "Male '-1'")),
        ("attributes.csv", "Ann_Bee_0002", "Ann_Bee_0001", ("line 3", "repeats Ann_Bee_0001.jpg")),
        ("attributes.csv", "Ann_Bee_0002", "Ann_Bee_0009", ("Ann_Bee_0009.jpg", "images")),
        ("roles.csv", "0001.jpg,Ann_Bee", "0001.jpg,Cy_Dee", ("Ann_Bee_0001.jpg", "Cy_Dee")),
        ("roles.csv", "eval_test", "", ("Ann_Bee_0001.jpg", "role ''")),
        ("roles.csv", "Ann_Bee_0002.jpg", "Ann_Bee_0001.jpg", ("repeats Ann_Bee_0001.jpg",)),
    ],
)
def test_a_damaged_table_is_refused(
    lfw_root: Path,
    refused: Callable[..., str],
    name: str,
    old: str,
    new: str,
    named: tuple[str, ...],
) -> None:
    _edit(lfw_root / name, old, new)
    message = refused(lambda: lfw.read(lfw_root), lfw_root / name)
    for each in named:
        assert each in message.replace("is '", "'")


def test_a_private_photograph_without_attributes_is_refused(
    lfw_root: Path, refused: Callable[..., str]
) -> None:
    lines = (lfw_root / "attributes.csv").read_text().splitlines(keepends=True)
    (lfw_root / "attributes.csv").write_text("".join(lines[:-1]))
    refused(lambda: lfw.read(lfw_root), "Cy_Dee_0004.jpg", "no row", lfw_root / "attributes.csv")


def test_photograph_without_role_is_refused(lfw_root: Path, refused: Callable[..., str]) -> None:
    lines = (lfw_root / "roles.csv").read_text().splitlines(keepends=True)
    (lfw_root / "roles.csv").write_text("".join(lines[:-1]))
    refused(lambda: lfw.read(lfw_root), "Eve_Eff_0002.jpg in", lfw_root / "roles.csv")


def test_role_without_photograph_is_refused(lfw_root: Path, refused: Callable[..., str]) -> None:
    (lfw_root / "images" / "Eve_Eff" / "Eve_Eff_0002.jpg").unlink()
    refused(lambda: lfw.read(lfw_root), lfw_root / "roles.csv", "row for Eve_Eff_0002.jpg")


def test_a_person_on_two_sides_is_refused(lfw_root: Path, refused: Callable[..., str]) -> None:
    _edit(
        lfw_root / "roles.csv",
        "Ann_Bee_0003.jpg,Ann_Bee,eval_train",
        "Ann_Bee_0003.jpg,Ann_Bee,public",
    )
    refused(lambda: lfw.read(lfw_root), lfw_root, "person Ann_Bee", "both public and private")


def test_a_stray_name_is_refused(lfw_plain: Path, refused: Callable[..., str]) -> None:
    stray = lfw_plain / "A_A" / "B_B_0002.jpg"
    (lfw_plain / "A_A" / "A_A_0001.jpg").rename(stray)
    refused(lambda: lfw.read(lfw_plain), stray, "A_A_NUMBER.jpg")


def test_a_truncated_photograph_is_refused(lfw_plain: Path, refused: Callable[..., str]) -> None:
    path = lfw_plain / "C_C" / "C_C_0007.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    refused(lambda: lfw.read(lfw_plain, size=8), path, "cannot be decoded")
