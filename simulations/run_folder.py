"""The files of one run: who writes what, under which name, always whole or not at all.

    transcript.safetensors   the tap's record                                (server)
    cloud.safetensors        the trained cloud model                         (server)
    predictions.safetensors  its probabilities for the evaluation features   (server)
    server.json              rounds, utility per attribute                   (server)
    truth/*.json             which photograph each row of a message shows    (client, for itself)
    crafting/*.json          what the defence reported, and what was withheld  (client, for itself)
    checks/*.json            a deployment's predictions: the agreed model's?  (client, for itself)
    failures/*.json          what went wrong, if anything did                (whom it happened to)
    outcome.json             a deployment's utility, by the clients' own labels  (launcher)
    state/                   the server's features and checkpoint, and what the tap heard, until the
                             run ends                                        (server)
    config.json              the configuration, versions, seconds            (launcher)
    flower.log               all that Flower and Ray said                    (launcher)

`truth`, `crafting` and the text of `failures` never cross the wire: a simulation joins them to the
transcript afterwards, by client, round, purpose and row.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fl_crafter.errors import InputError
from fl_crafter.files import write_text
from fl_crafter.transcript import Purpose

TRANSCRIPT, CLOUD, PREDICTIONS = (
    "transcript.safetensors",
    "cloud.safetensors",
    "predictions.safetensors",
)
SERVER, OUTCOME, CONFIG = "server.json", "outcome.json", "config.json"
TRUTH, CRAFTING, CHECKS, FAILURES = "truth", "crafting", "checks", "failures"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object through a temporary file; nan becomes null."""
    text = json.dumps(_plain(content), indent=2, allow_nan=False)
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def message_file(folder: Path, kind: str, *, client: int, round: int, purpose: Purpose) -> Path:
    """Where a client notes something about one of its messages; `kind` is a sub-folder."""
    name = f"client-{client:04d}-round-{round:04d}-{purpose.name.lower()}.json"
    return folder / kind / name


def write_failure(folder: Path, who: str, error: Exception) -> None:
    """Note, locally, what stopped somebody."""
    content = {
        "who": who,
        "error": type(error).__name__,
        "sentence": str(error),
        "input": isinstance(error, InputError),
    }
    write_json(folder / FAILURES / f"{who}.json", content)


def read_failures(folder: Path) -> Iterator[dict[str, Any]]:
    """All failures noted in a run folder, the server's first."""
    notes = sorted((folder / FAILURES).glob("*.json"), key=lambda p: (p.stem != "server", p.stem))
    for path in notes:
        yield json.loads(path.read_text(encoding="utf-8"))
