"""The authors' loop beside ours: same networks, images, seeds and objective, in one process.

    fl-crafter bench crafting --json out/bench/crafting.json

Both simulate the paper's latent white box and move the feature by Adam at the paper's rate, for the
same number of outer steps. The released features of both are then inverted by the same white box
and judged by the same fresh critics; `reached` says whether our privacy gap, and our utility loss,
is no larger than the authors'. `default` is the default defence, which solves another problem: its
utility is the task's outputs, not the feature.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.published_loop import PublishedSettings, published_loop
from fl_crafter.assets import load_amortiser, load_encoder, load_generator
from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings, estimate_epsilon_pii
from fl_crafter.defences.crafter.simulated import LATENT_WEIGHT
from fl_crafter.defences.crafter.simulated import WhiteBoxLatent as SimulatedWhiteBox
from fl_crafter.files import write_text
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.problem import latent_inversion


def peak_megabytes() -> float:
    """Peak resident memory of the process so far; on a GPU, of its tensors."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def run_seed(seed: int, *, images: int, steps: int, device: str) -> dict[str, Any]:
    """All sides on one batch of faces drawn from the shipped generator."""
    random = torch.Generator().manual_seed(seed)
    model = load_encoder()
    encoder, cloud = model.encoder.to(device), model.cloud.to(device)
    generator, amortiser = load_generator().to(device), load_amortiser().to(device)
    image = generator.sample(images, random=random)
    with torch.no_grad():
        feature = encoder(image)
        public = torch.cat([encoder(generator.sample(50, random=random)) for _ in range(20)])
    prior = generator.sample(256, random=random).cpu()
    knowledge = AttackerKnowledge(
        encoder, image[:0], generator, amortiser, decoder=torch.nn.Identity()
    )

    def judged(name: str, released: Tensor, seconds: float) -> dict[str, float]:
        attack = WhiteBoxLatent()
        fixed = torch.Generator().manual_seed(seed)
        seen = attack.reconstruct(released, knowledge, random=fixed).image.cpu()
        each = estimate_epsilon_pii(seen, image.cpu(), prior, random=fixed)
        return {
            "wall_s_per_image": seconds / images,
            "privacy_gap": float(each.mean()),
            "utility_loss": float((released - feature).square().mean()),
            "peak_mb": peak_megabytes(),
        }

    results: dict[str, Any] = {"none": judged("none", feature, 0.0)}
    simulated = SimulatedWhiteBox(
        generator,
        latent_inversion(generator, encoder, latent_weight=LATENT_WEIGHT),
        amortiser,
        first=LevenbergMarquardt(steps=4, inner_iterations=4),
        refresh=2,
    )
    settings = CrafterSettings(
        utility_weight=PublishedSettings().utility_weight,
        steps=steps,
        rate=PublishedSettings().rate,
        critic=CriticSettings(warm_up=20, steps=2, batch_size=16),
    )
    default = build_defence(
        "crafter",
        encoder=encoder,
        cloud=cloud,
        public_feature=public,
        settings=DefenceSettings(),
    )
    for name, defence in (
        ("ours", Crafter([simulated], settings=settings)),
        ("default", default),
    ):
        began = time.perf_counter()
        result = defence.protect(feature, random=random)
        seconds = time.perf_counter() - began
        results[name] = judged(name, result.feature, seconds) | {"figures": result.figures}
    began = time.perf_counter()
    published = published_loop(
        encoder,
        generator,
        amortiser,
        feature,
        settings=PublishedSettings(outer_steps=steps),
        random=random,
    )
    seconds = time.perf_counter() - began
    results["reference"] = judged("reference", published.feature, seconds)
    results["reference"]["seconds"] = published.seconds
    ours, reference = results["ours"], results["reference"]
    results["ratio_wall"] = reference["wall_s_per_image"] / ours["wall_s_per_image"]
    results["ratio_wall_default"] = (
        reference["wall_s_per_image"] / results["default"]["wall_s_per_image"]
    )
    results["reached"] = {
        key: ours[key] <= reference[key] for key in ("privacy_gap", "utility_loss")
    }
    return results


def main() -> None:
    """Run all seeds, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench/crafting.json"))
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3, help="outer steps of both sides")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    runs = []
    for seed in range(arguments.seeds):
        runs.append(run_seed(seed, images=arguments.images, steps=arguments.steps, device=device))
        print(f"seed {seed}: {runs[-1]['ratio_wall']:.1f} times", file=sys.stderr, flush=True)
    content = {
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"CPU ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images": arguments.images,
        "outer_steps": arguments.steps,
        "runs": runs,
    }
    for key in ("ratio_wall", "ratio_wall_default"):
        values = [run[key] for run in runs]
        content[key] = {"median": statistics.median(values), "range": [min(values), max(values)]}
    write_text(arguments.json, json.dumps(content, indent=2) + "\n")
    print(f"{'':>10} {'s/image':>9} {'gap':>7} {'utility loss':>13}   (medians of {len(runs)})")
    for name in ("none", "ours", "default", "reference"):
        medians = [
            statistics.median(run[name][key] for run in runs)
            for key in ("wall_s_per_image", "privacy_gap", "utility_loss")
        ]
        print(f"{name:>10} {medians[0]:9.3f} {medians[1]:7.2f} {medians[2]:13.5f}")
    low, high = content["ratio_wall"]["range"]
    print(f"ours is {content['ratio_wall']['median']:.1f} ({low:.1f}-{high:.1f}) times faster")


if __name__ == "__main__":
    main()
