"""Utility with few and with many clients, beside the same work without a federation.

    fl-crafter bench clients --root DIR --json out/bench/clients.json

The same photographs of CelebA, the same seed and the same number of rounds each time: once they are
encoded, protected and trained on in a plain loop, without client, message, store or check; then
they are divided among 4, 20 and 100 clients, whole people each, and go through the whole
federation, in this process. The task is four attributes with a new last layer, so that what the
cloud model can do it has learnt from the features. `substitution` protects them, which costs
nothing to compute and treats each photograph by itself. The interval is over people.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from fl_crafter.evaluation.bootstrap import Resampling, interval_over_people
from fl_crafter.evaluation.metrics import mean_auc
from fl_crafter.faces.record import Role
from fl_crafter.files import write_text
from fl_crafter.randomness import derived_random
from fl_crafter.transcript import Purpose
from simulations import client_data, task
from simulations.config import SimulationConfig
from simulations.launch import read_result, run_simulation
from strategies import attribute_utility, predict, train_cloud, with_head


def alone(config: SimulationConfig) -> dict[str, Any]:
    """The single process: rounds of training on all protected features so far."""
    everybody, asked = client_data.faces(config), task.task(config)
    whole = dataclasses.replace(config, clients=1)
    encoder, defence = client_data.model(config.weights).encoder, client_data.defence(config)

    def features(index: torch.Tensor) -> torch.Tensor:
        clean = client_data.encode(encoder, everybody.image[index])
        return defence.protect(clean, random=derived_random(config.seed, "defence")).feature

    random = derived_random(config.seed, "server")
    cloud = with_head(
        client_data.model(config.weights).cloud, attributes=len(asked.names), random=random
    )
    shared = torch.empty(0, dtype=torch.int64)
    known = torch.empty(0, *features(torch.zeros(1, dtype=torch.int64)).shape[1:])
    for number in range(1, config.rounds + 1):
        new = client_data.share(whole, client=0, round=number, purpose=Purpose.TRAIN)
        shared, known = torch.cat([shared, new]), torch.cat([known, features(new)])
        train_cloud(
            cloud,
            known.__getitem__,
            everybody.attributes[shared][:, asked.columns],
            settings=task.cloud_training(config),
            random=random,
            round=number,
        )
    test = torch.tensor([i for i, role in enumerate(everybody.role) if role == Role.EVAL_TEST])
    score, labels = predict(cloud, features(test)), everybody.attributes[test][:, asked.columns]
    interval = interval_over_people(
        lambda weight: mean_auc(score.double(), labels, weight),
        everybody.identity[test],
        how=Resampling(),
    )
    utility = attribute_utility(score, labels, names=asked.names).mean
    return {
        "utility_auc": utility,
        "interval": interval,
        "rows": len(shared),
        "evaluation_rows": len(test),
    }


def federated(config: SimulationConfig, clients: int) -> dict[str, Any]:
    """The whole federation with so many clients."""
    config = dataclasses.replace(config, clients=clients)
    with tempfile.TemporaryDirectory() as name:
        folder = run_simulation(config, Path(name), mode="in-process", show=lambda line: None)
        result: Any = read_result(folder)
    return {
        "clients": clients,
        "utility_auc": result["utility_auc"],
        "rows": result["rounds"][-1]["rows_in_all"],
        "evaluation_rows": result["evaluation_rows"],
        "refused": sum(len(each["refused"]) for each in result["rounds"]),
        "distrusted": [len(each["distrusted"]) for each in result["rounds"]],
    }


def main() -> None:
    """Measure every size beside the single process, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/clients.json"))
    parser.add_argument("--root", required=True)
    parser.add_argument("--clients", default="4,20,100", help="sizes, with commas between")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--photos", type=int, default=10, help="photographs of each person")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [int(size) for size in arguments.clients.split(",")]
    config = SimulationConfig(
        dataset="celeba",
        data_root=str(Path(arguments.root).resolve()),
        people=arguments.people,
        photos_per_person=arguments.photos,
        attributes="Eyeglasses,Male,No_Beard,Smiling",
        defence="substitution",
        public_images=300,
        generated_images=200,
        rounds=2,
        quota=100_000,
    )
    single = alone(config)
    low, high = single["interval"]
    print(f"{'clients':>8} {'utility':>8}   rows, distrusted in each round")
    print(f"{'alone':>8} {single['utility_auc']:8.3f}   {single['rows']} ({low:.3f}-{high:.3f})")
    runs = []
    for clients in sizes:
        runs.append(federated(config, clients))
        last = runs[-1]
        shown = f"{last['rows']}, {last['distrusted']}"
        print(f"{clients:8} {last['utility_auc']:8.3f}   {shown}", flush=True)
    content = {
        "dataset": config.dataset,
        "people": arguments.people,
        "photographs_per_person": arguments.photos,
        "attributes": config.attributes,
        "defence": config.defence,
        "rounds": config.rounds,
        "seed": config.seed,
        "torch": torch.__version__,
        "single_process": single,
        "runs": runs,
        "reached": all(low <= run["utility_auc"] <= high for run in runs),
    }
    write_text(arguments.json, json.dumps(content, indent=2) + "\n")
    print(f"in {arguments.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
