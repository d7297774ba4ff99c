"""The defences that Crafter is compared with: their contract, and what each is exactly."""

import pytest
import torch

from fl_crafter.defences.base import Defence, Protected, Status
from fl_crafter.defences.crafter.utility import TaskUtility
from fl_crafter.defences.noise import Noise
from fl_crafter.defences.projection import Projection
from fl_crafter.defences.substitution import Substitution, TransportSubstitution
from fl_crafter.defences.undefended import Undefended
from tests.defences.contract import DefenceContract
from tests.world import World, seeded


class TestUndefended(DefenceContract):
    def build(self, world: World) -> Defence:
        return Undefended()

    def test_the_clean_feature_is_released(self, protected: Protected, world: World) -> None:
        assert torch.equal(protected.feature, world.feature)
        assert protected.figures["utility_loss"] == 0 and protected.status == Status.OK


class TestSubstitution(DefenceContract):
    def build(self, world: World) -> Defence:
        return Substitution(world.public_feature)

    def test_only_public_features_are_released(self, protected: Protected, world: World) -> None:
        distance = torch.cdist(protected.feature.flatten(1), world.public_feature.flatten(1))
        assert float(distance.min(1).values.max()) < 1e-5

    def test_the_nearest_is_released(self, protected: Protected, world: World) -> None:
        distance = torch.cdist(world.feature.flatten(1), world.public_feature.flatten(1))
        chosen = world.public_feature[distance.argmin(1)]
        torch.testing.assert_close(protected.feature, chosen)

    def test_a_public_feature_is_its_own_substitute(self, defence: Defence, world: World) -> None:
        released = defence.protect(world.public_feature, random=seeded())
        torch.testing.assert_close(released.feature, world.public_feature)
        assert released.figures["utility_loss"] < 1e-12


class TestSubstitutionByTheTask(DefenceContract):
    def build(self, world: World) -> Defence:
        return Substitution(
            world.public_feature,
            neighbours=3,
            embedding=TaskUtility(world.cloud, world.public_feature),
        )

    def test_the_mean_of_the_nearest_is_released(self, protected: Protected, world: World) -> None:
        stage = TaskUtility(world.cloud, world.public_feature)
        distance = torch.cdist(stage(world.feature), stage(world.public_feature))
        for row, released in zip(distance, protected.feature, strict=True):
            nearest = row.argsort()[:3]
            torch.testing.assert_close(released, world.public_feature[nearest].mean(0))


class TestTransportSubstitution(DefenceContract):
    def build(self, world: World) -> Defence:
        return TransportSubstitution(world.public_feature)

    def test_every_public_face_is_as_likely(self, defence: Defence, world: World) -> None:
        # as many people as public faces: an optimal assignment gives each face to one person
        people = world.public_feature + 0.1 * torch.randn(
            world.public_feature.shape, generator=seeded()
        )
        released = defence.protect(people.flip(0), random=seeded()).feature
        torch.testing.assert_close(released.flip(0), world.public_feature)

    def test_a_crowd_of_one_face_is_spread_over_the_public(
        self, defence: Defence, world: World
    ) -> None:
        crowd = world.public_feature[:1].repeat(24, 1, 1, 1)
        released = defence.protect(crowd, random=seeded()).feature.flatten(1)
        used = torch.cdist(released, world.public_feature.flatten(1)).argmin(1).unique()
        assert len(used) == 24, "the nearest alone would be one"


class TestNoise(DefenceContract):
    def build(self, world: World) -> Defence:
        return Noise(world.public_feature, deviation=0.5)

    def test_the_noise_has_the_size_asked_for(self, world: World) -> None:
        feature = world.feature[:1].repeat(400, 1, 1, 1)
        change = Noise(world.public_feature, deviation=2.0).protect(feature, random=seeded())
        measured = (change.feature - feature).square().mean().sqrt()
        wanted = 2 * world.public_feature.std(0).square().mean().sqrt()
        assert float(measured) == pytest.approx(float(wanted), rel=0.02)

    def test_no_noise_is_no_defence(self, world: World) -> None:
        none = Noise(world.public_feature, deviation=0.0)
        assert torch.equal(none.protect(world.feature, random=seeded()).feature, world.feature)


class TestProjection(DefenceContract):
    def build(self, world: World) -> Defence:
        return Projection(world.public_feature, components=7)

    def test_projecting_twice_is_projecting_once(
        self, defence: Defence, protected: Protected, world: World
    ) -> None:
        again = defence.protect(protected.feature, random=seeded())
        torch.testing.assert_close(again.feature, protected.feature, rtol=1e-5, atol=1e-5)

    def test_what_the_components_can_say_is_kept(self, defence: Projection, world: World) -> None:
        weights = torch.randn(3, 7, generator=seeded(2))
        inside = (defence.mean + weights @ defence.basis.T).view(3, *world.feature.shape[1:])
        released = defence.protect(inside, random=seeded()).feature
        torch.testing.assert_close(released, inside, rtol=1e-5, atol=1e-5)

    def test_nothing_else_is_kept(self, defence: Projection, world: World) -> None:
        noise = torch.randn(3, defence.basis.shape[0], generator=seeded(2))
        outside = noise - noise @ defence.basis @ defence.basis.T
        feature = (defence.mean + outside).view(3, *world.feature.shape[1:])
        released = defence.protect(feature, random=seeded()).feature
        torch.testing.assert_close(released, defence.mean.expand(3, -1).view_as(released))

    def test_the_components_are_the_principal_ones(self, defence: Projection, world: World) -> None:
        centred = world.public_feature.flatten(1) - world.public_feature.flatten(1).mean(0)
        *_, vectors = torch.linalg.svd(centred, full_matrices=False)
        leading = vectors[:7].T
        projector, ours = leading @ leading.T, defence.basis @ defence.basis.T
        torch.testing.assert_close(ours, projector, rtol=0, atol=1e-4)

    def test_as_many_components_as_are_spanned_change_no_public_feature(self, world: World) -> None:
        public = world.public_feature
        released = Projection(public, components=len(public) - 1).protect(public, random=seeded())
        torch.testing.assert_close(released.feature, public, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("components", [0, -1, 24, 1000])
def test_components_that_there_cannot_be_are_refused(components: int, world: World) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 23 .* not {components}"):
        Projection(world.public_feature, components=components)


def test_components_beyond_the_span_are_refused(world: World) -> None:
    twice = torch.cat([world.public_feature[:5]] * 3)
    Projection(twice, components=4)
    with pytest.raises(ValueError, match="components=5"):
        Projection(twice, components=5)


@pytest.mark.parametrize("neighbours", [0, 25])
def test_neighbours_that_there_are_not_are_refused(neighbours: int, world: World) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 24 .* not {neighbours}"):
        Substitution(world.public_feature, neighbours=neighbours)


CONTROLS: dict[str, type[DefenceContract]] = {
    "none": TestUndefended,
    "substitution": TestSubstitution,
    "projection": TestProjection,
}


@pytest.mark.parametrize("name", CONTROLS)
def test_the_samples_of_a_batch_do_not_see_each_other(name: str, world: World) -> None:
    defence = CONTROLS[name]().build(world)
    together = defence.protect(world.feature, random=seeded()).feature
    alone = [defence.protect(each[None], random=seeded()).feature for each in world.feature]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)
