"""Floors: what pictures name that see nothing of the feature. Privacy is judged against them."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.floors import AttributeMeanFace, AverageFace
from fl_crafter.attacks.queries import QueryMemory
from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.evaluate import judge_attack
from fl_crafter.evaluation.record import Identification
from fl_crafter.evaluation.truth import identification
from fl_crafter.study.bench import Bench


def floors(bench: Bench) -> dict[str, dict[str, Identification]]:
    """By evaluator: what the average face, a random one and one of the same labels name."""
    pictures = floor_pictures(bench)
    found: dict[str, dict[str, Identification]] = {}
    for name, evaluator in bench.evaluators.items():
        truth = bench.truth[name]
        column, place = truth.gallery.column(truth.identity), torch.arange(len(truth.test))
        found[name] = {
            floor: identification(
                judge_attack(image, place, truth=truth, evaluator=evaluator).rank,
                column,
                truth.identity,
                how=Resampling(),
            )
            for floor, image in pictures.items()
        }
    return found


def floor_pictures(bench: Bench) -> dict[str, Float[Tensor, "count 3 height width"]]:
    """One public picture for each test photograph, of each kind.

    `average_face` is the mean of all public photographs, `attribute_mean_face` that of those whose
    labels differ least from the photograph's own (left out where none has any), and `random_face`
    is any of them.
    """
    random = torch.Generator().manual_seed(0)
    count, public = len(bench.test), bench.knowledge.public_image
    knowledge = dataclasses.replace(
        bench.knowledge, labels=bench.faces.attributes[bench.test], memory=QueryMemory()
    )
    blind = torch.zeros(count, *bench.public_feature.shape[1:])
    pictures = {
        floor.name: floor.reconstruct(blind, knowledge, random=random).image
        for floor in (AverageFace(), AttributeMeanFace())
        if floor.applies(knowledge)
    }
    drawn = torch.randint(len(public), (count,), generator=random)
    return pictures | {"random_face": public[drawn]}
