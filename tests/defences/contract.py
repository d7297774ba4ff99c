"""What every defence must do, whatever it does; inherited by the tests of each."""

import math
from abc import ABC, abstractmethod

import pytest
import torch
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status, utility_loss
from tests.world import SIZE, World, seeded


class DefenceContract(ABC):
    """Inherit and say how to build the defence; `world` is a fixture."""

    @abstractmethod
    def build(self, world: World) -> Defence: ...

    @pytest.fixture
    def defence(self, world: World) -> Defence:
        return self.build(world)

    @pytest.fixture
    def protected(self, defence: Defence, world: World) -> Protected:
        return defence.protect(world.feature, random=seeded())

    def test_shape_and_type_are_kept(self, protected: Protected, world: World) -> None:
        assert protected.feature.shape == world.feature.shape
        assert protected.feature.dtype == world.feature.dtype
        assert not protected.feature.requires_grad

    def test_the_result_is_finite_and_releasable(self, protected: Protected) -> None:
        assert bool(torch.isfinite(protected.feature).all())
        assert protected.status in (Status.OK, Status.NOT_CONVERGED)

    def test_figures_are_finite_numbers(self, protected: Protected, world: World) -> None:
        assert all(type(value) is float for value in protected.figures.values())
        assert all(math.isfinite(value) for value in protected.figures.values())
        loss = float(utility_loss(protected.feature, world.feature).mean())
        assert protected.figures["utility_loss"] == pytest.approx(loss, rel=1e-5)

    def test_the_seed_decides(self, defence: Defence, protected: Protected, world: World) -> None:
        torch.manual_seed(77)  # torch's own generator has no say, and is left alone
        state = torch.get_rng_state()
        again = defence.protect(world.feature, random=seeded())
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(again.feature, protected.feature)
        assert again.figures == protected.figures

    def test_a_caller_may_be_without_gradients(
        self, defence: Defence, protected: Protected, world: World
    ) -> None:
        with torch.no_grad():
            again = defence.protect(world.feature, random=seeded())
        assert torch.equal(again.feature, protected.feature)
        assert not again.feature.requires_grad

    def test_a_new_instance_does_the_same(self, protected: Protected, world: World) -> None:
        again = self.build(world).protect(world.feature, random=seeded())
        assert torch.equal(again.feature, protected.feature)

    def test_the_input_is_not_modified(self, defence: Defence, world: World) -> None:
        feature = world.feature.clone()
        released = defence.protect(feature, random=seeded()).feature
        assert torch.equal(feature, world.feature)
        released.add_(1)
        again = defence.protect(world.feature, random=seeded()).feature
        assert not torch.equal(released, again), "the result is the defence's own memory"

    def test_the_networks_are_not_modified(self, world: World) -> None:
        networks = world.networks()
        before = [{k: v.clone() for k, v in each.state_dict().items()} for each in networks]
        public = world.public_feature.clone()
        self.build(world).protect(world.feature, random=seeded())
        assert torch.equal(world.public_feature, public)
        for network, state in zip(networks, before, strict=True):
            for key, value in network.state_dict().items():
                assert torch.equal(value, state[key]), key

    def test_one_person_alone_can_be_protected(self, defence: Defence, world: World) -> None:
        alone: Tensor = world.feature[:1]
        result = defence.protect(alone, random=seeded())
        assert result.feature.shape == alone.shape
        assert bool(torch.isfinite(result.feature).all())

    def test_a_picture_of_one_colour_is_no_trouble(self, defence: Defence, world: World) -> None:
        black, grey = torch.zeros(1, 3, SIZE, SIZE), torch.full((1, 3, SIZE, SIZE), 0.5)
        with torch.no_grad():
            feature = world.encoder(torch.cat([black, grey]))
        result = defence.protect(feature, random=seeded())
        assert result.feature.shape == feature.shape
        assert bool(torch.isfinite(result.feature).all())

    def test_the_layout_in_memory_does_not_matter(self, defence: Defence, world: World) -> None:
        strided = world.feature.to(memory_format=torch.channels_last)
        released = defence.protect(strided, random=seeded()).feature
        wanted = defence.protect(world.feature, random=seeded()).feature
        torch.testing.assert_close(released, wanted, rtol=1e-3, atol=2e-3)
