"""The server: trains the cloud model on what clients share, the eavesdropper on its line."""

import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fl_crafter.errors import InputError
from fl_crafter.flower.payload import PayloadTerms
from fl_crafter.flower.tap import TapGrid
from fl_crafter.models.split import feature_shape
from fl_crafter.randomness import derived_random
from fl_crafter.tensor_files import write_safetensors
from fl_crafter.transcript import Purpose, concatenate
from simulations import client_data, run_folder, task
from simulations.config import SimulationConfig
from simulations.inference_server import infer
from simulations.progress import report
from strategies.checkpoint import load_checkpoint, save_checkpoint
from strategies.feature_sharing import FeatureSharing, RoundRecord, SharingPlan
from strategies.store import FeatureStore
from strategies.utility import predict
from strategies.waves import WaveGrid

CONNECTING = 240.0  # seconds

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds and, where the run config names a folder, store what came of them."""
    config = SimulationConfig.from_mapping(context.run_config, source="the run config")
    try:
        serve(grid, config)
    except Exception as error:
        if config.output:
            run_folder.write_failure(Path(config.output), "server", error)
        raise


def serve(grid: Grid, config: SimulationConfig) -> None:
    """The server's side of a whole run.

    Raises:
        InputError: the federation does not fit the configuration.
        NoValidReplies: a round brought nothing.
    """
    began = time.monotonic()
    _await_clients(grid, config.clients)
    names = task.names(config)  # part of the task, not of anybody's data
    model = client_data.model(config.weights)
    terms = PayloadTerms(
        feature_shape=feature_shape(model.encoder, config.image_size),
        attributes=len(names),
        clients=config.clients,
        rounds=config.rounds,
        quota=config.quota,
        value_limit=config.value_limit,
        norm_limit=config.norm_limit,
    )
    request = {"encoder": client_data.encoder_hash(config.weights)}
    if config.scenario == "deployment":
        tap = TapGrid(grid, terms=terms)
        infer(tap, config, terms=terms, names=names, request=request, began=began)
        return
    with _state_folder(config) as state:
        _share_features(grid, config, state, terms=terms, names=names, request=request, began=began)


@contextmanager
def _state_folder(config: SimulationConfig) -> Generator[Path, None, None]:
    """Where the server keeps features and checkpoint; without a name, until the run ends."""
    if config.state:
        yield Path(config.state)
        return
    with tempfile.TemporaryDirectory(prefix="flc-state-") as name:
        yield Path(name)


def _share_features(
    grid: Grid,
    config: SimulationConfig,
    state: Path,
    *,
    terms: PayloadTerms,
    names: tuple[str, ...],
    request: dict[str, str],
    began: float,
) -> None:
    """The development scenario, from the beginning or from where the state folder says."""
    random = derived_random(config.seed, "server")
    cloud = task.first_cloud(config, names, random=random).to(config.device)
    checkpoint, settings = state / "checkpoint.safetensors", config.lasting().run_config()
    done, admitted = load_checkpoint(checkpoint, cloud, random=random, settings=settings)
    tap = TapGrid(grid, terms=terms, folder=state / "overheard" if config.state else None)

    def save() -> None:
        save_checkpoint(
            checkpoint,
            cloud,
            strategy.rounds,
            random=random,
            admitted=strategy.admitted,
            settings=settings,
        )

    def finished(record: RoundRecord) -> None:
        save()
        _report_round(record, config.rounds)

    strategy = FeatureSharing(
        cloud,
        terms=terms,
        attribute_names=names,
        training=task.cloud_training(config),
        random=random,
        store=FeatureStore(state / "features", capacity=config.store_rows),
        plan=SharingPlan(
            clients_per_round=config.clients_per_round,
            minimum_replies=config.minimum_replies,
            client_quota=config.client_quota,
            replay_rows=config.replay_rows,
            check_labels=config.check_labels,
            patience=config.patience,
        ),
        request=request,
        on_round=finished,
        done=done,
        admitted=admitted,
    )
    if done:
        report(f"resumed after round {len(done)}/{config.rounds}")
    else:  # so that features in this folder are known to be of these settings
        save()
    strategy.start(
        WaveGrid(tap, wave=config.wave), num_rounds=config.rounds, timeout=config.timeout
    )
    if config.output:
        _store(Path(config.output), strategy, tap, seconds=time.monotonic() - began)


def _await_clients(grid: Grid, clients: int) -> None:
    """Wait until exactly the agreed number of clients is there."""
    until = time.monotonic() + CONNECTING
    while (here := len(list(grid.get_node_ids()))) < clients and time.monotonic() < until:
        time.sleep(0.2)
    if here != clients:
        raise InputError(
            f"the federation has {here} clients but the run config says clients = {clients}; start "
            "so many SuperNodes, in a simulation by "
            f"--federation-config 'num-supernodes={clients}'."
        )


def _report_round(record: RoundRecord, rounds: int) -> None:
    report(
        f"round {record.round}/{rounds}: {record.replies} replies, {record.rows} new features, "
        f"{record.rows_in_all} in all, loss {record.loss:.3f}, "
        f"utility AUC {record.utility.mean:.3f}, {record.seconds:.1f} s"
        + (f", {len(record.refused)} refused" if record.refused else "")
        + (f", {len(record.distrusted)} distrusted" if record.distrusted else "")
    )


def _store(folder: Path, strategy: FeatureSharing, tap: TapGrid, *, seconds: float) -> None:
    transcript = tap.transcript
    assert transcript is not None, "a run without valid replies ended before"
    transcript.save(folder / run_folder.TRANSCRIPT)
    write_safetensors(folder / run_folder.CLOUD, strategy.cloud.state_dict())
    stored = strategy.store.messages(Purpose.EVALUATION)
    held_out = concatenate([message.payload().transcript() for message in stored])
    predictions = {
        "score": predict(strategy.cloud, held_out.feature),
        "labels": held_out.labels,
        "client": held_out.client,
        "round": held_out.round,
        "row": held_out.row,
    }
    write_safetensors(folder / run_folder.PREDICTIONS, predictions)
    last = strategy.rounds[-1].utility
    summary = {
        "attribute_names": strategy.attribute_names,
        "feature_shape": strategy.terms.feature_shape,
        "utility_auc": last.mean,
        "auc": last.auc,
        "skipped": last.skipped,
        "evaluation_rows": len(held_out),
        "unread": dict(tap.unread),
        "seconds": seconds,
        "rounds": [_round(record) for record in strategy.rounds],
    }
    run_folder.write_json(folder / run_folder.SERVER, summary)


def _round(record: RoundRecord) -> dict[str, object]:
    return {
        "round": record.round,
        "replies": record.replies,
        "evaluation_replies": record.evaluation_replies,
        "refused": record.refused,
        "distrusted": record.distrusted,
        "rows": record.rows,
        "rows_in_all": record.rows_in_all,
        "loss": record.loss,
        "utility_auc": record.utility.mean,
        "auc": record.utility.auc,
        "skipped": record.utility.skipped,
        "seconds": record.seconds,
    }
