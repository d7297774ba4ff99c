"""`fl-crafter doctor`: it finds what is missing, says what mends it, and exits by it."""

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from fl_crafter import assets
from fl_crafter.cli import doctor
from fl_crafter.errors import InputError


def by_name(result: Result) -> dict[str, Any]:
    return {each["about"]: each for each in json.loads(result.stdout)["findings"]}


def test_a_whole_installation_can_run_the_demo(run: Callable[..., Result]) -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "5 files, all whole" in result.output and "400 photographs" in result.output
    assert result.output.strip().endswith("The demo can run: fl-crafter demo")


def test_what_is_missing_has_its_command(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("flwr", "matplotlib"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "numpy" else whole(name)

    def broken(name: str = "decoder") -> None:
        raise InputError(f"{name} is cut short.")

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(assets, "load_decoder", broken)
    result = run("doctor", "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["demo"] is False
    found = by_name(result)
    assert found["[simulation]"]["level"] == "missing"
    assert found["[simulation]"]["mend"].startswith('pip install "fl-crafter[simulation]"')
    assert found["[study]"]["level"] == "note", "the demo draws nothing"
    pinned = doctor.tested_versions()["numpy"]
    assert found["numpy"]["text"] == f"0.0.1; tested with {pinned}"
    assert f"numpy=={pinned}" in found["numpy"]["mend"]
    assert found["weights"]["text"] == "broken: decoder, eavesdropper_decoder"
    assert found["judge"]["level"] == found["faces"]["level"] == "ok"


def test_the_tested_versions_are_those_of_the_constraints() -> None:
    path = doctor.constraints_path()
    assert path is not None and path.name == "constraints.txt"
    listed = [line for line in Path(path).read_text().splitlines() if "==" in line]
    assert len(doctor.tested_versions()) == len(listed)
