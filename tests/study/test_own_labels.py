"""Evaluations of datasets whose labels or size the shipped networks were not trained for."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fl_crafter.assets import load_encoder
from fl_crafter.assets.trained import TrainedShape
from fl_crafter.errors import InputError
from fl_crafter.evaluation.cell import ALL_PICTURES
from fl_crafter.evaluation.metrics import mean_auc
from fl_crafter.faces.record import Faces, Role
from fl_crafter.study import photographs, task
from fl_crafter.study.bench import open_bench
from fl_crafter.study.measure import measure
from fl_crafter.study.photographs import public_photographs
from fl_crafter.study.plan import Plan
from fl_crafter.study.task import taught
from tests.world import pictures, seeded

COUNT = 96


def bright() -> Faces:
    """Pictures labelled by whether they are bright; the last quarter are tests, labelled wrong."""
    image = pictures(COUNT, seed=5) * 0.5
    label = (torch.arange(COUNT) % 2).float()
    image = image + 0.5 * label[:, None, None, None]
    tests = torch.arange(COUNT) >= 3 * COUNT // 4
    wrong = torch.where(tests, 1 - label, label)
    return Faces(
        name="bright",
        image=torch.nn.functional.interpolate(image, size=64),
        identity=torch.arange(COUNT) // 8,
        attributes=torch.stack([wrong, torch.full_like(wrong, float("nan"))], 1),
        attribute_names=("bright", "unknown"),
        role=tuple(Role.EVAL_TEST if test else Role.EVAL_TRAIN for test in tests.tolist()),
    )


def test_the_cloud_model_learns_the_labels_and_never_of_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces, seen = bright(), []
    features_of = task.features_of

    def watched(encoder: torch.nn.Module, image: Tensor) -> Tensor:
        seen.append(image)
        return features_of(encoder, image)

    monkeypatch.setattr(task, "features_of", watched)
    start = load_encoder()
    before = {name: value.clone() for name, value in start.cloud.state_dict().items()}
    model, learnt = taught(start, faces, faces.with_role(Role.PUBLIC), epochs=3)
    assert "72 other photographs of the private people" in learnt
    with torch.no_grad():
        logits = model.logits(faces.image)
    assert logits.shape == (COUNT, 2)
    tests = faces.with_role(Role.EVAL_TEST).image
    truth = (torch.arange(COUNT) % 2).float()
    last = slice(3 * COUNT // 4, COUNT)
    assert float(mean_auc(logits[last, :1], truth[last, None], torch.ones(1, COUNT // 4))) > 0.95
    assert not any(bool((each == test).all()) for part in seen for each in part for test in tests)
    assert all(torch.equal(before[name], own) for name, own in start.cloud.state_dict().items())


def test_labels_of_tests_alone_teach_nothing() -> None:
    faces = bright()
    unknown = torch.full_like(faces.attributes, float("nan"))
    with pytest.raises(InputError, match="bright: no photograph outside the tests has a label"):
        taught(
            load_encoder(),
            dataclasses.replace(faces, attributes=unknown),
            faces.with_role(Role.PUBLIC),
            epochs=1,
        )


def public_of(faces: Faces, *, label: Tensor) -> Faces:
    """The same pictures in other hands, darker, with labels of their own."""
    return dataclasses.replace(
        faces, image=faces.image * 0.5, attributes=label, role=(Role.PUBLIC,) * COUNT
    )


def lessons(
    monkeypatch: pytest.MonkeyPatch, faces: Faces, public: Faces
) -> tuple[str, list[Tensor]]:
    """What the cloud model is said to learn from, and the pictures that it does learn from."""
    seen: list[Tensor] = []
    features_of = task.features_of

    def watched(encoder: torch.nn.Module, image: Tensor) -> Tensor:
        seen.extend(image)
        return features_of(encoder, image)

    monkeypatch.setattr(task, "features_of", watched)
    return taught(load_encoder(), faces, public, epochs=1)[1], seen


def is_among(image: Tensor, others: Tensor) -> bool:
    return any(bool((image == other).all()) for other in others)


def test_labelled_public_photographs_teach_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = bright()
    public = public_of(faces, label=faces.attributes)
    monkeypatch.setattr(task, "ENOUGH", COUNT)
    learnt, seen = lessons(monkeypatch, faces, public)
    assert learnt == f"{COUNT} public photographs"
    assert len(seen) == COUNT and all(is_among(each, public.image) for each in seen)


def test_a_label_that_no_public_photograph_has_is_learnt_of_private_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces = bright()
    both = faces.attributes[:, :1].expand(-1, 2)
    faces = dataclasses.replace(faces, attributes=both)
    public = public_of(faces, label=torch.where(torch.arange(2) == 0, both, torch.nan))
    monkeypatch.setattr(task, "ENOUGH", COUNT)
    learnt, seen = lessons(monkeypatch, faces, public)
    assert f"{COUNT} public photographs and 72 other photographs of the private" in learnt
    private = faces.with_role(Role.EVAL_TRAIN).image
    assert sum(is_among(each, private) for each in seen) == 72


def test_a_label_of_the_tests_alone_is_refused_by_name() -> None:
    faces = bright()
    tests = torch.arange(COUNT) >= 3 * COUNT // 4
    alone = torch.where(tests, faces.attributes[:, 0], torch.nan)
    faces = dataclasses.replace(faces, attributes=torch.stack([faces.attributes[:, 0], alone], 1))
    with pytest.raises(InputError, match="has a label to learn of unknown; take another"):
        taught(load_encoder(), faces, faces.with_role(Role.PUBLIC), epochs=1)


def test_labels_of_public_photographs_are_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = bright()
    others = dataclasses.replace(
        faces,
        role=(Role.PUBLIC,) * COUNT,
        attribute_names=("other", "bright"),
        attributes=torch.stack([torch.zeros(COUNT), faces.attributes[:, 0]], 1),
    )
    monkeypatch.setattr(photographs, "FEWEST_PUBLIC", 1)
    monkeypatch.setattr(photographs, "open_faces", lambda *_, **__: others)
    found = public_photographs(plan(public_data="celeba"), faces)
    assert torch.equal(found.attributes[:, 0], faces.attributes[:, 0])
    assert bool(found.attributes[:, 1].isnan().all())


def plan(**changes: object) -> Plan:
    known: dict[str, object] = {
        "data": "orl",
        "root": "",
        "people": 6,
        "photos": 4,
        "faces": 4,
        "public": 300,
        "defences": "crafter:10",
        "suite": "standard",
        "budget": "smoke",
        "seeds": (0,),
        "evaluators": ("sface",),
        "crafting_steps": 3,
    }
    return Plan(**known | changes)  # type: ignore[arg-type]


def test_public_photographs_may_be_of_another_dataset() -> None:
    faces = bright()
    with pytest.raises(InputError, match="0 public photographs.*--public-data"):
        public_photographs(plan(data="bright"), faces)
    found = public_photographs(plan(data="lfw", public_data="orl"), faces)
    assert len(found) >= 100 and set(found.role) == {Role.PUBLIC}
    assert found.attribute_names == faces.attribute_names and bool(found.attributes.isnan().all())
    own = plan(data="lfw", public_data="orl")
    assert own.fixed() == plan(data="lfw").fixed() | {"public_data": "orl"}
    assert own.fixed() == plan(data="lfw", public_data="orl", public_root="moved").fixed()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"public_data": "orl"}, "--public-data orl is --data itself"),
        ({"public_root": "folder"}, "--public-root is given alone"),
    ],
)
def test_public_photographs_that_mean_nothing_are_refused(
    changes: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        plan(**changes)


def test_points_that_the_photographs_cannot_serve_are_refused(tmp_path: Path) -> None:
    faces = bright()
    with pytest.raises(InputError, match="components of 'projection' is 256.*at most 149"):
        plan(defences="projection:16:256").check_points(faces, public=150)
    plan(defences="projection:16:149,substitution:150").check_points(faces, public=150)
    weights = tmp_path / "advlearn.safetensors"
    TrainedShape("advlearn", 40, (8, 8, 8, 8), (2, 2, 2), 0.5).build().save(weights)
    with pytest.raises(InputError, match="64 pixels with 40 attributes, those of orl have 64 and"):
        plan(defences=f"advlearn:{weights}").check_points(faces, public=150)


def test_faces_of_another_size_and_other_labels_are_evaluated() -> None:
    """The embedded faces: an evaluation that needs no download, at 96 pixels."""
    bench = open_bench(plan(size=96))
    assert bench.faces.image.shape[1:] == (3, 96, 96)
    assert bench.model.logits(bench.faces.image[:1]).shape == (1, len(bench.faces.attribute_names))
    assert bench.learnt == "300 public photographs"
    drawn = bench.knowledge.generator.sample(1, random=seeded())
    assert drawn.shape[1:] == (3, 96, 96) and bench.knowledge.amortiser is None
    (point,) = bench.plan.points()
    cell, pictures = measure(bench, point, 0)
    attacks = {attack.name for attack in bench.plan.attacks()}
    assert set(cell.judged[bench.main]) == attacks | {ALL_PICTURES}
    assert {image.shape[1:] for image in pictures.values()} == {(3, 96, 96)}
    assert 0 < cell.utility_auc <= 1
    assert 0.1 < cell.release.change < 2


def test_a_task_that_asks_for_less_is_told_less() -> None:
    everything, smile = open_bench(plan()), open_bench(plan(attributes="smile"))
    place = everything.faces.attribute_names.index("smile")
    assert smile.faces.attribute_names == ("smile",)
    assert torch.equal(
        smile.faces.attributes.nan_to_num(-1),
        everything.faces.attributes[:, [place]].nan_to_num(-1),
    )
    feature = smile.encode(smile.faces.image[:4])
    assert torch.allclose(
        smile.predict(feature), everything.predict(feature)[:, [place]], atol=1e-5
    )
    assert smile.knowledge.cloud is smile.model.cloud
    with pytest.raises(InputError, match="--attributes must be .* not 'smile, beard'"):
        open_bench(plan(attributes="smile,beard"))
