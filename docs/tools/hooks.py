"""What MkDocs calls: files around docs/ that pages link to, diagrams in the page, mathematics."""

import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)[^)#\s]+(?=[)#])")
PICTURE = re.compile(r'<img alt="([^"]*)" src="[^"]*?(diagrams/\w+\.svg)" ?/?>')
NAMES = {"CONTRIBUTING.md": "contributing.md"}  # in the site; others lie in around/


def math(source: str, *_: Any, **__: Any) -> str:
    """MathML of a block of TeX: browsers show it by themselves, no script is needed."""
    return convert(source, display="block")


def linked(path: Path) -> list[Path]:
    """Files of the project that a page links to."""
    targets = [(path.parent / link).resolve() for link in LINK.findall(path.read_text("utf-8"))]
    return [target for target in targets if target.is_file() and target.is_relative_to(ROOT)]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what pages link to outside docs/, and what those pages link to."""
    docs = Path(config.docs_dir).resolve()
    waiting = [docs / file.src_uri for file in files.documentation_pages()]
    waiting += [ROOT / name for name in NAMES]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.is_relative_to(docs):
            inside = path.relative_to(ROOT).as_posix()
            uri = NAMES.get(inside, f"around/{inside}")
            level = InclusionLevel.INCLUDED if inside in NAMES else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, uri, abs_src_path=str(path), inclusion=level))
        if path.suffix == ".md":
            waiting += linked(path)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links name files by where they are in the site."""
    source = Path(str(page.file.abs_src_path))
    uris = {Path(str(file.abs_src_path)).resolve(): file.src_uri for file in files}

    def moved(link: re.Match[str]) -> str:
        uri = uris.get((source.parent / link[0]).resolve())
        return os.path.relpath(uri, os.path.dirname(page.file.src_uri) or ".") if uri else link[0]

    return LINK.sub(moved, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put diagrams into the page itself, where they take its colours, light or dark."""

    def inlined(picture: re.Match[str]) -> str:
        drawn = (Path(config.docs_dir) / picture[2]).read_text("utf-8")
        return drawn.replace("<svg ", f'<svg role="img" aria-label="{picture[1]}" ', 1)

    return PICTURE.sub(inlined, html)
