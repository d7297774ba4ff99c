"""Evaluators beside SFace: any callable, a trained classifier, dlib where it is installed."""

from importlib.util import find_spec

import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.evaluation import Resampling, prepare_truth
from fl_crafter.evaluation.dlib import DlibEvaluator
from fl_crafter.evaluation.evaluate import judge_attack
from fl_crafter.evaluation.evaluator import CallableEvaluator
from fl_crafter.evaluation.oracle import OracleTraining, train_oracle
from fl_crafter.evaluation.perception import PerceptualDistance
from fl_crafter.models.resnet import resnet18_split
from tests.evaluation.conftest import planted_faces


def test_a_callable_judges(world):
    calls = []

    def pixels(image):
        calls.append(len(image))
        return image.flatten(1) - 0.5

    evaluator = CallableEvaluator(pixels, name="mine", batch_size=10)
    truth = prepare_truth(world.faces, evaluator=evaluator)
    assert truth.raw_identification(how=Resampling(resamples=20)).top1 == 1
    calls.clear()
    image = world.faces.image[truth.test]
    judged = judge_attack(image, torch.arange(24), truth=truth, evaluator=evaluator)
    assert calls == [10, 10, 4]  # one look: it finds no landmarks
    assert torch.equal(judged.score, truth.embedding @ truth.gallery.embedding.T)


@pytest.mark.parametrize("answer", [torch.zeros(3), torch.full((3, 2), float("nan"))])
def test_a_callable_that_is_no_network_is_refused(answer):
    evaluator = CallableEvaluator(lambda image: answer, name="broken")
    with pytest.raises(ValueError, match="broken .* one finite vector"):
        evaluator.embed(torch.zeros(3, 3, 8, 8))


def test_the_oracle_learns_the_people_and_leaves_its_start_alone():
    torch.manual_seed(0)
    start = resnet18_split(attributes=3, widths=(8, 8, 8, 16), strides=(1, 1, 1))
    before = {key: value.clone() for key, value in start.encoder.state_dict().items()}
    faces = planted_faces()
    settings = OracleTraining(steps=60, batch_size=16, learning_rate=5e-3)
    oracle = train_oracle(faces, start, settings=settings)
    again = train_oracle(faces, start, settings=settings)
    truth = prepare_truth(faces, evaluator=oracle)
    assert truth.raw_identification(how=Resampling(resamples=20)).top1 > 0.8
    assert torch.equal(oracle.embed(faces.image), again.embed(faces.image))
    after = start.encoder.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_perception_grows_with_the_damage():
    random = torch.Generator().manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8, generator=random), size=64)
    noise = torch.rand(image.shape, generator=random)
    distance = PerceptualDistance()
    values = [distance(image, image.lerp(noise, share)) for share in (0.0, 0.1, 0.5)]
    assert values[0].abs().max() < 1e-6
    assert (values[1] > values[0]).all() and (values[2] > values[1]).all()
    assert values[2].max() < 4


@pytest.mark.skipif(find_spec("dlib") is not None, reason="dlib is installed")
def test_without_dlib_one_sentence_says_what_to_install():
    with pytest.raises(InputError, match=r"install fl-crafter\[dlib\]"):
        DlibEvaluator()


@pytest.mark.skipif(find_spec("dlib") is None, reason="dlib is not installed")
def test_dlib_embeds_unit_vectors():
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    vector = DlibEvaluator().embed(image)
    assert vector.shape == (2, 128)
    assert torch.allclose(vector.norm(dim=1), torch.ones(2), atol=1e-5)
