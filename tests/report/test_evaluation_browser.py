"""The evaluation's page in a real browser: keyboard, both colour schemes, nothing asked for."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fl_crafter.report import Pictures
from fl_crafter.report.evaluation_page import write_evaluation_page
from tests.browser import browser, needs_browser
from tests.report.test_evaluation_page import results

__all__ = ["browser"]
pytestmark = needs_browser


def picture(point: str, shade: int) -> Pictures:
    raw = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    key = (point, "adaptive_decoder")
    return Pictures(raw, {key: torch.full_like(raw, shade)}, {key: torch.tensor([True, False])})


def visible(page: Any) -> list[str]:
    return page.locator(".reading h3:visible").all_inner_texts()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_arrow_keys_change_the_setting(
    scheme: str, width: int, browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    shown = {name: picture(name, shade) for name, shade in (("none", 10), ("crafter-0.1", 90))}
    write_evaluation_page(results(reliable=False), shown, path)
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page, wrong = context.new_page(), []
    page.on("request", lambda request: wrong.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(path.as_uri())
    assert visible(page) == ["No defence"], "what gives most away comes first"
    page.locator("#setting-0").focus()
    faces = page.locator(".couples img:visible")
    before = [faces.nth(i).get_attribute("src") for i in range(faces.count())]
    page.keyboard.press("ArrowRight")
    assert visible(page) == ["Crafter, utility weight 0.1"]
    after = [faces.nth(i).get_attribute("src") for i in range(faces.count())]
    assert before[::2] == after[::2] and before[1::2] != after[1::2], "the photographs stay"
    page.keyboard.press("ArrowRight")
    assert visible(page) == ["Crafter, utility weight 10"]
    assert "it does not." in page.locator(".reading:visible .doubts").inner_text()
    page.locator("label[for=setting-0]").click()
    assert visible(page) == ["No defence"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, background[4:-1].split(","))) > 3 * 128
    assert light == (scheme == "light")
    assert [each for each in wrong if not each.startswith(("file:", "data:"))] == []
    context.close()
