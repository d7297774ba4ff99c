"""Averaging: noise goes, the face stays."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.averaging import Averaging, mean_release
from fl_crafter.attacks.base import Attack
from fl_crafter.attacks.pixels import WhiteBoxPixels
from tests.attacks.contract import AttackContract, knowledge_of
from tests.world import World, pictures, seeded

GROUP = torch.tensor([4, 4, 9, 9, 2])


class TestAveraging(AttackContract):
    def build(self) -> Attack:
        return Averaging(WhiteBoxPixels(steps=3), GROUP)


def test_rows_of_one_group_share_one_picture(world: World) -> None:
    attack = Averaging(WhiteBoxPixels(steps=3), GROUP)
    image = attack.reconstruct(world.feature, knowledge_of(world), random=seeded()).image
    assert torch.equal(image[0], image[1]) and torch.equal(image[2], image[3])
    assert not torch.equal(image[0], image[2]) and not torch.equal(image[0], image[4])


def test_more_releases_show_more(world: World) -> None:
    image = pictures(6, seed=5)
    with torch.no_grad():
        clean = world.encoder(image)
    noise = torch.randn(16, *clean.shape, generator=seeded(3)) * clean.std()
    inner = WhiteBoxPixels(steps=60)

    def error(often: int) -> float:
        feature = (clean + noise[:often]).flatten(0, 1)
        group = torch.arange(6).repeat(often)
        found = Averaging(inner, group).reconstruct(feature, knowledge_of(world), random=seeded())
        return float((found.image[:6] - image).square().mean())

    once, four, often = error(1), error(4), error(16)
    assert often < four < once


def test_an_adaptive_attack_learns_from_means(world: World) -> None:
    source, asked = seeded(3), []

    def release(feature: Tensor) -> Tensor:
        asked.append(len(feature))
        return feature + torch.randn(feature.shape, generator=source)

    knowledge = replace(knowledge_of(world), release=release, batch=5)
    attack = Averaging(AdaptiveDecoder(images=10, steps=1), torch.tensor([0, 0, 0, 1, 1, 1]), True)
    attack.reconstruct(world.feature[[0, 0, 0, 1, 1, 1]], knowledge, random=seeded())
    assert sum(asked) == 30
    one, many = (mean_release(release, often)(torch.zeros(1, 4, 8, 8)) for often in (1, 100))
    assert float(many.std()) < 0.2 * float(one.std())


def test_every_row_needs_a_group(world: World) -> None:
    with pytest.raises(ValueError, match="each row its group"):
        Averaging(WhiteBoxPixels(), GROUP[:3]).reconstruct(
            world.feature, knowledge_of(world), random=seeded()
        )
