"""A cloud model that tells less says of that what it said before."""

import pytest
import torch
from torch import nn

from fl_crafter.errors import InputError
from fl_crafter.models.head import head, with_outputs
from tests.world import build_world


@pytest.mark.parametrize("bias", [True, False])
def test_some_outputs_are_those_of_before(bias: bool) -> None:
    world = build_world()
    fixed = nn.Linear(4 * 8 * 8, 5, bias=bias).requires_grad_(False)
    for cloud in (world.cloud, nn.Sequential(nn.Flatten(), fixed)):
        fewer = with_outputs(cloud, [2, 0])
        assert torch.allclose(fewer(world.feature), cloud(world.feature)[:, [2, 0]], atol=1e-6)
        assert head(fewer)[1].out_features == 2 and head(cloud)[1].out_features > 2
        assert not any(each.requires_grad for each in fewer.parameters())


def test_what_is_not_there_is_said() -> None:
    world = build_world()
    with pytest.raises(InputError, match="has 3 outputs, numbered from 0, and .* are 0, 3"):
        with_outputs(world.cloud, [0, 3])
    with pytest.raises(InputError, match="linear layer"):
        with_outputs(nn.Sequential(nn.Flatten()), [0])
