"""The real datasets, where FL_CRAFTER_DATA names the folder that holds them."""

from collections import Counter
from pathlib import Path

from fl_crafter.faces.open import open_faces
from fl_crafter.faces.record import Role


def test_celeba(data_root: Path) -> None:
    faces = open_faces("celeba", data_root / "celeba", people=20, public=300)
    assert Counter(faces.role) == {Role.PUBLIC: 300, Role.EVAL_TRAIN: 480, Role.EVAL_TEST: 120}
    assert faces.attributes.shape == (900, 40)
    private = faces.with_role(Role.EVAL_TEST)
    assert len(private.people()) == 20
    male = private.attributes[:, faces.attribute_names.index("Male")]
    of_person = {p: male[private.identity == p].mean().item() for p in private.people()}
    assert all(share in (0, 1) or 0.8 <= max(share, 1 - share) for share in of_person.values())


def test_lfw(data_root: Path) -> None:
    faces = open_faces("lfw", data_root / "lfw", public=100)
    assert Counter(faces.role) == {Role.PUBLIC: 100, Role.EVAL_TRAIN: 1289, Role.EVAL_TEST: 341}
    assert len(faces.with_role(Role.EVAL_TEST).people()) == 38
    assert not faces.with_role(Role.EVAL_TEST).attributes.isnan().any()


def test_lfw_plain(data_root: Path) -> None:
    faces = open_faces("lfw", data_root / "lfw" / "images", people=5, public=20)
    assert len(faces.with_role(Role.EVAL_TRAIN).people()) == 5
    assert faces.attributes.shape[1] == 0


def test_wild112(data_root: Path) -> None:
    faces = open_faces("wild112", data_root / "wild112", size=112)
    assert Counter(faces.role) == {Role.EVAL_TRAIN: 1520, Role.EVAL_TEST: 413}
    assert len(faces.people()) == 80
    assert int(faces.attributes.isnan().all(1).sum()) == 821
