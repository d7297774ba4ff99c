"""`fl-crafter attack`: see what an eavesdropper sees in features that it recorded."""

from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.cli.evaluate import GENERATOR_HELP
from fl_crafter.errors import InputError


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
        typer.Option(help="The defence that the eavesdropper knows of; adds adaptive attacks."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of `fl-crafter train` for the encoder that made the features."),
    ] = None,
    generator: Annotated[str, typer.Option(help=GENERATOR_HELP)] = "",
    seed: Annotated[int, typer.Option(help="Of restarts and training.")] = 0,
) -> None:
    """Reconstruct images from features that crossed the wire; knows no truth.

    The public photographs of the eavesdropper are drawn from the generator of the weights.
    """
    import torch

    from fl_crafter.assets import load_encoder
    from fl_crafter.attacks.suite import BUDGETS, run_suite, standard
    from fl_crafter.cli.files import write_contact_sheet
    from fl_crafter.models.split import feature_shape
    from fl_crafter.study.knowledge import attacker_knowledge, with_defence, with_generator
    from fl_crafter.study.named import named_generator
    from fl_crafter.training.loop import write_safetensors
    from fl_crafter.transcript import read_features

    if budget not in BUDGETS:
        raise InputError(f"There is no budget '{budget}'; choose from {', '.join(BUDGETS)}.")
    attacks = {each.name: each for each in standard(budget)}
    for wanted in name or ():
        if wanted not in attacks:
            raise InputError(f"There is no attack '{wanted}'; choose from {', '.join(attacks)}.")
        if attacks[wanted].adaptive and defence is None:
            raise InputError(f"{wanted} must know the defence; name it with --defence.")
    feature = read_features(features)
    shape = feature_shape(load_encoder(weights).encoder, 64)
    if feature.shape[1:] != shape:
        raise InputError(
            f"{features} holds features of shape {list(feature.shape[1:])}, but the encoder's is "
            f"{list(shape)}; name the folder of the right one with --weights."
        )
    brought = named_generator(generator, size=64) if generator else None
    random = torch.Generator().manual_seed(seed)
    knowledge = attacker_knowledge(
        torch.zeros(0, 3, 64, 64), drawn=1000, random=random, weights=weights
    )
    if brought is not None:
        knowledge = with_generator(knowledge, brought)
    if defence is not None:
        knowledge = with_defence(knowledge, defence, random=random, weights=weights)
    chosen = [attacks[wanted] for wanted in name or attacks]
    for done, result, _ in run_suite(chosen, feature, knowledge, random=random):
        image = result.image.cpu().clamp(0, 1)
        write_safetensors(out / f"{done.name}.safetensors", {"image": image})
        write_contact_sheet(image[:100], out / f"{done.name}.png")
        typer.echo(f"{done.name}: {len(image)} reconstructions in {out}")
