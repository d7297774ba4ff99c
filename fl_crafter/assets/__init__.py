"""Weights that ship with the package, trained on public faces only; beside each, its card."""

from fl_crafter.assets.store import (
    asset_hash,
    load_amortiser,
    load_decoder,
    load_encoder,
    load_generator,
    save_asset,
)

__all__ = [
    "asset_hash",
    "load_amortiser",
    "load_decoder",
    "load_encoder",
    "load_generator",
    "save_asset",
]
