"""Crafter against simulated eavesdroppers: the contract, its two ends, and whom it simulates."""

from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.defences.base import Defence, Protected, Status, utility_loss
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings, estimate_epsilon_pii
from fl_crafter.defences.crafter.simulated import (
    Pullback,
    SimulatedDecoder,
    SimulatedEavesdropper,
    SimulatedWhiteBox,
    Simulation,
)
from fl_crafter.inversion.problem import latent_inversion
from tests.defences.contract import DefenceContract
from tests.world import World, pictures, seeded

CRITIC = CriticSettings(widths=(4, 8), warm_up=3, steps=1, batch_size=8)
QUICK = CrafterSettings(steps=3, prior_images=16, distance=CRITIC)


def latent(world: World) -> SimulatedWhiteBox:
    problem = latent_inversion(world.generator, world.encoder)
    return SimulatedWhiteBox(world.generator, problem, world.amortiser)


def decoder(world: World) -> SimulatedDecoder:
    return SimulatedDecoder(world.decoder, world.public_feature)


class TestBothEavesdroppers(DefenceContract):
    def build(self, world: World) -> Defence:
        return Crafter([latent(world), decoder(world)], settings=QUICK)

    def test_figures_tell_of_each_eavesdropper(self, protected, world: World) -> None:
        for name in ("latent", "decoder"):
            assert any(figure.startswith(name) for figure in protected.figures)
        assert any(figure.endswith("stationarity_residual") for figure in protected.figures)


class TestDecoderOnly(DefenceContract):
    def build(self, world: World) -> Defence:
        return Crafter([decoder(world)], settings=QUICK)

    def test_another_seed_crafts_another_feature(self, protected, defence, world: World) -> None:
        other = defence.protect(world.feature, random=seeded(1))
        assert not torch.equal(other.feature, protected.feature)
        assert protected.figures["utility_loss"] > 0


class TestLatentOnly(DefenceContract):
    def build(self, world: World) -> Defence:
        return Crafter([latent(world)], settings=replace(QUICK, utility_weight=0.0))


def test_without_steps_the_clean_feature_is_released(world: World) -> None:
    crafter = Crafter([decoder(world)], settings=replace(QUICK, steps=0))
    assert torch.equal(crafter.protect(world.feature, random=seeded()).feature, world.feature)


def test_a_large_utility_weight_releases_the_clean_feature(world: World) -> None:
    rate, both = 0.01, [latent(world), decoder(world)]
    settings = replace(QUICK, utility_weight=1e9, steps=40, rate=rate)
    released = Crafter(both, settings=settings).protect(world.feature, random=seeded())
    # Adam's first step is `rate` long whatever the gradient; the rest leads back
    assert float((released.feature - world.feature).abs().max()) < rate
    free = Crafter(both, settings=replace(settings, utility_weight=0.0))
    moved = free.protect(world.feature, random=seeded()).figures["utility_loss"]
    assert released.figures["utility_loss"] < 0.01 * moved


def test_an_inversion_that_is_not_stationary_has_not_converged(world: World) -> None:
    """By the feature that is released, sample by sample; one of ten may be off."""
    seen: list[Tensor] = []
    ROWS = 12
    with torch.no_grad():
        feature = world.encoder(pictures(ROWS, seed=8))

    class Watched(SimulatedWhiteBox):
        def watch(self, feature: Tensor) -> Simulation:
            simulation = super().watch(feature)
            before = simulation.reconstruct

            def reconstruct(feature: Tensor) -> Tensor:
                image = before(feature)
                assert simulation.residual is not None
                seen.append(simulation.residual)
                return image

            simulation.reconstruct = reconstruct
            return simulation

    eavesdropper = Watched(**vars(latent(world)))

    def crafted(limit: float) -> Protected:
        settings = replace(QUICK, stationarity_limit=limit)
        return Crafter([eavesdropper], settings=settings).protect(feature, random=seeded())

    assert crafted(1e9).status == Status.OK
    last = seen[-1].sort().values
    none, one, two = (crafted(float(value) * 1.01) for value in (last[-1], last[-2], last[-3]))
    assert none.figures["latent_unconverged"] == 0
    assert one.figures["latent_unconverged"] == pytest.approx(1 / ROWS) and one.status == Status.OK
    assert two.figures["latent_unconverged"] == pytest.approx(2 / ROWS), "more than a tenth"
    assert two.status == Status.NOT_CONVERGED
    assert crafted(float("nan")).status == Status.NOT_CONVERGED


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_feature_that_is_not_finite_is_not_released(bad: float, world: World) -> None:
    feature = world.feature.clone()
    feature[1, 0, 0, 0] = bad
    result = Crafter([decoder(world)], settings=QUICK).protect(feature, random=seeded())
    assert result.status == Status.DIVERGED


class Beginning(Defence):
    """A start that ends with the status that it is given."""

    name = "beginning"

    def __init__(self, status: Status) -> None:
        self.status = status

    def protect(self, feature: Tensor, *, random: torch.Generator) -> Protected:
        return Protected(feature.roll(1, 0), self.status)


@pytest.mark.parametrize("status", list(Status))
def test_a_start_that_must_not_be_released_is_not_crafted_on(status: Status, world: World) -> None:
    crafter = Crafter([], settings=QUICK, start=Beginning(status))
    result = crafter.protect(world.feature, random=seeded())
    unfit = status in (Status.DIVERGED, Status.IDENTIFIED)
    assert result.status == (status if unfit else Status.OK)
    assert torch.equal(result.feature, world.feature.roll(1, 0)) == unfit


@dataclass(frozen=True)
class Plain(SimulatedEavesdropper):
    """Features are the pictures' logits, enlarged: an eavesdropper that reads everything."""

    public_feature: Tensor
    weight: float = 1.0
    refresh: int = 1
    name: str = "plain"
    break_at: int | None = None
    seen: list[Tensor] = field(default_factory=list)

    def watch(self, feature: Tensor) -> Simulation:
        return _PlainSimulation(self)

    def prior(self, count: int, *, random: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.public_feature), (count,), generator=random)
        return show(self.public_feature[chosen])


class _PlainSimulation(Simulation):
    def __init__(self, owner: Plain) -> None:
        self.owner = owner

    def reconstruct(self, feature: Tensor) -> Tensor:
        self._feature = feature.detach().requires_grad_(True)
        with torch.enable_grad():
            self._image = show(self._feature)
        return self._image.detach()

    def pull_back(self, image_gradient: Tensor) -> Pullback:
        (gradient,) = torch.autograd.grad(self._image, self._feature, image_gradient)
        if len(self.owner.seen) == self.owner.break_at:
            gradient = gradient * float("nan")
        self.owner.seen.append(gradient)
        return Pullback(gradient, {})


def show(feature: Tensor) -> Tensor:
    return F.interpolate(feature.sigmoid(), scale_factor=4.0, mode="bilinear")


def hide(count: int, *, seed: int) -> Tensor:
    return F.avg_pool2d(pictures(count, seed=seed), 4).clamp(0.02, 0.98).logit()


def test_another_kind_of_eavesdropper_can_be_simulated() -> None:
    eavesdropper = Plain(hide(16, seed=1), refresh=2)
    feature = hide(4, seed=2)
    crafter = Crafter([eavesdropper], settings=replace(QUICK, steps=5))
    result = crafter.protect(feature, random=seeded())
    assert result.feature.shape == feature.shape
    assert len(eavesdropper.seen) == 3, "in steps 1, 3 and 5; in between the gradient is kept"


def test_beside_a_critic_every_step_is_taken() -> None:
    """A critic that learns makes the objective stand still wherever it turns."""
    taken: list[int] = []
    crafter = Crafter(
        [Plain(hide(16, seed=1))],
        settings=replace(QUICK, steps=40, rate=1e-9, distance=replace(CRITIC, rate=0.0)),
        observe=lambda step: taken.append(step.index),
    )
    crafter.protect(hide(4, seed=2), random=seeded())
    assert taken == list(range(40))


def test_a_gradient_that_breaks_ends_the_crafting() -> None:
    eavesdropper = Plain(hide(16, seed=1), break_at=1)
    result = Crafter([eavesdropper], settings=QUICK).protect(hide(4, seed=2), random=seeded())
    assert result.status == Status.DIVERGED
    assert bool(torch.isfinite(result.feature).all()), "the last finite feature"


@pytest.fixture(scope="module")
def trade_off() -> dict[float, tuple[float, float]]:
    """By utility weight: the utility loss, and the distance that a fresh critic still sees."""
    feature, public = hide(16, seed=2), hide(64, seed=1)
    critic = CriticSettings(widths=(8, 16), warm_up=80, steps=4, batch_size=16)
    found = {}
    for weight in (10.0, 100.0, 1e9):
        settings = CrafterSettings(
            utility_weight=weight, steps=60, rate=0.05, prior_images=64, distance=critic
        )
        crafted = (
            Crafter([Plain(public)], settings=settings).protect(feature, random=seeded()).feature
        )
        judged = estimate_epsilon_pii(
            show(crafted),
            show(feature),
            show(hide(64, seed=3)),
            settings=replace(critic, warm_up=120),
            random=seeded(1),
        )
        found[weight] = float(utility_loss(crafted, feature).mean()), float(judged.mean())
    return found


def test_crafting_hides_the_person_from_a_fresh_critic(
    trade_off: dict[float, tuple[float, float]],
) -> None:
    assert trade_off[10.0][1] < 0.25 * trade_off[1e9][1]


def test_the_utility_weight_trades(trade_off: dict[float, tuple[float, float]]) -> None:
    loss, distance = zip(*trade_off.values(), strict=True)
    assert list(loss) == sorted(loss, reverse=True)
    assert list(distance) == sorted(distance)


def test_without_a_start_somebody_must_be_simulated() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Crafter()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("utility_weight", -1.0), ("utility_weight", float("nan")), ("steps", -1)],
)
def test_settings_without_meaning_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=setting):
        CrafterSettings(**{setting: value})  # type: ignore[arg-type]
