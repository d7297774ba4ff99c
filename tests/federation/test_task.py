"""What a task asks for is what a client keeps, and what the server's model starts from."""

from collections.abc import Callable

import torch

from fl_crafter.defences.crafter.crafter import Crafter
from fl_crafter.defences.crafter.utility import TaskUtility
from fl_crafter.faces.celeba import ATTRIBUTES
from simulations import client_data, task
from simulations.config import SimulationConfig
from tests.world import seeded

MakeConfig = Callable[..., SimulationConfig]


def test_a_client_keeps_what_is_asked_for(make_config: MakeConfig) -> None:
    chosen = client_data.defence(
        make_config(defence="crafter", keep="Smiling,Male", generated_images=0)
    )
    assert isinstance(chosen, Crafter)
    assert isinstance(chosen.utility, TaskUtility)
    assert chosen.utility(torch.zeros(1, 8, 8, 8)).shape == (1, 2)


def test_training_starts_from_the_outputs_that_are_asked_for(make_config: MakeConfig) -> None:
    config = make_config()
    shipped, feature = client_data.model(config.weights).cloud, torch.randn(3, 8, 8, 8)
    known = task.first_cloud(config, ("Smiling", "Male"), random=seeded())
    places = [ATTRIBUTES.index(name) for name in ("Smiling", "Male")]
    assert torch.allclose(known.eval()(feature), shipped(feature)[:, places], atol=1e-5)
    assert all(each.requires_grad for each in known.parameters())
    other = task.first_cloud(config, ("smile", "Male"), random=seeded())
    assert other(feature).shape == (3, 2)
    assert not torch.allclose(other.eval()(feature), known(feature), atol=1e-3)
