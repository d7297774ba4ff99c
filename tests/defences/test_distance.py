"""The privacy loss: a person's reconstructions against anybody's, however many share a batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fl_crafter.defences.crafter.distance import (
    CriticSettings,
    PairedCritic,
    estimate_epsilon_pii,
    luminance,
    structure,
)
from tests.world import pictures, seeded

SETTINGS = CriticSettings(widths=(8, 16, 32), warm_up=80)


def estimate(share: float, seed: int) -> tuple[float, Tensor]:
    """For many different people, of whose pictures the reconstructions hold this share."""
    own, stranger = pictures(40, seed=seed), pictures(40, seed=seed + 100)
    prior = pictures(256, seed=seed + 200)
    seen = share * own + (1 - share) * stranger
    each = estimate_epsilon_pii(seen, own, prior, settings=SETTINGS, random=seeded(seed))
    assert each.shape == (40,)
    return float(each.mean()), each


@pytest.mark.parametrize("seed", [1, 2])
def test_many_exposed_people_are_far_from_the_prior(seed: int) -> None:
    exposed, each = estimate(1.0, seed)
    hidden, _ = estimate(0.0, seed)
    # perfectly reconstructed, a batch of people IS a sample of the prior; only pairs tell
    assert exposed > 5
    assert abs(hidden) < 0.2 * exposed
    assert float((each > 0.5 * exposed).float().mean()) > 0.9, "everyone is exposed"


def test_half_exposed_is_between() -> None:
    exposed, half, hidden = (estimate(share, 3)[0] for share in (1.0, 0.5, 0.0))
    assert hidden + 0.15 * exposed < half < 0.85 * exposed


def test_blur_alone_is_no_exposure_where_the_other_people_are_the_prior() -> None:
    own, stranger = pictures(40, seed=1), pictures(40, seed=101)

    def judged(seen: Tensor, prior: Tensor | None = None) -> float:
        blurred = F.avg_pool2d(seen, 7, 1, 3, count_include_pad=False)
        each = estimate_epsilon_pii(blurred, own, prior, settings=SETTINGS, random=seeded())
        return float(each.mean())

    exposed, hidden = judged(own), judged(stranger)
    assert exposed > 4
    assert abs(hidden) < 0.05 * exposed
    assert judged(stranger, pictures(256, seed=201)) > 0.1 * exposed, "beside sharp faces it is"


def test_the_estimate_follows_its_seed() -> None:
    quick = CriticSettings(widths=(4, 8), warm_up=5)
    own, prior = pictures(8, seed=1), pictures(16, seed=2)
    one, same, other = (
        estimate_epsilon_pii(own, own, prior, settings=quick, random=seeded(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_persons_photographs_are_judged_by_a_critic_that_saw_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, prior = pictures(12, seed=1), pictures(16, seed=2)
    quick = CriticSettings(widths=(4,), warm_up=1)
    person = torch.arange(12) // 3  # three photographs of each of four people
    trained: list[Tensor] = []
    train = PairedCritic.train

    def note(self: PairedCritic, image: Tensor, *, steps: int) -> None:
        trained.append(image)
        train(self, image, steps=steps)

    monkeypatch.setattr(PairedCritic, "train", note)
    estimate_epsilon_pii(own, own, prior, person=person, settings=quick, random=seeded())
    for images in trained:
        inside = (own[:, None] == images[None]).flatten(2).all(2).any(1)
        assert sorted(person[inside].bincount(minlength=4).tolist()) == [0, 0, 3, 3]


def test_nobody_is_her_own_stranger() -> None:
    """Pictures of the other people are the prior: a true pair among them would blind the critic."""
    own = pictures(12, seed=1)
    person = torch.arange(12) // 4
    critic = PairedCritic(
        own, own, settings=CriticSettings(widths=(4,)), random=seeded(), person=person
    )
    rows = torch.arange(12).repeat(40)
    strangers = critic._strangers(rows)
    assert not bool((person[strangers] == person[rows]).any())
    assert sorted(strangers.unique().tolist()) == list(range(12))


def test_one_person_has_no_estimate() -> None:
    own, prior = pictures(3, seed=1), pictures(16, seed=2)
    with pytest.raises(ValueError, match="2 people or more, not 1"):
        estimate_epsilon_pii(own[:1], own[:1], prior, random=seeded())
    with pytest.raises(ValueError, match="2 people or more, not 1"):
        estimate_epsilon_pii(own, own, prior, person=torch.zeros(3).long(), random=seeded())
    with pytest.raises(ValueError, match="4 people or more, not 3"):
        estimate_epsilon_pii(own, own, random=seeded())


@pytest.fixture
def critic() -> PairedCritic:
    settings = CriticSettings(widths=(4, 8), batch_size=8)
    critic = PairedCritic(
        pictures(6, seed=1), pictures(20, seed=2), settings=settings, random=seeded()
    )
    critic.train(pictures(6, seed=1), steps=10)
    return critic


def test_the_privacy_loss_has_its_gradient(critic: PairedCritic) -> None:
    critic.critic.double()
    critic.reference = critic.reference.double()
    image = pictures(6, seed=3).double()
    loss, gradient = critic.privacy_loss(image)
    assert loss.shape == (6,) and not loss.requires_grad
    direction = torch.randn(image.shape, generator=seeded()).double()
    step = 1e-6
    above, _ = critic.privacy_loss(image + step * direction)
    below, _ = critic.privacy_loss(image - step * direction)
    slope = (above - below) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum((1, 2, 3)), slope, rtol=1e-4, atol=1e-4)


def test_a_loss_belongs_to_its_person(critic: PairedCritic) -> None:
    image = pictures(6, seed=3)
    loss, gradient = critic.privacy_loss(image)
    changed = image.clone()
    changed[2] = 0.5
    other, other_gradient = critic.privacy_loss(changed)
    same = torch.arange(6) != 2
    torch.testing.assert_close(loss[same], other[same])
    torch.testing.assert_close(gradient[same], other_gradient[same])
    assert not torch.isclose(loss[2], other[2])


def test_the_gap_is_the_priors_score_less_the_reconstructions(critic: PairedCritic) -> None:
    # the prior's part does not depend on the reconstruction; the rest is the privacy loss
    state = critic.random.get_state()
    one, two = pictures(6, seed=3), pictures(6, seed=4)
    first = critic.gap(one)
    critic.random.set_state(state)
    second = critic.gap(two)
    expected = critic.privacy_loss(one)[0] - critic.privacy_loss(two)[0]
    torch.testing.assert_close(first - second, expected, rtol=1e-4, atol=1e-4)


def test_training_leaves_torchs_generator_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    settings = CriticSettings(widths=(4,), batch_size=4)
    own, prior = pictures(4, seed=1), pictures(4, seed=2)
    PairedCritic(own, prior, settings=settings, random=seeded()).train(own, steps=2)
    assert torch.equal(torch.get_rng_state(), state)


def shapes(image: Tensor) -> Tensor:
    return structure(luminance(image, pool=2))


def test_structure_ignores_light_and_keeps_shape() -> None:
    image = 0.2 + 0.5 * pictures(8, seed=1)
    plain = shapes(image)
    assert plain.shape == (8, 1, 16, 16)
    torch.testing.assert_close(shapes(image + 0.2), plain, rtol=0, atol=1e-3)
    darker = shapes(0.7 * image)
    assert float((darker - plain).square().mean()) < 0.1 * float(plain.square().mean())
    stranger = shapes(0.2 + 0.5 * pictures(8, seed=2))
    assert float((stranger - plain).square().mean()) > float(plain.square().mean())
