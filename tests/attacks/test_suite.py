"""The standard suite: everything once, on what is still to be named."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.suite import BUDGETS, run_suite, standard
from tests.attacks.contract import knowledge_of
from tests.world import SIZE, World, seeded


@dataclass(frozen=True)
class Counting(Attack):
    """Paints every picture in one random grey, and keeps what it was given."""

    seen: list[Tensor]
    name: str = "counting"

    def reconstruct(
        self, feature: Tensor, knowledge: AttackerKnowledge, *, random: torch.Generator
    ) -> Reconstruction:
        self.seen.append(feature)
        grey = torch.rand(len(feature), 1, 1, 1, generator=random)
        return Reconstruction(grey.expand(-1, 3, SIZE, SIZE))


@dataclass(frozen=True)
class Knowing(Counting):
    adaptive: ClassVar[bool] = True


def test_every_budget_has_static_and_adaptive_attacks_of_different_names() -> None:
    for budget in BUDGETS:
        attacks = standard(budget)
        assert len({attack.name for attack in attacks}) == len(attacks)
        assert {attack.adaptive for attack in attacks} == {True, False}
    strongest = {attack.name for attack in standard("gpu")}
    assert all(each.name in strongest for each in [*standard("smoke"), *standard("cpu")])


def test_an_unknown_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of smoke, cpu, gpu"):
        standard("tpu")


def test_the_smoke_budget_runs(world: World) -> None:
    labels = torch.ones(len(world.feature), 2)
    knowledge = replace(
        knowledge_of(world),
        release=lambda feature: feature.flip(3),
        labels=labels,
        public_labels=torch.ones(24, 2),
    )
    results = list(run_suite(standard("smoke"), world.feature, knowledge, random=seeded()))
    assert [attack.name for attack, _ in results] == [each.name for each in standard("smoke")]
    for _, result in results:
        assert result.image.shape == (len(world.feature), 3, SIZE, SIZE)


def test_adaptive_attacks_wait_for_a_defence_to_know(world: World) -> None:
    attacks = [Knowing([]), Counting([])]
    names = [each.adaptive for each, _ in run(attacks, world)]
    assert names == [False]


def run(attacks, world: World):
    return list(run_suite(attacks, world.feature, knowledge_of(world), random=seeded()))


def test_no_attack_draws_from_another_ones_source(world: World) -> None:
    def last(attacks) -> Tensor:
        return run(attacks, world)[-1][1].image

    assert torch.equal(
        last([Counting([]), Counting([])]), last([Knowing([]), Counting([])])
    )  # the first does not even run
    assert not torch.equal(last([Counting([])]), last([Counting([]), Counting([])]))


@pytest.mark.parametrize("broken", [torch.zeros(0, 4, 8, 8), torch.full((1, 4, 8, 8), torch.nan)])
def test_features_that_are_none_are_refused(broken: Tensor, world: World) -> None:
    with pytest.raises(ValueError, match="one or more, all of them finite"):
        list(run_suite([Counting([])], broken, knowledge_of(world), random=seeded()))


@pytest.mark.parametrize("pixel, loss", [(float("nan"), 1.0), (0.5, float("inf"))])
def test_an_attack_that_failed_does_not_count_for_the_defence(pixel: float, loss: float) -> None:
    image = torch.full((2, 3, 4, 4), 0.5)
    image[1, 0, 0, 0] = pixel
    with pytest.raises(ValueError, match=f"{int(pixel != 0.5)} of 2 pictures"):
        Reconstruction(image, [2.0, loss])
