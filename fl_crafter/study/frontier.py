"""The trade-off of every defence: what the cloud can tell against whom an eavesdropper names.

The deployment scenario without a wire: the shipped cloud model predicts on released features, two
decoders that no defence simulates invert them, one of them trained on what the defence releases.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.defences.base import Defence
from fl_crafter.defences.configured import DefenceSettings, build_defence
from fl_crafter.errors import InputError
from fl_crafter.evaluation.bootstrap import Resampling, interval_over_people
from fl_crafter.evaluation.evaluate import judge_attack
from fl_crafter.evaluation.evaluator import Evaluator
from fl_crafter.evaluation.metrics import mean_auc, utility
from fl_crafter.evaluation.truth import PrivateTruth, identification
from fl_crafter.files import write_text
from fl_crafter.models.split import SplitModel


@dataclass(frozen=True)
class Point:
    """One defence at one setting.

    Attributes:
        defence: its name.
        value: of the setting that trades privacy for utility; 1 where there is none.
        settings: all of them.
        batch: photographs protected together.
    """

    defence: str
    value: float
    settings: DefenceSettings
    batch: int = 32

    @property
    def name(self) -> str:
        """Of the file of its figures."""
        return f"{self.defence}-{self.value:g}"


def points() -> Iterator[Point]:
    """The frontier: every defence, at settings from much privacy to much utility."""
    base = DefenceSettings()

    def crafted(weight: float, **more: Any) -> DefenceSettings:
        crafter = dataclasses.replace(base.crafter, utility_weight=weight, **more)
        return dataclasses.replace(
            base, crafter=crafter, latent_eavesdropper=0.0, amortised_eavesdropper=1.0
        )

    yield Point("none", 1.0, base)
    for components in (16, 64, 128, 256):
        yield Point(
            "projection", float(components), dataclasses.replace(base, components=components)
        )
    for neighbours in (1, 4, 16):
        yield Point(
            "substitution", float(neighbours), dataclasses.replace(base, neighbours=neighbours)
        )
    yield Point("transport", 1.0, base, batch=1000)
    for weight in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0):
        yield Point("crafter", weight, crafted(weight))
    for deviation in (0.5, 1.0, 2.0):
        yield Point("noise", deviation, dataclasses.replace(base, deviation=deviation))
    for weight in (10.0, 100.0):
        yield Point("crafter_simulated", weight, crafted(weight))
    yield Point("crafter_z", 20.0, crafted(20.0, rate=0.02))


def attacks() -> tuple[Attack, ...]:
    """Whom no defence simulates: a decoder of another architecture and seed, and it adapting."""
    return BlackBoxDecoder(steps=100), AdaptiveDecoder(images=600, steps=150)


@dataclass(frozen=True)
class Bench:
    """What all points share: people, models, knowledge, judge."""

    truth: PrivateTruth
    model: SplitModel
    public_feature: Tensor
    knowledge: AttackerKnowledge
    evaluator: Evaluator
    attacks: tuple[Attack, ...]
    seed: int

    def measure(self, point: Point) -> dict[str, Any]:
        """Protect, predict, attack and judge."""
        random = torch.Generator().manual_seed(self.seed)
        defence = build_defence(
            point.defence,
            encoder=self.model.encoder,
            cloud=self.model.cloud,
            public_feature=self.public_feature,
            settings=point.settings,
        )
        image = self.truth.faces.image[self.truth.test]
        with torch.no_grad():
            clean = torch.cat([self.model.encoder(part) for part in image.split(64)])
        released = _protect(defence, clean, batch=point.batch, random=random)
        knowledge = dataclasses.replace(
            self.knowledge,
            release=lambda part: _protect(defence, part, batch=point.batch, random=random),
        )
        place = torch.arange(len(image))
        column = self.truth.gallery.column(self.truth.identity)
        rank = {}
        for attack in self.attacks:
            seen = attack.reconstruct(released, knowledge, random=random).image.clamp(0, 1)
            judged = judge_attack(seen, place, truth=self.truth, evaluator=self.evaluator)
            rank[attack.name] = judged.rank
        rank["worst_case"] = torch.stack(list(rank.values())).amin(0)
        how = Resampling(seed=self.seed)
        return {
            "defence": point.defence,
            "value": point.value,
            "photographs": len(image),
            "utility_loss": float((released - clean).square().mean()),
            **self._utility(released, how),
            "identification": {
                name: identification(own, column, self.truth.identity, how=how).model_dump()
                for name, own in rank.items()
            },
        }

    def _utility(self, released: Tensor, how: Resampling) -> dict[str, Any]:
        with torch.no_grad():
            score = torch.cat([self.model.cloud(part) for part in released.split(64)])
        faces, test = self.truth.faces, self.truth.test
        labels = faces.attributes[test]
        served = utility(score, labels, names=faces.attribute_names)
        interval = interval_over_people(
            lambda weight: mean_auc(score, labels, weight), self.truth.identity, how=how
        )
        mean = sum(served.auc.values()) / len(served.auc)
        return {"utility_auc": mean, "utility_interval": list(interval)}


def _protect(
    defence: Defence,
    feature: Float[Tensor, "count channels rows columns"],
    *,
    batch: int,
    random: torch.Generator,
) -> Tensor:
    parts = [defence.protect(part, random=random).feature for part in feature.split(batch)]
    return torch.cat(parts)


def run_frontier(
    bench: Bench, out: Path, *, announce: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure all points, each into a file of its own; those there already are not done again.

    Raises:
        InputError: a file there is broken, or was made with other people or another seed.
    """
    setup = {
        "dataset": bench.truth.faces.name,
        "people": len(bench.truth.identity.unique()),
        "seed": bench.seed,
        "attacks": [str(attack) for attack in attacks()],
    }
    results = []
    for point in points():
        path = out / "points" / f"{point.name}.json"
        result = read_point(path, setup)
        if result is None:
            announce(point.name)
            result = bench.measure(point)
            write_point(path, result, setup)
        results.append(result)
    return results


def read_point(path: Path, setup: dict[str, Any]) -> dict[str, Any] | None:
    """The figures of a point; None where it was not measured yet.

    Raises:
        InputError: the file is broken, or was made with other people or another seed.
    """
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored["setup"] != setup:
            raise InputError(f"{path} is of another study; name another folder with --out.")
        return stored["result"]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is broken; remove it to measure that point again.") from error


def write_point(path: Path, result: dict[str, Any], setup: dict[str, Any]) -> None:
    """Store the figures of a point through a temporary file."""
    content = {"setup": setup, "result": result}
    write_text(path, json.dumps(content, indent=2) + "\n")
