"""`fl-crafter study`: studies that are more than one measurement."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fl_crafter.cli.options import JsonOption
from fl_crafter.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Studies that are more than one measurement.")
human = typer.Typer(no_args_is_help=True, help="Let people try to recognise reconstructions.")
app.add_typer(human, name="human")


@app.command()
def run(
    name: Annotated[
        str, typer.Argument(help="A TOML file, or one in --studies without its ending.")
    ],
    root: Annotated[Path | None, typer.Option(help="The dataset's folder.")] = None,
    public_root: Annotated[
        Path | None, typer.Option(help="Folder of the study's public_data, if it has one.")
    ] = None,
    studies: Annotated[Path, typer.Option(help="Folder of the studies.")] = Path("studies"),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; out/studies/NAME by default.")
    ] = None,
    ray: Annotated[int, typer.Option(min=0, help="Processes, over Ray; 0 uses none.")] = 0,
) -> None:
    """Run a study: train what it needs, measure, check; can be stopped and goes on where it was."""
    from fl_crafter.cli import baselines
    from fl_crafter.cli.evaluate import run_plan
    from fl_crafter.cli.files import require_dataset_folder
    from fl_crafter.study.recipe import TRAINERS, read_study

    path = Path(name) if name.endswith(".toml") else studies / f"{name}.toml"
    study = read_study(path)
    out = out or Path("out") / "studies" / path.stem
    if study.public_data:
        require_dataset_folder(study.public_data, public_root, of="public-")
    elif public_root:
        raise InputError(f"--public-root is given and {path} names no public_data; leave it out.")
    typer.echo(study.title)
    # what is wrong with the grid is said before hours of training
    untrained = replace(study, train={}, defences=study.defences or ("none",))
    if untrained.plan(root, out, public_root=public_root).foreign and study.train:
        raise InputError(f"{path}: trained defences have an encoder of their own; leave train out.")
    trainers = {command.__name__: command for command in baselines.COMMANDS}
    for training in study.trainings(out):
        if training.path.is_file():
            continue
        defence, options = training.defence, dict(training.options)
        known = inspect.signature(trainers[TRAINERS[defence]]).parameters
        unknown = sorted(set(options) - set(known))
        if unknown or root is None:
            raise InputError(
                f"{name}: train.{defence} takes no {unknown[0]}; see 'fl-crafter train --help'."
                if unknown
                else f"{name} trains {defence} on photographs; give their folder as --root."
            )
        if defence != TRAINERS[defence]:
            options["random_channels"] = True
        size = {"people": study.people, "public": study.public}
        trainers[TRAINERS[defence]](root=root, out=training.path, data=study.data, **size | options)
    run_plan(study.plan(root, out, public_root=public_root), out, ray=ray)


@human.command()
def build(
    root: Annotated[Path | None, typer.Option(help="The dataset's folder.")] = None,
    data: Annotated[str, typer.Option(help="orl, celeba, lfw, vggface2 or folder.")] = "celeba",
    defence: Annotated[
        list[str] | None, typer.Option(help="Name of a defence; may be given more than once.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of a trained defence; with one --defence only.")
    ] = None,
    attack: Annotated[str, typer.Option(help="Of the standard suite.")] = "adaptive_decoder",
    budget: Annotated[str, typer.Option(help="Of the attack: smoke, cpu or gpu.")] = "cpu",
    people: Annotated[int, typer.Option(min=2, max=8, help="Shown to the raters.")] = 4,
    photographs: Annotated[int, typer.Option(min=1, help="Of each person shown.")] = 4,
    asked: Annotated[
        int, typer.Option(min=1, help="Reconstructions of each person, and of others.")
    ] = 4,
    controls: Annotated[
        int, typer.Option(min=0, help="Raw photographs of each person, and of others, as a check.")
    ] = 1,
    public: Annotated[int, typer.Option(min=100, help="Public photographs, at most.")] = 2000,
    contact: Annotated[str, typer.Option(help="Whom raters may ask, shown to them.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the page and its key.")] = Path("out/human"),
    seed: Annotated[int, typer.Option(help="Of people, defence and attack.")] = 0,
) -> None:
    """Make a web page for raters, which needs no server, and the key that scores their answers."""
    import torch

    from fl_crafter.accelerator import default_device
    from fl_crafter.assets import load_encoder
    from fl_crafter.attacks.queries import features_of
    from fl_crafter.attacks.suite import most_queries, standard
    from fl_crafter.defences.configured import build_defence
    from fl_crafter.faces.open import open_faces
    from fl_crafter.faces.record import Role
    from fl_crafter.study.human.build import choose, questionnaire, reconstruct
    from fl_crafter.study.human.page import write_page
    from fl_crafter.study.knowledge import RELEARNING, apart, attacker_knowledge, with_queries

    known = {each.name: each for each in standard(budget)}
    if attack not in known:
        raise InputError(f"There is no attack '{attack}'; choose one of {', '.join(known)}.")
    names = defence or ["crafter"]
    if weights and len(names) > 1:
        raise InputError(f"--weights {weights} is of one defence; give one --defence with it.")
    faces = open_faces(data, root, size=64, public=public, seed=seed)
    choice = choose(faces, people=people, photographs=photographs, asked=asked, seed=seed)
    device = default_device()
    model = load_encoder().to(device)
    # the defence holds some of the public faces, and is queried with others
    known_image = faces.with_role(Role.PUBLIC).image
    held, kept = apart(known_image, random=torch.Generator().manual_seed(seed))
    feature = features_of(model.encoder, held)
    knowledge = attacker_knowledge(known_image, device=device, query_image=kept)
    drawn = torch.Generator().manual_seed(seed)
    knowledge = with_queries(knowledge, most_queries([known[attack]]), random=drawn)
    pictures = {}
    for name in names:
        typer.echo(f"{name}: {attack} on {len(choice.asked)} features")
        pictures[name] = reconstruct(
            faces.image[choice.asked],
            model=model,
            defence=build_defence(
                name,
                encoder=model.encoder,
                cloud=model.cloud,
                public_feature=feature,
                weights=weights,
            ),
            attack=known[attack],
            knowledge=knowledge,
            relearning=RELEARNING[budget],
            seed=seed,
        )
    page, key = out / "study.html", out / "key.json"
    write_page(
        questionnaire(faces, choice, pictures, controls=controls, contact=contact), page, key
    )
    typer.echo(f"{page} for the raters; {key} for you alone. The page shows real faces.")


@human.command()
def score(
    key: Annotated[Path, typer.Argument(help="key.json, built with the page.")],
    answers: Annotated[list[Path], typer.Argument(help="Files that raters saved.")],
    out: Annotated[Path | None, typer.Option(help="JSON file of the scores.")] = None,
    json: JsonOption = False,
) -> None:
    """Macro-F1, recall and precision of each person, with 95% intervals, beside chance."""
    from fl_crafter.files import write_text
    from fl_crafter.study.human.score import Key, as_json, read_answers, table
    from fl_crafter.study.human.score import score as score_answers

    truth = Key.read(key)
    scores = score_answers(truth, [read_answers(path, truth) for path in answers])
    typer.echo(as_json(scores) if json else table(scores), nl=False)
    if out:
        write_text(out, as_json(scores))
        typer.echo(str(out), err=json)
