"""`fl-crafter attack`: see what an eavesdropper sees in features that it recorded."""

import hashlib
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_crafter.cli.options import EncoderOption, GeneratorOption, JsonOption, KeepOption
from fl_crafter.errors import InputError

SHOWN = 100  # pictures on a contact sheet

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fl_crafter.attacks.base import Attack
    from fl_crafter.study.eavesdropper import Eavesdropper


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
    keep: KeepOption = "",
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
    from fl_crafter.accelerator import default_device
    from fl_crafter.study.eavesdropper import Eavesdropper, digest_of
    from fl_crafter.transcript import read_features

    chosen = _chosen(name, budget, adaptive=defence is not None)
    feature = read_features(features)
    eavesdropper = Eavesdropper.described(
        defence=defence,
        keep=keep,
        weights=weights,
        encoder=encoder,
        public=public,
        generator=generator,
        device=default_device(),
    )
    _check_shape(feature, features, eavesdropper.encoder)
    asked = f"{budget} {seed} {digest_of(feature)} {eavesdropper.digest()}"
    digests = {each.name: hashlib.sha256(f"{asked} {each}".encode()).hexdigest() for each in chosen}
    files = {each.name: out / f"{each.name}.safetensors" for each in chosen}
    left = [each for each in chosen if _stored(files[each.name]) != digests[each.name]]
    if left:
        _run(left, feature, eavesdropper, out, budget=budget, seed=seed, digests=digests)
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


def _run(
    attacks: "list[Attack]",
    feature: "Tensor",
    eavesdropper: "Eavesdropper",
    out: Path,
    *,
    budget: str,
    seed: int,
    digests: dict[str, str],
) -> None:
    """Run attacks one after the other; each leaves its pictures as it ends."""
    import torch

    from fl_crafter.attacks.suite import run_suite
    from fl_crafter.cli.contact_sheet import write_contact_sheet
    from fl_crafter.progress import Remaining
    from fl_crafter.tensor_files import write_safetensors

    knowledge = eavesdropper.knowledge(budget=budget, random=torch.Generator().manual_seed(seed))
    knowledge = replace(knowledge, batch=min(knowledge.batch, len(feature)))
    feature = feature.to(knowledge.device)
    remaining = Remaining(len(attacks))
    for each in attacks:
        # randomness of its own, so that it does not matter which attacks were done before
        random = torch.Generator().manual_seed(int(digests[each.name][:15], 16))
        for _, result in run_suite([each], feature, knowledge, random=random):
            image = result.image.cpu().clamp(0, 1)
            write_contact_sheet(image[:SHOWN], out / f"{each.name}.png")
            known = {"digest": digests[each.name]}
            write_safetensors(out / f"{each.name}.safetensors", {"image": image}, metadata=known)
        part = f", its PNG the first {SHOWN} of {len(feature)}" if len(feature) > SHOWN else ""
        typer.echo(f"{each.name}{part}: {remaining.part_done()}", err=True)


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


def _stored(path: Path) -> str | None:
    """The digest in a file of reconstructions; None where there is no whole one."""
    from safetensors import SafetensorError

    from fl_crafter.tensor_files import read_metadata

    try:
        return read_metadata(path).get("digest")
    except (OSError, SafetensorError):
        return None
