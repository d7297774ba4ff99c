"""`fl-crafter evaluate`: a grid of defences under the suite of attacks."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_crafter.cli.child import run_child
from fl_crafter.cli.files import RESULTS, require_dataset_folder
from fl_crafter.cli.options import EncoderOption, GeneratorOption, JsonOption

if TYPE_CHECKING:
    from fl_crafter.study.plan import Plan

DEFENCES_HELP = (
    "Names with their values, such as none,noise:1,crafter:0.1:10; without values the usual ones; "
    "all defences by default."
)


def evaluate(
    root: Annotated[
        Path | None, typer.Option(help="The dataset's folder.", file_okay=False)
    ] = None,
    data: Annotated[str, typer.Option(help="orl, celeba, lfw, vggface2 or wild112.")] = "celeba",
    suite: Annotated[str, typer.Option(help="standard, decoders or beyond_cpu.")] = "standard",
    budget: Annotated[str, typer.Option(help="smoke, cpu or gpu.")] = "cpu",
    defences: Annotated[str, typer.Option(help=DEFENCES_HELP)] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    faces: Annotated[int, typer.Option(min=0, help="Test photographs; 0 takes all.")] = 0,
    people: Annotated[int, typer.Option(min=2, help="Private people, all in the gallery.")] = 160,
    photos: Annotated[int, typer.Option(min=2, help="Photographs of each, at most.")] = 10,
    public: Annotated[int, typer.Option(min=300, help="Public photographs that are known.")] = 4000,
    public_data: Annotated[
        str, typer.Option(help="Dataset that those are from, where --data has none of its own.")
    ] = "",
    public_root: Annotated[Path | None, typer.Option(help="Its folder.", file_okay=False)] = None,
    evaluator: Annotated[
        list[str] | None,
        typer.Option(help="sface, dlib, oracle or package.module:function; the first is the main."),
    ] = None,
    encoder: EncoderOption = "",
    generator: GeneratorOption = "",
    uploads: Annotated[
        int, typer.Option(min=1, help="Photographs of a person, attacked together by their mean.")
    ] = 1,
    releases: Annotated[
        int, typer.Option(min=1, help="Releases of each photograph, attacked together likewise.")
    ] = 1,
    crafting_steps: Annotated[
        int, typer.Option(min=0, help="Most steps of Crafter and its variants; published 450.")
    ] = 30,
    batch: Annotated[
        int,
        typer.Option(
            min=0, help="Photographs protected together; 0 takes what is usual for the defence."
        ),
    ] = 0,
    drawn: Annotated[
        int,
        typer.Option(min=0, help="Drawn faces that defences hold instead of public photographs."),
    ] = 0,
    size: Annotated[int, typer.Option(help="Side of the photographs in pixels.")] = 64,
    appearance_only: Annotated[
        bool,
        typer.Option("--appearance-only", help="Leave out linkability and development: faster."),
    ] = False,
    attributes: Annotated[
        str, typer.Option(help="Names of those that the task asks for, with commas; all else.")
    ] = "",
    ray: Annotated[
        int, typer.Option(min=0, help="Processes that measure cells, over Ray; 0 uses none.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("out/evaluation"),
    json: JsonOption = False,
) -> None:
    """Measure defences under attack; can be stopped and goes on where it was.

    Utility is the cloud model's mean AUC, as it was and trained on releases. Draw the report with
    `fl-crafter report OUT`.
    """
    from fl_crafter.study.plan import SHIPPED_SIZE, Plan
    from fl_crafter.study.points import every_defence

    require_dataset_folder(data, root)
    if public_data:
        require_dataset_folder(public_data, public_root, of="public-")
    plan = Plan(
        data=data,
        root=str(root.resolve()) if root else "",
        people=people,
        photos=photos,
        faces=faces,
        public=public,
        defences=defences or every_defence(foreign=bool(encoder) or size != SHIPPED_SIZE),
        suite=suite,
        budget=budget,
        seeds=tuple(range(seeds)),
        evaluators=tuple(evaluator or ["sface"]),
        generator=generator,
        encoder=encoder,
        uploads=uploads,
        releases=releases,
        crafting_steps=crafting_steps,
        batch=batch,
        drawn=drawn,
        size=size,
        public_data=public_data,
        public_root=str(public_root.resolve()) if public_root else "",
        appearance_only=appearance_only,
        attributes=attributes,
    )
    run_plan(plan, out, ray=ray)
    if json:
        typer.echo((out / RESULTS).read_text("utf-8"), nl=False)


def run_plan(plan: "Plan", out: Path, *, ray: int = 0) -> None:
    """Measure what is missing, write results and tables, and show progress and the checks."""
    from fl_crafter.evaluation.results import write_results
    from fl_crafter.files import only_here
    from fl_crafter.study import grid
    from fl_crafter.study.table import write_tables

    with only_here(out):
        results = grid.evaluate(
            plan,
            out,
            command=" ".join(["fl-crafter", *sys.argv[1:]]),
            announce=_say,
            elsewhere=(lambda: _over_ray(out, ray)) if ray else None,
        )
        write_results(results, out / RESULTS)
        write_tables(results, out)
    for check in results.self_checks:
        mark = "pass" if check.passed else "WARNING"
        about = f"{check.point}: " if check.point else ""
        _say(f"{mark:8}{about}{check.name}: {check.text}")
    _say(f"{out / RESULTS} and tables; draw the report with 'fl-crafter report {out}'")


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _over_ray(out: Path, workers: int) -> None:
    """Measure cells in a process of their own: nothing in this package imports Ray."""
    run_child("simulations", "evaluate", out, "--workers", workers, results=False)
