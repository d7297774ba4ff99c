import pytest
import torch

from fl_crafter.errors import InputError
from fl_crafter.evaluation.evaluate import AttackJudgement, Evaluation
from fl_crafter.evaluation.metrics import Gallery
from fl_crafter.evaluation.truth import PrivateTruth
from fl_crafter.faces.record import Faces, Role
from fl_crafter.report import Pictures, choose_pictures


def test_pictures_come_back_from_their_file(pictures, tmp_path):
    pictures.save(tmp_path / "pictures.safetensors")
    again = Pictures.load(tmp_path / "pictures.safetensors")
    assert torch.equal(again.raw, pictures.raw)
    assert set(again.reconstruction) == set(pictures.reconstruction)
    for key, image in pictures.reconstruction.items():
        assert torch.equal(again.reconstruction[key], image)
        assert torch.equal(again.named[key], pictures.named[key])


def test_a_file_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        Pictures.load(tmp_path / "missing.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InputError, match="cut.safetensors"):
        Pictures.load(tmp_path / "cut.safetensors")


def test_pictures_of_another_number_are_refused(pictures):
    key = ("none", "white_box_latent")
    with pytest.raises(ValueError, match="shows"):
        Pictures(pictures.raw, {key: pictures.raw[:1]}, {})
    with pytest.raises(ValueError, match="named"):
        Pictures(pictures.raw, {key: pictures.raw}, {key: torch.ones(3, dtype=torch.bool)})


def planted(places, record):
    """Two people with two test photographs each, grey by place, judged in the order of `places`."""
    image = (torch.arange(4).float() / 4).view(4, 1, 1, 1).expand(4, 3, 16, 16)
    faces = Faces(
        name="planted",
        image=image,
        identity=torch.tensor([8, 8, 9, 9]),
        attributes=torch.zeros(4, 1),
        attribute_names=("a",),
        role=(Role.EVAL_TEST,) * 4,
    )
    gallery = Gallery(torch.eye(2), torch.tensor([8, 9]))
    truth = PrivateTruth(faces, gallery, torch.arange(4), torch.zeros(4, 1, 2), torch.zeros(4, 2))
    place = torch.tensor(places)
    column = place // 2
    rank = torch.stack([torch.zeros_like(place), torch.ones_like(place)], 1)  # always names 8
    none = torch.zeros(len(place), 4)
    judgement = AttackJudgement(image[place] / 2, rank, score=-rank.float(), similarity=none)
    return truth, Evaluation(record, place, {"a": judgement}, column)


def test_the_first_photograph_of_each_person_that_all_defences_share_is_shown(make_defence):
    record = make_defence(0.8, 0.2)
    truth, whole = planted([0, 1, 2, 3], record)
    _, part = planted([1, 2, 3], record)  # photograph 0 was lost on the way
    shown = choose_pictures({"none": whole, "crafter": part}, truth=truth)
    assert shown.raw[:, 0, 0, 0].tolist() == [64, 128]  # photographs 1 and 2
    for key in (("none", "a"), ("crafter", "a")):
        assert shown.reconstruction[key][:, 0, 0, 0].tolist() == [32, 64]
        assert shown.named[key].tolist() == [True, False]
    assert len(choose_pictures({"none": whole}, truth=truth, people=1).raw) == 1


def test_defences_without_a_common_photograph_are_refused(make_defence):
    record = make_defence(0.8, 0.2)
    truth, one = planted([0], record)
    _, other = planted([1], record)
    with pytest.raises(InputError, match="every defence"):
        choose_pictures({"none": one, "crafter": other}, truth=truth)
