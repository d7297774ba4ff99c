"""Measure one cell: protect, predict, attack, judge."""

import dataclasses
import math
import time
import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.averaging import mean_release
from fl_crafter.defences.base import Defence
from fl_crafter.evaluation.bootstrap import Interval, Resampling
from fl_crafter.evaluation.cell import (
    ALL_PICTURES,
    Cell,
    Guess,
    Judged,
    Release,
    guess,
    worst_guess,
)
from fl_crafter.evaluation.evaluate import AttackJudgement
from fl_crafter.evaluation.metrics import Utility, similarity_to_others, utility_over_people
from fl_crafter.study.bench import Bench, protect
from fl_crafter.study.development import develop
from fl_crafter.study.judged_suite import JudgedSuite
from fl_crafter.study.linkability import known_photographs, measure_linkability
from fl_crafter.study.photographs import other_uploads
from fl_crafter.study.points import Point

Pictures = dict[str, Float[Tensor, "count 3 height width"]]


def measure(bench: Bench, point: Point, seed: int) -> tuple[Cell, Pictures]:
    """Everything about one defence at one setting with one seed, and each attack's pictures."""
    victim, attacker = (torch.Generator().manual_seed(2 * seed + each) for each in range(2))
    defence = bench.defence(point)
    bench = bench.facing(defence, point)
    raw = bench.faces.image[bench.test]
    clean = bench.encode(raw)
    released, release = _release(defence, clean, point.batch, victim)
    uploads = [bench.test, *other_uploads(bench.truth[bench.main], bench.plan.uploads - 1)]
    observed = _observed(bench, defence, point.batch, released, uploads, victim)

    def again(part: Tensor) -> Tensor:
        parts = protect(defence, part, batch=point.batch, random=attacker)
        return torch.cat([each.feature for each in parts])

    often = bench.plan.releases
    query = again if often == 1 else mean_release(again, often)
    knowledge = dataclasses.replace(
        bench.knowledge, release=query, batch=min(point.batch, len(clean))
    )
    suite = JudgedSuite(bench)
    suite.attack(observed.mean(0)[None], uploads[:1], knowledge, seed=seed, random=attacker)
    if len(uploads) > 1:
        suite.attack(observed, uploads, knowledge, seed=seed, random=attacker)
    judgement = suite.judgement
    joined = suite.guess_from_all()
    served, interval = _utility(bench, bench.predict(released))
    developed_auc = developed_interval = None
    linked: dict[str, Guess] = {}
    if not bench.plan.appearance_only:
        known = known_photographs(bench)
        known_clean = bench.encode(bench.faces.image[known])
        theirs = again(known_clean)
        developed = develop(bench, known=known, theirs=theirs, released=released)
        developed_served, developed_interval = _utility(bench, developed)
        developed_auc = developed_served.mean
        linked = measure_linkability(
            bench,
            released,
            known=known,
            clean=known_clean,
            theirs=theirs,
            knowledge=dataclasses.replace(knowledge, release=again),
            random=attacker,
        )
    cell = Cell(
        defence=point.defence,
        parameter=point.parameter,
        value=point.value,
        seed=seed,
        release=release,
        utility_auc=served.mean,
        utility_interval=interval,
        development_auc=developed_auc,
        development_interval=developed_interval,
        likeness=suite.likeness,
        judged={
            name: _judged(bench, name, {**own, ALL_PICTURES: joined[name]})
            for name, own in judgement.items()
        },
        worst_case={
            name: worst_guess(
                {attack: each.rank for attack, each in own.items()},
                {attack: each.score for attack, each in own.items()},
                bench.truth[name].gallery.column(bench.identity),
            )
            for name, own in judgement.items()
        },
        linked=linked,
    )
    pictures = {attack: own.image for attack, own in judgement[bench.main].items()}
    return cell, pictures


def _observed(
    bench: Bench,
    defence: Defence,
    batch: int,
    released: Tensor,
    uploads: Sequence[Tensor],
    random: torch.Generator,
) -> Float[Tensor, "uploads count channels rows columns"]:
    """What is attacked of each upload: its release, or the mean of its releases."""
    observed = []
    for index, photographs in enumerate(uploads):
        clean = bench.encode(bench.faces.image[photographs])
        releases = [released] if index == 0 else []
        while len(releases) < bench.plan.releases:
            parts = protect(defence, clean, batch=batch, random=random)
            releases.append(torch.cat([part.feature for part in parts]).detach())
        observed.append(torch.stack(releases).mean(0))
    return torch.stack(observed)


def _judged(
    bench: Bench, evaluator: str, judgement: dict[str, AttackJudgement]
) -> dict[str, Judged]:
    truth = bench.truth[evaluator]
    column = truth.gallery.column(truth.identity)
    return {
        attack: Judged(
            guess=guess(each.rank, each.score, column),
            feature_similarity=float(each.similarity.diagonal().mean()),
            feature_similarity_floor=similarity_to_others(
                each.similarity, truth.identity, truth.identity
            ),
        )
        for attack, each in judgement.items()
    }


def _release(
    defence: Defence, clean: Tensor, batch: int, random: torch.Generator
) -> tuple[Tensor, Release]:
    """What the defence releases, and what it did."""
    began = time.monotonic()
    leaf = clean.clone().requires_grad_(True)
    with torch.enable_grad(), warnings.catch_warnings():
        # figures that a defence takes from its tensors carry a gradient here
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad")
        parts = protect(defence, leaf, batch=batch, random=random)
        joined = torch.cat([part.feature for part in parts])
    seconds = time.monotonic() - began
    gradient = gradient_share(joined, leaf)
    released = joined.detach()
    status: dict[str, int] = {}
    for part in parts:
        status[str(part.status)] = status.get(str(part.status), 0) + 1
    names = set.intersection(*(_finite(part.figures) for part in parts))
    weight = [len(part.feature) / len(clean) for part in parts]
    spread = clean.var(0).mean().clamp_min(1e-12)
    return released, Release(
        change=float(((released - clean).square().mean() / spread).sqrt()),
        spread=float(released.var(0).mean() / spread),
        gradient=gradient,
        status=status,
        figures={
            name: sum(w * p.figures[name] for w, p in zip(weight, parts, strict=True))
            for name in sorted(names)
        },
        seconds=seconds,
    )


def _finite(figures: dict[str, float]) -> set[str]:
    return {name for name, value in figures.items() if math.isfinite(value)}


def gradient_share(
    released: Float[Tensor, "count channels rows columns"],
    clean: Float[Tensor, "count channels rows columns"],
) -> float:
    """Share of rows through which a gradient reaches back from the release to the clean feature.

    0 is what a defence that optimises, looks up or rounds gives: nothing that an attack which
    follows gradients through it finds is evidence.

    Args:
        released: what the defence made of `clean`, which requires a gradient.
        clean: see above.
    """
    if not released.requires_grad:
        return 0.0
    weight = torch.linspace(0.5, 1.5, released[0].numel()).view_as(released[0]).to(released)
    (gradient,) = torch.autograd.grad((released * weight).sum(), clean, materialize_grads=True)
    size = gradient.flatten(1).norm(dim=1)
    return float((size.isfinite() & (size > 0)).double().mean())


def _utility(bench: Bench, score: Tensor) -> tuple[Utility, Interval]:
    return utility_over_people(
        score,
        bench.faces.attributes[bench.test],
        names=bench.faces.attribute_names,
        identity=bench.identity,
        how=Resampling(),
    )
