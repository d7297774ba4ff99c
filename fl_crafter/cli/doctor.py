"""`fl-crafter doctor`: what is installed, what will be used, what is missing and what mends it."""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from json import dumps
from pathlib import Path

import typer

from fl_crafter.cli.options import JsonOption
from fl_crafter.errors import InputError

SHOWN = ("simulation", "evaluation", "demo", "study", "dlib")
NEEDED = ("simulation", "evaluation", "demo")  # by the demo
NAME = re.compile(r"^[A-Za-z0-9._-]+")
EXTRA = re.compile(r"extra == ['\"]([a-z]+)['\"]")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what it is.
        level: `ok`, `note` (may matter), or `missing` (the demo cannot run).
        text: what was found.
        mend: the command that mends it; empty where nothing has to be mended.
    """

    about: str
    level: str
    text: str
    mend: str = ""


def doctor(json: JsonOption = False) -> None:
    """Say what is installed, which device is used, and which command mends what is missing.

    Ends with exit code 1 if the demo cannot run.
    """
    findings = [_python(), *_extras(), *_versions(), *_device(), *_weights(), _photographs()]
    missing = [each for each in findings if each.level == "missing"]
    if json:
        content = {"demo": not missing, "findings": [asdict(each) for each in findings]}
        typer.echo(dumps(content, indent=1))
    else:
        for each in findings:
            typer.echo(f"{each.level:8}{each.about:14}{each.text}")
            if each.mend:
                typer.echo(f"{'':22}{each.mend}")
        typer.echo(
            f"The demo cannot run: {len(missing)} missing."
            if missing
            else "The demo can run: fl-crafter demo"
        )
    if missing:
        raise typer.Exit(1)


def tested_versions() -> dict[str, str]:
    """The versions that were tested together, by normalised name; empty if the list is not there.

    A wheel holds the list beside the package; a checkout above it.
    """
    pins = {}
    path = constraints_path()
    for line in path.read_text(encoding="utf-8").splitlines() if path else ():
        name, separator, pinned = line.partition("==")
        if separator and not line.startswith("#"):
            pins[_normalised(name)] = pinned.strip()
    return pins


def constraints_path() -> Path | None:
    """Where the list of tested versions is."""
    package = Path(__file__).parents[1]
    candidates = (package / "constraints.txt", package.parent / "constraints.txt")
    return next((path for path in candidates if path.is_file()), None)


def _install(*names: str) -> str:
    path = constraints_path()
    constraint = f' --constraint "{path}"' if path else ""
    return f"pip install {' '.join(names)}{constraint}"


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.machine()}")


def _requirements() -> dict[str, list[str]]:
    """Names of the distributions that each extra asks for; those of none under an empty name."""
    found: dict[str, list[str]] = {}
    for line in requires("fl-crafter") or ():
        name, extra = NAME.match(line), EXTRA.search(line)
        if name and _normalised(name[0]) != "fl-crafter":
            found.setdefault(extra[1] if extra else "", []).append(_normalised(name[0]))
    return found


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _extras() -> list[Finding]:
    try:
        own, requirements = version("fl-crafter"), _requirements()
    except PackageNotFoundError:
        return [
            Finding("fl-crafter", "missing", "is not installed", 'pip install --editable ".[demo]"')
        ]
    findings = [Finding("fl-crafter", "ok", own)]
    for extra in SHOWN:
        lacking = [name for name in requirements.get(extra, []) if _installed(name) is None]
        if not lacking:
            findings.append(Finding(f"[{extra}]", "ok", "installed"))
            continue
        level = "missing" if extra in NEEDED else "note"
        text = f"lacks {', '.join(lacking)}"
        findings.append(Finding(f"[{extra}]", level, text, _install(f'"fl-crafter[{extra}]"')))
    return findings


def _versions() -> list[Finding]:
    """Packages of which another version is installed than was tested."""
    tested = tested_versions()
    if not tested:
        return [Finding("versions", "note", "the list of tested versions is not there")]
    other = {}
    for name, pinned in tested.items():
        found = _installed(name)
        # a local version, such as +cpu, is the same code built otherwise
        if found is not None and found.partition("+")[0] != pinned:
            other[name] = (found, pinned)
    if not other:
        return [Finding("versions", "ok", "all installed packages are those that were tested")]
    return [
        Finding(name, "note", f"{found}; tested with {pinned}", _install(f"{name}=={pinned}"))
        for name, (found, pinned) in other.items()
    ]


def _device() -> list[Finding]:
    import torch

    count = os.cpu_count() or 1
    found = [Finding("processors", "ok", f"{count}; Ray gives each client one")]
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        where = f"cuda: {torch.cuda.get_device_name()}, {memory:.0f} GiB"
        return [*found, Finding("device", "ok", f"{where}; the demo uses it")]
    return [*found, Finding("device", "ok", f"cpu, {torch.get_num_threads()} threads; no GPU seen")]


def _weights() -> list[Finding]:
    """Whether the shipped weights, and those of the networks that judge, can be loaded."""
    from fl_crafter import assets

    loaders: dict[str, Callable[[], object]] = {
        "encoder": assets.load_encoder,
        "generator": assets.load_generator,
        "amortiser": assets.load_amortiser,
        "decoder": assets.load_decoder,
        "eavesdropper_decoder": lambda: assets.load_decoder("eavesdropper_decoder"),
    }
    broken = []
    for name, load in loaders.items():
        try:
            load()
        except InputError:
            broken.append(name)
    again = _install("--force-reinstall", "--no-deps", "fl-crafter")
    if broken:
        return [Finding("weights", "missing", f"broken: {', '.join(broken)}", again), *_judge()]
    return [Finding("weights", "ok", f"{len(loaders)} files, all whole"), *_judge()]


def _judge() -> list[Finding]:
    mend = _install('"fl-crafter[evaluation]"')
    try:
        from fl_crafter.evaluation.evaluator import SFaceEvaluator

        SFaceEvaluator()
    except ImportError as error:
        return [Finding("judge", "missing", f"{error.name} is not installed", mend)]
    except InputError as error:
        return [Finding("judge", "missing", str(error), mend)]
    return [Finding("judge", "ok", "the networks that judge reconstructions can be loaded")]


def _photographs() -> Finding:
    from fl_crafter.faces.orl import list_orl

    try:
        count = len(list_orl(None).photos)
    except InputError as error:
        return Finding("faces", "missing", str(error), _install('"fl-crafter[demo]"'))
    return Finding("faces", "ok", f"{count} photographs of the ORL faces, for the demo")
