"""Craft a large folder of photographs with Ray, outside any federation.

One Ray actor per worker builds the defence once and writes shards of whole files; a shard that is
there already is not made again, so a run that was stopped goes on. `RAY_ADDRESS` attaches to a
running cluster. Ray's actors are enough here: what is mapped over is a list of paths.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from fl_crafter.errors import InputError
from fl_crafter.files import only_here, write_text
from simulations.ray_cluster import ray_cluster

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FORMAT = "fl-crafter crafted shard"


@dataclass(frozen=True)
class BulkSettings:
    """What a shard depends on, beside its photographs.

    Attributes:
        defence: one of `fl_crafter.defences.configured.NAMES`.
        utility_weight: Crafter's beta.
        steps: Crafter's steps.
        keep: names of the outputs that are kept, with commas between; empty: all.
        batch: photographs crafted together.
        seed: of everything random, to repeat a study; None draws secretly, as a release must.

    Raises:
        InputError: there is no such defence, or a number is out of its range.
    """

    defence: str
    utility_weight: float
    steps: int
    keep: str
    batch: int
    seed: int | None

    def __post_init__(self) -> None:
        """Check here: what is raised as Ray makes an actor comes back as an error of the actor."""
        from fl_crafter.defences.configured import check_keep, check_name, shipped_outputs
        from fl_crafter.faces.attributes import listed
        from fl_crafter.protection import crafter_settings

        check_name(self.defence)
        crafter_settings(self.utility_weight, self.steps)
        if shipped_outputs(listed(self.keep)):
            check_keep(self.defence)


@dataclass(frozen=True)
class Shard:
    """Photographs that go into one file, in the order of its rows."""

    path: Path
    photographs: tuple[Path, ...]

    def digest(self, settings: BulkSettings) -> str:
        """Of all that the shard's content depends on. Who guesses names can test them by it."""
        photographs = [
            (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.photographs
        ]
        chosen = {name: value for name, value in asdict(settings).items() if value != ""}
        content = json.dumps([chosen, photographs])
        return hashlib.sha256(content.encode()).hexdigest()


class Made:
    """Which shards were made of what: a file beside their folder, which is not for sharing.

    Args:
        folder: of the shards.
        settings: see `BulkSettings`.

    Raises:
        InputError: the file is broken.
    """

    def __init__(self, folder: Path, settings: BulkSettings) -> None:
        self.path, self.settings = folder.with_name(f"{folder.name}.made.json"), settings
        self.digests: dict[str, str] = {}
        if self.path.is_file():
            try:
                self.digests = dict(json.loads(self.path.read_text("utf-8")))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{self.path} is broken; remove it, and all shards are made again."
                ) from error

    def note(self, shard: Shard) -> None:
        """Remember that a shard was made."""
        self.digests[shard.path.name] = shard.digest(self.settings)
        write_text(self.path, json.dumps(self.digests, indent=1) + "\n")

    def has(self, shard: Shard) -> bool:
        """Whether the file is there, whole, made of these photographs with these settings."""
        from safetensors import SafetensorError

        from fl_crafter.tensor_files import read_metadata

        try:
            whole = read_metadata(shard.path).get("format") == FORMAT
        except (OSError, SafetensorError):
            return False
        return whole and self.digests.get(shard.path.name) == shard.digest(self.settings)


class ShardWriter:
    """Makes shards, one after another, with one defence.

    Args:
        settings: see `BulkSettings`.
        device: cpu or cuda.
    """

    def __init__(self, settings: BulkSettings, device: str) -> None:
        from fl_crafter.faces.attributes import listed
        from fl_crafter.protection import Protector

        self.settings = settings
        self.protector = Protector(
            defence=settings.defence,
            utility_weight=settings.utility_weight,
            steps=settings.steps,
            keep=listed(settings.keep),
            seed=settings.seed,
            device=device,
        )

    def write(self, shard: Shard) -> tuple[Path, int]:
        """Write one shard, whole; returns its path and its rows.

        Raises:
            InputError: a photograph cannot be read, or crafting diverged.
        """
        import torch

        from fl_crafter.randomness import generator_for
        from fl_crafter.tensor_files import write_safetensors

        # a shard's randomness is its own, so that it does not matter who makes it, and when
        random = generator_for(self.settings.seed, shard.path.name)
        released = []
        for begin in range(0, len(shard.photographs), self.settings.batch):
            paths = shard.photographs[begin : begin + self.settings.batch]
            released.append(self.protector(paths, random=random).feature.cpu())
        tensors = {"feature": torch.cat(released)}
        known = {"format": FORMAT, "defence": self.settings.defence}
        write_safetensors(shard.path, tensors, metadata=known)
        return shard.path, len(shard.photographs)


def plan(photographs: list[Path], out: Path, *, rows: int) -> list[Shard]:
    """Shards of at most `rows` photographs each."""
    parts = [tuple(photographs[i : i + rows]) for i in range(0, len(photographs), rows)]
    return [
        Shard(out / f"shard-{index:05d}-of-{len(parts):05d}.safetensors", part)
        for index, part in enumerate(parts)
    ]


def _write(writer: Any, shard: Shard) -> Any:
    """Let a worker make a shard."""
    return writer.write.remote(shard)


def craft_with_ray(
    shards: list[Shard], settings: BulkSettings, *, gpus_per_worker: float, workers: int
) -> int:
    """Make the shards that are not done yet; returns how many were made.

    Args:
        shards: see `plan`.
        settings: see `BulkSettings`.
        gpus_per_worker: share of a GPU that Ray keeps for a worker; 0 works on the CPU.
        workers: at most; 0 takes as many as the cluster has room for.

    Raises:
        InputError: the folder has other shards, the cluster no room, a photograph cannot be read,
            or crafting diverged.
    """
    made = Made(shards[0].path.parent, settings)
    strange = {path.name for path in shards[0].path.parent.glob("shard-*-of-*.safetensors")}
    strange -= {shard.path.name for shard in shards}
    if strange:
        raise InputError(
            f"{shards[0].path.parent} has shards of other photographs or lengths, such as "
            f"{min(strange)}; remove them or take another folder, or faces would be there twice."
        )
    missing = [shard for shard in shards if not made.has(shard)]
    if not missing:
        return 0
    with ray_cluster(worker_output=False) as ray:
        resources = ray.cluster_resources()
        room = resources.get("CPU", 0)  # each worker takes one, beside its share of a GPU
        if gpus_per_worker:
            room = min(room, resources.get("GPU", 0) / gpus_per_worker)
        if room < 1:
            raise InputError(
                f"the cluster has no room for a worker of a CPU and {gpus_per_worker} GPUs."
            )
        count = min(int(room), len(missing), workers or len(missing))
        actor = ray.remote(num_cpus=1, num_gpus=gpus_per_worker)(ShardWriter)
        device = "cuda" if gpus_per_worker else "cpu"
        by_path = {shard.path: shard for shard in missing}
        pool = ray.util.ActorPool([actor.remote(settings, device) for _ in range(count)])
        results = pool.map_unordered(_write, missing)
        try:
            for done, (place, rows) in enumerate(results, start=1):
                made.note(by_path[place])
                typer.echo(f"{done}/{len(missing)} shards, {rows} features")
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):  # a photograph, or crafting that diverged
                raise error.cause from None
            raise
        return len(missing)


@app.command()
def main(
    photographs: Annotated[
        Path, typer.Argument(help="Folder of photographs; its sub-folders are read too.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards.")],
    defence: Annotated[str, typer.Option()] = "crafter",
    utility_weight: Annotated[float, typer.Option()] = 10.0,
    steps: Annotated[int, typer.Option(min=0)] = 30,
    keep: Annotated[str, typer.Option()] = "",
    batch: Annotated[int, typer.Option(min=1)] = 32,
    seed: Annotated[int | None, typer.Option()] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Photographs of a shard.")] = 1024,
    gpus_per_worker: Annotated[float, typer.Option(min=0, help="0 works on the CPU.")] = 0.0,
    workers: Annotated[int, typer.Option(min=0, help="0 takes all that there is room for.")] = 0,
) -> None:
    """Write features that may be shared, in shards; row order is that of the sorted paths."""
    from fl_crafter.faces.images import find_photos

    try:
        paths = find_photos(photographs.resolve())
        settings = BulkSettings(defence, utility_weight, steps, keep, batch, seed)
        shards = plan(paths, out.resolve(), rows=shard_rows)
        with only_here(out.resolve()):
            made = craft_with_ray(
                shards, settings, gpus_per_worker=gpus_per_worker, workers=workers
            )
    except InputError as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]error:[/] {escape(str(error))}")
        raise typer.Exit(2) from None
    typer.echo(f"{len(paths)} features in {out}: {made} shards made, {len(shards) - made} there")


if __name__ == "__main__":
    app()
