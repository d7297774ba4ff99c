"""The pages keep their word: what they show runs, and every command they name is one."""

import importlib.util
import os
import re
import shlex
import shutil
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from typer.testing import CliRunner

from fl_crafter.assets import load_encoder
from fl_crafter.attacks import suite
from fl_crafter.cli.main import app
from fl_crafter.study.knowledge import attacker_knowledge
from simulations.__main__ import app as simulations_app
from tests.docs.conftest import PAGES, ROOT, name_of

PLAIN = {"cd", "chmod", "export", "git", "flower-superlink", "flower-supernode", "ray"}


def parts(page: Path, *parsers: Any, given: dict[str, Any] | None = None) -> list[Example]:
    """The blocks of a page that these parsers find, one namespace for all of them."""
    found = Sybil(parsers=list(parsers), document_types={".md": Document}).parse(page)
    found.namespace.update(given or {})
    return list(found.examples())


def with_block(*languages: str) -> list[Path]:
    marks = tuple(f"\n```{language}\n" for language in languages)
    return [page for page in PAGES if any(mark in page.read_text("utf-8") for mark in marks)]


# python


def an_attackers() -> dict[str, Any]:
    """What docs/attacks.md supposes: two features that crossed the wire, and knowledge."""
    random = torch.Generator().manual_seed(0)
    knowledge = attacker_knowledge(torch.zeros(0, 3, 64, 64), drawn=16, random=random)
    with torch.no_grad():
        feature = load_encoder().encoder(knowledge.public_image[:2])
    return {"feature": feature, "knowledge": knowledge, "random": random}


GIVEN = {"docs/attacks.md": an_attackers}


@pytest.mark.parametrize("page", with_block("python"), ids=name_of)
def test_python_runs(page: Path, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "_cpu", suite._smoke)  # every attack, at toy size
    given = GIVEN.get(name_of(page), dict)()
    for example in parts(page, PythonCodeBlockParser(), given=given):
        example.evaluate()


# shell


@cache
def flwr_app() -> typer.Typer:
    from flwr.cli.app import app as flower

    return flower


def parse(application: typer.Typer, name: str, arguments: list[str]) -> None:
    """Parse with the real command line, down to the last sub-command, and run nothing."""
    command: Any = typer.main.get_command(application)
    while hasattr(command, "commands") and arguments != ["--help"]:
        name, *arguments = arguments
        assert name in command.commands, name
        command = command.commands[name]
    command.make_context(name, arguments, resilient_parsing="--help" in arguments)


def check_command(words: list[str]) -> None:
    """Refuse what is no command of ours or of Flower, or has options that are none of its own."""
    while "=" in words[0] and words[0].partition("=")[0].isupper():
        words = words[1:]
    name, *arguments = words
    if name == "fl-crafter":
        parse(app, name, arguments)
    elif name == "flwr":
        with warnings.catch_warnings():  # of what Flower asks of typer
            warnings.simplefilter("ignore", DeprecationWarning)
            parse(flwr_app(), name, arguments)
    elif words[:3] == ["python", "-m", "simulations"]:
        parse(simulations_app, "simulations", words[3:])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None, words
    elif name == "make":
        makefile = (ROOT / "Makefile").read_text("utf-8")
        targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
        assert {word for word in arguments if "=" not in word} <= targets, words
    elif name == "pip":
        check_install(arguments)
    elif name == "python3":
        assert arguments[:2] == ["-m", "venv"], words
    else:
        assert name in PLAIN or Path(name).name == "activate" or name == ".", words
        if name.startswith("flower-"):
            assert shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}"), words


def check_install(arguments: list[str]) -> None:
    from tests.test_packaging import PROJECT

    for wanted in re.findall(r"(?:\.|fl-crafter)\[([a-z,]+)\]", " ".join(arguments)):
        assert set(wanted.split(",")) <= set(PROJECT["optional-dependencies"]), arguments


def commands(block: str) -> list[list[str]]:
    """The words of each command of a block, comments left out."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


UNNAMED = re.compile(r"^```\n((?:fl-crafter|make) .*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", with_block("sh"), ids=name_of)
def test_shell_parses(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = [example.parsed for example in parts(page, CodeBlockParser("sh", bool))]
    blocks += UNNAMED.findall(page.read_text("utf-8"))
    assert blocks
    for block in blocks:
        for words in commands(block):
            check_command(words)


TODAYS = [page for page in PAGES if page.parent.name != "results"]  # those name what was run then


@pytest.mark.parametrize("page", TODAYS, ids=name_of)
def test_named_commands_exist(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for name, inner in re.findall(r"`fl-crafter ([a-z]+)(?: ([a-z]+))?", page.read_text("utf-8")):
        assert name in group.commands
        own = getattr(group.commands[name], "commands", {})
        assert not own or not inner or inner in own


PROGRESS = re.compile(r" \d+/\d+ \d:\d\d:\d\d ")


@pytest.mark.parametrize("page", with_block("console"), ids=name_of)
def test_sessions_end_as_shown(page: Path, reader: Path) -> None:
    """A block of a session: commands after `$`, then what they print, word for word."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = session.partition("\n")
            name, *arguments = shlex.split(command)
            application = app
            if name == "python":
                assert arguments[:2] == ["-m", "simulations"]
                application, arguments = simulations_app, arguments[2:]
            result = CliRunner().invoke(application, arguments, env={"COLUMNS": "300"})
            assert result.exception is None or isinstance(result.exception, SystemExit)
            output = "".join(
                line for line in result.output.splitlines(True) if not PROGRESS.search(line)
            )
            assert output.replace(str(reader), "...").strip() == shown.strip()
