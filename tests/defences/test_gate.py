"""The release gate: what still shows a person does not leave."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.defences.base import Defence, Status
from fl_crafter.defences.gate import ReleaseGate
from fl_crafter.defences.noise import Noise
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
