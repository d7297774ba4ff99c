"""`fl-crafter attack`: see what an eavesdropper sees in a transcript."""

from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.errors import InputError

ATTACKS = ("white_box_latent", "black_box_decoder")
ADAPTIVE = "adaptive_decoder"


def attack(
    transcript: Annotated[Path, typer.Argument(help="transcript.safetensors of a run.")],
    out: Annotated[Path, typer.Option(help="Folder for reconstructions and contact sheets.")],
    name: Annotated[
        list[str] | None,
        typer.Option("--attack", help="May be given several times; all by default."),
    ] = None,
    defence: Annotated[
        str | None,
        typer.Option(help="The defence that the eavesdropper knows of; adds adaptive_decoder."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of restarts and training.")] = 0,
) -> None:
    """Reconstruct images from the features that crossed the wire; knows no truth.

    The public photographs of the eavesdropper are drawn from the shipped generator.
    """
    import torch

    from fl_crafter.assets import load_encoder
    from fl_crafter.cli.files import write_contact_sheet
    from fl_crafter.cli.judging import attacker_knowledge, standard_attacks, with_defence
    from fl_crafter.models.split import feature_shape
    from fl_crafter.training.loop import write_safetensors
    from fl_crafter.transcript import Transcript

    chosen = name or [*ATTACKS, *([ADAPTIVE] if defence else [])]
    attacks = standard_attacks()
    for wanted in chosen:
        if wanted not in attacks:
            raise InputError(f"There is no attack '{wanted}'; choose from {', '.join(attacks)}.")
    if ADAPTIVE in chosen and defence is None:
        raise InputError(f"{ADAPTIVE} must know the defence; name it with --defence.")
    record = Transcript.load(transcript)
    shape = feature_shape(load_encoder().encoder, 64)
    if not len(record) or record.feature.shape[1:] != shape:
        raise InputError(
            f"transcript {transcript} holds {len(record)} features of shape "
            f"{list(record.feature.shape[1:])}, but the shipped encoder's is {list(shape)}; record "
            "one with the shipped encoder and 64-pixel images."
        )
    random = torch.Generator().manual_seed(seed)
    knowledge = attacker_knowledge(torch.zeros(0, 3, 64, 64), drawn=1000, random=random)
    if defence is not None:
        knowledge = with_defence(knowledge, defence, random=random)
    for wanted in chosen:
        result = attacks[wanted].reconstruct(record.feature, knowledge, random=random)
        write_safetensors(out / f"{wanted}.safetensors", {"image": result.image})
        write_contact_sheet(result.image[:100], out / f"{wanted}.png")
        typer.echo(f"{wanted}: {len(result.image)} reconstructions in {out}")
