"""The page that raters open: one file, no server, no truth."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.files import write_text
from fl_crafter.picture import as_bytes, data_uri
from fl_crafter.study.human.score import NONE, Key

_MARK = "/*STUDY*/"


@dataclass(frozen=True)
class Question:
    """One picture to assign.

    Attributes:
        image: `[3, height, width]` in [0, 1].
        person: place of the person among those shown; `NONE` where somebody else is on it.
        condition: what the picture came from, such as a defence, or `raw` for a photograph.
    """

    image: Float[Tensor, "3 height width"]
    person: int
    condition: str


@dataclass(frozen=True)
class Questionnaire:
    """What raters see.

    Attributes:
        people: photographs of each person shown, `[photographs, 3, height, width]` in [0, 1].
        questions: in any order; each rater gets an order of their own.
        contact: whom raters may ask, shown with the consent.
    """

    people: Sequence[Float[Tensor, "photographs 3 height width"]]
    questions: Sequence[Question]
    contact: str


def write_page(questionnaire: Questionnaire, page: Path, key: Path) -> None:
    """Write the page for the raters and the key for whoever scores.

    A question's name is drawn anew, so that neither names nor order tell anything. The page shows
    real faces: treat it as the photographs.

    Args:
        questionnaire: what raters see.
        page: an HTML file.
        key: a JSON file, which raters must not get.

    Raises:
        InputError: there are no questions, or a question is of somebody who is not shown.
    """
    count = len(questionnaire.people)
    if not questionnaire.questions or not 2 <= count <= 8:
        raise InputError(
            f"A human study needs questions and 2 to 8 people, not {count}; choose others."
        )
    order = torch.randperm(len(questionnaire.questions)).tolist()
    names = [secrets.token_hex(8) for _ in order]
    study = secrets.token_hex(8)
    shown, truth, condition = [], {}, {}
    for name, place in zip(names, order, strict=True):
        question = questionnaire.questions[place]
        if not NONE <= question.person < count:
            raise InputError(f"person={question.person} is not shown; give {NONE} to {count - 1}.")
        shown.append({"name": name, "image": data_uri(as_bytes(question.image))})
        truth[name], condition[name] = question.person, question.condition
    content = {
        "study": study,
        "contact": questionnaire.contact,
        "people": [[data_uri(as_bytes(each)) for each in own] for own in questionnaire.people],
        "questions": shown,
    }
    # "</script>" or "<!--" in a text would end the page's data
    data = json.dumps(content).replace("<", "\\u003c")
    template = files("fl_crafter.study.human").joinpath("page.html").read_text("utf-8")
    write_text(page, template.replace(_MARK, data))
    Key(study=study, people=count, truth=truth, condition=condition).write(key)
