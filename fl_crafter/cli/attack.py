"""`fl-crafter attack`: see what an eavesdropper sees in features that it recorded."""

import hashlib
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_crafter.cli.options import EncoderOption, GeneratorOption, JsonOption
from fl_crafter.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fl_crafter.attacks.base import Attack

DRAWN = 1000  # public faces


def attack(
    features: Annotated[
        Path,
        typer.Argument(help="Transcript of a run, or .safetensors features or a folder of them."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for reconstructions and contact sheets.")],
    name: Annotated[
        list[str] | None,
        typer.Option("--attack", help="Of the suite; may be given several times; all by default."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Of the suite: smoke, cpu or gpu.")] = "cpu",
    defence: Annotated[
        str | None,
        typer.Option(
            help="What the eavesdropper knows that protected them: crafter, noise:2, disco:FILE."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of `fl-crafter train` for the encoder that made the features."),
    ] = None,
    encoder: EncoderOption = "",
    public: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs of other people, which the eavesdropper has."),
    ] = None,
    generator: GeneratorOption = "",
    seed: Annotated[int, typer.Option(help="Of restarts and training.")] = 0,
    json: JsonOption = False,
) -> None:
    """Reconstruct images from features that crossed the wire; knows no truth.

    The eavesdropper has public faces drawn from the generator of the weights, and what --public
    holds; of an encoder of your own its decoder learns first, for minutes with the cpu budget.
    Stopped by Ctrl-C, it goes on with the same command.
    """
    import torch

    from fl_crafter.assets import load_encoder
    from fl_crafter.attacks.suite import run_suite
    from fl_crafter.cli.contact_sheet import write_contact_sheet
    from fl_crafter.defences.configured import trained_defence
    from fl_crafter.faces.images import read_images
    from fl_crafter.models.split import SplitModel
    from fl_crafter.progress import Remaining
    from fl_crafter.study.knowledge import (
        RELEARNING,
        attacker_knowledge,
        knowing,
        of_trained,
        with_defence,
        with_encoder,
        with_generator,
    )
    from fl_crafter.study.named import named_encoder, named_generator
    from fl_crafter.study.points import parse_defence
    from fl_crafter.tensor_files import write_safetensors
    from fl_crafter.transcript import read_features

    chosen = _chosen(name, budget, adaptive=defence is not None)
    feature = read_features(features)
    point = parse_defence(defence) if defence else None
    trained = None
    if point is not None and point.weights:
        if encoder or weights:
            raise InputError(
                f"--defence {defence} brings an encoder of its own; leave --encoder and --weights "
                "out."
            )
        trained = trained_defence(point.defence, Path(point.weights), device="cpu")
    given = named_encoder(encoder) if encoder else None
    model = given if isinstance(given, SplitModel) else None
    own = given.encoder if isinstance(given, SplitModel) else given
    if own is not None and model is None and defence is not None:
        raise InputError(
            "--defence needs the cloud model too; let the function of --encoder return "
            "fl_crafter.cut(network, layer) or SplitModel(encoder, cloud)."
        )
    brings = None if trained is None else trained.model
    made_by = brings.encoder if brings else load_encoder(weights).encoder if own is None else own
    _check_shape(feature, features, made_by)
    brought = named_generator(generator, size=64) if generator else None
    photographs = read_images(public, size=64) if public else torch.zeros(0, 3, 64, 64)
    parts = [part for part in (made_by, model and model.cloud, brought) if part is not None]
    numbers = [value for part in parts for value in part.state_dict().values()]
    asked = f"{budget} {defence} {point and point.fixed()} {_files(weights)} {seed} "
    asked += " ".join(_digest(each) for each in (feature, photographs, *numbers))
    digests = {each.name: hashlib.sha256(f"{asked} {each}".encode()).hexdigest() for each in chosen}
    files = {each.name: out / f"{each.name}.safetensors" for each in chosen}
    left = [each for each in chosen if _stored(files[each.name]) != digests[each.name]]
    if left:
        random = torch.Generator().manual_seed(seed)
        knowledge = attacker_knowledge(photographs, drawn=DRAWN, random=random, weights=weights)
        steps = RELEARNING[budget]
        if trained is not None:
            knowledge = of_trained(knowledge, made_by, steps=steps, random=random)
            knowledge = knowing(knowledge, trained, random=random)
        elif point is not None:
            knowledge = with_defence(
                knowledge,
                point.defence,
                settings=point.settings,
                random=random,
                weights=weights,
                model=model,
            )
        if own is not None:
            knowledge = with_encoder(knowledge, own, steps=steps, random=random)
        if brought is not None:
            knowledge = with_generator(knowledge, brought)
        knowledge = replace(knowledge, batch=min(knowledge.batch, len(feature)))
        remaining = Remaining(len(left))
        for each in left:
            # randomness of its own, so that it does not matter which attacks were done before
            random = torch.Generator().manual_seed(int(digests[each.name][:15], 16))
            for _, result, _ in run_suite([each], feature, knowledge, random=random):
                image = result.image.cpu().clamp(0, 1)
                write_contact_sheet(image[:100], out / f"{each.name}.png")
                known = {"digest": digests[each.name]}
                write_safetensors(files[each.name], {"image": image}, metadata=known)
            typer.echo(f"{each.name}: {remaining.part_done()}", err=True)
    seen = {name: path for name, path in files.items() if _stored(path) == digests[name]}
    if json:
        reconstructions = {name: str(path) for name, path in seen.items()}
        typer.echo(dumps({"features": len(feature), "reconstructions": reconstructions}))
        return
    for each in files:
        if each in seen:
            typer.echo(f"{each}: {len(feature)} reconstructions in {out}")
        else:
            typer.echo(f"{each}: left out, this eavesdropper lacks what it needs (docs/attacks.md)")


def _chosen(name: list[str] | None, budget: str, *, adaptive: bool) -> "list[Attack]":
    """The attacks to run, in increasing cost."""
    from fl_crafter.attacks.suite import BUDGETS, standard

    if budget not in BUDGETS:
        raise InputError(f"There is no budget '{budget}'; choose from {', '.join(BUDGETS)}.")
    attacks = {each.name: each for each in standard(budget)}
    for wanted in name or ():
        if wanted not in attacks:
            raise InputError(f"There is no attack '{wanted}'; choose from {', '.join(attacks)}.")
        if attacks[wanted].adaptive and not adaptive:
            raise InputError(f"{wanted} must know the defence; name it with --defence.")
    return [
        each
        for each in attacks.values()
        if each.name in (name or attacks) and (adaptive or not each.adaptive)
    ]


def _check_shape(feature: "Tensor", features: Path, encoder: "nn.Module") -> None:
    from fl_crafter.models.split import feature_shape

    shape = feature_shape(encoder, 64)
    if feature.shape[1:] != shape:
        raise InputError(
            f"{features} holds features of shape {list(feature.shape[1:])}, but the encoder's is "
            f"{list(shape)}; name the right one with --weights or --encoder."
        )


def _files(weights: Path | None) -> list[str]:
    """What is in a folder of weights."""
    from fl_crafter.files import file_hash

    return [file_hash(path) for path in sorted(weights.glob("*.safetensors"))] if weights else []


def _digest(feature: "Tensor") -> str:
    return hashlib.sha256(feature.double().cpu().numpy().tobytes()).hexdigest()


def _stored(path: Path) -> str | None:
    """The digest in a file of reconstructions; None where there is no whole one."""
    from safetensors import SafetensorError

    from fl_crafter.tensor_files import read_metadata

    try:
        return read_metadata(path).get("digest")
    except (OSError, SafetensorError):
        return None
