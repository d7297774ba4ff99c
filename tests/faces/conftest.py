"""Tiny synthetic datasets in every layout; no photograph of a real person is written."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fl_crafter.errors import InputError
from fl_crafter.faces import lfw, vggface2

CELEBA_PEOPLE = {7: 25, 8: 20, 9: 3, 10: 22}  # photographs of each person, by number


def write_photo(path: Path, *, tone: int = 128, size: tuple[int, int] = (24, 28)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), tone, dtype=np.uint8)
    pixels[::2] //= 2  # stripes, so that a file has more than a header to lose
    Image.fromarray(pixels).save(path)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def refused() -> Callable[..., str]:
    """Call a reader that must refuse its input in one sentence that names everything given."""

    def check(call: Callable[[], object], *named: object) -> str:
        with pytest.raises(InputError) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message and ". " not in message
        assert ";" in message, "no mend"
        for each in named:
            assert str(each) in message
        return message

    return check


@pytest.fixture
def celeba_root(tmp_path: Path) -> Path:
    """CelebA's official files for four people, without roles."""
    root = tmp_path / "celeba"
    attributes, identities, partition = [], [], []
    for person, count in CELEBA_PEOPLE.items():
        for index in range(count):
            name = f"{person:03d}{index:03d}.jpg"
            write_photo(root / "img_align_celeba" / name, tone=100 + person)
            attributes.append(f"{name}  1 {-1 if index % 2 else ' 1'} -1\n")
            identities.append(f"{name} {person}\n")
            partition.append(f"{name} 0\n")
    head = f"{len(attributes)}\nMale Smiling Bald\n"
    (root / "list_attr_celeba.txt").write_text(head + "".join(attributes))
    (root / "identity_CelebA.txt").write_text("".join(identities))
    (root / "list_eval_partition.txt").write_text("".join(partition))
    return root


@pytest.fixture
def celeba_roles(celeba_root: Path) -> Path:
    """The same with roles: 7 and 8 private, 9 and 10 public."""
    rows = []
    for path in sorted((celeba_root / "img_align_celeba").iterdir()):
        person, index = int(path.stem[:3]), int(path.stem[3:])
        private = "eval_test" if index % 5 == 0 else "eval_train"
        rows.append((path.name, person, private if person in (7, 8) else "public"))
    write_csv(celeba_root / "roles.csv", ("image", "identity", "role"), rows)
    return celeba_root


@pytest.fixture
def lfw_root(tmp_path: Path) -> Path:
    """LFW with labels: two private people of four photographs, one public of two."""
    root = tmp_path / "lfw"
    roles, attributes = [], []
    for person, count in {"Ann_Bee": 4, "Cy_Dee": 4, "Eve_Eff": 2}.items():
        for index in range(1, count + 1):
            name = f"{person}_{index:04d}.jpg"
            write_photo(root / "images" / person / name)
            role = "public" if count == 2 else "eval_test" if index == 1 else "eval_train"
            roles.append((name, person, role))
            if role != "public":
                attributes.append((name, 7, *(index % 2 for _ in lfw.ATTRIBUTES)))
    write_csv(root / "roles.csv", ("image", "identity", "role"), roles)
    write_csv(root / "attributes.csv", ("image", "Blurry", *lfw.ATTRIBUTES), attributes)
    return root


@pytest.fixture
def lfw_plain(tmp_path: Path) -> Path:
    """LFW as it is published: three people with 20 photographs, three with one."""
    root = tmp_path / "lfw_plain"
    for person, count in {"A_A": 20, "B_B": 1, "C_C": 20, "D_D": 1, "E_E": 1, "F_F": 20}.items():
        for index in range(1, count + 1):
            write_photo(root / person / f"{person}_{index:04d}.jpg")
    return root


@pytest.fixture
def vggface2_root(tmp_path: Path) -> Path:
    """VGGFace2's layout with roles; photograph 6 of each person has no hair colour."""
    root = tmp_path / "vggface2"
    rows = []
    for person in ("n000003", "n000007", "n000011"):
        for index in range(1, 13):
            name = f"{person}/{index:04d}_01.jpg"
            write_photo(root / name)
            colour = "" if index == 6 else vggface2.COLOURS[index % 5]
            private = "eval_test" if index > 9 else "eval_train"
            rows.append((name, person, "public" if person == "n000007" else private, colour))
    write_csv(root / "labels.csv", ("image", "identity", "role", "hair_colour"), rows)
    return root


@pytest.fixture
def folder_root(tmp_path: Path) -> Path:
    """Six people with one to six photographs each, of several formats and shapes."""
    root = tmp_path / "people"
    for person in range(1, 7):
        for index in range(person):
            suffix = ("jpg", "png", "bmp")[index % 3]
            write_photo(root / f"person {person}" / f"{index}.{suffix}", size=(20 + index, 30))
    (root / "person 1" / "notes.txt").write_text("not a photograph")
    (root / ".cache").mkdir()
    return root
