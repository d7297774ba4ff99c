"""Cutting a network changes nothing but where its first half ends."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fl_crafter._torchvision import torchvision
from fl_crafter.errors import InputError
from fl_crafter.models.backbone import IMAGENET_MEAN, IMAGENET_STD, cut, cut_at

CUTS = [
    ("resnet18", "layer1"),
    ("mobilenet_v3_small", "features.4"),
    ("densenet121", "features.denseblock1"),
    ("squeezenet1_0", "features.5"),
    ("shufflenet_v2_x0_5", "stage2"),
    ("regnet_y_400mf", "trunk_output.block2"),
    # these drop whole branches at random while they train
    ("efficientnet_b0", "features.3"),
    ("swin_t", "features.1"),
]
TIMM: list[tuple[str, str, dict[str, int]]] = [
    ("mobilenetv3_small_100", "blocks.2", {}),
    ("convnext_atto", "stages.1", {}),
    ("vit_tiny_patch16_224", "blocks.3", {"img_size": 64}),
    ("swin_tiny_patch4_window7_224", "layers.1", {"img_size": 64, "window_size": 4}),
]


def outputs(model: nn.Module, layer: str, image: Tensor) -> tuple[Tensor, Tensor]:
    """What the layer and the whole network give, by a hook on the uncut network."""
    seen: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *all: seen.append(all[2]))
    result = model(image)
    handle.remove()
    return seen[0], result


@pytest.mark.parametrize(("name", "layer"), CUTS)
@torch.no_grad()
def test_both_parts_together_are_the_network(name: str, layer: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=5)
    front, back = cut_at(model, layer)
    for part in (model, front, back):
        part.eval()
    image = torch.rand(2, 3, 64, 64)
    feature, logits = outputs(model, layer, image)
    torch.testing.assert_close(front(image), feature)
    torch.testing.assert_close(back(front(image)), logits)


@pytest.mark.parametrize(("name", "layer", "options"), TIMM)
@torch.no_grad()
def test_timm_networks_are_cut_too(name: str, layer: str, options: dict[str, int]) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **options).eval()
    front, back = cut_at(model, layer)
    image = torch.rand(2, 3, 64, 64)
    feature, logits = outputs(model, layer, image)
    torch.testing.assert_close(front(image), feature)
    torch.testing.assert_close(back(front(image)), logits)


class Masked(nn.Module):
    """Takes options beside images, and passes them to every layer, as timm's transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(
        self, image: Tensor, mask: Tensor | None = None, *, negative: bool = False
    ) -> Tensor:
        for layer in (self.first, self.second):
            image = layer(image) if mask is None else layer(image * mask)
            if negative:
                image = -image
        return image.mean((2, 3))


@torch.no_grad()
def test_options_of_a_network_are_as_by_default() -> None:
    model, image = Masked(), torch.rand(2, 3, 8, 8)
    front, back = cut_at(model, "first")
    torch.testing.assert_close(front(image), model.first(image))
    torch.testing.assert_close(back(front(image)), model(image))


def test_the_parts_share_out_the_weights_and_own_them() -> None:
    model = torchvision.models.resnet18(num_classes=5)
    front, back = cut_at(model, "layer1")
    counts = [sum(w.numel() for w in part.parameters()) for part in (front, back, model)]
    assert counts[0] + counts[1] == counts[2] and min(counts) > 0
    before = model.fc.weight.clone()
    with torch.no_grad():
        for part in (front, back):
            for weight in part.parameters():
                weight.zero_()
    torch.testing.assert_close(model.fc.weight, before)


def test_cutting_leaves_the_modes_alone() -> None:
    model = torchvision.models.resnet18(num_classes=5)
    model.bn1.eval()  # frozen statistics, as in fine-tuning
    front, back = cut_at(model, "layer1")
    assert model.training and model.layer1.training and not model.bn1.training
    assert not front.get_submodule("bn1").training and back.get_submodule("layer2.0.bn1").training


def test_stochastic_depth_still_follows_the_mode() -> None:
    torch.manual_seed(0)
    _, back = cut_at(torchvision.models.swin_t(num_classes=5), "features.1")
    feature = torch.randn(2, 16, 16, 96)
    with torch.no_grad():
        back.train()
        assert not torch.equal(back(feature), back(feature))
        back.eval()
        assert torch.equal(back(feature), back(feature))


def test_a_cut_network_normalises_as_it_is_told() -> None:
    torch.manual_seed(0)
    whole = torchvision.models.resnet18(num_classes=5)
    model = cut(whole, "layer2", mean=IMAGENET_MEAN, std=IMAGENET_STD)
    image = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected = whole.eval()((image - mean) / std)
        torch.testing.assert_close(model.logits(image), expected)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: cut_at(torchvision.models.resnet18(), "layer9"), ("layer9", "layer1", "fc")),
        (lambda: cut_at(torchvision.models.resnet18(), "layer"), ("'layer'", "layer1")),
        (lambda: cut_at(torchvision.models.resnet18(), "layer1.0.conv1"), ("layer1.0.conv1",)),
    ],
)
def test_errors_are_one_sentence_that_names_the_layer(
    call: Callable[[], object], named: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert message.endswith(".") and message.count(". ") == 0 and "\n" not in message
    assert ";" in message, "no mend"
    for each in named:
        assert each in message
