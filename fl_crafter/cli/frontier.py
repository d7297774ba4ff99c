"""`fl-crafter frontier`: the trade-off of every defence, as a table and a plot."""

from pathlib import Path
from typing import Annotated

import typer


def frontier(
    root: Annotated[Path, typer.Option(help="The dataset's folder.")],
    data: Annotated[str, typer.Option(help="celeba, or another with CelebA's labels.")] = "celeba",
    people: Annotated[int, typer.Option(min=2, help="Private people.")] = 160,
    photos: Annotated[int, typer.Option(min=2, help="Photographs of each, at most.")] = 10,
    public: Annotated[int, typer.Option(min=300, help="Public photographs that are known.")] = 4000,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("out/frontier"),
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Measure every defence at several settings; can be stopped and goes on where it was.

    Utility is the shipped cloud model's mean AUC, never retrained. Identification is the worst case
    of two decoders that no defence simulates, one of them trained on what the defence releases.
    """
    import torch

    from fl_crafter.assets import load_encoder
    from fl_crafter.cli.judging import attacker_knowledge
    from fl_crafter.evaluation import SFaceEvaluator, prepare_truth
    from fl_crafter.faces.open import open_faces
    from fl_crafter.faces.record import Role
    from fl_crafter.study.frontier import Bench, attacks, run_frontier
    from fl_crafter.study.table import write_results

    faces = open_faces(
        data, root, size=64, people=people, photos_per_person=photos, public=public, seed=seed
    )
    evaluator = SFaceEvaluator()
    model, random = load_encoder(), torch.Generator().manual_seed(seed)
    photographs = faces.with_role(Role.PUBLIC).image
    with torch.no_grad():
        feature = torch.cat([model.encoder(part) for part in photographs.split(64)])
    knowledge = attacker_knowledge(photographs, drawn=0, random=random)
    prepared = tuple(attack.prepare(knowledge, random=random) for attack in attacks())
    bench = Bench(
        truth=prepare_truth(faces, evaluator=evaluator),
        model=model,
        public_feature=feature,
        knowledge=knowledge,
        evaluator=evaluator,
        attacks=prepared,
        seed=seed,
    )
    results = run_frontier(bench, out, announce=typer.echo)
    write_results(results, out)
    typer.echo(f"{out / 'frontier.md'} and {out / 'frontier.png'}")
