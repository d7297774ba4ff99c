"""The suite of attacks on what was released, and every judge's word on what it draws."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fl_crafter.attacks.base import AttackerKnowledge
from fl_crafter.attacks.suite import run_suite
from fl_crafter.evaluation.cell import ALL_PICTURES, Likeness
from fl_crafter.evaluation.evaluate import (
    AttackJudgement,
    judge_all_pictures,
    judge_attack,
    judge_together,
)
from fl_crafter.evaluation.metrics import peak_signal_to_noise, structural_similarity
from fl_crafter.study.bench import Bench
from fl_crafter.study.plan import fused


class JudgedSuite:
    """Runs the suite on what was released, and has every judge look at what it draws.

    Args:
        bench: on which the defence stands.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.likeness: dict[str, Likeness] = {}
        self.judgement: dict[str, dict[str, AttackJudgement]] = {
            name: {} for name in bench.evaluators
        }

    def attack(
        self,
        observed: Float[Tensor, "uploads count channels rows columns"],
        photographs: Sequence[Int64[Tensor, " count"]],
        knowledge: AttackerKnowledge,
        *,
        seed: int,
        random: torch.Generator,
    ) -> None:
        """Attack each upload; where there are several, their pictures are judged together.

        Args:
            observed: what the attacker has of each upload.
            photographs: which those are, of the whole dataset; the first are the test photographs.
            knowledge: see `AttackerKnowledge`; labels are added.
            seed: of what attacks learn before they see anything.
            random: of the attacks.
        """
        bench, together = self.bench, len(photographs) > 1
        labels = bench.faces.attributes[torch.cat(list(photographs))]
        knowledge = dataclasses.replace(knowledge, labels=labels)
        raw = bench.faces.image[bench.test]
        places = {
            name: torch.stack([each.landmarks(bench.faces.image[own]) for own in photographs])
            for name, each in bench.evaluators.items()
            if together
        }
        began = time.monotonic()
        attacks = run_suite(bench.attacks(seed), observed.flatten(0, 1), knowledge, random=random)
        for attack, result in attacks:
            seconds = time.monotonic() - began
            image = result.image.detach().cpu().clamp(0, 1).unflatten(0, (len(photographs), -1))
            title = fused(attack.name) if together else attack.name
            self.likeness[title] = self._likeness(
                image[0],
                loss_curve=tuple(result.loss_curve),
                zero_gradients=result.zero_gradients,
                seconds=seconds,
            )
            for name, evaluator in bench.evaluators.items():
                truth = bench.truth[name]
                self.judgement[name][title] = (
                    judge_together(image, places[name], truth=truth, evaluator=evaluator)
                    if together
                    else judge_attack(
                        image[0], torch.arange(len(raw)), truth=truth, evaluator=evaluator
                    )
                )
            began = time.monotonic()

    def guess_from_all(self) -> dict[str, AttackJudgement]:
        """Each judge's one guess from all pictures so far, whose mean gets a likeness."""
        joined = {name: judge_all_pictures(own) for name, own in self.judgement.items()}
        picture = joined[self.bench.main].image
        self.likeness[ALL_PICTURES] = self._likeness(
            picture, loss_curve=(), zero_gradients=0.0, seconds=0.0
        )
        return joined

    def _likeness(self, image: Float[Tensor, "count 3 height width"], **told: Any) -> Likeness:
        raw = self.bench.faces.image[self.bench.test]
        return Likeness(
            ssim=float(structural_similarity(raw, image).mean()),
            psnr=float(peak_signal_to_noise(raw, image).mean()),
            perceptual_distance=float(self.bench.perceptual(raw, image).mean()),
            **told,
        )
