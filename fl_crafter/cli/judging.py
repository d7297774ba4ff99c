"""Attack the transcripts of finished runs and judge what came of it."""

import json
import platform
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from fl_crafter.attacks.adaptive import AdaptiveDecoder
from fl_crafter.attacks.base import Attack, AttackerKnowledge
from fl_crafter.attacks.black_box import BlackBoxDecoder
from fl_crafter.attacks.white_box import WhiteBoxLatent
from fl_crafter.cli.files import PICTURES, REPORT, SUMMARY
from fl_crafter.defences.configured import DefenceSettings
from fl_crafter.defences.crafter.distance import estimate_epsilon_pii
from fl_crafter.evaluation import (
    Evaluation,
    Predictions,
    PrivateTruth,
    Setup,
    SFaceEvaluator,
    evaluate_run,
    prepare_truth,
    read_crafting,
    read_ledger,
    summarise,
    write_summary,
)
from fl_crafter.evaluation.setup_checks import FEW_PEOPLE
from fl_crafter.faces import celeba
from fl_crafter.faces.open import open_faces
from fl_crafter.faces.record import Faces, Role
from fl_crafter.machine import versions
from fl_crafter.progress import Remaining
from fl_crafter.report.page import write_report
from fl_crafter.report.pictures import choose_pictures
from fl_crafter.study.knowledge import attacker_knowledge, with_defence
from fl_crafter.transcript import Purpose, Transcript

_console = Console(highlight=False, stderr=True)


def standard_attacks() -> dict[str, Attack]:
    """The attacks of the demo, by name."""
    attacks: tuple[Attack, ...] = (WhiteBoxLatent(), BlackBoxDecoder(), AdaptiveDecoder())
    return {attack.name: attack for attack in attacks}


def read_faces(config: dict[str, Any]) -> Faces:
    """The dataset exactly as the clients of a run opened it, from the run's configuration."""
    return open_faces(
        config["dataset"],
        Path(config["data_root"]) if config["data_root"] else None,
        size=config["image_size"],
        people=config["people"] or None,
        photos_per_person=config["photos_per_person"] or None,
        public=config["public_images"] or None,
        seed=config["seed"],
    )


def judge_runs(
    runs: Path,
    defences: list[str],
    *,
    out: Path,
    command: str,
    credit: str,
    timings: dict[str, float],
) -> None:
    """Attack and evaluate finished runs; write summary, pictures and report.

    Args:
        runs: folder with one run folder for each defence, all of the same dataset and seed.
        defences: names of the run folders, in the order of the tables.
        out: folder of `summary.json`, `pictures.safetensors` and `report.html`.
        command: that the user typed, for the report.
        credit: to whom the photographs are owed.
        timings: seconds spent before, by part; attacks and evaluation are added.
    """
    stored = json.loads((runs / defences[0] / "config.json").read_text("utf-8"))["config"]
    config = {key.replace("-", "_"): value for key, value in stored.items()}
    faces = read_faces(config)
    evaluator = SFaceEvaluator()
    truth = prepare_truth(faces, evaluator=evaluator)
    random = torch.Generator().manual_seed(config["seed"] + 1)
    knowledge = attacker_knowledge(
        faces.with_role(Role.PUBLIC).image,
        drawn=config["generated_images"],
        random=random,
        device=config["device"],
    )
    evaluations: dict[str, Evaluation] = {}
    began = time.monotonic()
    attacks = {
        name: attack.prepare(knowledge, random=random)
        for name, attack in standard_attacks().items()
    }
    seconds = {"attacks": time.monotonic() - began, "evaluation": 0.0}
    remaining = Remaining(len(defences))
    for name in defences:
        settings = DefenceSettings.from_config(config)
        known = with_defence(knowledge, name, settings=settings, random=random)
        evaluations[name] = _judge_run(
            runs / name, attacks, truth, evaluator, known, random, seconds
        )
        _console.print(f"  {name} is judged: {remaining.part_done()}")
    setup = Setup(
        clients=config["clients"],
        rounds=config["rounds"],
        seed=config["seed"],
        device=_device(config["device"]),
        versions=versions(),
        timings=timings | seconds,
        command=command,
        settings=_settings(config),
        credit=credit,
        split_is_drawn=config["dataset"] == "celeba"
        and celeba.split_is_drawn(Path(config["data_root"])),
    )
    summary = summarise(evaluations, setup, truth=truth, evaluator_name=evaluator.name)
    write_summary(summary, out / SUMMARY)
    pictures = choose_pictures(evaluations, truth=truth)
    pictures.save(out / PICTURES)
    write_report(summary, pictures, out / REPORT)


def _judge_run(
    run: Path,
    attacks: dict[str, Attack],
    truth: PrivateTruth,
    evaluator: SFaceEvaluator,
    knowledge: AttackerKnowledge,
    random: torch.Generator,
    seconds: dict[str, float],
) -> Evaluation:
    transcript = Transcript.load(run / "transcript.safetensors").of_purpose(Purpose.EVALUATION)
    device = next(knowledge.encoder.parameters()).device
    images = {}
    for name, attack in attacks.items():
        _console.print(f"  {run.name}: {name} on {len(transcript)} features")
        began = time.monotonic()
        result = attack.reconstruct(transcript.feature.to(device), knowledge, random=random)
        images[name] = result.image.cpu().clamp(0, 1)
        seconds["attacks"] += time.monotonic() - began
    began = time.monotonic()
    ledger = read_ledger(run / "truth")
    evaluation = evaluate_run(
        transcript,
        images,
        truth=truth,
        ledger=ledger,
        predictions=Predictions.load(run / "predictions.safetensors"),
        evaluator=evaluator,
        epsilon_pii=_epsilon_pii(images, transcript, truth, ledger),
        crafting=read_crafting(run / "crafting"),
    )
    seconds["evaluation"] += time.monotonic() - began
    return evaluation


def _epsilon_pii(
    images: dict[str, Tensor],
    transcript: Transcript,
    truth: PrivateTruth,
    ledger: Any,
) -> Tensor | None:
    """Each row's estimate, of the attack with the largest mean, by fresh critics.

    An attack's pictures of one person are compared with its own pictures of the others. None
    where features of few people arrived, from whom a critic learns nothing.
    """
    position = ledger.locate(
        client=transcript.client,
        round=transcript.round,
        purpose=transcript.purpose,
        row=transcript.row,
    )
    raw = truth.faces.image[position]
    random = torch.Generator().manual_seed(0)
    person = truth.faces.identity[position]
    if len(person.unique()) < FEW_PEOPLE:
        return None
    estimates = [
        estimate_epsilon_pii(image, raw, person=person, random=random) for image in images.values()
    ]
    return max(estimates, key=lambda each: float(each.mean()))


def _settings(config: dict[str, Any]) -> dict[str, str | int | float | bool]:
    wanted = (
        "utility_weight",
        "crafting_steps",
        "start_neighbours",
        "neighbours",
        "components",
    )
    settings: dict[str, str | int | float | bool] = {name: config[name] for name in wanted}
    settings |= {name: config[name] for name in ("attributes", "keep") if config.get(name)}
    for name, attack in standard_attacks().items():
        settings[name] = str(attack)
    return settings


def _device(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
