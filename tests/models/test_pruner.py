"""How many channels a ratio prunes."""

import pytest

from fl_crafter.models.pruner import rank_of


@pytest.mark.parametrize("channels", [32, 64, 100, 128])
def test_every_share_of_the_channels_is_met(channels: int) -> None:
    assert [rank_of(count / channels, channels) for count in range(channels)] == list(
        range(channels)
    )


def test_a_share_in_between_is_rounded_down() -> None:
    assert rank_of(0.99, 64) == 63
    assert rank_of(0.29, 100) == 29
    with pytest.raises(ValueError, match="leave one of 64"):
        rank_of(1.0, 64)
