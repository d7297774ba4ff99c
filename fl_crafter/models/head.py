"""The last layer of a cloud model: another one, or some of what it tells."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from fl_crafter.errors import InputError


def with_head(cloud: nn.Module, *, attributes: int, random: torch.Generator) -> nn.Module:
    """A copy of the cloud model with one logit per attribute, ready to be trained.

    Where the number of logits is already right nothing changes. Otherwise the last linear layer is
    replaced by a new one; the layers before it keep what they learnt.

    Raises:
        ValueError: the model has no linear layer.
    """
    adapted = copy.deepcopy(cloud).requires_grad_(True)
    name, last = head(adapted)
    if last.out_features == attributes:
        return adapted
    fresh = nn.Linear(last.in_features, attributes).to(last.weight)
    bound = last.in_features**-0.5
    with torch.no_grad():
        for parameter in (fresh.weight, fresh.bias):
            parameter.copy_((torch.rand(parameter.shape, generator=random) * 2 - 1) * bound)
    _replace(adapted, name, fresh)
    return adapted


def head(cloud: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the last linear layer.

    Raises:
        ValueError: there is none.
    """
    linear = [(name, m) for name, m in cloud.named_modules() if isinstance(m, nn.Linear)]
    if not linear or not linear[-1][0]:
        raise ValueError("a cloud model needs a linear layer, inside it, that gives the logits")
    return linear[-1]


def with_outputs(cloud: nn.Module, places: Sequence[int]) -> nn.Module:
    """A copy of the cloud model that tells only some of what it told.

    Args:
        cloud: its last linear layer gives the logits.
        places: of the logits, in their new order.

    Raises:
        InputError: there is no such layer, or it has no logit at one of the places.
    """
    chosen = copy.deepcopy(cloud)
    try:
        name, last = head(chosen)
    except ValueError as error:
        raise InputError(f"Some outputs are to be kept, and {error}.") from error
    if not all(0 <= place < last.out_features for place in places):
        raise InputError(
            f"The cloud model has {last.out_features} outputs, numbered from 0, and those to keep "
            f"are {', '.join(map(str, places))}."
        )
    told = {name: value[list(places)] for name, value in last.state_dict().items()}
    fewer = nn.Linear(last.in_features, len(places), bias="bias" in told).to(last.weight)
    fewer.load_state_dict(told)
    fewer.requires_grad_(last.weight.requires_grad)
    _replace(chosen, name, fewer)
    return chosen


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], layer)
