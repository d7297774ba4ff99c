"""Flower: the feature message, the mod that protects it, and the eavesdropper's tap."""

from fl_crafter.flower.crafter_mod import CrafterMod, RefusedRelease, protect_array
from fl_crafter.flower.payload import (
    Payload,
    PayloadError,
    PayloadTerms,
    read_payload,
    write_payload,
)
from fl_crafter.flower.predictions import Predictions, agree, read_predictions, write_predictions
from fl_crafter.flower.tap import TapGrid

__all__ = [
    "CrafterMod",
    "Payload",
    "PayloadError",
    "PayloadTerms",
    "Predictions",
    "RefusedRelease",
    "TapGrid",
    "agree",
    "protect_array",
    "read_payload",
    "read_predictions",
    "write_payload",
    "write_predictions",
]
