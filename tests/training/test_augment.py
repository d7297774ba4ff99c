"""Augmentation: ranges, determinism, and what each change is said to do."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from fl_crafter.training import augment
from fl_crafter.training.encoder import augmented

Change = Callable[..., Tensor]

CHANGES: dict[str, Change] = {
    "grey": partial(augment.random_grey, share=0.5),
    "flip": augment.random_flip,
    "affine": partial(augment.random_affine, scale=0.2, degrees=20.0, shift=0.2),
    "light": partial(augment.random_light, amount=0.8),
    "erase": partial(augment.random_erase, side=5),
    "zoom": partial(augment.random_zoom, amount=0.4),
    "all of an encoder's": partial(augmented, grey=0.3),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 40, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(7))


@pytest.mark.parametrize("name", CHANGES)
def test_changes_stay_in_range_and_follow_their_generator(name: str) -> None:
    image = images()
    before = image.clone()
    change = CHANGES[name]
    torch.manual_seed(1)
    one = change(image, random=seeded(0))
    torch.manual_seed(2)  # torch's own generator has no say
    assert torch.equal(one, change(image, random=seeded(0)))
    assert not torch.equal(one, change(image, random=seeded(1)))
    assert one.shape == image.shape and one.dtype == image.dtype
    assert float(one.min()) >= 0 and float(one.max()) <= 1
    assert torch.equal(image, before), "the input was changed"


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_about_a_share_turns_grey(share: float) -> None:
    image = images(2000, 2)
    changed = augment.random_grey(image, share=share, random=seeded(0))
    grey = (changed[:, 0] == changed[:, 1]).flatten(1).all(1)
    kept = (changed == image).flatten(1).all(1)
    assert torch.equal(grey, ~kept), "an image is grey or as it was"
    assert abs(float(grey.float().mean()) - share) < 0.04
    luminance = 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2]
    torch.testing.assert_close(changed[grey][:, 2], luminance[grey])


def test_half_are_mirrored() -> None:
    image = images(1000, 4)
    changed = augment.random_flip(image, random=seeded(0))
    mirrored = (changed == image.flip(3)).flatten(1).all(1)
    kept = (changed == image).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert abs(float(mirrored.float().mean()) - 0.5) < 0.06


def test_no_amount_changes_nothing() -> None:
    image = images()
    still = [
        augment.random_affine(image, scale=0.0, degrees=0.0, shift=0.0, random=seeded(0)),
        augment.random_light(image, amount=0.0, random=seeded(0)),
        augment.random_zoom(image, amount=0.0, random=seeded(0)),
    ]
    for each in still:
        torch.testing.assert_close(each, image, rtol=0, atol=1e-5)


def test_squares_are_erased_in_half_of_the_images() -> None:
    image = torch.zeros(400, 3, 12, 12)
    changed = augment.random_erase(image, side=4, random=seeded(0))
    area = (changed[:, 0] == 0.5).flatten(1).sum(1)
    assert torch.equal(changed[:, 0], changed[:, 2])
    assert int(area.max()) == 16 and set(changed.unique().tolist()) == {0.0, 0.5}
    assert abs(float((area > 0).float().mean()) - 0.5) < 0.1


def test_zoom_never_looks_beyond_the_image() -> None:
    ramp = torch.linspace(0, 1, 16).expand(300, 3, 16, 16)
    changed = augment.random_zoom(ramp, amount=0.5, random=seeded(0))
    slope = changed[:, 0, 0].diff(dim=1)
    # a repeated edge would be flat; enlarged by two the outermost half pixel is
    assert float(slope[:, 1:-1].min()) > 0.49 / 15 and float(slope.min()) > 0.24 / 15
    assert float(slope.max()) < 1.01 / 15


def test_light_moves_brightness_both_ways() -> None:
    grey = torch.full((300, 3, 2, 2), 0.5)
    changed = augment.random_light(grey, amount=0.4, random=seeded(0)).mean((1, 2, 3))
    assert float(changed.min()) < 0.4 and float(changed.max()) > 0.6
    assert abs(float(changed.mean()) - 0.5) < 0.03
