"""The human study's page in a real browser: raters who know everything, and who know nothing."""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fl_crafter.study.human.page import Question, Questionnaire, write_page
from fl_crafter.study.human.score import NONE, Key, read_answers, score
from tests.browser import browser, needs_browser

__all__ = ["browser"]
pytestmark = needs_browser

PEOPLE, EACH = 4, 3


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose people are plain colours."""
    folder = tmp_path_factory.mktemp("study")
    colour = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.5, 0.5, 0.5]])
    images = colour[:, :, None, None].expand(-1, -1, 32, 32)
    questions = [
        Question(images[person] * (1 - 0.1 * turn), person if person < PEOPLE else NONE, "crafter")
        for person in range(PEOPLE + 1)
        for turn in range(EACH)
    ]
    shown = [images[person].expand(4, -1, -1, -1) for person in range(PEOPLE)]
    write_page(
        Questionnaire(shown, questions, "someone"), folder / "study.html", folder / "key.json"
    )
    return folder


@pytest.fixture
def page(browser: Any, study: Path) -> Iterator[Any]:
    """The page, past the consent; anything that it asks the network for, or logs, fails."""
    context = browser.new_context(
        viewport={"width": 900, "height": 1000}, has_touch=True, accept_downloads=True
    )
    wrong: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: wrong.append(request.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.goto((study / "study.html").as_uri())
    yield opened
    assert [each for each in wrong if not each.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def begin(page: Any) -> None:
    assert page.locator("#start").is_disabled(), "nobody takes part before consenting"
    page.keyboard.press("1")
    assert page.locator("#task").is_hidden()
    page.locator("#agree").check()
    page.locator("#start").click()


def truths(page: Any, study: Path) -> dict[str, int]:
    """Truth of each picture by its address, which the page itself does not know."""
    key = Key.read(study / "key.json")
    content = json.loads(page.locator("#study").text_content())
    return {each["image"]: key.truth[each["name"]] for each in content["questions"]}


def places(page: Any) -> list[int]:
    """Which person is at each place of the screen."""
    buttons = page.locator("#people button").all()
    return [int(button.get_attribute("data-person")) for button in buttons]


def saved(page: Any, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator("#save").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    assert page.locator("#saved").text_content().startswith("Saved as answers-")
    return path


def answer_all(page: Any, choose: Callable[[str], int], *, keyboard: bool) -> list[str]:
    shown, seen = places(page), []
    for number in range((PEOPLE + 1) * EACH):
        assert page.locator("#count").text_content() == f"Picture {number + 1} of 15"
        assert float(page.locator("#progress").evaluate("it => it.value")) == number / 15
        seen.append(page.locator("#picture").get_attribute("src"))
        person = choose(seen[-1])
        if keyboard:
            page.keyboard.press("0" if person == NONE else str(shown.index(person) + 1))
        elif person == NONE:
            page.locator("#none").tap()
        else:
            page.locator(f"#people button[data-person='{person}']").tap()
    assert page.locator("#end").is_visible() and page.locator("#task").is_hidden()
    return seen


@pytest.mark.parametrize("keyboard", [True, False], ids=["keyboard", "touch"])
def test_a_perfect_rater(page: Any, study: Path, tmp_path: Path, keyboard: bool) -> None:
    begin(page)
    truth = truths(page, study)
    answer_all(page, truth.__getitem__, keyboard=keyboard)
    key = Key.read(study / "key.json")
    answers = read_answers(saved(page, tmp_path), key)
    (found,) = score(key, [answers])
    assert found.macro_f1 == 1 and found.answers == 15
    assert all(0 <= seconds < 60 for seconds in answers.seconds.values())


def test_random_raters(browser: Any, study: Path, tmp_path: Path) -> None:
    key = Key.read(study / "key.json")
    answers, orders, screens = [], set(), set()

    def guess(rater: int, picture: str) -> int:
        # Of the picture alone: the page's order is new in every run, the answers must not be.
        return random.Random(f"{rater} {picture}").randrange(-1, PEOPLE)

    for rater in range(6):
        context = browser.new_context(accept_downloads=True)
        opened = context.new_page()
        opened.goto((study / "study.html").as_uri())
        begin(opened)
        seen = answer_all(opened, partial(guess, rater), keyboard=True)
        orders.add(tuple(seen))
        screens.add(tuple(places(opened)))
        answers.append(read_answers(saved(opened, tmp_path), key))
        context.close()
    assert len(orders) == 6 and len(screens) > 1, "each rater has an order of their own"
    (found,) = score(key, answers)
    assert found.raters == 6 and found.answers == 90
    assert found.chance_interval[0] <= found.macro_f1 <= found.chance_interval[1]
    assert found.macro_f1 < 0.5


def test_an_answer_can_be_taken_back(page: Any, study: Path, tmp_path: Path) -> None:
    begin(page)
    truth = truths(page, study)
    first = page.locator("#picture").get_attribute("src")
    assert page.locator("#back").is_disabled()
    wrong = NONE if truth[first] != NONE else 0
    page.keyboard.press("0" if wrong == NONE else "1")
    page.keyboard.press("Backspace")
    assert page.locator("#picture").get_attribute("src") == first
    for strange in ("9", "x", "5"):
        page.keyboard.press(strange)
    assert page.locator("#count").text_content() == "Picture 1 of 15"
    answer_all(page, truth.__getitem__, keyboard=True)
    page.keyboard.press("Backspace")
    assert page.locator("#task").is_visible()
    page.keyboard.press("0")
    key = Key.read(study / "key.json")
    answers = read_answers(saved(page, tmp_path), key)
    right = [answers.choice[name] == person for name, person in key.truth.items()]
    assert len(right) == 15 and right.count(False) <= 1


def test_the_page_fits_a_phone(browser: Any, study: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 700}, has_touch=True)
    opened = context.new_page()
    opened.goto((study / "study.html").as_uri())
    begin(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    none = opened.locator("#none").bounding_box()
    assert none["height"] >= 44 and none["y"] + none["height"] <= 700, "as easy to choose as others"
    context.close()
