"""What randomised response of the labels costs in utility, and what it saves in linkability.

    fl-crafter bench labels --root DIR --json out/bench/labels.json

For each epsilon, the private training photographs' labels are randomised and the cloud model is
trained on their features with them, as the server does; its AUC is taken on held-out photographs
with their true labels. The linker holds every person's randomised training labels and names the
held-out photographs by their randomised labels alone (naive Bayes with the known flip
probability). Features are protected by `substitution`, which costs nothing to compute. Beside the
JSON goes a plot.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import Tensor

from fl_crafter.defences.labels import flip_probability, randomised_response
from fl_crafter.faces.record import Role
from fl_crafter.files import replacing, write_text
from simulations import client_data
from simulations.config import SimulationConfig
from simulations.task import cloud_training
from strategies import attribute_utility, predict, train_cloud, with_head

TRUE = "true labels"


def name_top1(
    gallery: Tensor, owner: Tensor, probe: Tensor, identity: Tensor, *, flip: float
) -> float:
    """Share of probes that naive Bayes names, by labels alone; unknown ones say nothing."""
    people, known = identity.unique(), ~gallery.isnan()
    told = known.any(0)
    gallery, known, probe = gallery[:, told], known[:, told], probe[:, told]
    prior = gallery.nanmean(0)
    profile = torch.stack(
        [
            (gallery[owner == person].nansum(0) + prior) / (known[owner == person].sum(0) + 1)
            for person in people
        ]
    ).clamp(max(flip, 1e-3), 1 - max(flip, 1e-3))
    likelihood = probe.nan_to_num(0.5) @ profile.log().T
    likelihood += (1 - probe.nan_to_num(0.5)) @ (1 - profile).log().T
    return float((people[likelihood.argmax(1)] == identity).float().mean())


def measure(config: SimulationConfig, epsilon: float | None, *, seeds: int) -> dict[str, Any]:
    """Utility and linkability at one epsilon over several seeds; None shares true labels."""
    faces = client_data.faces(config)
    model = client_data.model(config.weights)
    defence = client_data.defence(config)
    train, test = faces.with_role(Role.EVAL_TRAIN), faces.with_role(Role.EVAL_TEST)
    flip = 0.0 if epsilon is None else flip_probability(epsilon)
    features = [
        defence.protect(
            client_data.encode(model.encoder, part.image), random=torch.Generator().manual_seed(0)
        ).feature
        for part in (train, test)
    ]
    runs = []
    for seed in range(seeds):
        random = torch.Generator().manual_seed(seed)
        shared = [
            randomised_response(part.attributes, flip=flip, random=random) for part in (train, test)
        ]
        names = faces.attribute_names
        cloud = with_head(model.cloud, attributes=len(names), random=random)
        settings = dataclasses.replace(cloud_training(config), flip=flip)
        train_cloud(cloud, features[0].__getitem__, shared[0], settings=settings, random=random)
        utility = attribute_utility(predict(cloud, features[1]), test.attributes, names=names)
        linked = name_top1(shared[0], train.identity, shared[1], test.identity, flip=flip)
        runs.append({"utility_auc": utility.mean, "linked_top1": linked})
    mean = {key: sum(run[key] for run in runs) / seeds for key in runs[0]}
    return {"epsilon": epsilon, "flip": flip, "runs": runs, **mean}


def draw(rows: list[dict[str, Any]], chance: float, path: Path) -> None:
    """Utility and linkability over epsilon, in one plot."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ticks = [TRUE if row["epsilon"] is None else f"{row['epsilon']:g}" for row in rows]
    figure, axis = pyplot.subplots(figsize=(6, 4))
    for key, label, marker in (
        ("utility_auc", "utility (AUC, true labels)", "o"),
        ("linked_top1", "people named by their labels (top-1)", "s"),
    ):
        axis.plot(ticks, [row[key] for row in rows], marker=marker, label=label)
    axis.axhline(chance, linestyle=":", color="grey", label="chance of naming")
    axis.set(xlabel="epsilon per label", ylim=(0, 1))
    axis.legend()
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg")
    pyplot.close(figure)


def main() -> None:
    """Measure every epsilon, print a table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/labels.json"))
    parser.add_argument("--data", default="orl")
    parser.add_argument("--root", default="")
    parser.add_argument("--people", type=int, default=0)
    parser.add_argument("--photos", type=int, default=0, help="photographs of each person; 0: all")
    parser.add_argument("--epsilons", default="0.5,1,2,4")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = str(Path(arguments.root).resolve()) if arguments.root else ""
    config = SimulationConfig(
        dataset=arguments.data,
        data_root=root,
        people=arguments.people,
        photos_per_person=arguments.photos,
        defence="substitution",
        public_images=1000,
    )
    faces = client_data.faces(config)
    people = len(faces.with_role(Role.EVAL_TEST).identity.unique())
    rows: list[dict[str, Any]] = []
    print(f"{'epsilon':>12} {'utility':>8} {'named':>6}   ({people} people)")
    for epsilon in [*map(float, arguments.epsilons.split(",")), None]:
        rows.append(measure(config, epsilon, seeds=arguments.seeds))
        shown = TRUE if epsilon is None else f"{epsilon:g}"
        last = rows[-1]
        print(f"{shown:>12} {last['utility_auc']:8.3f} {last['linked_top1']:6.1%}", flush=True)
    content = {
        "dataset": arguments.data,
        "people": people,
        "photographs_per_person": arguments.photos,
        "labels": len(faces.attribute_names),
        "defence": config.defence,
        "torch": torch.__version__,
        "rows": rows,
    }
    write_text(arguments.json, json.dumps(content, indent=2) + "\n")
    draw(rows, 1 / people, arguments.json.with_suffix(".svg"))
    print(f"in {arguments.json} and {arguments.json.with_suffix('.svg')}", file=sys.stderr)


if __name__ == "__main__":
    main()
