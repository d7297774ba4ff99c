"""What an eavesdropper knows, built from weights and public photographs."""

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fl_crafter.assets import load_amortiser, load_decoder, load_encoder, load_generator
from fl_crafter.attacks.adaptive import new_decoder
from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.attacks.fine_tuning import fine_tune
from fl_crafter.attacks.queries import features_of
from fl_crafter.defences.any_encoder import InOwnShape, check_outputs
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import KEEPING, DefenceSettings, build_defence, kept
from fl_crafter.models.adapted import AdaptedGenerator
from fl_crafter.models.decoder import Rescaled
from fl_crafter.models.generator import ImageGenerator
from fl_crafter.models.split import SplitModel

QUERY_SHARE = 4  # one of so many public faces is for queries

CHECKED = 64  # public features on which a cloud model is tried

RELEARNING = {"smoke": 2, "cpu": 600, "gpu": 1500}
"""Steps in which the eavesdropper's decoder learns another encoder, by budget."""


def attacker_knowledge(
    public_image: Float[Tensor, "count 3 height width"],
    *,
    drawn: int = 0,
    random: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    weights: Path | None = None,
    public_labels: Float[Tensor, "count attributes"] | None = None,
    query_image: Float[Tensor, "queries 3 height width"] | None = None,
) -> AttackerKnowledge:
    """What an eavesdropper knows without the defence; its decoder is none that defences simulate.

    Args:
        public_image: photographs of other people.
        drawn: faces drawn from the generator that join them, of its size.
        random: source of those faces, where any are drawn.
        device: where attacks compute.
        weights: folder of the weights; the shipped ones by default.
        public_labels: of the photographs, where none are drawn.
        query_image: faces to query the defence with; by default all that are known.
    """
    generator = load_generator(weights).to(device)
    if drawn:
        if random is None:
            raise ValueError("faces are to be drawn, and random is missing")
        faces = generator.sample(drawn, random=random).cpu()
        public_image = torch.cat([public_image, faces])
    model = load_encoder(weights).to(device)
    return AttackerKnowledge(
        encoder=model.encoder,
        public_image=public_image,
        generator=generator,
        amortiser=load_amortiser(weights).to(device),
        decoder=load_decoder("eavesdropper_decoder", weights).to(device),
        cloud=model.cloud,
        public_labels=public_labels,
        query_image=query_image,
    )


def with_generator(knowledge: AttackerKnowledge, generator: ImageGenerator) -> AttackerKnowledge:
    """The knowledge with another prior of faces, for which there is no amortiser.

    Args:
        knowledge: of any eavesdropper.
        generator: brought along; moves to where the encoder computes.
    """
    return replace(knowledge, generator=generator.to(knowledge.device), amortiser=None)


def with_queries(
    knowledge: AttackerKnowledge, count: int, *, random: torch.Generator
) -> AttackerKnowledge:
    """The knowledge with so many faces to query the defence with: drawn ones join the photographs.

    They are mixed, so that what is held out while something learns from them is of both kinds.

    Args:
        knowledge: of any eavesdropper whose generator draws faces of the photographs' size.
        count: of faces.
        random: source of the faces, and of their order.
    """
    own = knowledge.public_image if knowledge.query_image is None else knowledge.query_image
    if len(own) >= count:
        return knowledge
    drawn = knowledge.generator.sample(count - len(own), random=random).to(own)
    order = torch.randperm(count, generator=random).to(own.device)
    return replace(knowledge, query_image=torch.cat([own, drawn])[order])


def scaled(generator: ImageGenerator, *, size: int) -> ImageGenerator:
    """A generator whose images are brought to another size, for want of one that draws at it."""
    shape = (generator.latent_size,)
    return AdaptedGenerator(generator, latent_shape=shape, size=size, low=0.0, high=1.0)


def with_encoder(
    knowledge: AttackerKnowledge,
    encoder: nn.Module,
    *,
    cloud: nn.Module | None = None,
    decoder: nn.Module | None = None,
    steps: int,
    random: torch.Generator,
    title: str = "decoder of the encoder",
) -> AttackerKnowledge:
    """The knowledge of another encoder's features: a decoder learns them, there is no amortiser.

    Args:
        knowledge: of any eavesdropper.
        encoder: frozen; images in [0, 1] -> features `[batch, channels, rows, columns]`.
        cloud: the public model of the task behind it, if that is known.
        decoder: that learns; by default one with random weights.
        steps: of its training on the public images.
        random: of those weights and of the training.
        title: shown beside the progress bar.
    """
    if cloud is not None:
        check_outputs(cloud, features_of(encoder, knowledge.public_image[:CHECKED]))
    knowledge = replace(knowledge, encoder=encoder, cloud=cloud, amortiser=None)
    if decoder is None:
        some = features_of(encoder, knowledge.public_image[:256])
        side, rows = knowledge.public_image.shape[-1], some.shape[2]
        doubles = any(rows << times == side for times in range(1, 7))
        decoder = new_decoder(some, side, dense=not doubles, random=random)
    decoder, _ = fine_tune(
        knowledge,
        knowledge.public_image,
        decoder=decoder,
        steps=steps,
        batch_size=32,
        learning_rate=1e-3,
        random=random,
        title=title,
    )
    return replace(knowledge, decoder=decoder)


def apart(
    public_image: Float[Tensor, "count 3 height width"], *, random: torch.Generator
) -> tuple[Float[Tensor, "held 3 height width"], Float[Tensor, "kept 3 height width"]]:
    """Faces that a defence is built from, and those that it is queried with, drawn."""
    order = torch.randperm(len(public_image), generator=random)
    kept = len(order) // QUERY_SHARE
    return public_image[order[kept:]], public_image[order[:kept]]


def with_defence(
    knowledge: AttackerKnowledge,
    name: str,
    *,
    settings: DefenceSettings | None = None,
    random: torch.Generator,
    weights: Path | None = None,
    model: SplitModel | None = None,
) -> AttackerKnowledge:
    """What an adaptive eavesdropper knows: the defence too, rebuilt from its own public faces.

    A quarter of them it keeps to query the defence with: those that the defence holds it treats
    unlike a private face, and releases as they are if it releases the nearest one.

    Args:
        knowledge: of an eavesdropper that is not adaptive.
        name: of the defence.
        settings: of the defence.
        random: source of the defence's randomness; the victim's is another.
        weights: folder of the weights; the shipped ones by default.
        model: an encoder of one's own with its cloud model, which the defence is built around.

    Raises:
        InputError: there is no such defence, or it does not go with that model.
    """
    held, others = apart(knowledge.public_image, random=random)
    knowledge = replace(knowledge, query_image=others)
    settings = settings or DefenceSettings()
    if model is not None:
        feature = features_of(model.encoder, held)
        check_outputs(model.cloud, feature[:CHECKED])
        defence: Defence = InOwnShape(name, model, feature, settings)
    else:
        cloud = load_encoder(weights).cloud.to(knowledge.device)
        feature = features_of(knowledge.encoder, held)
        defence = build_defence(
            name,
            encoder=knowledge.encoder,
            cloud=cloud,
            public_feature=feature,
            settings=settings,
            weights=weights,
        )
        if name in KEEPING:  # what it does not look at tells nothing, and would mislead a search
            knowledge = replace(knowledge, cloud=kept(cloud, settings, feature))
    return knowing(knowledge, defence, random=random)


def knowing(
    knowledge: AttackerKnowledge, defence: Defence, *, random: torch.Generator
) -> AttackerKnowledge:
    """The knowledge of how a defence works, its decoder included if it stores one.

    Args:
        knowledge: of an eavesdropper that is not adaptive.
        defence: that it knows.
        random: source of the defence's randomness; the victim's is another.
    """

    def release(feature: Tensor) -> Tensor:
        return defence.protect(feature, random=random).feature

    return replace(knowledge, release=release, defence_decoder=defence.decoder)


def of_trained(
    knowledge: AttackerKnowledge,
    model: SplitModel,
    *,
    steps: int,
    random: torch.Generator,
    title: str = "decoder of the encoder",
) -> AttackerKnowledge:
    """The knowledge of the encoder of a trained defence, which grew out of the shipped one.

    A decoder of its features learns from the one of the shipped encoder's, on rescaled features;
    there is no amortiser.

    Args:
        knowledge: of an eavesdropper on the shipped encoder.
        model: the trained encoder, frozen, with its cloud model.
        steps: of the decoder's training on the public images.
        random: of that training.
        title: shown beside the progress bar.
    """
    some = knowledge.public_image[:256]
    met, used_to = (features_of(each, some) for each in (model.encoder, knowledge.encoder))
    decoder = Rescaled(knowledge.decoder, met, used_to)
    return with_encoder(
        knowledge,
        model.encoder,
        cloud=model.cloud,
        decoder=decoder,
        steps=steps,
        random=random,
        title=title,
    )
