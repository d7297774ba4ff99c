"""The built site: complete, drawn from the code as it is, and sufficient to itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.tools import architecture
from tests.docs.conftest import ROOT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it: a broken link or a page that is in no menu fails."""
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return out


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    found = {mark for page in pages for mark in FETCHED.findall(page.read_text("utf-8"))}
    assert found == set()
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", style.read_text("utf-8")), style


def test_diagrams_and_mathematics_are_in_the_page(site: Path) -> None:
    page = (site / "how-it-works.html").read_text("utf-8")
    assert page.count('<svg role="img" aria-label=') == 2
    assert page.count("<math ") == 2
    assert "fl_crafter" in (site / "architecture.html").read_text("utf-8")


def test_docstrings_are_in_the_api(site: Path) -> None:
    page = (site / "api.html").read_text("utf-8")
    assert "Features to release instead of" in page
    assert 'id="fl_crafter.flower.CrafterMod"' in page


def test_the_architecture_is_drawn_from_the_imports() -> None:
    assert architecture.DRAWING.read_text("utf-8") == architecture.draw(), (
        "imports have changed; run python -m docs.tools.architecture"
    )


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_a_browser_finds_everything_in_the_folder(site: Path) -> None:
    """Opened as a file: nothing is asked of the network, and the search finds a page."""
    playwright: Any = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, chromium_sandbox=False)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: asked.append(str(error)))
        for name in ("quick-start", "how-it-works", "api"):
            page.goto((site / f"{name}.html").as_uri())
        page.locator("input.md-search__input").fill("hypergradient")
        page.locator(".md-search-result__link").first.wait_for()
        assert "glossary" in page.locator(".md-search-result").inner_html()
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
