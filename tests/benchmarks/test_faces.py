"""The benchmarks' judges see what there is to see, and count what is a process's own."""

import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.faces import DrawnFaces
from benchmarks.labels import name_top1
from benchmarks.peak_memory import own_peak_mb
from fl_crafter.attacks.white_box import WhiteBoxLatent

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_judges_inversion_settles_nearer_than_its_start() -> None:
    faces = DrawnFaces(0, images=4, device="cpu")
    random = torch.Generator().manual_seed(0)
    seen = WhiteBoxLatent().reconstruct(faces.feature, faces.knowledge, random=random)
    with torch.no_grad():
        start = faces.generator(faces.amortiser(faces.feature))
    error = [(image - faces.image).square().mean() for image in (seen.image, start)]
    assert float(error[0]) < 0.1 * float(error[1])
    assert seen.loss_curve[-1] < 0.2 * seen.loss_curve[0]


def test_a_processs_peak_is_its_own() -> None:
    held = bytearray(600 * 2**20)  # every page is written
    command = [sys.executable, "-c", "import benchmarks.peak_memory as m; print(m.own_peak_mb())"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert len(held) / 2**20 < own_peak_mb()
    assert 50 < float(done.stdout) < own_peak_mb() - 200


def test_a_label_that_nobody_knows_names_nobody_wrong() -> None:
    random = torch.Generator().manual_seed(0)
    owner = torch.arange(30).repeat_interleave(4)
    profile = (torch.rand(30, 12, generator=random) < 0.5).float()
    gallery = profile[owner]
    known = name_top1(gallery, owner, profile, torch.arange(30), flip=0.0)
    gallery[:, 3] = float("nan")
    assert name_top1(gallery, owner, profile, torch.arange(30), flip=0.0) > 0.8 * known > 0.6
