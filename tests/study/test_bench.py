"""What an evaluation's defences hold."""

from collections.abc import Callable
from pathlib import Path

import torch

from fl_crafter.attacks.queries import features_of
from fl_crafter.study.bench import open_bench
from fl_crafter.study.plan import Plan


def test_defences_hold_photographs_or_drawn_faces(
    data_root: Path, make_plan: Callable[..., Plan]
) -> None:
    def held(drawn: int) -> torch.Tensor:
        plan = make_plan(
            data="celeba",
            root=str(data_root / "celeba"),
            public=300,
            defences="substitution:1",
            evaluators=("sface",),
            drawn=drawn,
        )
        bench = open_bench(plan)
        photographs = features_of(bench.model.encoder, bench.knowledge.public_image)
        (point,) = plan.points()
        clean = bench.encode(bench.faces.image[bench.test])
        random = torch.Generator().manual_seed(0)
        released = bench.defence(point).protect(clean, random=random).feature
        # substitution releases what it holds: is it one of the public photographs' features?
        return torch.cdist(released.flatten(1), photographs.flatten(1)).amin(1)

    assert float(held(0).max()) < 1  # of some hundred between two people
    assert float(held(80).min()) > 10
