"""`fl-crafter craft`: protect the features of a folder of photographs, without any federation."""

import hashlib
import os
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fl_crafter.cli.child import run_child
from fl_crafter.cli.options import JsonOption, KeepOption
from fl_crafter.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from fl_crafter.defences.base import Defence, Protected
    from fl_crafter.protection import Protector


def craft(
    photographs: Annotated[
        Path, typer.Argument(help="Folder of photographs; its sub-folders are read too.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="File of the protected features, .safetensors; with --ray a folder."),
    ],
    defence: Annotated[str, typer.Option(help="Its name; a wrong one gets the list.")] = "crafter",
    utility_weight: Annotated[
        float | None,
        typer.Option(
            help="Crafter's beta: larger keeps more utility and less privacy; 10 by default."
        ),
    ] = None,
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
    keep: KeepOption = "",
    batch: Annotated[int, typer.Option(min=1, help="Photographs crafted together.")] = 32,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Of everything random, to repeat a study. Who knows it can take noise off: leave "
            "it out for what is released."
        ),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="With Ray, in shards; what is there is not made again.")
    ] = False,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0, help="With --ray: share of a GPU for each worker; 0 has none.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Write features of photographs that may be shared; row order is that of the sorted paths.

    Nothing but features goes into the file. Public knowledge is drawn from the shipped generator.
    Stopped by Ctrl-C, it goes on with the same command.
    """
    if utility_budget and false_match:
        raise InputError("--utility-budget and --false-match are two targets; give one.")
    if utility_weight is not None and (utility_budget or false_match):
        raise InputError("--utility-weight is what a target finds; leave one of the two out.")
    weight = 10.0 if utility_weight is None else utility_weight
    if ray:
        if utility_budget or false_match:
            raise InputError(
                "--ray finds no weights; leave --utility-budget and --false-match out."
            )
        arguments = [photographs, "--out", out, "--defence", defence]
        arguments += ["--utility-weight", weight, "--steps", steps, "--batch", batch]
        arguments += ["--gpus-per-worker", gpus_per_worker]
        arguments += ["--keep", keep] if keep else []
        arguments += [] if seed is None else ["--seed", seed]
        run_child("simulations.bulk_crafting", *arguments, results=not json)
        if json:
            typer.echo(dumps({"folder": str(out), "defence": defence}))
        return
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file, or craft shards with --ray.")
    above = next(each for each in out.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):  # rather than find out at the end
        raise InputError(f"--out {out} cannot be written below {above}; name another file.")
    from fl_crafter.defences.configured_target import check_target
    from fl_crafter.faces.attributes import listed
    from fl_crafter.faces.images import check_photos, find_photos, other_files
    from fl_crafter.protection import SHIPPED_SIZE, Protector

    if utility_budget or false_match:
        check_target(defence)
    paths, passed_over = find_photos(photographs), other_files(photographs)
    if passed_over:
        typer.echo(
            f"{len(passed_over)} files are no photographs of a kind that is read, and passed over: "
            f"{', '.join(each.name for each in passed_over[:3])}"
            + (", ..." if len(passed_over) > 3 else ""),
            err=True,
        )
    check_photos(paths, size=SHIPPED_SIZE)
    protector = Protector(
        defence=defence, utility_weight=weight, steps=steps, keep=listed(keep), seed=seed
    )
    chosen = _targeted(protector, defence, utility_budget, false_match, seed)
    asked = dumps([defence, weight, utility_budget, false_match, steps, keep, batch, seed])
    done = _Done.resume(out, asked, paths)
    _craft_batches(paths, batch, protector, chosen or protector.defence, done, seed)
    done.finish(defence)
    if json:
        figures = {name: total / len(paths) for name, total in done.totals.items()}
        known = {"file": str(out), "features": len(paths), "defence": defence}
        typer.echo(dumps(known | {"over_budget": done.over_budget, "figures": figures}))
        return
    typer.echo(f"{len(paths)} features in {out}")
    if done.totals.get("not_converged") and not done.over_budget:
        typer.echo(
            f"{done.totals['not_converged']:.0f} of them are of batches that did not converge."
        )
    if done.over_budget:
        typer.echo(f"{done.over_budget} of them lose more than --utility-budget at every weight.")


def _targeted(
    protector: "Protector",
    defence: str,
    utility_budget: float,
    false_match: float,
    seed: int | None,
) -> "Defence | None":
    """The defence that finds its weights by a target, where one is given."""
    from fl_crafter.defences.configured_target import build_targeted, simulated_observer
    from fl_crafter.randomness import generator_for

    if not utility_budget and not false_match:
        return None
    encoder, public = protector.model.encoder, protector.public_feature
    return build_targeted(
        defence,
        simulated_observer(
            encoder, public, false_match=false_match, random=generator_for(seed, "observer")
        )
        if false_match
        else utility_budget,
        encoder=encoder,
        cloud=protector.model.cloud,
        public_feature=public,
        settings=protector.settings,
    )


@dataclass
class _Done:
    """What is crafted so far; Ctrl-C, or an error, leaves it in a file beside the result.

    Attributes:
        path: of the result.
        digest: of photographs and settings, without a name.
        released: batches of features.
        totals: figures of the defence, summed over photographs.
        over_budget: photographs whose target was not met.
    """

    path: Path
    digest: str
    released: "list[Tensor]" = field(default_factory=list)
    totals: dict[str, float] = field(default_factory=dict)
    over_budget: int = 0

    @staticmethod
    def resume(path: Path, asked: str, paths: list[Path]) -> "_Done":
        """What an earlier run with the same settings has left, or nothing."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from fl_crafter.tensor_files import read_metadata

        files = [(each.resolve(), each.stat().st_size, each.stat().st_mtime_ns) for each in paths]
        listed = "\n".join(map(str, files))
        digest = hashlib.sha256(f"{asked}\n{listed}".encode()).hexdigest()
        done = _Done(path, digest)
        try:
            known: dict[str, Any] = read_metadata(done.unfinished)
            stored = load_file(done.unfinished)
        except (OSError, SafetensorError):
            return done
        if known.get("digest") == digest:
            done.released = [stored["feature"]]
            done.over_budget = int(known["over_budget"])
            done.totals = {name: float(known[f"total {name}"]) for name in known["names"].split()}
        return done

    @property
    def unfinished(self) -> Path:
        """Where an interrupted run leaves what it has."""
        return self.path.with_name(f"{self.path.name}.unfinished")

    def add(self, protected: "Protected") -> None:
        """Take a batch in."""
        from fl_crafter.defences.base import Status

        rows = len(protected.feature)
        self.over_budget += round(protected.figures.get("unmet", 0.0) * rows)
        not_converged = float(protected.status == Status.NOT_CONVERGED)
        for name, value in (protected.figures | {"not_converged": not_converged}).items():
            self.totals[name] = self.totals.get(name, 0.0) + value * rows
        self.released.append(protected.feature)

    def store(self) -> None:
        """Leave what is crafted for the next run."""
        import torch

        from fl_crafter.tensor_files import write_safetensors

        if not self.released:
            return
        known = {"digest": self.digest, "over_budget": str(self.over_budget)}
        known |= {"names": " ".join(self.totals)}
        known |= {f"total {name}": repr(total) for name, total in self.totals.items()}
        write_safetensors(self.unfinished, {"feature": torch.cat(self.released)}, metadata=known)

    def finish(self, defence: str) -> None:
        """Write the result: features, and nothing else."""
        import torch

        from fl_crafter.tensor_files import write_safetensors

        features = {"feature": torch.cat(self.released)}
        write_safetensors(self.path, features, metadata={"defence": defence})
        self.unfinished.unlink(missing_ok=True)


def _craft_batches(
    paths: list[Path],
    batch: int,
    protector: "Protector",
    defence: "Defence",
    done: _Done,
    seed: int | None,
) -> None:
    """Craft what is not done, batch by batch; what ends it leaves what is done for the next run."""
    from fl_crafter.faces.images import read_images
    from fl_crafter.progress import deferred_interrupt, progress_bar
    from fl_crafter.randomness import generator_for

    first = sum(map(len, done.released))
    with progress_bar() as bar, deferred_interrupt() as interrupt:
        task = bar.add_task(defence.name, total=len(paths), completed=first, figures="")
        for begin in range(first, len(paths), batch):
            part = paths[begin : begin + batch]
            try:
                feature = protector.encode(read_images(part, size=protector.size))
                # of each batch its own: what is left on the disk for the next run holds no state
                # from which the draws behind a release could be had
                random = generator_for(seed, "batch", begin)
                protected = defence.protect(feature, random=random)
                _check_release(protected, feature, defence, out=done.path)
            except Exception:
                done.store()
                raise
            done.add(protected)
            bar.update(task, advance=len(part))
            if interrupt.pressed:
                done.store()
                raise KeyboardInterrupt


def _check_release(
    protected: "Protected", feature: "Tensor", defence: "Defence", *, out: Path
) -> None:
    """Refuse a batch that must not leave.

    Raises:
        InputError: it diverged, changed nothing, or a person is still seen.
    """
    from fl_crafter.defences.base import Status, unfit

    why = unfit(protected, feature, defence)
    if why:
        raise InputError(
            f"{why} and {out} was not written; take other --steps or another --utility-weight."
        )
    if protected.status == Status.IDENTIFIED:
        raise InputError(
            f"the simulated eavesdropper still sees a person at every weight, and {out} was not "
            "written; take another --defence or a smaller --false-match."
        )
