"""A small world with planted identities, and a judge that can see them without any network."""

from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fl_crafter.evaluation import Evaluator, Ledger, Predictions, PrivateTruth, prepare_truth
from fl_crafter.faces.record import Faces, Role
from fl_crafter.transcript import Transcript

PEOPLE, TRAIN, TEST, SIDE = 8, 2, 3, 16


class PatternEvaluator(Evaluator):
    """Embeds an image by its pixels; sees a face only where there is contrast."""

    name = "pattern"

    def landmarks(self, image: Float[Tensor, "count 3 height width"]) -> Float[Tensor, "count 1 2"]:
        place = torch.full((len(image), 1, 2), 0.5)
        place[image.flatten(1).std(1) < 1e-6] = float("nan")
        return place

    def embed(
        self,
        image: Float[Tensor, "count 3 height width"],
        *,
        landmarks: Float[Tensor, "count 1 2"] | None = None,
    ) -> Float[Tensor, "count dimensions"]:
        return functional.normalize(image.flatten(1) - 0.5, dim=1)


def planted_faces() -> Faces:
    """People with a pattern each, and noise on each photograph; one of them is public."""
    random = torch.Generator().manual_seed(3)
    image, identity, role = [], [], []
    for person in range(PEOPLE):
        pattern = torch.rand(3, SIDE, SIDE, generator=random)
        for photo in range(TRAIN + TEST):
            noise = torch.rand(3, SIDE, SIDE, generator=random)
            image.append(0.8 * pattern + 0.2 * noise)
            identity.append(100 + 7 * person)
            role.append(Role.EVAL_TRAIN if photo < TRAIN else Role.EVAL_TEST)
    image.append(torch.rand(3, SIDE, SIDE, generator=random))
    identity.append(5)
    role.append(Role.PUBLIC)
    attributes = torch.randint(2, (len(image), 3), generator=random).float()
    attributes[:, 2] = 1  # one class only
    return Faces(
        name="planted",
        image=torch.stack(image),
        identity=torch.tensor(identity),
        attributes=attributes,
        attribute_names=("even", "odd", "constant"),
        role=tuple(role),
    )


@dataclass(frozen=True)
class World:
    """A finished run: what crossed the wire, and what each row shows."""

    faces: Faces
    truth: PrivateTruth
    evaluator: PatternEvaluator
    ledger: Ledger
    transcript: Transcript
    position: Tensor
    predictions: Predictions


@pytest.fixture(scope="session")
def world() -> World:
    """Two clients; each sent one training and one evaluation message, rows shuffled."""
    random = torch.Generator().manual_seed(5)
    faces, evaluator = planted_faces(), PatternEvaluator()
    index, rows = {}, []
    for client in range(2):
        for purpose, role in enumerate((Role.EVAL_TRAIN, Role.EVAL_TEST)):
            own = [
                i
                for i, (each, person) in enumerate(
                    zip(faces.role, faces.identity.tolist(), strict=True)
                )
                if each == role and (person - 100) // 7 % 2 == client
            ]
            shuffled = torch.tensor(own)[torch.randperm(len(own), generator=random)]
            index[client, 1, purpose] = shuffled
            rows += [(client, 1, purpose, row) for row in range(len(own))]
    # the tap may see messages, and so rows, in any order
    rows = [rows[i] for i in torch.randperm(len(rows), generator=random)]
    client, round_, purpose, row = torch.tensor(rows).T.contiguous()
    position = torch.tensor([int(index[c, r, p][n]) for c, r, p, n in rows])
    transcript = Transcript(
        feature=torch.zeros(len(rows), 1, 1, 1),
        labels=faces.attributes[position],
        client=client,
        round=round_,
        purpose=purpose,
        row=row,
    )
    test = purpose == 1
    score = faces.attributes[position[test]] + 0.1 * torch.randn(
        int(test.sum()), 3, generator=random
    )
    return World(
        faces=faces,
        truth=prepare_truth(faces, evaluator=evaluator),
        evaluator=evaluator,
        ledger=Ledger(index),
        transcript=transcript,
        position=position,
        predictions=Predictions(score, client[test], round_[test], row[test]),
    )
