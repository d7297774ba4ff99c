"""What a client has released: no photograph leaves it twice, however it is asked."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from flwr.app import ConfigRecord, Context
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter.tensor_files import write_safetensors
from strategies.requests import EVALUATION_MESSAGE, INFERENCE_MESSAGE, TRAIN_MESSAGE

KINDS = {
    "development": (TRAIN_MESSAGE, EVALUATION_MESSAGE),
    "deployment": (INFERENCE_MESSAGE,),
}
"""Requests for features, by scenario; any other is refused."""

STATE = "released"


class Releases:
    """Photographs that a client has released, so that nobody averages protections of one.

    A photograph is known by its file's SHA-256: under another name or in another size it is the
    same, saved anew it is not.

    Args:
        context: of the client, whose state lasts as long as the run: what a simulation has.
        folder: where a deployed client notes them, a file each, and what it sent, for ever and for
            all runs; two requests at once cannot both claim one. Its owner may empty it.
    """

    def __init__(self, context: Context, folder: Path | None) -> None:
        self.context, self.folder = context, folder

    def fresh(self, photographs: Sequence[str]) -> list[int]:
        """Positions of those that never left, of one that is there twice the first."""
        known = self._known(photographs)
        first = {each: place for place, each in reversed(list(enumerate(photographs)))}
        return [i for i, each in enumerate(photographs) if each not in known and first[each] == i]

    def claim(self, photographs: Sequence[str]) -> bool:
        """Note photographs before anything of them leaves; False if one of them left before."""
        if self.folder is None:
            known = self._all()
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

    def give_back(self, photographs: Iterable[str]) -> None:
        """Forget photographs of which nothing left after all."""
        if self.folder is None:
            self._store(self._all() - set(photographs))
            return
        for each in photographs:
            (self.folder / each).unlink(missing_ok=True)

    def keep(self, request: str, tensors: dict[str, Tensor]) -> None:
        """Note what is about to leave in answer to a request, where there is a folder.

        Raises:
            OSError: it could not be written.
        """
        if self.folder is not None:
            write_safetensors(self._sent(self.folder, request), tensors)

    def kept(self, request: str) -> dict[str, Tensor] | None:
        """What left in answer to the very same request, which tells nothing new a second time."""
        path = None if self.folder is None else self._sent(self.folder, request)
        if path is None or not path.is_file():
            return None
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            return None

    @staticmethod
    def _sent(folder: Path, request: str) -> Path:
        return folder / f"{request}.safetensors"

    def _known(self, photographs: Sequence[str]) -> set[str]:
        if self.folder is None:
            return self._all()
        return {each for each in photographs if (self.folder / each).exists()}

    def _all(self) -> set[str]:
        record = self.context.state.config_records.get(STATE, ConfigRecord())
        known = record.get("photographs", [])
        assert isinstance(known, list)
        return {str(each) for each in known}

    def _store(self, photographs: set[str]) -> None:
        self.context.state[STATE] = ConfigRecord({"photographs": sorted(photographs)})
