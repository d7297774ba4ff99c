"""Secret randomness: drawn anew, of the quality of torch's, and not from a seed of 32 bits."""

import os

import pytest
import torch

from fl_crafter import randomness
from fl_crafter.randomness import secret_generator, seeded


def test_two_generators_have_nothing_in_common() -> None:
    one, other = (torch.randn(4000, generator=secret_generator()) for _ in range(2))
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.08


def test_it_draws_as_torch_does() -> None:
    generator = secret_generator()
    drawn = torch.randn(100_000, generator=generator)
    assert abs(float(drawn.mean())) < 0.02 and abs(float(drawn.std()) - 1) < 0.02
    assert 0.48 < float(torch.rand(100_000, generator=generator).mean()) < 0.52


def test_every_word_of_the_state_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit anywhere in the 2,496 bytes changes what is drawn; a seed has 32 bits."""
    source = bytearray(os.urandom(624 * 4))
    monkeypatch.setattr(randomness.os, "urandom", lambda count: bytes(source[:count]))
    first = secret_generator()
    assert torch.equal(
        torch.rand(700, generator=first), torch.rand(700, generator=secret_generator())
    )
    for place in (4, 4 * 300, 4 * 623):  # of the first word the twister takes one bit only
        source[place] ^= 0x40
        other = secret_generator()
        known = torch.randint(2**31, (1300,), generator=secret_generator())
        source[place] ^= 0x40
        assert not torch.equal(torch.randint(2**31, (1300,), generator=secret_generator()), known)
        assert not torch.equal(other.get_state(), first.get_state())


def test_a_stored_state_goes_on() -> None:
    generator = secret_generator()
    torch.rand(10, generator=generator)
    state = generator.get_state()
    wanted = torch.randn(50, generator=generator)
    other = torch.Generator()
    other.set_state(state)
    assert torch.equal(torch.randn(50, generator=other), wanted)


def test_seeding_leaves_the_applications_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def reseed(seed: int) -> None:
        raise AssertionError("every GPU's generator, and for good")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseed)
    before = torch.get_rng_state()
    drawn = []
    for seed in (3, 3, 4, torch.Generator().manual_seed(3)):
        with seeded(seed):
            drawn.append(torch.rand(5))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[3])
