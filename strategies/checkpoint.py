"""Where a run stands after each round, so that a killed server goes on from there."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fl_crafter.errors import InputError
from fl_crafter.tensor_files import read_metadata, write_safetensors
from strategies.feature_sharing import RoundRecord
from strategies.intake import Admitted
from strategies.utility import AttributeUtility

FORMAT = "fl-crafter federation"
DIGEST = 32  # bytes


def save_checkpoint(
    path: Path,
    cloud: nn.Module,
    rounds: Sequence[RoundRecord],
    *,
    random: torch.Generator,
    admitted: Admitted,
    settings: Mapping[str, object],
) -> None:
    """Store the state after a round; the file of the round before is replaced at once.

    Args:
        path: of the safetensors file.
        cloud: the cloud model.
        rounds: all rounds so far, each finished.
        random: of the strategy.
        admitted: what clients have sent in these rounds.
        settings: of the run, by name; a checkpoint made with others is refused.
    """
    tensors = {f"cloud/{name}": value for name, value in cloud.state_dict().items()}
    tensors["random"] = random.get_state()
    digests = np.frombuffer(b"".join(sorted(admitted.digests)), dtype=np.uint8)
    tensors["admitted"] = torch.from_numpy(digests.copy())
    records = [dataclasses.asdict(record) for record in rounds]
    metadata = {
        "format": FORMAT,
        "settings": json.dumps(_texts(settings)),
        "rows": json.dumps(admitted.rows),
        "rounds": json.dumps(records),
    }
    write_safetensors(path, tensors, metadata=metadata)


def load_checkpoint(
    path: Path, cloud: nn.Module, *, random: torch.Generator, settings: Mapping[str, object]
) -> tuple[list[RoundRecord], Admitted]:
    """Bring the cloud model and the generator back, in place.

    Returns:
        The finished rounds, and what clients sent in them.

    Raises:
        InputError: the file is broken, or of a run with other settings.
    """
    if not path.is_file():
        return [], Admitted()
    try:
        metadata, tensors = read_metadata(path), load_file(path)
        if metadata["format"] != FORMAT:
            raise ValueError("another format")
        _check_settings(json.loads(metadata["settings"]), _texts(settings), path)
        prefix = "cloud/"
        cloud.load_state_dict(
            {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        )
        random.set_state(tensors["random"])
        joined = tensors["admitted"].numpy().tobytes()
        digests = {joined[i : i + DIGEST] for i in range(0, len(joined), DIGEST)}
        rows = {int(client): int(rows) for client, rows in json.loads(metadata["rows"]).items()}
        rounds = [_record(stored) for stored in json.loads(metadata["rounds"])]
        return rounds, Admitted(Counter(rows), digests)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is no checkpoint; remove the folder {path.parent} to begin anew."
        ) from error


def _record(stored: dict[str, object]) -> RoundRecord:
    utility = stored.pop("utility")
    assert isinstance(utility, dict)
    known = AttributeUtility(utility["auc"], tuple(utility["skipped"]))
    return RoundRecord(**stored, utility=known)  # type: ignore[arg-type]


def _texts(settings: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items()}


def _check_settings(stored: dict[str, str], settings: dict[str, str], path: Path) -> None:
    other = [name for name in {**stored, **settings} if stored.get(name) != settings.get(name)]
    if other:
        was = ", ".join(f"{name} = {stored.get(name)}" for name in other)
        raise InputError(
            f"{path} is of a run with other settings: {was}; resume with those, or remove the "
            f"folder {path.parent} to begin anew."
        )
