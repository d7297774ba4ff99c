"""The judge of crafted faces sees what there is to see."""

import torch

from benchmarks.faces import DrawnFaces
from fl_crafter.attacks.white_box import WhiteBoxLatent


def test_the_judges_inversion_settles_nearer_than_its_start() -> None:
    faces = DrawnFaces(0, images=4, device="cpu")
    random = torch.Generator().manual_seed(0)
    seen = WhiteBoxLatent().reconstruct(faces.feature, faces.knowledge, random=random)
    with torch.no_grad():
        start = faces.generator(faces.amortiser(faces.feature))
    error = [(image - faces.image).square().mean() for image in (seen.image, start)]
    assert float(error[0]) < 0.1 * float(error[1])
    assert seen.loss_curve[-1] < 0.2 * seen.loss_curve[0]
