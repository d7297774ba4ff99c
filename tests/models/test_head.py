"""A cloud model that tells less says of that what it said before."""

import pytest
import torch
from torch import Tensor, nn

from fl_crafter.errors import InputError
from fl_crafter.models.head import SomeOutputs, head, with_outputs
from tests.world import build_world


class TwoHeads(nn.Module):
    """Its outputs are of two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(256, 3), nn.Linear(256, 2)

    def forward(self, feature: Tensor) -> Tensor:
        return torch.cat([self.one(feature.flatten(1)), self.two(feature.flatten(1))], 1)


@pytest.mark.parametrize("bias", [True, False])
def test_some_outputs_are_those_of_before(bias: bool) -> None:
    world = build_world()
    fixed = nn.Linear(4 * 8 * 8, 5, bias=bias).requires_grad_(False)
    for cloud in (world.cloud, nn.Sequential(nn.Flatten(), fixed)):
        fewer = with_outputs(cloud, [2, 0], world.feature)
        assert torch.allclose(fewer(world.feature), cloud(world.feature)[:, [2, 0]], atol=1e-6)
        assert head(fewer)[1].out_features == 2 and head(cloud)[1].out_features > 2
        assert not any(each.requires_grad for each in fewer.parameters())
    some = SomeOutputs(TwoHeads(), [4, 0], world.feature)
    assert torch.equal(some(world.feature), some.cloud(world.feature)[:, [4, 0]])


def test_what_is_not_there_is_said() -> None:
    world = build_world()
    with pytest.raises(InputError, match="has 3 outputs, numbered from 0, and .* are 0, 3"):
        with_outputs(world.cloud, [0, 3], world.feature)
    with pytest.raises(InputError, match="linear layer"):
        with_outputs(nn.Sequential(nn.Flatten()), [0], world.feature)
    for cloud in (TwoHeads(), nn.Sequential(nn.Flatten(), nn.Linear(256, 3), nn.Softmax(1))):
        with pytest.raises(InputError, match="does not give its outputs"):
            with_outputs(cloud, [0], world.feature)
