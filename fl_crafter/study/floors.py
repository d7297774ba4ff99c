"""Floors: what pictures name that see nothing of the feature. Privacy is judged against them."""

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.evaluate import judge_attack
from fl_crafter.evaluation.record import Identification
from fl_crafter.evaluation.truth import identification
from fl_crafter.faces.record import Role
from fl_crafter.study.bench import Bench

LIKE_LABELLED = 16


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

    `average_face` is the mean of all public photographs, `random_face` one of them, and
    `same_labels` the mean of those whose labels differ least from the photograph's own.
    """
    public = bench.faces.with_role(Role.PUBLIC)
    count = len(bench.test)
    drawn = torch.randint(len(public), (count,), generator=torch.Generator().manual_seed(0))
    labels = bench.faces.attributes[bench.test].nan_to_num(0.5)
    nearest = torch.cdist(labels, public.attributes.nan_to_num(0.5), p=1).topk(
        min(LIKE_LABELLED, len(public)), largest=False
    )
    return {
        "average_face": public.image.mean(0).expand(count, -1, -1, -1).clone(),
        "random_face": public.image[drawn],
        "same_labels": torch.stack([public.image[own].mean(0) for own in nearest.indices]),
    }
