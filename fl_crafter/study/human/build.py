"""Choose people and pictures for a human study, and make the reconstructions."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.defences.base import Defence
from fl_crafter.errors import InputError
from fl_crafter.faces.record import Faces, Role
from fl_crafter.models.split import SplitModel
from fl_crafter.study.human.page import Question, Questionnaire
from fl_crafter.study.human.score import NONE
from fl_crafter.study.knowledge import knowing, of_trained
from fl_crafter.study.own_attacker import released

RAW = "raw"


@dataclass(frozen=True)
class Choice:
    """Which photographs are shown and asked for; all places are in the faces chosen from.

    Attributes:
        shown: `eval_train` photographs of each person shown.
        asked: `eval_test` photographs to reconstruct: as many of each person shown, and of others.
        person: whom each of these shows; `NONE` for others, no two of the same person.
    """

    shown: list[Int64[Tensor, " photographs"]]
    asked: Int64[Tensor, " questions"]
    person: list[int]


def choose(faces: Faces, *, people: int, photographs: int, asked: int, seed: int) -> Choice:
    """Draw the people, their photographs, and as many others as a person has questions.

    Args:
        faces: with the private people.
        people: shown to the raters.
        photographs: of each person shown.
        asked: reconstructions of each person, and of others.
        seed: of the draw.

    Raises:
        InputError: too few people have photographs enough.
    """
    random = torch.Generator().manual_seed(seed)

    def draw(place: Tensor, count: int) -> Tensor:
        return place[torch.randperm(len(place), generator=random)[:count]]

    role = {each: torch.tensor([r == each for r in faces.role]) for each in Role}
    own = {
        person: [
            (role[each] & (faces.identity == person)).nonzero().flatten()
            for each in (Role.EVAL_TRAIN, Role.EVAL_TEST)
        ]
        for person in faces.with_role(Role.EVAL_TEST).people()
    }
    eligible = [p for p, (a, b) in own.items() if len(a) >= photographs and len(b) >= asked]
    if len(eligible) < people or len(own) < people + asked:
        raise InputError(
            f"{len(eligible)} people have {photographs} photographs to show and {asked} to ask "
            f"for, and {len(own)} have any; the study takes {people} and {asked} others, so ask "
            "for fewer."
        )
    chosen = draw(torch.tensor(eligible), people).tolist()
    others = draw(torch.tensor([p for p in own if p not in chosen]), asked).tolist()
    places = [draw(own[person][1], asked) for person in chosen]
    places += [draw(own[person][1], 1) for person in others]
    person = [place for place in range(people) for _ in range(asked)] + [NONE] * asked
    return Choice([draw(own[p][0], photographs) for p in chosen], torch.cat(places), person)


def reconstruct(
    image: Float[Tensor, "questions 3 height width"],
    *,
    model: SplitModel,
    defence: Defence,
    attack: Attack,
    knowledge: AttackerKnowledge,
    relearning: int,
    seed: int,
) -> Float[Tensor, "questions 3 height width"]:
    """What an eavesdropper that knows the defence makes of these photographs.

    Args:
        image: private photographs.
        model: the victim's, where the defence brings none of its own.
        defence: protects them.
        attack: of the eavesdropper.
        knowledge: of the eavesdropper, without the defence; with faces to query it with.
        relearning: steps in which its decoder learns a trained defence's encoder.
        seed: of the defence's and the attack's randomness.
    """
    victim, attacker = (torch.Generator().manual_seed(2 * seed + each) for each in range(2))
    feature = released(defence, model, image, random=victim)
    if defence.model is not None:
        knowledge = of_trained(knowledge, defence.model, steps=relearning, random=attacker)
    knowledge = knowing(knowledge, defence, random=attacker)
    if not attack.applies(knowledge):
        raise InputError(
            f"The attack {attack.name} takes labels, or an amortiser, which are not at hand beside "
            f"the defence {defence.name}; take another one."
        )
    return attack.reconstruct(feature, knowledge, random=attacker).image.cpu().clamp(0, 1)


def questionnaire(
    faces: Faces,
    choice: Choice,
    pictures: Mapping[str, Float[Tensor, "questions 3 height width"]],
    *,
    controls: int,
    contact: str,
) -> Questionnaire:
    """Pictures of every condition, and raw photographs that show whether raters can do it at all.

    Args:
        faces: chosen from.
        choice: of the photographs.
        pictures: what was made of the photographs asked for, by condition.
        controls: raw photographs of each person and of others, at most.
        contact: whom raters may ask.
    """
    questions = [
        Question(image, person, condition)
        for condition, images in pictures.items()
        for image, person in zip(images, choice.person, strict=True)
    ]
    raw = [
        Question(faces.image[place], person, RAW)
        for number in dict.fromkeys(choice.person)
        for place, person in [
            pair
            for pair in zip(choice.asked.tolist(), choice.person, strict=True)
            if pair[1] == number
        ][:controls]
    ]
    return Questionnaire([faces.image[own] for own in choice.shown], questions + raw, contact)
