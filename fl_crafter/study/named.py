"""What a user names as `package.module:function`."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fl_crafter.errors import InputError
from fl_crafter.models.generator import ImageGenerator
from fl_crafter.models.split import SplitModel, freeze


def named_function(name: str, *, known: str = "") -> Callable[..., Any]:
    """The function.

    Args:
        name: `package.module:function`.
        known: what else could have been named, for the message.

    Raises:
        InputError: there is no such module or function.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"There is no '{name}' ({error}); choose {known}package.module:function, which must be "
            "importable: PYTHONPATH says from where."
        ) from error


def _called(name: str) -> Any:
    """What a function that takes nothing returns."""
    function = named_function(name)
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be called without arguments ({error}).") from error
    return function()


def named_encoder(name: str) -> SplitModel | nn.Module:
    """The encoder that a function of the user's returns, frozen; with its cloud model if cut.

    Args:
        name: `package.module:function`; the function takes nothing and returns a module, images
            `[batch, 3, size, size]` in [0, 1] -> features, or a `SplitModel` such as `cut` gives.

    Raises:
        InputError: there is no such function, or it returns something else.
    """
    found = _called(name)
    if isinstance(found, SplitModel):
        return SplitModel(freeze(found.encoder), freeze(found.cloud))
    if not isinstance(found, nn.Module):
        raise InputError(
            f"{name} returns a {type(found).__name__}; let it return the encoder as a torch "
            "module, or what fl_crafter.cut gives."
        )
    return freeze(found)


def named_generator(name: str, *, size: int) -> ImageGenerator:
    """The generator that a function of the user's returns, frozen.

    Args:
        name: `package.module:function`; the function takes nothing and returns an `ImageGenerator`,
            for example an `AdaptedGenerator` around any network that draws faces.
        size: side in pixels that its images must have.

    Raises:
        InputError: there is no such function, or it returns something else.
    """
    generator = _called(name)
    if not isinstance(generator, ImageGenerator):
        raise InputError(
            f"{name} returns a {type(generator).__name__}; let it return an ImageGenerator, such "
            "as fl_crafter.AdaptedGenerator around your network."
        )
    shape = tuple(generator.sample(1, random=torch.Generator().manual_seed(0)).shape[1:])
    if shape != (3, size, size):
        raise InputError(
            f"{name} returns a generator of images {list(shape)}; they must be [3, {size}, {size}]."
        )
    return generator.eval().requires_grad_(False)
