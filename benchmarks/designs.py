"""Ways to craft, on one batch of drawn faces: distances, simulated eavesdroppers, solvers.

    fl-crafter bench designs --json out/bench/designs.json

Each is judged against two eavesdroppers: the latent white box, which some of them simulate, and a
decoder of another architecture and seed, which none of them does. The privacy gap is that of fresh
critics (`estimate_epsilon_pii`): that of `none` is full exposure, and about 0 nobody in particular.
Utility is how well the public cloud model's outputs correlate with those for the clean features.
No eavesdropper here adapts: `fl-crafter evaluate` has those that do, and people.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.faces import DrawnFaces, device_name
from benchmarks.lifted import Lifted
from fl_crafter.accelerator import default_device
from fl_crafter.assets import load_decoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge, Reconstruction
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.defences.crafter.crafter import CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings, DistanceSettings
from fl_crafter.defences.crafter.transport import Transport, TransportSettings
from fl_crafter.files import write_text

CRITIC = CriticSettings()


def settings(
    weight: float, *, distance: DistanceSettings = CRITIC, rate: float = 0.05
) -> CrafterSettings:
    """Of all crafters here."""
    return CrafterSettings(utility_weight=weight, distance=distance, rate=rate)


class Decoded(Attack):
    """The shipped eavesdropper's decoder, which no design simulates."""

    name = "decoder"

    def __init__(self) -> None:
        self.decoder = load_decoder("eavesdropper_decoder")

    def reconstruct(
        self, feature: Tensor, knowledge: AttackerKnowledge, *, random: torch.Generator
    ) -> Reconstruction:
        """See `Attack`."""
        with torch.no_grad():
            return Reconstruction(self.decoder.to(feature.device)(feature))


def designs(faces: DrawnFaces) -> dict[str, Callable[[], Defence]]:
    """All of them, by name."""
    public = faces.public_feature()

    def named(name: str, crafter: CrafterSettings, **weights: float) -> Callable[[], Defence]:
        chosen = DefenceSettings(crafter=crafter, **weights)  # type: ignore[arg-type]
        return lambda: build_defence(
            name,
            encoder=faces.encoder,
            cloud=faces.cloud,
            public_feature=public,
            settings=chosen,
        )

    def simulating(crafter: CrafterSettings, **own: float) -> Callable[[], Defence]:
        nobody = {f"{kind}_eavesdropper": 0.0 for kind in ("latent", "decoder")}
        weights = {f"{kind}_eavesdropper": weight for kind, weight in own.items()}
        return named("crafter_simulated", crafter, **(nobody | weights))

    found: dict[str, Callable[[], Defence]] = {"none": named("none", settings(0.0))}
    # a transport distance is a mean squared one, below 1; a critic's gap is some twenty
    distances: dict[str, tuple[DistanceSettings, tuple[float, float]]] = {
        "critic": (CRITIC, (10.0, 100.0))
    }
    for kind in Transport:
        distances[str(kind)] = TransportSettings(kind=kind), (0.1, 1.0)
    for kind, (distance, weights) in distances.items():
        for weight in weights:
            name = f"distance {kind}, weight {weight:g}"
            found[name] = simulating(settings(weight, distance=distance), decoder=1.0)
    for kinds in ("amortised", "latent", "pixel", "latent decoder", "latent decoder pixel"):
        own = dict.fromkeys(kinds.split(), 1.0)
        found["simulated " + kinds.replace(" ", " + ")] = simulating(settings(10.0), **own)
    for weight in (2.0, 20.0):
        found[f"crafter_z, weight {weight:g}"] = named("crafter_z", settings(weight, rate=0.02))
    for weight in (2.0, 20.0):
        crafter = settings(weight, rate=0.02)
        found[f"lifted, weight {weight:g}"] = lambda crafter=crafter: Lifted(faces, crafter)
    found["default"] = named("crafter", settings(10.0))
    return found


def measure(faces: DrawnFaces, defence: Defence) -> dict[str, Any]:
    """Craft, and judge."""
    with torch.no_grad():
        wanted = faces.cloud(faces.feature)
    began = time.perf_counter()
    result = defence.protect(faces.feature, random=torch.Generator().manual_seed(faces.seed))
    seconds = time.perf_counter() - began
    released = result.feature
    with torch.no_grad():
        outputs = faces.cloud(released)
    centred = [each - each.mean(0) for each in (outputs, wanted)]
    product = (centred[0] * centred[1]).sum(0)
    correlation = product / (centred[0].norm(dim=0) * centred[1].norm(dim=0)).clamp_min(1e-12)
    return {
        "status": str(result.status),
        "wall_s_per_image": seconds / len(released),
        "utility": float(correlation.mean()),
        "utility_loss": float((released - faces.feature).square().mean()),
        "gap_white_box": faces.gaps(released, WhiteBoxLatent())[0],
        "gap_decoder": faces.gaps(released, Decoded())[0],
        "figures": result.figures,
    }


COLUMNS = ("wall_s_per_image", "utility", "utility_loss", "gap_white_box", "gap_decoder")


def main() -> None:
    """Measure all designs, print a table, write JSON; after each design, what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/designs.json"))
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    device = default_device()
    runs: dict[str, list[dict[str, Any]]] = {}
    content: dict[str, Any] = {
        "device": device_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images": arguments.images,
        "designs": runs,
    }
    for seed in range(arguments.seeds):
        faces = DrawnFaces(seed, images=arguments.images, device=device)
        for name, make in designs(faces).items():
            runs.setdefault(name, []).append(measure(faces, make()))
            write_text(arguments.json, json.dumps(content, indent=2) + "\n")
            print(f"seed {seed}: {name}", file=sys.stderr, flush=True)
    print(
        f"{'':34} {'s/image':>8} {'utility':>8} {'loss':>7} {'gap: white box':>15} {'decoder':>8}"
    )
    for name, found in runs.items():
        medians = (statistics.median(each[column] for each in found) for column in COLUMNS)
        print(f"{name:34}" + "".join(f"{value:10.3f}" for value in medians))


if __name__ == "__main__":
    main()
