"""What the evaluator knows of the private people before it sees a reconstruction."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.errors import InputError
from fl_crafter.evaluation.bootstrap import Resampling, rate_interval
from fl_crafter.evaluation.evaluator import Evaluator
from fl_crafter.evaluation.metrics import Gallery, build_gallery, chance, named, ranks
from fl_crafter.evaluation.record import Chance, Identification
from fl_crafter.faces.record import Faces, Role


@dataclass(frozen=True)
class PrivateTruth:
    """The test photographs, where their faces are, and the gallery of everybody who is asked for.

    Attributes:
        faces: the whole dataset that the run was made on.
        gallery: from the raw `eval_train` photographs.
        test: positions in `faces` of the `eval_test` photographs, rising.
        landmarks: of each test photograph, as the evaluator finds them.
        embedding: of each raw test photograph.
    """

    faces: Faces
    gallery: Gallery
    test: Int64[Tensor, " tests"]
    landmarks: Float[Tensor, "tests points 2"]
    embedding: Float[Tensor, "tests dimensions"]

    @property
    def identity(self) -> Int64[Tensor, " tests"]:
        """Who is on each test photograph."""
        return self.faces.identity[self.test]

    def place(self, position: Int64[Tensor, " count"]) -> Int64[Tensor, " count"]:
        """Which of the test photographs the photographs at these positions of `faces` are.

        Raises:
            InputError: one is no test photograph.
        """
        place = torch.searchsorted(self.test, position).clamp(max=len(self.test) - 1)
        wrong = (self.test[place] != position).nonzero().flatten()
        if len(wrong):
            raise InputError(
                f"photograph {int(position[wrong[0]])} of {self.faces.name} was sent for "
                "evaluation but is no eval_test photograph; take the data and the seed of the run."
            )
        return place

    def raw_identification(self, *, how: Resampling) -> Identification:
        """Identification of the raw photographs: the most that any attack could reach."""
        rank, column = ranks(self.embedding, self.gallery), self.gallery.column(self.identity)
        return identification(rank, column, self.identity, how=how)


def prepare_truth(faces: Faces, *, evaluator: Evaluator) -> PrivateTruth:
    """Look at the raw private photographs, once for all defences and attacks.

    Args:
        faces: the whole dataset, as the run used it: the ledger counts its positions.
        evaluator: the judge.

    Raises:
        InputError: a private person lacks training or test photographs, or there are fewer than
            two.
    """
    roles = faces.role
    train, test = (
        torch.tensor([i for i, own in enumerate(roles) if own == role], dtype=torch.int64)
        for role in (Role.EVAL_TRAIN, Role.EVAL_TEST)
    )
    people = set(faces.identity[train].tolist())
    odd = people.symmetric_difference(faces.identity[test].tolist())
    if odd or len(people) < 2:
        reason = f"person {min(odd)} lacks one of them" if odd else f"there are {len(people)}"
        raise InputError(
            f"{faces.name}: identification takes two or more private people with eval_train and "
            f"eval_test photographs each, but {reason}; split the data anew."
        )
    landmarks = evaluator.landmarks(faces.image[test])
    return PrivateTruth(
        faces=faces,
        gallery=build_gallery(evaluator.embed(faces.image[train]), faces.identity[train]),
        test=test,
        landmarks=landmarks,
        embedding=evaluator.embed(faces.image[test], landmarks=landmarks),
    )


def identification(
    rank: Int64[Tensor, "count people"],
    column: Int64[Tensor, " count"],
    identity: Int64[Tensor, " count"],
    *,
    how: Resampling,
) -> Identification:
    """Shares of images whose person is among the first one and five, with intervals and chance.

    Args:
        rank: each person's rank for each image.
        column: the true person's place in the gallery.
        identity: the true person's number.
        how: number of resamples and seed.
    """
    first, five = (named(rank, column, within=within) for within in (1, 5))
    return Identification(
        top1=float(first.double().mean()),
        top5=float(five.double().mean()),
        interval=rate_interval(first, identity, how=how),
        interval_top5=rate_interval(five, identity, how=how),
        chance=Chance(top1=chance(rank, column, within=1), top5=chance(rank, column, within=5)),
    )
