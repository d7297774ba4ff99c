"""Many virtual clients with features computed before: wall time and the server's peak memory.

    fl-crafter bench scale --clients 10,100,1000 --json out/bench/scale.json

Each size runs in a process of its own, whose peak memory is the server's, since the clients hold
nothing: they draw their rows from a seed. Features have the shipped encoder's shape; the cloud
model is the shipped one. A round's features pass through the intake, the store, the label check
and one epoch of training. Beside the wall time stand the processor's seconds, which other work on
the machine hardly changes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from benchmarks.peak_memory import own_peak_mb
from fl_crafter.assets import load_encoder
from fl_crafter.files import write_text
from fl_crafter.flower import Payload, PayloadTerms, write_payload
from fl_crafter.transcript import Purpose
from simulations.in_process import InProcessGrid, flower_identity
from strategies import CloudTraining, FeatureSharing, FeatureStore, WaveGrid, with_head

SHAPE, ATTRIBUTES, ROUNDS, WAVE = (64, 16, 16), 4, 2, 8


def client_app(rows: int) -> ClientApp:
    """Clients whose features were computed before."""
    app = ClientApp()

    def share(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        request = message.content.config_records["request"]
        stated, purpose = int(request["round"]), Purpose(request["purpose"])  # type: ignore[arg-type]
        random = torch.Generator().manual_seed(10_000 * client + 10 * stated + purpose)
        labels = torch.randint(0, 2, (rows, ATTRIBUTES), generator=random).float()
        feature = torch.rand(rows, *SHAPE, generator=random)
        feature[:, :ATTRIBUTES] += labels[..., None, None]
        payload = Payload(feature, labels, client, stated, purpose)
        return Message(write_payload(payload), reply_to=message)

    app.train("craft")(share)
    app.evaluate("craft")(share)
    return app


def run(clients: int, rows: int) -> dict[str, float]:
    """One federation of this size in this process."""
    random = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as name, flower_identity():
        strategy = FeatureSharing(
            with_head(load_encoder().cloud, attributes=ATTRIBUTES, random=random),
            terms=PayloadTerms(SHAPE, ATTRIBUTES, clients),
            attribute_names=tuple(f"attribute {i}" for i in range(ATTRIBUTES)),
            training=CloudTraining(epochs=1),
            random=random,
            store=FeatureStore(Path(name), capacity=10**6),
        )
        began, began_working = time.monotonic(), time.process_time()
        grid = WaveGrid(InProcessGrid(client_app(rows), clients=clients), wave=WAVE)
        strategy.start(grid, num_rounds=ROUNDS, timeout=3600)
        seconds, processor = time.monotonic() - began, time.process_time() - began_working
    return {
        "clients": clients,
        "rows": rows * clients * ROUNDS,
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_mb": own_peak_mb(),
        "utility_auc": strategy.rounds[-1].utility.mean,
    }


def main() -> None:
    """Run all sizes, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/scale.json"))
    parser.add_argument("--clients", default="10,100,1000", help="sizes, with commas between")
    parser.add_argument("--rows", type=int, default=4, help="features of a client's message")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps(run(arguments.one, arguments.rows)))
        return
    runs: list[dict[str, Any]] = []
    print(f"{'clients':>8} {'seconds':>9} {'processor s':>12} {'per client':>11} {'peak MB':>8}")
    for clients in map(int, arguments.clients.split(",")):
        command = [sys.executable, "-m", "benchmarks.federation_scale", "--one", str(clients)]
        command += ["--rows", str(arguments.rows)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        last = runs[-1]
        print(
            f"{clients:8} {last['seconds']:9.1f} {last['processor_seconds']:12.1f} "
            f"{last['processor_seconds'] / clients:11.3f} {last['peak_mb']:8.0f}",
            flush=True,
        )
    peaks = [each["peak_mb"] for each in runs]
    content = {
        "machine": f"{os.cpu_count()} x {platform.machine()}",
        "load_average": os.getloadavg(),
        "torch": torch.__version__,
        "rounds": ROUNDS,
        "rows_per_message": arguments.rows,
        "runs": runs,
        "peak_growth": max(peaks) / min(peaks) - 1,
        "reached": {"peak_within_20_percent": max(peaks) <= 1.2 * min(peaks)},
    }
    write_text(arguments.json, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
