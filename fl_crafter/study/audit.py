"""Checks that need a computation of their own, on a few faces: do solver and defences behave?"""

import dataclasses
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.evaluation.metrics import structural_similarity
from fl_crafter.evaluation.results import Check
from fl_crafter.inversion.inverters import LevenbergMarquardt
from fl_crafter.study.bench import Bench, protect
from fl_crafter.study.points import SCALES

FACES = 8
RECOVERED = 0.9  # structural similarity of a drawn face and its recovery
KEPT = 0.95  # correlation of the cloud's outputs at a defence's limit with those of clean features
SHORT, LONG = (LevenbergMarquardt(steps=steps, damping=1e-3) for steps in (2, 12))


def audit(bench: Bench) -> list[Check]:
    """All of them; deterministic, so that they can be done again on any machine."""
    random = torch.Generator().manual_seed(0)
    attack = WhiteBoxLatent().prepare(bench.knowledge, random=random)
    return [
        drawn_face_is_recovered(bench, attack),
        more_steps_help(bench, attack),
        *limits_reproduce_none(bench),
    ]


def drawn_face_is_recovered(bench: Bench, attack: WhiteBoxLatent) -> Check:
    """The white box must find a face that its generator can draw, from the mean face."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        drawn = bench.knowledge.generator.sample(FACES, random=random)
    long = dataclasses.replace(attack, inverter=LONG)
    # an amortiser's start would be near enough for a search that does not move
    alone = dataclasses.replace(bench.knowledge, amortiser=None)
    found = long.reconstruct(bench.encode(drawn), alone, random=random).image
    similarity = float(structural_similarity(drawn, found).mean())
    return Check(
        name="a drawn face is recovered",
        passed=similarity >= RECOVERED,
        figure=similarity,
        text=f"{FACES} faces drawn from the generator come back with a structural similarity of "
        f"{similarity:.3f}; at least {RECOVERED} is wanted",
    )


def more_steps_help(bench: Bench, attack: WhiteBoxLatent) -> Check:
    """A longer search must end nearer to the feature than a shorter one."""
    feature = bench.encode(bench.faces.image[bench.test[:FACES]])
    one, other = (
        _distance(bench, dataclasses.replace(attack, inverter=each), feature)
        for each in (SHORT, LONG)
    )
    return Check(
        name="more steps come nearer",
        passed=other < one,
        figure=other / one,
        text=f"the feature distance of the white box goes from {one:.4f} to {other:.4f}",
    )


def _distance(bench: Bench, attack: WhiteBoxLatent, feature: Tensor) -> float:
    random = torch.Generator().manual_seed(0)
    image = attack.reconstruct(feature, bench.knowledge, random=random).image
    return float((bench.encode(image) - feature).square().mean())


def limits_reproduce_none(bench: Bench) -> Iterator[Check]:
    """At the end of its setting where nothing is hidden, a defence must give the task back.

    A defence without such an end (substitution, the trained ones) is not asked.
    """
    faces = bench.faces.image[bench.test][: 4 * FACES]
    clean = bench.encode(faces)
    wanted = bench.predict(clean)
    for name in dict.fromkeys(point.defence for point in bench.plan.points()):
        scale = SCALES.get(name)
        if scale is None or scale.limit is None:
            continue
        limit = min(scale.limit, len(bench.public_feature) // 2) if name == "projection" else None
        value = scale.limit if limit is None else limit
        point = bench.plan.sized(scale.point(name, value))
        parts = protect(
            bench.defence(point), clean, batch=point.batch, random=torch.Generator().manual_seed(0)
        )
        kept = _correlation(bench.predict(torch.cat([part.feature for part in parts])), wanted)
        yield Check(
            name=f"{name} at its limit reproduces none",
            passed=kept >= KEPT,
            figure=kept,
            text=f"at {scale.parameter} {point.value:g} the cloud's outputs correlate {kept:.3f} "
            f"with those of clean features; at least {KEPT} is wanted",
        )


def _correlation(
    one: Float[Tensor, "count outputs"], other: Float[Tensor, "count outputs"]
) -> float:
    """Mean over the outputs of the correlation over the photographs."""
    centred = [value - value.mean(0) for value in (one, other)]
    product = (centred[0] * centred[1]).sum(0)
    size = centred[0].norm(dim=0) * centred[1].norm(dim=0)
    return float((product / size.clamp_min(1e-12)).mean())
