"""Images in [0, 1] as bytes, and as pictures that live inside a page."""

import io
from base64 import b64encode

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


def as_bytes(image: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [0, 1] as bytes, in the processor's memory."""
    return (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def data_uri(image: UInt8[Tensor, "3 height width"]) -> str:
    """An image as a PNG that lives inside the page, so that nothing is fetched."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}"
