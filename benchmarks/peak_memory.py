"""Peak memory of crafting, each measurement in a process of its own."""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.published_loop import PublishedLoop, PublishedSettings
from fl_crafter.accelerator import default_device
from fl_crafter.assets import load_amortiser, load_encoder, load_generator
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.defences.crafter.crafter import Crafter, CrafterSettings
from fl_crafter.defences.crafter.distance import CriticSettings
from fl_crafter.defences.crafter.simulated import LATENT_WEIGHT, SimulatedWhiteBox
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.inversion.linear_solvers import ConjugateGradient
from fl_crafter.inversion.problem import latent_inversion

AT_ONCE = 128  # faces that the authors craft together; more are crafted in micro-batches


def peak_of(side: str, images: int, weights: Path | None) -> float:
    """Peak memory in MB of `side` (see `main`) crafting `images` faces.

    On a CPU the resident memory of the whole process, with its libraries and weights; on a GPU its
    tensors.
    """
    command = [sys.executable, "-m", "benchmarks.peak_memory", side, str(images)]
    command += ["--weights", str(weights)] if weights else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def own_peak_mb() -> float:
    """Most memory that this process has held; `ru_maxrss` would begin at its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(peak.split()[1]) / 2**10


def craft(side: str, images: int, *, device: str, weights: Path | None) -> None:
    """Do the work whose peak is measured."""
    random = torch.Generator().manual_seed(0)
    model, generator = load_encoder().to(device), load_generator(weights).to(device)
    amortiser = load_amortiser(weights).to(device)
    encoder, cloud = model.encoder, model.cloud
    with torch.no_grad():
        drawn = [encoder(generator.sample(20, random=random)) for _ in range(50)]
    feature = torch.cat(drawn)
    if side == "reference":
        settings = PublishedSettings(outer_steps=1)
        loop = PublishedLoop(
            encoder, generator, amortiser, feature[:images], settings=settings, random=random
        )
        loop.run(lambda step: None)
    elif side == "ours":
        # how often an iteration is repeated adds nothing to the peak, only to the wait for it
        eavesdropper = SimulatedWhiteBox(
            generator,
            latent_inversion(generator, encoder, latent_weight=LATENT_WEIGHT),
            amortiser,
            first=LevenbergMarquardt(steps=1, inner_iterations=1),
            warm=LevenbergMarquardt(steps=1, inner_iterations=1),
            first_solver=ConjugateGradient(1),
        )
        settings = CrafterSettings(
            steps=1,
            distance=CriticSettings(warm_up=1, steps=1),
            micro_batch=images if images <= AT_ONCE else CrafterSettings().micro_batch,
        )
        Crafter([eavesdropper], settings=settings).protect(feature[:images], random=random)
    elif side == "default":
        defence = build_defence(
            "crafter",
            encoder=encoder,
            cloud=cloud,
            public_feature=feature,
            settings=DefenceSettings(crafter=CrafterSettings(steps=1)),
        )
        defence.protect(feature[:images], random=random)


def main() -> None:
    """Print the peak, in MB, of crafting `images` faces by a side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=("idle", "ours", "default", "reference"))
    parser.add_argument("images", type=int)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    device = default_device()
    craft(arguments.side, arguments.images, device=device, weights=arguments.weights)
    if device == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(own_peak_mb())


if __name__ == "__main__":
    main()
