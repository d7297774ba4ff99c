"""The same client with Crafter: what is added, in ten lines."""

import torch
from flwr.clientapp import ClientApp

from examples.vertical_fl.app import embed
from fl_crafter import CrafterMod, Defence, Protector, load_generator


def defence() -> Defence:
    """Public knowledge only: the shipped encoder, and halves of faces of nobody."""
    upper = load_generator().sample(500, random=torch.Generator().manual_seed(0))
    lower = upper.clone()
    upper[:, :, 32:] = lower[:, :, :32] = 0.5
    # ten steps of the thirty that are usual: this is to be quick
    return Protector(public=torch.cat([upper, lower]), steps=10).defence


mod = CrafterMod(defence, record="embeddings", key="embedding")
client_app = ClientApp(mods=[mod])
client_app.query("embed")(embed)
