"""What an eavesdropper knows, built from weights and public photographs."""

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.assets import load_amortiser, load_decoder, load_encoder, load_generator
from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.models.generator import ImageGenerator


def attacker_knowledge(
    public_image: Float[Tensor, "count 3 height width"],
    *,
    drawn: int,
    random: torch.Generator,
    device: str = "cpu",
    weights: Path | None = None,
    public_labels: Float[Tensor, "count attributes"] | None = None,
    query_image: Float[Tensor, "queries 3 height width"] | None = None,
) -> AttackerKnowledge:
    """What an eavesdropper knows without the defence; its decoder is none that defences simulate.

    Args:
        public_image: photographs of other people.
        drawn: faces drawn from the generator that join them.
        random: source of those faces.
        device: where attacks compute.
        weights: folder of the weights; the shipped ones by default.
        public_labels: of the photographs, where none are drawn.
        query_image: faces to query the defence with; by default all that are known.
    """
    generator = load_generator(weights).to(device)
    faces = generator.sample(drawn, random=random).cpu()
    return AttackerKnowledge(
        encoder=load_encoder(weights).encoder.to(device),
        public_image=torch.cat([public_image, faces]),
        generator=generator,
        amortiser=load_amortiser(weights).to(device),
        decoder=load_decoder("eavesdropper_decoder", weights).to(device),
        public_labels=public_labels,
        query_image=query_image,
    )


def with_generator(knowledge: AttackerKnowledge, generator: ImageGenerator) -> AttackerKnowledge:
    """The knowledge with another prior of faces, for which there is no amortiser.

    Args:
        knowledge: of any eavesdropper.
        generator: brought along; moves to where the encoder computes.
    """
    device = next(knowledge.encoder.parameters()).device
    return replace(knowledge, generator=generator.to(device), amortiser=None)


def with_defence(
    knowledge: AttackerKnowledge,
    name: str,
    *,
    settings: DefenceSettings | None = None,
    random: torch.Generator,
    weights: Path | None = None,
) -> AttackerKnowledge:
    """What an adaptive eavesdropper knows: the defence too, rebuilt from its own public faces.

    Args:
        knowledge: of an eavesdropper that is not adaptive.
        name: of the defence.
        settings: of the defence.
        random: source of the defence's randomness; the victim's is another.
        weights: folder of the weights; the shipped ones by default.
    """
    device = next(knowledge.encoder.parameters()).device
    with torch.no_grad():
        parts = [knowledge.encoder(part.to(device)) for part in knowledge.public_image.split(64)]
    defence = build_defence(
        name,
        encoder=knowledge.encoder,
        cloud=load_encoder(weights).cloud.to(device),
        public_feature=torch.cat(parts),
        settings=settings,
        weights=weights,
    )
    return replace(
        knowledge, release=lambda feature: defence.protect(feature, random=random).feature
    )
