"""ResNet18, cut after layer1: Crafter's split."""

from torch import nn

from fl_crafter._torchvision import torchvision
from fl_crafter.models.split import Encoder, SplitModel

BasicBlock = torchvision.models.resnet.BasicBlock


def _stage(width_in: int, width: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or width_in != width:
        shortcut = nn.Sequential(
            nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        )
    return nn.Sequential(
        BasicBlock(width_in, width, stride, shortcut),
        BasicBlock(width, width),
    )


def _tail(
    widths: tuple[int, int, int, int], strides: tuple[int, int, int], *head: nn.Module
) -> nn.Sequential:
    return nn.Sequential(
        _stage(widths[0], widths[1], strides[0]),
        _stage(widths[1], widths[2], strides[1]),
        _stage(widths[2], widths[3], strides[2]),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *head,
    )


def resnet_tail(
    widths: tuple[int, int, int, int], strides: tuple[int, int, int], *, outputs: int = 0
) -> nn.Sequential:
    """ResNet18 from layer2 on, which reads features.

    Args:
        widths: channels of layer1, the feature's, to layer4.
        strides: strides of layer2 to layer4.
        outputs: of a linear head; 0 leaves it out, so that layer4's pooled channels come out.
    """
    tail = _tail(widths, strides, *([nn.Linear(widths[3], outputs)] if outputs else []))
    _initialise(tail)
    return tail


def resnet18_split(
    *,
    attributes: int,
    widths: tuple[int, int, int, int] = (64, 128, 256, 512),
    strides: tuple[int, int, int] = (2, 2, 2),
    dropout: float = 0.0,
) -> SplitModel:
    """ResNet18 in two parts: stem and layer1 encode, layer2 to layer4 and the head are the cloud's.

    With the default widths and strides this is torchvision's ResNet18, whose feature is 64x16x16
    for a 64x64 image and 64x32x32 for 128x128.

    Args:
        attributes: number of binary attributes, one logit each.
        widths: channels of layer1 to layer4.
        strides: strides of layer2 to layer4.
        dropout: probability of dropping a pooled channel before the head, while training.
    """
    body = nn.Sequential(
        nn.Conv2d(3, widths[0], 7, 2, 3, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        _stage(widths[0], widths[0], 1),
    )
    cloud = _tail(widths, strides, nn.Dropout(dropout), nn.Linear(widths[3], attributes))
    _initialise(body)
    _initialise(cloud)
    return SplitModel(Encoder(body), cloud)


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
