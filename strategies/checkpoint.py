"""Where a run stands after each round, so that a killed server goes on from there."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fl_crafter.errors import InputError
from fl_crafter.training.loop import read_metadata, write_safetensors
from strategies.feature_sharing import RoundRecord
from strategies.utility import AttributeUtility

FORMAT = "fl-crafter federation"


def save_checkpoint(
    path: Path,
    cloud: nn.Module,
    rounds: Sequence[RoundRecord],
    *,
    random: torch.Generator,
    settings: str,
) -> None:
    """Store the state after a round; the file of the round before is replaced at once.

    Args:
        path: of the safetensors file.
        cloud: the cloud model.
        rounds: all rounds so far, each finished.
        random: of the strategy.
        settings: of the run; a checkpoint made with others is refused.
    """
    tensors = {f"cloud/{name}": value for name, value in cloud.state_dict().items()}
    tensors["random"] = random.get_state()
    records = [dataclasses.asdict(record) for record in rounds]
    metadata = {"format": FORMAT, "settings": _digest(settings), "rounds": json.dumps(records)}
    write_safetensors(path, tensors, metadata=metadata)


def load_checkpoint(
    path: Path, cloud: nn.Module, *, random: torch.Generator, settings: str
) -> list[RoundRecord]:
    """Bring the cloud model and the generator back, in place; returns the finished rounds.

    Raises:
        InputError: the file is broken, or of a run with other settings.
    """
    if not path.is_file():
        return []
    try:
        metadata, tensors = read_metadata(path), load_file(path)
        if metadata["format"] != FORMAT:
            raise ValueError("another format")
        if metadata["settings"] != _digest(settings):
            raise InputError(
                f"{path} is of a run with other settings; remove it to begin anew, or resume with "
                "the settings of that run."
            )
        prefix = "cloud/"
        cloud.load_state_dict(
            {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        )
        random.set_state(tensors["random"])
        return [_record(stored) for stored in json.loads(metadata["rounds"])]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no checkpoint; remove it to begin anew.") from error


def _record(stored: dict[str, object]) -> RoundRecord:
    utility = stored.pop("utility")
    assert isinstance(utility, dict)
    known = AttributeUtility(utility["auc"], tuple(utility["skipped"]))
    return RoundRecord(**stored, utility=known)  # type: ignore[arg-type]


def _digest(settings: str) -> str:
    return hashlib.sha256(settings.encode()).hexdigest()
