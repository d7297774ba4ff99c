"""The README keeps its word: its targets, links and tables; tests/docs runs its snippets."""

import re
import tomllib
from pathlib import Path

from fl_crafter.faces.open import DATASETS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b(?=`|\s+#)", TEXT))
    assert {"demo", "test", "lint"} <= named <= targets


def test_links_and_paths_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    layout = TEXT.split("## Layout")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", layout, re.MULTILINE)
    paths = []
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        paths += [first, *(f"{Path(first).parent}/{other}" for other in others)]
    missing = [path for path in [*links, *paths] if not (ROOT / path).exists()]
    assert paths
    assert missing == []


def test_datasets_are_those_that_open() -> None:
    data = TEXT.split("## Data")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", data, re.MULTILINE)) == DATASETS


def test_extras_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = TEXT.split("| extra | adds |")[1].split("\n\n")[0]
    named = set(
        re.findall(r"`([a-z]+)`", "\n".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE)))
    )
    assert named == set(project["optional-dependencies"])
