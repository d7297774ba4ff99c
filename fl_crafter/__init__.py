"""Facial features that serve their task and show an average face to whoever inverts them.

What most programs need is here; a name is imported when it is first used, so that
`import fl_crafter` costs nothing and `CrafterMod` alone takes Flower::

    from fl_crafter import protect

    protected = protect("photographs")  # a folder, Pillow images or a tensor
    protected.feature                   # may leave the device
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_crafter.assets import load_encoder, load_generator
    from fl_crafter.defences.base import Defence, Protected, Status
    from fl_crafter.errors import InputError
    from fl_crafter.faces.images import read_images
    from fl_crafter.flower import CrafterMod
    from fl_crafter.models.adapted import AdaptedGenerator
    from fl_crafter.models.backbone import cut
    from fl_crafter.models.generator import ImageGenerator
    from fl_crafter.models.split import SplitModel
    from fl_crafter.protection import Protector, protect

_HOMES = {
    "AdaptedGenerator": "models.adapted",
    "CrafterMod": "flower",
    "Defence": "defences.base",
    "ImageGenerator": "models.generator",
    "InputError": "errors",
    "Protected": "defences.base",
    "Protector": "protection",
    "SplitModel": "models.split",
    "Status": "defences.base",
    "cut": "models.backbone",
    "load_encoder": "assets",
    "load_generator": "assets",
    "protect": "protection",
    "read_images": "faces.images",
}

__all__ = [
    "AdaptedGenerator",
    "CrafterMod",
    "Defence",
    "ImageGenerator",
    "InputError",
    "Protected",
    "Protector",
    "SplitModel",
    "Status",
    "cut",
    "load_encoder",
    "load_generator",
    "protect",
    "read_images",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
