"""A frozen copy differs from its network in speed, and in nothing else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fl_crafter._torchvision import torchvision
from fl_crafter.inversion.convolution import FrozenConvolution
from fl_crafter.inversion.frozen import frozen_copy
from fl_crafter.models.backbone import cut
from fl_crafter.models.generator import Generator, GeneratorShape
from fl_crafter.models.hooked import cut_by_hooks
from fl_crafter.models.resnet import resnet18_split


def norms(network: nn.Module) -> int:
    return sum(isinstance(each, nn.BatchNorm2d) for each in network.modules())


def shake(network: nn.Module) -> nn.Module:
    """Give every norm statistics and weights that matter."""
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                assert norm.running_mean is not None and norm.running_var is not None
                for value in (norm.running_mean, norm.bias):
                    value.normal_()
                for value in (norm.running_var, norm.weight):
                    value.uniform_(0.5, 2.0)
    return network.eval()


def encoder() -> nn.Module:
    return resnet18_split(attributes=1, widths=(4, 4, 4, 4)).encoder


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    # the generator's first norm follows no convolution
    "generator": (lambda: Generator(GeneratorShape(5, (8, 6, 4), 4, 4)), (2, 5), 1),
    "encoder": (encoder, (2, 3, 32, 32), 0),
    "both": (
        lambda: nn.Sequential(Generator(GeneratorShape(5, (8, 6, 4), 4, 5)), encoder()),
        (2, 5),
        1,
    ),
    "cut": (
        lambda: cut(torchvision.models.resnet18(num_classes=3), "layer2").encoder,
        (2, 3, 32, 32),
        0,
    ),
    "bottlenecks": (lambda: torchvision.models.resnet50(num_classes=3), (1, 3, 32, 32), 0),
}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_folded_network_is_the_same(name: str) -> None:
    torch.manual_seed(0)
    build, shape, left = CASES[name]
    network = shake(build()).double()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    value = torch.randn(shape).double()
    folded = frozen_copy(network)
    torch.testing.assert_close(folded(value), network(value))
    assert norms(network) > left and norms(folded) == left
    assert not any(weight.requires_grad for weight in folded.parameters())
    for key, kept in network.state_dict().items():
        assert torch.equal(kept, before[key]), "the network given was changed"


@torch.no_grad()
def test_a_norm_in_front_of_its_convolution_stays() -> None:
    torch.manual_seed(0)

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 3, 1)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, image: Tensor) -> Tensor:
            return self.conv1(self.norm(image))

    class Residual(nn.Module):
        """Pre-activation, by the names of torchvision's blocks, which are the other way round."""

        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 3, 1)
            self.bn1 = nn.BatchNorm2d(3)

        def forward(self, image: Tensor) -> Tensor:
            return self.conv1(self.bn1(image))

    for build in (Backwards, Residual):
        network = shake(build())
        image = torch.randn(2, 3, 4, 4)
        folded = frozen_copy(network)
        torch.testing.assert_close(folded(image), network(image))
        assert norms(folded) == 1


class Grouped(nn.Sequential):
    """A transposed convolution in groups, which PyTorch folds nothing into."""

    def __init__(self) -> None:
        super().__init__(nn.ConvTranspose2d(4, 4, 3, groups=2), nn.BatchNorm2d(4))


def shared_activation() -> nn.Module:
    """Between the second convolution and its norm stands a module that has stood before."""
    activation = nn.ReLU()
    first, second = (nn.Conv2d(4, 4, 1) for _ in range(2))
    norms = [nn.BatchNorm2d(4) for _ in range(2)]
    return nn.Sequential(first, activation, norms[0], second, activation, norms[1])


def hooked(part: int) -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3), nn.Flatten())
    return cut_by_hooks(shake(network), "1", size=4)[part]


UNFOLDED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "an activation stands twice": (shared_activation, 4),
    "a norm keeps no statistics": (
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        4,
    ),
    "a transposed convolution in groups": (Grouped, 4),
    "the cut lies between, in front": (lambda: hooked(0), 3),
    "the cut lies between, behind": (lambda: hooked(1), 3),
}


@pytest.mark.parametrize("name", UNFOLDED)
@torch.no_grad()
def test_what_cannot_be_folded_stays_and_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    build, channels = UNFOLDED[name]
    network = build().eval()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
            shake(norm)
    value = torch.randn(2, channels, 4, 4)
    folded = frozen_copy(network)
    torch.testing.assert_close(folded(value), network(value), rtol=1e-4, atol=1e-5)
    assert norms(folded) == norms(network)


def test_a_network_in_training_is_folded_as_in_evaluation() -> None:
    torch.manual_seed(0)
    network = shake(encoder()).train()
    folded = frozen_copy(network)
    assert network.training
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(folded(image), network.eval()(image).detach(), rtol=1e-4, atol=1e-4)


CONVOLUTIONS: dict[str, tuple[nn.Conv2d | nn.ConvTranspose2d, tuple[int, ...]]] = {
    "plain": (nn.Conv2d(4, 6, 3), (2, 4, 5, 6)),
    "strided, to an even and an odd side": (nn.Conv2d(4, 6, 3, 2, 1, bias=False), (2, 4, 7, 6)),
    "dilated, in groups": (nn.Conv2d(4, 6, 3, 1, 2, dilation=2, groups=2), (2, 4, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 3, 4, 2, 1), (2, 4, 3, 3)),
    "transposed, longer at its end": (nn.ConvTranspose2d(4, 2, 5, 2, 2, 1, 2), (2, 4, 3, 2)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_frozen_convolution_has_the_derivatives_of_its_own(name: str) -> None:
    torch.manual_seed(0)
    convolution, shape = CONVOLUTIONS[name]
    convolution = convolution.double()
    (frozen,) = frozen_copy(nn.Sequential(convolution))
    assert isinstance(frozen, FrozenConvolution)
    image = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    output = frozen(image)
    torch.testing.assert_close(output, convolution(image))
    gradient = torch.randn_like(output).requires_grad_(True)
    (pulled,) = torch.autograd.grad(output, image, gradient, create_graph=True)
    (expected,) = torch.autograd.grad(convolution(image), image, gradient)
    torch.testing.assert_close(pulled, expected)
    tangent = torch.randn_like(image)
    (pushed,) = torch.autograd.grad(pulled, gradient, tangent, create_graph=True)
    torch.testing.assert_close(pushed, torch.func.jvp(convolution, (image,), (tangent,))[1])


def test_a_convolution_that_pads_with_its_edge_stays_as_it_is() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.Conv2d(3, 3, 3, padding="same")
    )
    image = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(frozen_copy(network)(image), network(image).detach())
