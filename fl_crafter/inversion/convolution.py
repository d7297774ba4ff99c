"""Convolutions with frozen weights, whose derivatives of every order cost one convolution each."""

from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import Function


class _Shape(NamedTuple):
    """How a convolution goes over its input."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int


class _Convolve(Function):
    """`A x` for the linear map `A` of a convolution."""

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, weight: Tensor, shape: _Shape) -> Tensor:
        return torch.convolution(image, weight, None, *shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, _Shape], output: Tensor) -> None:
        image, weight, ctx.shape = inputs
        ctx.size = image.shape[-3:]
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return _Adjoint.apply(gradients[0], weight, ctx.shape, ctx.size), None, None


class _Adjoint(Function):
    """`A^T y`. Its own derivative is `A`: torch's would form the weights' as well."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, weight: Tensor, shape: _Shape, size: torch.Size) -> Tensor:
        image = gradient.new_empty((len(gradient), *size))
        wanted = (True, False, False)
        return torch.ops.aten.convolution_backward(gradient, image, weight, None, *shape, wanted)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, weight, ctx.shape, _ = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return _Convolve.apply(gradients[0], weight, ctx.shape), None, None, None


class FrozenConvolution(nn.Module):
    """The same map as a convolution whose weights are never trained.

    Args:
        convolution: two-dimensional, transposed or not, zero-padded by numbers.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.register_buffer("weight", convolution.weight.detach())
        bias = convolution.bias
        self.register_buffer("bias", None if bias is None else bias.detach()[:, None, None])
        self.shape = _Shape(
            convolution.stride,
            tuple(int(each) for each in convolution.padding),
            convolution.dilation,
            isinstance(convolution, nn.ConvTranspose2d),
            convolution.output_padding,
            convolution.groups,
        )

    def forward(self, image: Tensor) -> Tensor:
        """See the convolution's own."""
        output = _Convolve.apply(image, self.weight, self.shape)
        return output if self.bias is None else output + self.bias


def can_freeze(module: nn.Module) -> TypeGuard[nn.Conv2d | nn.ConvTranspose2d]:
    """Whether a module is such a convolution."""
    return (
        type(module) in (nn.Conv2d, nn.ConvTranspose2d)
        and getattr(module, "padding_mode", "") == "zeros"
        and not isinstance(getattr(module, "padding", ""), str)
    )
