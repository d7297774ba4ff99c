"""The published shapes, for every network and image size that the paper names."""

import pytest
import torch

from fl_crafter._torchvision import torchvision
from fl_crafter.models.amortiser import Amortiser
from fl_crafter.models.backbone import cut
from fl_crafter.models.critic import Critic
from fl_crafter.models.decoder import ConvolutionalDecoder, DenseDecoder
from fl_crafter.models.generator import G1, G2, SHIPPED, Generator, GeneratorShape
from fl_crafter.models.resnet import resnet18_split
from fl_crafter.models.split import feature_shape, freeze

Shape = tuple[int, int, int]


@pytest.mark.parametrize(("size", "shape"), [(64, (64, 16, 16)), (128, (64, 32, 32))])
def test_resnet18_is_cut_after_layer1(size: int, shape: Shape) -> None:
    model = resnet18_split(attributes=40)
    assert feature_shape(model.encoder, size) == shape
    assert model.train(False).logits(torch.rand(2, 3, size, size)).shape == (2, 40)


def test_resnet18_with_published_widths_is_torchvisions() -> None:
    model = resnet18_split(attributes=7)
    whole = torchvision.models.resnet18(num_classes=7)
    ours = sum(each.numel() for each in model.parameters())
    assert ours == sum(each.numel() for each in whole.parameters())


@pytest.mark.parametrize(("size", "shape"), [(64, (128, 16, 16)), (128, (128, 32, 32))])
def test_vgg16_is_cut_after_its_second_pool(size: int, shape: Shape) -> None:
    model = cut(torchvision.models.vgg16_bn(num_classes=10), "features.13")
    assert feature_shape(model.encoder, size) == shape
    with torch.no_grad():
        assert model.logits(torch.rand(1, 3, size, size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("shape", "size"),
    [(G1, 64), (G2, 64), (SHIPPED, 64), (GeneratorShape(7, (8, 4, 4, 2), 7, 4), 112)],
)
def test_generators_give_images_of_their_size(shape: GeneratorShape, size: int) -> None:
    generator = freeze(Generator(shape))
    latent = 10 * torch.randn(2, shape.latent_size)
    image = generator(latent)
    assert image.shape == (2, 3, size, size)
    assert float(image.min()) >= 0 and float(image.max()) <= 1


def test_published_latent_sizes() -> None:
    assert (G1.latent_size, G2.latent_size) == (500, 500)
    assert G1.widths[0] == 256 and G1.start == 8
    assert G2.widths[0] == 512 and G2.start == 4


def test_sampling_is_the_generators_own_image_of_the_drawn_latents() -> None:
    generator = freeze(Generator(GeneratorShape(5, (8, 4), 4, 4)))
    sample = generator.sample(130, random=torch.Generator().manual_seed(3))
    latent = torch.randn(130, 5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(sample, generator(latent))


@pytest.mark.parametrize("shape", [(64, 16, 16), (64, 32, 32), (128, 16, 16)])
def test_amortisers_give_latents(shape: Shape) -> None:
    amortiser = Amortiser(30, feature_shape=shape, widths=(8, 8, 8, 8))
    assert amortiser(torch.randn(2, *shape)).shape == (2, 30)


def test_published_amortiser_fits_the_published_generator() -> None:
    amortiser = freeze(Amortiser(G1.latent_size, widths=(128, 512, 1024, 512)))
    assert amortiser(torch.randn(1, 64, 16, 16)).shape == (1, 500)


@pytest.mark.parametrize(("shape", "widths"), [((64, 16, 16), 4), ((64, 32, 32), 5)])
def test_dense_decoders_give_images(shape: Shape, widths: int) -> None:
    decoder = DenseDecoder(shape, widths=(8,) * widths)
    image = decoder(10 * torch.randn(2, *shape)).detach()
    assert image.shape == (2, 3, 4 * 2**widths, 4 * 2**widths)
    assert float(image.min()) >= 0 and float(image.max()) <= 1


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("side", [16, 28, 32])
def test_convolutional_decoders_keep_the_layout(side: int, shuffle: bool) -> None:
    decoder = ConvolutionalDecoder(4, widths=(8, 6, 4), shuffle=shuffle)
    image = decoder(10 * torch.randn(2, 4, side, side)).detach()
    assert image.shape == (2, 3, 4 * side, 4 * side)
    assert float(image.min()) >= 0 and float(image.max()) <= 1


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("size", [40, 64, 75, 112, 128])
def test_critics_give_one_score(size: int, kernel: int) -> None:
    critic = Critic((4, 4, 4, 4), image_size=size, channels=6, kernel=kernel)
    assert critic(torch.rand(3, 6, size, size)).shape == (3,)
