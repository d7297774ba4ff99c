"""The same client with Crafter: what is added, in ten lines."""

import torch
from flwr.clientapp import ClientApp

from examples.vertical_fl.app import embed
from fl_crafter.assets import load_encoder, load_generator
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import build_defence
from fl_crafter.flower import CrafterMod


def defence() -> Defence:
    """Public knowledge only: the shipped encoder, and faces of nobody."""
    model, random = load_encoder(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        public = model.encoder(load_generator().sample(200, random=random))
    return build_defence(
        "substitution", encoder=model.encoder, cloud=model.cloud, public_feature=public
    )


mod = CrafterMod(defence, record="embeddings", key="embedding", passing=())
client_app = ClientApp(mods=[mod])
client_app.query("embed")(embed)
