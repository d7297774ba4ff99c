"""The server of a deployment: it answers shared features with predictions."""

import time
from pathlib import Path

import torch

from fl_crafter.flower.payload import PayloadTerms
from fl_crafter.flower.tap import TapGrid
from fl_crafter.tensor_files import write_safetensors
from simulations import run_folder, task
from simulations.config import SimulationConfig
from simulations.progress import report
from strategies.inference import FeatureInference, InferenceRound
from strategies.waves import WaveGrid


def infer(
    tap: TapGrid,
    config: SimulationConfig,
    *,
    terms: PayloadTerms,
    names: tuple[str, ...],
    request: dict[str, str],
    began: float,
) -> None:
    """Run the rounds of a deployment and, where the run config names a folder, store the outcome.

    Raises:
        NoValidReplies: a round brought no features.
    """
    strategy = FeatureInference(
        task.deployed_cloud(config),
        terms=terms,
        request=request,
        on_round=lambda record: _report_round(record, config.rounds),
    )
    strategy.start(
        WaveGrid(tap, wave=config.wave), num_rounds=config.rounds, timeout=config.timeout
    )
    if config.output:
        _store(Path(config.output), strategy, tap, names, seconds=time.monotonic() - began)


def _report_round(record: InferenceRound, rounds: int) -> None:
    report(
        f"round {record.round}/{rounds}: {record.rows} predictions, {record.agreed} clients agree, "
        f"{record.disputed} dispute, {record.seconds:.1f} s"
        + (f", {len(record.refused)} refused" if record.refused else "")
    )


def _store(
    folder: Path,
    strategy: FeatureInference,
    tap: TapGrid,
    names: tuple[str, ...],
    *,
    seconds: float,
) -> None:
    transcript = tap.transcript
    assert transcript is not None, "a run without valid replies ended before"
    transcript.save(folder / run_folder.TRANSCRIPT)
    write_safetensors(folder / run_folder.CLOUD, strategy.cloud.state_dict())
    answers = strategy.predictions
    rows = [len(answer.score) for answer in answers]
    predictions = {
        "score": torch.cat([answer.score for answer in answers]),
        "client": torch.tensor([a.client for a in answers]).repeat_interleave(torch.tensor(rows)),
        "round": torch.tensor([a.round for a in answers]).repeat_interleave(torch.tensor(rows)),
        "row": torch.cat([torch.arange(count) for count in rows]),
    }
    write_safetensors(folder / run_folder.PREDICTIONS, predictions)
    summary = {
        "attribute_names": names,
        "feature_shape": transcript.feature.shape[1:],
        "unread": dict(tap.unread),
        "seconds": seconds,
        "rounds": [vars(record) for record in strategy.rounds],
    }
    run_folder.write_json(folder / run_folder.SERVER, summary)
