"""A small frozen world: 32-pixel images, 4x8x8 features, networks with random weights."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fl_crafter.models.amortiser import Amortiser
from fl_crafter.models.decoder import ConvolutionalDecoder
from fl_crafter.models.generator import Generator, GeneratorShape
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.models.split import Encoder, freeze

SIZE = 32
SHAPE = (4, 8, 8)
LATENT = 6


@dataclass(frozen=True)
class World:
    """What a client and its eavesdroppers have; everything is frozen."""

    encoder: Encoder
    cloud: nn.Module
    generator: Generator
    amortiser: Amortiser
    decoder: ConvolutionalDecoder
    public_feature: Tensor
    feature: Tensor

    def networks(self) -> list[nn.Module]:
        return [self.encoder, self.cloud, self.generator, self.amortiser, self.decoder]


def build_world() -> World:
    torch.manual_seed(0)
    model = resnet18_split(attributes=3, widths=(SHAPE[0], 6, 8, 8))
    generator = Generator(GeneratorShape(LATENT, (8, 6, 4), 4, 4))
    amortiser = Amortiser(LATENT, feature_shape=SHAPE, widths=(4, 4, 4, 4))
    decoder = ConvolutionalDecoder(SHAPE[0], widths=(8, 6, 4))
    with torch.no_grad():
        last = generator.layers[-1]
        assert isinstance(last, nn.ConvTranspose2d)
        last.weight.mul_(4)  # so that drawn images differ
        settle(generator, torch.randn(64, LATENT))
        settle(model.encoder, pictures(64, seed=0))
        settle(model.cloud, model.encoder(pictures(64, seed=0)))
        settle(amortiser, model.encoder(pictures(64, seed=0)))
        freeze(decoder)
        public = model.encoder(pictures(24, seed=1))
        feature = model.encoder(pictures(5, seed=2))
    return World(model.encoder, model.cloud, generator, amortiser, decoder, public, feature)


def settle(module: nn.Module, example: Tensor) -> None:
    """Take the statistics of an example into every batch norm, and freeze."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    module(example)
    freeze(module)


def pictures(count: int, *, seed: int) -> Tensor:
    """Smooth random pictures in [0, 1], every one different: so many people."""
    coarse = torch.rand(count, 3, 4, 4, generator=seeded(seed))
    return F.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
