"""The human study: what is chosen, what the page gives away, and how answers are scored."""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.floors import AttributeMeanFace
from fl_crafter.defences.noise import Noise
from fl_crafter.errors import InputError
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.split import SplitModel
from fl_crafter.study.human.build import RAW, choose, questionnaire, reconstruct
from fl_crafter.study.human.page import Question, Questionnaire, write_page
from fl_crafter.study.human.score import (
    NONE,
    Answers,
    Key,
    as_json,
    confusion,
    macro_f1,
    rates,
    read_answers,
    score,
    table,
)
from tests.attacks.contract import knowledge_of
from tests.world import SIZE, World, build_world, pictures

PEOPLE, PHOTOGRAPHS = 9, 6


@pytest.fixture(scope="module")
def world() -> World:
    return build_world()


def faces() -> Faces:
    """Nine private people with four photographs to show and two to ask for, and a public one."""
    count = (PEOPLE + 1) * PHOTOGRAPHS
    person = torch.arange(count) // PHOTOGRAPHS
    role = [
        Role.PUBLIC
        if place >= PEOPLE * PHOTOGRAPHS
        else Role.EVAL_TEST
        if place % PHOTOGRAPHS < 2
        else Role.EVAL_TRAIN
        for place in range(count)
    ]
    image = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return Faces("toy", image, person + 100, torch.zeros(count, 0), (), tuple(role))


def test_the_right_people_are_shown_and_asked_for() -> None:
    known = faces()
    choice = choose(known, people=4, photographs=3, asked=2, seed=1)
    shown = [known.identity[own] for own in choice.shown]
    assert all(len(own) == 3 and len(set(own.tolist())) == 1 for own in shown)
    numbers = [int(own[0]) for own in shown]
    assert len(set(numbers)) == 4
    assert all(known.role[place] == Role.EVAL_TRAIN for own in choice.shown for place in own)
    assert all(known.role[place] == Role.EVAL_TEST for place in choice.asked)
    assert Counter(choice.person) == {0: 2, 1: 2, 2: 2, 3: 2, NONE: 2}
    others = []
    for place, person in zip(choice.asked.tolist(), choice.person, strict=True):
        number = int(known.identity[place])
        if person == NONE:
            others.append(number)
        else:
            assert number == numbers[person]
    assert not set(others) & set(numbers) and len(set(others)) == 2
    assert len(set(choice.asked.tolist())) == 10
    again = choose(known, people=4, photographs=3, asked=2, seed=1)
    assert torch.equal(again.asked, choice.asked)
    drawn = {
        tuple(choose(known, people=4, photographs=3, asked=2, seed=s).asked.tolist())
        for s in range(5)
    }
    assert len(drawn) > 1, "the seed does nothing"


@pytest.mark.parametrize("wish", [{"photographs": 5}, {"asked": 3}, {"people": 8}])
def test_too_much_is_refused(wish: dict[str, int]) -> None:
    usual = {"people": 4, "photographs": 3, "asked": 2}
    with pytest.raises(InputError, match="ask for fewer"):
        choose(faces(), **usual | wish, seed=0)


class Curious(Attack):
    """Draws grey, and remembers what it was told."""

    name = "curious"
    told: AttackerKnowledge

    def reconstruct(
        self, feature: Tensor, knowledge: AttackerKnowledge, *, random: torch.Generator
    ) -> Reconstruction:
        self.told = knowledge
        return Reconstruction(torch.full((len(feature), 3, SIZE, SIZE), 0.5))


class Retrained(Noise):
    """Brings an encoder of its own, and the decoder that it met."""

    def __init__(self, world: World) -> None:
        super().__init__(world.public_feature)
        self.model = SplitModel(copy.deepcopy(world.encoder), world.cloud)
        self.decoder = world.decoder


def test_the_eavesdropper_knows_what_that_of_an_evaluation_does(world: World) -> None:
    model, attack = SplitModel(world.encoder, world.cloud), Curious()
    knowledge = replace(knowledge_of(world), query_image=pictures(4, seed=6))
    for defence in (Noise(world.public_feature), Retrained(world)):
        found = reconstruct(
            pictures(3, seed=5),
            model=model,
            defence=defence,
            attack=attack,
            knowledge=knowledge,
            relearning=1,
            seed=0,
        )
        assert found.shape == (3, 3, SIZE, SIZE)
        told = attack.told
        assert told.release is not None and told.defence_decoder is defence.decoder
        assert told.query_image is knowledge.query_image
    assert told.encoder is defence.model.encoder and told.amortiser is None
    assert told.decoder is not knowledge.decoder, "it learns the features of that encoder"


def test_an_attack_that_lacks_what_it_needs_is_named(world: World) -> None:
    with pytest.raises(InputError, match="attack attribute_mean_face takes labels"):
        reconstruct(
            pictures(3, seed=5),
            model=SplitModel(world.encoder, world.cloud),
            defence=Noise(world.public_feature),
            attack=AttributeMeanFace(),
            knowledge=replace(knowledge_of(world), labels=None),
            relearning=1,
            seed=0,
        )


def test_a_questionnaire_has_every_condition_and_its_controls() -> None:
    known = faces()
    choice = choose(known, people=4, photographs=3, asked=2, seed=1)
    pictures = {name: torch.rand(10, 3, 8, 8) for name in ("crafter", "none")}
    made = questionnaire(known, choice, pictures, controls=1, contact="")
    assert Counter(each.condition for each in made.questions) == {"crafter": 10, "none": 10, RAW: 5}
    raw = [each for each in made.questions if each.condition == RAW]
    assert [each.person for each in raw] == [0, 1, 2, 3, NONE]
    assert torch.equal(raw[1].image, known.image[choice.asked[2]])


def written(folder: Path, *, contact: str = "") -> tuple[str, Key]:
    people = [torch.rand(2, 3, 8, 8) for _ in range(4)]
    questions = [
        Question(torch.rand(3, 8, 8), person, condition)
        for condition in ("crafter", "none")
        for person in (0, 1, 2, 3, NONE)
        for _ in range(2)
    ]
    write_page(
        Questionnaire(people, questions, contact), folder / "study.html", folder / "key.json"
    )
    return (folder / "study.html").read_text(), Key.read(folder / "key.json")


def test_the_page_holds_all_it_needs_and_no_truth(tmp_path: Path) -> None:
    page, key = written(tmp_path, contact="</script><b>&")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)
    assert "default-src 'none'" in page and "crafter" not in page
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.S)
    assert found
    content = json.loads(found[1])
    assert content["contact"] == "</script><b>&"
    assert content.keys() == {"study", "contact", "people", "questions"}
    assert all(each.keys() == {"name", "image"} for each in content["questions"])
    names = [each["name"] for each in content["questions"]]
    assert set(names) == key.truth.keys() == key.condition.keys() and len(names) == 20
    # questions were given sorted by person: the page's order must not say so
    assert [key.truth[name] for name in names] != [0, 0, 1, 1, 2, 2, 3, 3, NONE, NONE] * 2


@pytest.mark.parametrize("questions", [[], [Question(torch.zeros(3, 8, 8), 4, "x")]])
def test_a_page_without_sense_is_refused(questions: list[Question], tmp_path: Path) -> None:
    people = [torch.zeros(1, 3, 8, 8)] * 4
    with pytest.raises(InputError):
        write_page(Questionnaire(people, questions, ""), tmp_path / "a.html", tmp_path / "k.json")
    assert not list(tmp_path.iterdir())


# --- scores ----------------------------------------------------------------------------------


def key_of(count: int = 50) -> Key:
    truth = {f"q{i}": i % 5 - 1 for i in range(count)}
    return Key("s", 4, truth, dict.fromkeys(truth, "crafter"))


def rater(name: str, key: Key, answer: Callable[[str, int], int]) -> Answers:
    choice = {question: answer(question, person) for question, person in key.truth.items()}
    return Answers(name, choice, dict.fromkeys(choice, 2.0))


def test_the_perfect_rater_scores_one() -> None:
    (found,) = score(key_of(), [rater("a", key_of(), lambda _, person: person)])
    assert found.macro_f1 == 1 and found.interval == (1, 1)
    assert found.recall == found.precision == [1] * 5
    assert found.seconds == 2 and found.answers == 50


def test_random_raters_score_chance() -> None:
    draw = np.random.default_rng(3)
    raters = [rater(f"{i}", key_of(100), lambda *_: int(draw.integers(5)) - 1) for i in range(20)]
    (found,) = score(key_of(100), raters)
    assert found.chance == pytest.approx(0.2, abs=0.005)
    assert found.chance_interval[0] <= found.macro_f1 <= found.chance_interval[1]
    assert found.interval[0] < 0.2 < found.interval[1]


def test_the_one_who_always_says_none() -> None:
    (found,) = score(key_of(), [rater("a", key_of(), lambda *_: NONE)])
    assert found.recall == [0, 0, 0, 0, 1]
    assert json.loads(as_json([found]))[0]["precision"][:4] == [None] * 4
    assert np.isnan(found.precision[:4]).all() and found.precision[4] == pytest.approx(0.2)
    assert found.macro_f1 == pytest.approx((2 * 0.2 / 1.2) / 5)


def test_rates_by_hand() -> None:
    counts = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), np.ones(4), 3)
    recall, precision, f1 = rates(counts)
    assert recall.tolist() == [0.5, 1, 0]
    np.testing.assert_allclose(precision, [0.5, 0.5, np.nan])
    assert macro_f1(counts) == pytest.approx(np.mean([0.5, 2 / 3, 0]))
    np.testing.assert_allclose(f1, [0.5, 2 / 3, 0])


def test_more_raters_and_questions_narrow_the_interval() -> None:
    draw = np.random.default_rng(0)

    def mostly(_: str, person: int) -> int:
        return person if draw.random() < 0.6 else int(draw.integers(5)) - 1

    def width(raters: int, questions: int) -> float:
        key = key_of(questions)
        (found,) = score(key, [rater(f"{i}", key, mostly) for i in range(raters)])
        assert found.interval[0] <= found.macro_f1 <= found.interval[1]
        return found.interval[1] - found.interval[0]

    assert width(12, 100) < 0.6 * width(2, 20)


def test_conditions_are_scored_apart() -> None:
    key = key_of()
    condition = {name: "raw" if int(name[1:]) < 10 else "crafter" for name in key.truth}
    key = Key(key.study, key.people, key.truth, condition)
    sees_raw = rater("a", key, lambda name, person: person if int(name[1:]) < 10 else NONE)
    crafted, raw = score(key, [sees_raw])
    assert (crafted.condition, raw.condition) == ("crafter", "raw")
    assert (
        raw.macro_f1 == 1 and crafted.macro_f1 < 0.1 and (raw.answers, crafted.answers) == (10, 40)
    )
    assert "| crafter | 1 | 40 | 0.067" in table([crafted, raw])


def answer_file(path: Path, key: Key, **change: object) -> Path:
    rows = [{"question": q, "choice": p, "seconds": 1.5} for q, p in key.truth.items()]
    content = {"study": key.study, "rater": "a", "answers": rows} | change
    path.write_text(json.dumps(content))
    return path


def test_answers_are_read_as_saved(tmp_path: Path) -> None:
    key = key_of()
    found = read_answers(answer_file(tmp_path / "a.json", key), key)
    assert found.choice == key.truth and found.rater == "a" and found.seconds["q0"] == 1.5
    for path, change in {
        "study.json": {"study": "other"},
        "name.json": {"answers": [{"question": "z", "choice": 0, "seconds": 1}]},
        "choice.json": {"answers": [{"question": "q0", "choice": 4, "seconds": 1}]},
        "truth.json": {"answers": [{"question": "q0", "choice": True, "seconds": 1}]},
        "rows.json": {"answers": 3},
    }.items():
        with pytest.raises(InputError, match=path):
            read_answers(answer_file(tmp_path / path, key, **change), key)
    with pytest.raises(InputError, match="twice"):
        score(key, [found, found])
    with pytest.raises(InputError, match="no answers"):
        score(key, [])
    with pytest.raises(InputError, match="key"):
        Key.read(tmp_path / "a.json")
