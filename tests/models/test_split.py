"""The encoder's normalisation, freezing, the shape of a feature, and the critics' penalty."""

import pytest
import torch
from torch import nn

from fl_crafter.errors import InputError
from fl_crafter.models.critic import Critic, gradient_penalty
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.models.split import Encoder, SplitModel, feature_shape, freeze


def tiny() -> SplitModel:
    return resnet18_split(attributes=3, widths=(4, 4, 4, 4))


def test_the_encoder_normalises_images() -> None:
    encoder = Encoder(nn.Identity(), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    image = torch.rand(2, 3, 4, 4)
    expected = (image - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.5, 0.25, 2.0]
    ).view(3, 1, 1)
    torch.testing.assert_close(encoder(image), expected)


def test_normalisation_is_stored_with_the_weights() -> None:
    one = Encoder(nn.Identity(), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    other = Encoder(nn.Identity())
    other.load_state_dict(one.state_dict())
    image = torch.rand(1, 3, 2, 2)
    torch.testing.assert_close(one(image), other(image))


def test_freezing_stops_gradients_and_statistics() -> None:
    model = tiny()
    assert freeze(model.encoder) is model.encoder
    statistics = {key: value.clone() for key, value in model.encoder.state_dict().items()}
    image = torch.rand(4, 3, 32, 32, requires_grad=True)
    model.encoder(image).sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in model.encoder.parameters())
    for key, value in model.encoder.state_dict().items():
        assert torch.equal(value, statistics[key]), key


def test_logits_go_through_both_parts() -> None:
    model = tiny().train(False)
    assert not model.encoder.training and not model.cloud.training
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model.logits(image), model.cloud(model.encoder(image)))
    owned = {id(weight) for weight in model.parameters()}
    assert owned == {id(w) for part in (model.encoder, model.cloud) for w in part.parameters()}


@pytest.mark.parametrize("training", [True, False])
def test_feature_shape_leaves_the_encoder_as_it_was(training: bool) -> None:
    encoder = tiny().encoder.train(training)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert feature_shape(encoder, 32) == (4, 8, 8)
    assert encoder.training == training
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_feature_that_is_no_map_is_refused() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match=r"\[5\]; cut the network"):
        feature_shape(pooled, 16)


class Linear(nn.Module):
    """`image -> <weight, image>`, whose gradient is `weight` everywhere."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image * self.weight).flatten(1).sum(1)


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic_has_the_closed_form(norm: float) -> None:
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    critic = Linear(weight * norm / weight.norm())
    first, second = torch.rand(2, 5, 3, 4, 4).unbind(0)
    random = torch.Generator().manual_seed(0)
    penalty = gradient_penalty(critic, first, second, random=random)
    torch.testing.assert_close(penalty, torch.tensor((norm - 1) ** 2), atol=1e-5, rtol=1e-4)
    if norm in (0.5, 3.0):
        # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
        penalty.backward()
        expected = 2 * (norm - 1) * critic.weight.detach() / norm
        torch.testing.assert_close(critic.weight.grad, expected, atol=1e-5, rtol=1e-4)


def test_penalty_is_taken_between_the_two_sets() -> None:
    seen = []

    class Recording(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.detach())
            return image.square().flatten(1).sum(1)

    zeros, ones = torch.zeros(200, 1, 2, 2), torch.ones(200, 1, 2, 2)
    gradient_penalty(Recording(), zeros, ones, random=torch.Generator().manual_seed(0))
    place = seen[0].flatten(1)
    assert torch.equal(place, place[:, :1].expand_as(place)), "one point per pair"
    assert float(place.min()) < 0.1 and float(place.max()) > 0.9


def test_scores_of_a_critic_do_not_depend_on_the_batch() -> None:
    critic = Critic((4, 8), image_size=16, kernel=5)
    image = torch.rand(6, 3, 16, 16)
    torch.testing.assert_close(critic(image)[2:3], critic(image[2:3]))
