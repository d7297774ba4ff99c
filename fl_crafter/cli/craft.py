"""`fl-crafter craft`: protect the features of a folder of photographs, without any federation."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fl_crafter.errors import InputError


def craft(
    photographs: Annotated[Path, typer.Argument(help="Folder with one sub-folder per person.")],
    out: Annotated[
        Path,
        typer.Option(help="File of the protected features, .safetensors; with --ray a folder."),
    ],
    defence: Annotated[str, typer.Option(help="Its name; a wrong one gets the list.")] = "crafter",
    utility_weight: Annotated[
        float, typer.Option(help="Crafter's beta: larger keeps more utility and less privacy.")
    ] = 10.0,
    utility_budget: Annotated[
        float, typer.Option(min=0, help="Most utility loss: find each person's weight by it.")
    ] = 0.0,
    false_match: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="Find the largest weight at which the simulated eavesdropper cannot tell the "
            "person from a stranger, this share of strangers taken for one by mistake.",
        ),
    ] = 0.0,
    steps: Annotated[int, typer.Option(min=0, help="Crafter's steps.")] = 30,
    batch: Annotated[int, typer.Option(min=1, help="Photographs crafted together.")] = 32,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    ray: Annotated[
        bool, typer.Option("--ray", help="With Ray, in shards; what is there is not made again.")
    ] = False,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0, help="With --ray: share of a GPU for each worker; 0 has none.")
    ] = 0.0,
) -> None:
    """Write features of photographs that may be shared; row order is that of the sorted paths.

    Nothing but features goes into the file. Public knowledge is drawn from the shipped generator.
    """
    import torch

    from fl_crafter.assets import load_encoder, load_generator
    from fl_crafter.defences.base import Status
    from fl_crafter.defences.configured import DefenceSettings, build_defence
    from fl_crafter.defences.configured_target import build_targeted, simulated_observer
    from fl_crafter.defences.crafter.crafter import CrafterSettings
    from fl_crafter.faces.photo import list_people, read_photo, require_root
    from fl_crafter.training.loop import write_safetensors

    if not 0 <= utility_weight < float("inf"):  # nan is neither
        raise InputError(f"--utility-weight must be 0 or more and finite, not {utility_weight}.")
    if utility_budget and false_match:
        raise InputError("--utility-budget and --false-match are two targets; give one.")
    if ray:
        if utility_budget or false_match:
            raise InputError(
                "--ray finds no weights; leave --utility-budget and --false-match out."
            )
        arguments = [photographs, "--out", out, "--defence", defence]
        arguments += ["--utility-weight", utility_weight, "--steps", steps, "--batch", batch]
        arguments += ["--seed", seed, "--gpus-per-worker", gpus_per_worker]
        _craft_with_ray(*arguments)
        return
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file, or craft shards with --ray.")
    folder = require_root(photographs, holds="one sub-folder per person")
    paths = [path for own in list_people(folder).values() for path in own]
    image = torch.stack([read_photo(path, crop=None, size=64) for path in paths])
    model = load_encoder()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = load_generator().sample(1000, random=random)
        public = torch.cat([model.encoder(part) for part in drawn.split(64)])
        feature = torch.cat([model.encoder(part) for part in image.split(64)])
    settings = DefenceSettings(
        crafter=CrafterSettings(utility_weight=utility_weight, steps=steps),
    )
    known: dict[str, Any] = {
        "encoder": model.encoder,
        "cloud": model.cloud,
        "public_feature": public,
        "settings": settings,
    }
    if false_match:
        promise = simulated_observer(model.encoder, public, false_match=false_match, random=random)
        chosen = build_targeted(defence, promise, **known)
    elif utility_budget:
        chosen = build_targeted(defence, utility_budget, **known)
    else:
        chosen = build_defence(defence, **known)
    released, over_budget = [], 0
    with typer.progressbar(
        feature.split(batch), label=defence, length=-(-len(feature) // batch)
    ) as parts:
        for part in parts:
            protected = chosen.protect(part, random=random)
            if protected.status == Status.DIVERGED:
                raise InputError(
                    "crafting diverged and nothing was written; take fewer --steps or a larger "
                    "--utility-weight."
                )
            if protected.status == Status.IDENTIFIED:
                raise InputError(
                    "the simulated eavesdropper still sees a person at every weight, and nothing "
                    "was written; take another --defence or a smaller --false-match."
                )
            over_budget += round(protected.figures.get("unmet", 0.0) * len(part))
            released.append(protected.feature)
    write_safetensors(out, {"feature": torch.cat(released)}, metadata={"defence": defence})
    typer.echo(f"{len(feature)} features in {out}")
    if over_budget:
        typer.echo(f"{over_budget} of them lose more than --utility-budget at every weight.")


def _craft_with_ray(*arguments: object) -> None:
    """Run it in a process of its own: nothing in this package imports Ray."""
    command = [sys.executable, "-m", "simulations.bulk_crafting", *map(str, arguments)]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise typer.Exit(status)
