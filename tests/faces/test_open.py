"""One door for every dataset; what it is told reaches the reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fl_crafter.faces.open import DATASETS, open_faces
from fl_crafter.faces.record import Role


@pytest.mark.parametrize(
    ("name", "fixture"),
    [
        ("celeba", "celeba_roles"),
        ("lfw", "lfw_root"),
        ("vggface2", "vggface2_root"),
        ("wild112", "vggface2_root"),
        ("folder", "folder_root"),
    ],
)
def test_every_reader_gets_every_choice(
    request: pytest.FixtureRequest, name: str, fixture: str
) -> None:
    root = request.getfixturevalue(fixture)
    faces = open_faces(name, root, size=12, people=1, photos_per_person=2, public=2, seed=4)
    assert faces.name == name and faces.image.shape == (4, 3, 12, 12)
    assert len(faces.with_role(Role.PUBLIC)) == 2
    seeds = [open_faces(name, root, size=8, people=1, public=1, seed=s).people() for s in range(9)]
    assert len({tuple(people) for people in seeds}) > 1, "the seed does nothing"


def test_an_unknown_name_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    refused(lambda: open_faces("celebA", tmp_path), "'celebA'", *DATASETS)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "orl"])
def test_only_orl_needs_no_folder(refused: Callable[..., str], name: str) -> None:
    refused(lambda: open_faces(name), "root is missing")
