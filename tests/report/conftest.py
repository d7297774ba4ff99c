"""Summaries with hand-made figures: no run is needed to look at a page."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fl_crafter.evaluation import DefenceRecord, Summary
from fl_crafter.evaluation.record import Chance, Crafting, Identification
from fl_crafter.report import Pictures

ATTACKS = ("white_box_latent", "black_box_decoder")


def identified(top1: float, *, width: float = 0.05, chance: float = 0.0625) -> Identification:
    top5 = min(1.0, top1 + 0.2)
    return Identification(
        top1=top1,
        top5=top5,
        interval=(max(0.0, top1 - width), min(1.0, top1 + width)),
        interval_top5=(max(0.0, top5 - width), min(1.0, top5 + width)),
        chance=Chance(top1=chance, top5=0.3125),
    )


def defence(auc: float, top1: float, **changes: Any) -> DefenceRecord:
    known: dict[str, Any] = {
        "utility_auc": auc,
        "utility_interval": (auc - 0.0123, auc + 0.0117),
        "attribute_auc": {"wearing_hat": auc, "smiling": auc},
        "skipped_attributes": ("bald",),
        "identification": {
            "white_box_latent": identified(0.8 * top1),
            "black_box_decoder": identified(0.9 * top1),
            "worst_case": identified(top1),
        },
        "feature_similarity": {"white_box_latent": 0.4567, "black_box_decoder": -0.0432},
        "feature_similarity_floor": {"white_box_latent": 0.0987, "black_box_decoder": 0.0876},
        "ssim": {"white_box_latent": 0.6543, "black_box_decoder": 0.7654},
        "photographs": 100,
    }
    return DefenceRecord(**known | changes)


@pytest.fixture(scope="session")
def make_summary() -> Callable[..., Summary]:
    """Summaries of runs whose defences a test chooses."""

    def make(defences: dict[str, DefenceRecord] | None = None, **changes: Any) -> Summary:
        known: dict[str, Any] = {
            "dataset": "orl",
            "clients": 4,
            "rounds": 7,
            "seed": 31,
            "device": "cpu",
            "versions": {"torch": "2.13.0"},
            "timings": {"crafting": 192.0, "total": 301.4},
            "chance": Chance(top1=0.05, top5=0.25),
            "attacks": ATTACKS,
            "defences": defences
            or {
                "none": defence(0.871, 0.95),
                "substitution": defence(0.801, 0.123),
                "projection": defence(0.845, 0.321),
                "crafter": defence(
                    0.838,
                    0.112,
                    epsilon_pii=0.0765,
                    crafting=Crafting(
                        uploads=8, status={"ok": 8}, figures={"stationarity_residual": 0.0021}
                    ),
                ),
            },
            "people": 20,
            "evaluator": "SFace",
            "raw": identified(0.987),
            "command": "fl-crafter demo --out out/demo",
            "settings": {"decoder_steps": 1500},
            "credit": "AT&T Laboratories Cambridge",
            "unreliable": ("The moon was full.",),
        }
        return Summary(**known | changes)

    return make


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """Two photographs of noise, under two defences."""
    random = torch.Generator().manual_seed(0)

    def noise() -> torch.Tensor:
        return torch.randint(256, (2, 3, 16, 16), generator=random, dtype=torch.uint8)

    shown = [(name, attack) for name in ("none", "crafter") for attack in ATTACKS]
    return Pictures(
        raw=noise(),
        reconstruction={key: noise() for key in shown},
        named={key: torch.tensor([key[0] == "none", False]) for key in shown},
    )


@pytest.fixture(scope="session")
def make_defence() -> Callable[..., DefenceRecord]:
    """One defence from its utility AUC and worst-case top-1."""
    return defence
