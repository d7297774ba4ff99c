"""The record refuses what does not fit, and selects rows together."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from jaxtyping import TypeCheckError, config

from fl_crafter.errors import InputError
from fl_crafter.faces.record import Faces, Role

NAN = float("nan")


@pytest.fixture
def faces() -> Faces:
    tone = torch.tensor([0.0, 0.25, 0.5, 1.0])
    return Faces(
        name="four",
        image=tone.view(4, 1, 1, 1).expand(4, 3, 8, 8).clone(),
        identity=torch.tensor([5, 2, 5, 2]),
        attributes=torch.tensor([[0.0, 1.0], [1.0, NAN], [0.0, 0.0], [1.0, 1.0]]),
        attribute_names=("Male", "Smiling"),
        role=(Role.PUBLIC, Role.EVAL_TRAIN, Role.PUBLIC, Role.EVAL_TEST),
    )


def test_select_keeps_rows_together_and_in_the_order_asked_for(faces: Faces) -> None:
    chosen = faces.select([3, 0])
    assert len(chosen) == 2
    assert chosen.image[:, 0, 0, 0].tolist() == [1.0, 0.0]
    assert chosen.identity.tolist() == [2, 5]
    assert chosen.attributes.tolist() == [[1, 1], [0, 1]]
    assert chosen.role == (Role.EVAL_TEST, Role.PUBLIC)
    assert chosen.attribute_names == faces.attribute_names and chosen.name == "four"


def test_select_takes_places_and_masks(faces: Faces) -> None:
    by_place = faces.select(torch.tensor([1, 3]))
    by_mask = faces.select(faces.identity == 2)
    assert torch.equal(by_place.image, by_mask.image) and by_place.role == by_mask.role


def test_nothing_can_be_selected(faces: Faces) -> None:
    empty = faces.select([])
    assert len(empty) == 0 and empty.people() == []
    assert empty.image.shape == (0, 3, 8, 8) and empty.attributes.shape == (0, 2)


def test_with_role(faces: Faces) -> None:
    assert faces.with_role(Role.PUBLIC).identity.tolist() == [5, 5]
    assert faces.with_role(Role.EVAL_TEST).identity.tolist() == [2]


def test_people_are_sorted_and_unique(faces: Faces) -> None:
    assert faces.people() == [2, 5]


def test_roles_are_their_names_in_files() -> None:
    assert [str(role) for role in Role] == ["public", "eval_train", "eval_test"]


def test_a_person_on_two_sides_is_refused(faces: Faces, refused: Callable[..., str]) -> None:
    role = (Role.PUBLIC, Role.EVAL_TRAIN, Role.EVAL_TEST, Role.EVAL_TEST)
    refused(lambda: replace(faces, role=role), "four", "person 5", "both public and private")


@pytest.mark.parametrize("value", [-0.01, 1.01, NAN])
def test_images_outside_the_range_are_refused(
    faces: Faces, refused: Callable[..., str], value: float
) -> None:
    image = faces.image.clone()
    image[2, 1, 3, 3] = value
    refused(lambda: replace(faces, image=image), "four", "image", "[0, 1]")


@pytest.mark.parametrize("value", [-1.0, 0.5, 2.0])
def test_attributes_are_binary_or_unknown(
    faces: Faces, refused: Callable[..., str], value: float
) -> None:
    attributes = faces.attributes.clone()
    attributes[0, 0] = value
    refused(lambda: replace(faces, attributes=attributes), "attribute", value, "nan")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", torch.zeros(4, 1, 8, 8)),
        ("image", torch.zeros(4, 3, 8, 9)),
        ("image", torch.zeros(3, 3, 8, 8)),
        ("identity", torch.zeros(3, dtype=torch.int64)),
        ("attributes", torch.zeros(4, 3)),
        ("attributes", torch.zeros(3, 2)),
        ("attribute_names", ("Male",)),
        ("role", (Role.PUBLIC,) * 3),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    faces: Faces, monkeypatch: pytest.MonkeyPatch, field: str, value: object
) -> None:
    with pytest.raises((InputError, TypeCheckError)):
        replace(faces, **{field: value})
    monkeypatch.setattr(config, "jaxtyping_disable", True)  # as for users, who run unchecked
    with pytest.raises(InputError, match=r"four: (image|identity|attributes) has .*; give"):
        replace(faces, **{field: value})


def test_whole_numbers_are_no_images(faces: Faces) -> None:
    with pytest.raises(TypeCheckError):
        replace(faces, image=torch.zeros(4, 3, 8, 8, dtype=torch.int64))
