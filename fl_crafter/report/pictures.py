"""The faces that a report shows: raw photographs beside what each attack made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.evaluation import Evaluation, PrivateTruth
from fl_crafter.picture import as_bytes
from fl_crafter.tensor_files import write_safetensors

Shown = tuple[str, str]  # defence, attack
RAW, RECONSTRUCTION, NAMED = "raw", "reconstruction", "named"


@dataclass(frozen=True)
class Pictures:
    """Private photographs and their reconstructions, one row per photograph.

    Attributes:
        raw: the photographs, `[count, 3, size, size]`, bytes.
        reconstruction: by defence and attack, in the same order and form.
        named: by defence and attack, whether the evaluator names the right person; may be empty.
    """

    raw: UInt8[Tensor, "count 3 size size"]
    reconstruction: Mapping[Shown, UInt8[Tensor, "_ 3 _ _"]]
    named: Mapping[Shown, Bool[Tensor, "..."]]

    def __post_init__(self) -> None:
        for shown, image in self.reconstruction.items():
            if image.shape != self.raw.shape:
                raise ValueError(f"{shown} shows {tuple(image.shape)}, raw {tuple(self.raw.shape)}")
        for shown, named in self.named.items():
            if shown not in self.reconstruction or len(named) != len(self.raw):
                raise ValueError(f"{shown} is named {len(named)} times but not shown so")

    def save(self, path: Path) -> None:
        """Write one safetensors file, through a temporary file beside it."""
        tensors = {RAW: self.raw}
        for (defence, attack), image in self.reconstruction.items():
            tensors[f"{RECONSTRUCTION}/{defence}/{attack}"] = image
        for (defence, attack), named in self.named.items():
            tensors[f"{NAMED}/{defence}/{attack}"] = named
        write_safetensors(path, tensors, metadata={"format": "fl-crafter pictures"})

    @staticmethod
    def load(path: Path) -> "Pictures":
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, or it holds no pictures.
        """
        try:
            tensors = load_file(path)
            kinds: dict[str, dict[Shown, Tensor]] = {RECONSTRUCTION: {}, NAMED: {}}
            raw = tensors.pop(RAW)
            for key, tensor in tensors.items():
                kind, defence, attack = key.split("/")
                kinds[kind][defence, attack] = tensor
            return Pictures(raw, kinds[RECONSTRUCTION], kinds[NAMED])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path} holds no pictures of a run; name the file that the run wrote."
            ) from error


def choose_pictures(
    evaluations: Mapping[str, Evaluation], *, truth: PrivateTruth, people: int = 10
) -> Pictures:
    """The first judged test photograph of each of the first people, whatever became of it.

    Args:
        evaluations: by defence.
        truth: that the evaluations were made with.
        people: how many to show.

    Raises:
        InputError: no test photograph was judged under every defence.
    """
    common = set(range(len(truth.test)))
    for evaluation in evaluations.values():
        common &= set(evaluation.place.tolist())
    first: dict[int, int] = {}
    for place in sorted(common):
        first.setdefault(int(truth.identity[place]), place)
    chosen = [first[person] for person in sorted(first)][:people]
    if not chosen:
        raise InputError("no test photograph was judged under every defence; run them all again.")
    reconstruction: dict[Shown, Tensor] = {}
    named: dict[Shown, Tensor] = {}
    for defence, evaluation in evaluations.items():
        places = evaluation.place.tolist()
        row = torch.tensor([places.index(place) for place in chosen])
        for attack, judgement in evaluation.attacks.items():
            reconstruction[defence, attack] = as_bytes(judgement.image[row])
            named[defence, attack] = evaluation.named(attack)[row]
    return Pictures(as_bytes(truth.faces.image[truth.test[chosen]]), reconstruction, named)
