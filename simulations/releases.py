"""What a client has released: no photograph leaves it twice, however it is asked."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from flwr.app import ConfigRecord, Context
from jaxtyping import Float
from torch import Tensor

from strategies.requests import EVALUATION_MESSAGE, INFERENCE_MESSAGE, TRAIN_MESSAGE

KINDS = {
    "development": (TRAIN_MESSAGE, EVALUATION_MESSAGE),
    "deployment": (INFERENCE_MESSAGE,),
}
"""Requests for features, by scenario; any other is refused."""

STATE = "released"


def digests(image: Float[Tensor, "count 3 height width"]) -> list[str]:
    """SHA-256 of each photograph's pixels: the same one under another name is the same."""
    return [hashlib.sha256(each.contiguous().numpy().tobytes()).hexdigest() for each in image]


class Releases:
    """Photographs that a client has released, so that nobody averages protections of one.

    Args:
        context: of the client, whose state lasts as long as the run: what a simulation has.
        folder: where a deployed client notes them, a file each, for ever and for all runs; two
            requests at once cannot both claim one. Its owner may empty it.
    """

    def __init__(self, context: Context, folder: Path | None) -> None:
        self.context, self.folder = context, folder

    def claim(self, photographs: Sequence[str]) -> bool:
        """Note photographs before anything is made of them; False if one of them left before."""
        if self.folder is None:
            known = set(self._known())
            if known & set(photographs):
                return False
            self._store(known | set(photographs))
            return True
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken: list[str] = []
        for each in dict.fromkeys(photographs):
            try:
                os.close(os.open(self.folder / each, os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                self.give_back(taken)
                return False
            taken.append(each)
        return True

    def give_back(self, photographs: Sequence[str]) -> None:
        """Forget photographs of which nothing left after all."""
        if self.folder is None:
            self._store(set(self._known()) - set(photographs))
            return
        for each in photographs:
            (self.folder / each).unlink(missing_ok=True)

    def _known(self) -> list[str]:
        record = self.context.state.config_records.get(STATE, ConfigRecord())
        known = record.get("photographs", [])
        assert isinstance(known, list)
        return [str(each) for each in known]

    def _store(self, photographs: set[str]) -> None:
        self.context.state[STATE] = ConfigRecord({"photographs": sorted(photographs)})
