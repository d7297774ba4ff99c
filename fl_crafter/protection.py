"""Protect images in one call: with the shipped encoder or any other, and public images."""

import operator
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.assets import load_encoder, load_generator
from fl_crafter.defences.any_encoder import InOwnShape, check_for_any_encoder, check_outputs
from fl_crafter.defences.base import Defence, Protected, unfit
from fl_crafter.defences.configured import (
    DefenceSettings,
    build_defence,
    check_keep,
    check_name,
    shipped_outputs,
)
from fl_crafter.defences.crafter.crafter import CrafterSettings
from fl_crafter.errors import InputError
from fl_crafter.faces.images import Images, read_images
from fl_crafter.models.generator import ImageGenerator
from fl_crafter.models.split import SplitModel, freeze
from fl_crafter.randomness import generator_for

SHIPPED_SIZE = 64
DRAWN = 1000
FEWEST_PUBLIC = 64
CHUNK = 64


def protect(
    images: Images, model: SplitModel | nn.Module | None = None, **options: Any
) -> Protected:
    """Features of images that may be shared, in one call.

    Args:
        images: see `read_images`.
        model: see `Protector`.
        options: of `Protector`; for several calls make one and call that.

    Raises:
        InputError: see `Protector`.
    """
    return Protector(model, **options)(images)


class Protector:
    """Protects images with one encoder, one defence and one pool of public images.

    What `crafter` keeps of a person is what the cloud model says of the image, and nothing else. So
    the cloud model's outputs must be what may be known: attributes, and not an identity.

    Args:
        model: an encoder and the public cloud model behind it, see `cut`; the shipped ones for 64 x
            64 pixels by default. It is copied.
        public: images of people whose faces need no protection, of the kind that the private ones
            are: 64 or more, see `read_images`; or a generator to draw them from. The shipped
            encoder has a generator of its own.
        defence: one of `fl_crafter.defences.configured.NAMES`; those that simulate eavesdroppers go
            with the shipped encoder only.
        utility_weight: Crafter's beta: larger keeps more for the cloud, with less privacy.
        steps: most crafting steps.
        keep: what the task asks for: the defence (crafter, substitution or transport) then looks at
            no other output of the cloud model. Names of the shipped model's outputs, which are
            CelebA's attributes, or places of outputs of any model. Empty: all of them, which tell
            more of who it is.
        size: side in pixels that photographs are brought to; that of public tensors by default.
        seed: of everything random, to repeat a study; a release takes a secret one, the default.
        device: where all of it computes.

    Attributes:
        model: the copy.
        public_feature: of the public images.
        settings: of the defence.
        defence: takes clean features as the encoder gives them, of any shape; a `CrafterMod` and
            every other client can use it.

    Raises:
        InputError: something is missing, or does not go together; the text says what to give.
    """

    def __init__(
        self,
        model: SplitModel | nn.Module | None = None,
        *,
        public: Images | nn.Module | None = None,
        defence: str = "crafter",
        utility_weight: float = 10.0,
        steps: int = 30,
        keep: Sequence[str | SupportsIndex] = (),
        size: int | None = None,
        seed: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not isinstance(model, SplitModel | None):
            raise InputError(
                f"model is a {type(model).__name__}; cut it in two with cut(model, layer), or give "
                "SplitModel(encoder, cloud)."
            )
        if model is None:
            check_name(defence)
        else:
            check_for_any_encoder(defence)
        if len(keep):
            check_keep(defence)
        self.settings = DefenceSettings(
            crafter=crafter_settings(utility_weight, steps), keep=_places(keep, model is None)
        )
        self._seed, self._calls = seed, 0
        given = load_encoder() if model is None else model
        self.model = SplitModel(*(_own(part, device) for part in (given.encoder, given.cloud)))
        if model is None:
            if size not in (None, SHIPPED_SIZE):
                raise InputError(
                    f"size is {size}, and the shipped encoder takes {SHIPPED_SIZE} pixels; leave "
                    "it out, or give a model of your own."
                )
            size, public = SHIPPED_SIZE, load_generator() if public is None else public
        # the same public faces in every process: they are no secret, and drawn of no person
        drawing = torch.Generator().manual_seed(0 if seed is None else seed)
        known_image = _public(public, size, drawing)
        drawn_size = known_image.shape[-1]
        self.size = drawn_size if size is None else size
        if self.size != drawn_size:
            raise InputError(
                f"The public images have {drawn_size} pixels and size is {size}; give a generator "
                "that draws at that size, or photographs."
            )
        feature = self.encode(known_image)
        check_outputs(self.model.cloud, feature[:FEWEST_PUBLIC])
        self.public_feature = feature
        if model is None:
            self.defence: Defence = build_defence(
                defence,
                encoder=self.model.encoder,
                cloud=self.model.cloud,
                public_feature=feature,
                settings=self.settings,
            )
        else:
            self.defence = InOwnShape(defence, self.model, feature, self.settings)

    def encode(
        self, image: Float[Tensor, "count 3 height width"]
    ) -> Float[Tensor, " count *shape"]:
        """Clean features, which must not leave the device."""
        place = next(self.model.encoder.parameters(), image)
        with torch.no_grad():
            parts = [self.model.encoder(part.to(place)) for part in image.split(CHUNK)]
        if not all(isinstance(part, Tensor) and len(part) for part in parts):
            raise InputError("The encoder gives no tensor; cut where one tensor passes.")
        return torch.cat(parts)

    def __call__(self, images: Images, *, random: torch.Generator | None = None) -> Protected:
        """Protected features of images.

        Args:
            images: see `read_images`.
            random: of the defence; by default one of this call's own, which is secret without a
                seed: who knows one release's draws must not learn those of another.

        Raises:
            InputError: the images are not as `read_images` takes them, or crafting diverged.
        """
        clean = self.encode(read_images(images, size=self.size))
        if random is None:
            random = generator_for(self._seed, self._calls)
            self._calls += 1
        protected = self.defence.protect(clean, random=random)
        why = unfit(protected, clean, self.defence)
        if why:
            raise InputError(f"{why}; take other steps or another utility_weight.")
        return protected


def _own(part: nn.Module, device: torch.device | str) -> nn.Module:
    # in half precision the squares that crafting divides by are lost
    return freeze(deepcopy(part)).float().to(device)


def _places(keep: Sequence[str | SupportsIndex], shipped: bool) -> tuple[int, ...]:
    """Where the outputs to keep are."""
    asked = list(keep)
    names = [each for each in asked if isinstance(each, str)]
    if shipped and len(names) == len(asked):
        return shipped_outputs(names)
    if names:
        raise InputError(
            f"keep names {', '.join(names)}: names are of the shipped model's outputs; of a model "
            "of your own give their places, such as [0, 3]."
        )
    try:
        return tuple(operator.index(each) for each in asked)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"keep holds {error}; give places of outputs, such as [0, 3].") from error


def crafter_settings(utility_weight: float, steps: int) -> CrafterSettings:
    """Settings of crafting as a user gives them.

    Raises:
        InputError: one is out of its range.
    """
    if not 0 <= utility_weight < float("inf"):  # nan is neither
        raise InputError(f"utility_weight must be 0 or more and finite, not {utility_weight}.")
    if steps < 0:
        raise InputError(f"steps must be 0 or more, not {steps}.")
    return CrafterSettings(utility_weight=utility_weight, steps=steps)


def _public(public: Images | nn.Module | None, size: int | None, random: torch.Generator) -> Tensor:
    """Public images.

    Raises:
        InputError: there are none, or too few.
    """
    if public is None:
        raise InputError(
            f"public is missing; give {FEWEST_PUBLIC} or more images of people whose faces need no "
            "protection, or a generator of faces: an encoder of one's own needs them."
        )
    if isinstance(public, ImageGenerator):
        return public.sample(DRAWN, random=random)
    if isinstance(public, nn.Module):
        raise InputError(
            f"public is a {type(public).__name__}; wrap it, as in AdaptedGenerator(module, "
            "latent_shape=(512,)), if it is a generator."
        )
    known = read_images(public, size=size)
    if len(known) < FEWEST_PUBLIC:
        raise InputError(f"public holds {len(known)} images; give {FEWEST_PUBLIC} or more.")
    return known
