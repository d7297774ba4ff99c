"""The release gate: what still shows a person does not leave."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.defences.gate import ReleaseGate
from fl_crafter.defences.noise import Noise
from fl_crafter.defences.recognition import limit_for
from fl_crafter.defences.substitution import Substitution
from fl_crafter.defences.target import Unseen
from fl_crafter.defences.undefended import Undefended
from tests.defences.contract import DefenceContract
from tests.world import World, seeded


def see(feature: Tensor) -> Tensor:
    return feature


def embed(picture: Tensor) -> Tensor:
    return F.normalize((picture - 0.5).flatten(1), dim=1)


def gate(defence: Defence, limit: float = 0.95) -> ReleaseGate:
    return ReleaseGate(defence, unseen=Unseen(eavesdropper=see, embed=embed, limit=limit))


class TestGateThatLetsPass(DefenceContract):
    def build(self, world: World) -> Defence:
        return gate(Substitution(world.public_feature), limit=1.01)


def test_a_clean_feature_does_not_pass(world: World) -> None:
    result = gate(Undefended()).protect(world.feature, random=seeded())
    assert result.status == Status.IDENTIFIED
    assert result.figures["seen_similarity"] > 0.99


def test_one_person_seen_is_enough(world: World) -> None:
    class AllButOne(Defence):
        name = "all but one"

        def protect(self, feature: Tensor, *, random: torch.Generator):
            result = Noise(world.public_feature, deviation=20.0).protect(feature, random=random)
            result.feature[1] = feature[1]
            return result

    seen = gate(AllButOne()).protect(world.feature, random=seeded())
    assert seen.status == Status.IDENTIFIED
    assert seen.identified is not None
    assert seen.identified.tolist() == [row == 1 for row in range(len(world.feature))]
    hidden = gate(Noise(world.public_feature, deviation=20.0))
    assert hidden.protect(world.feature, random=seeded()).status == Status.OK


def test_a_gate_that_cannot_tell_refuses(world: World) -> None:
    blind = Unseen(
        eavesdropper=see, embed=lambda picture: picture.flatten(1) * float("nan"), limit=0.5
    )
    blinded = ReleaseGate(Undefended(), unseen=blind)
    result = blinded.protect(world.feature, random=seeded())
    assert result.status == Status.IDENTIFIED
    assert result.identified is not None
    assert result.identified.all()


class Seen(Defence):
    """Moves features far, and says that some rows are seen."""

    name = "seen"

    def __init__(self, rows: Tensor | None) -> None:
        self.rows = rows

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected(feature + 5, Status.IDENTIFIED, identified=self.rows)


@pytest.mark.parametrize("row", [0, 1, None])
def test_whom_an_inner_gate_refuses_the_outer_one_does(world: World, row: int | None) -> None:
    count = len(world.feature)
    inner = None if row is None else torch.arange(count) == row
    result = gate(Seen(inner), limit=1.01).protect(world.feature, random=seeded())
    assert result.status == Status.IDENTIFIED and result.identified is not None
    wanted = torch.ones(count, dtype=torch.bool) if inner is None else inner
    assert torch.equal(result.identified, wanted)


def test_the_limit_is_of_strangers_alone() -> None:
    """Ten pictures of each of twenty people, hardly different: their likeness is no false match."""
    random = seeded(3)
    face = torch.rand(20, 3, 4, 4, generator=random)
    person = torch.arange(20).repeat(10)
    picture = face[person] + 0.01 * torch.randn(200, 3, 4, 4, generator=random)

    def limit(whose: Tensor) -> float:
        return limit_for(embed, picture, person=whose, false_match=0.01)

    one_each = limit_for(embed, face, person=torch.arange(20), false_match=0.01)
    assert limit(person) == pytest.approx(one_each, abs=0.05)
    assert limit(torch.arange(200)) > 0.99, "taken for strangers, they loosen it"
    with pytest.raises(ValueError, match="two people"):
        limit(torch.zeros_like(person))
