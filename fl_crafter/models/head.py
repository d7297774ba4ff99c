"""The last layer of a cloud model: another one, or some of what it tells."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

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


def with_outputs(
    cloud: nn.Module, places: Sequence[int], feature: Float[Tensor, " count *shape"]
) -> nn.Module:
    """A copy of the cloud model that tells only some of what it told, its last layer the smaller.

    Args:
        cloud: its last linear layer gives the logits.
        places: of the logits, in their new order.
        feature: some, to see that the copy tells the same.

    Raises:
        InputError: there is no such layer, or the model has no logit at one of the places.
    """
    some = SomeOutputs(cloud, places, feature)
    chosen = copy.deepcopy(cloud)
    try:
        name, last = head(chosen)
    except ValueError as error:
        raise InputError(f"Some outputs are to be kept, and {error}.") from error
    told = {name: value[list(places)] for name, value in last.state_dict().items()}
    fewer = nn.Linear(last.in_features, len(places), bias="bias" in told).to(last.weight)
    fewer.load_state_dict(told)
    fewer.requires_grad_(last.weight.requires_grad)
    _replace(chosen, name, fewer)
    with torch.no_grad():
        before, now = (each(feature.to(last.weight)) for each in (some, chosen))
    if before.shape != now.shape or not torch.allclose(before, now, rtol=1e-3, atol=1e-4):
        raise InputError(
            "The last linear layer of the cloud model does not give its outputs, so that there is "
            "none to make smaller; give a cloud model that tells only what the task asks for."
        )
    return chosen


class SomeOutputs(nn.Module):
    """What the cloud model tells at some places, whatever it is made of.

    Args:
        cloud: features -> `[batch, outputs]`.
        places: of its outputs, in their new order.
        feature: some, to see how many outputs there are.

    Raises:
        InputError: there is no output at one of the places.
    """

    def __init__(
        self, cloud: nn.Module, places: Sequence[int], feature: Float[Tensor, " count *shape"]
    ) -> None:
        super().__init__()
        self.cloud, self.places = cloud, list(places)
        with torch.no_grad():
            count = cloud(feature[:1].to(next(cloud.parameters(), feature))).shape[1]
        if not all(0 <= place < count for place in places):
            raise InputError(
                f"The cloud model has {count} outputs, numbered from 0, and those to keep are "
                f"{', '.join(map(str, places))}."
            )

    def forward(self, feature: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch outputs"]:
        """The outputs at these places."""
        return self.cloud(feature)[:, self.places]


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], layer)
