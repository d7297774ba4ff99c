"""The loop that every training command shares: progress, checkpoints, resume."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fl_crafter.errors import InputError
from fl_crafter.progress import deferred_interrupt, progress_bar
from fl_crafter.tensor_files import read_metadata, write_safetensors

Step = Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Trainable:
    """All that a training run changes, by name, so that it can be stored and brought back."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    random: torch.Generator


def run_training(
    step: Step,
    trainable: Trainable,
    *,
    steps: int,
    title: str,
    settings: object = None,
    data: Sequence[Tensor] = (),
    checkpoint: Path | None = None,
    checkpoint_every: int = 500,
) -> dict[str, float]:
    """Call `step(index)` until `steps` are done, going on from `checkpoint` where it exists.

    Args:
        step: does one update and returns its figures by name.
        trainable: everything that `step` changes.
        steps: total number of steps, those before a resume included.
        title: shown beside the progress bar.
        settings: of the run; a checkpoint made with others is refused.
        data: that is learnt from; a checkpoint made of other data is refused likewise.
        checkpoint: file to store the state in, also at Ctrl-C; None stores nothing.
        checkpoint_every: steps between two stores.

    Returns:
        Exponentially averaged figures of the last steps, and `seconds`.

    Raises:
        FloatingPointError: a figure is not finite.
        InputError: the checkpoint cannot be read, or belongs to another network or other settings.
    """
    made_with = f"{settings!r} of data {_digest(data)}" if checkpoint else ""
    start, figures = 0, {}
    if checkpoint:
        start, figures = load_checkpoint(checkpoint, trainable, settings=made_with)
    began = time.monotonic() - figures.pop("seconds", 0.0)
    with progress_bar() as progress, deferred_interrupt() as interrupt:
        task = progress.add_task(title, total=steps, completed=start, figures="")
        for index in range(start, steps):
            for name, value in step(index).items():
                if value != value or abs(value) == float("inf"):
                    raise FloatingPointError(
                        f"{title}: {name} became {value} at step {index + 1}; "
                        "lower the learning rate"
                    )
                figures[name] = 0.98 * figures.get(name, value) + 0.02 * value
            shown = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
            progress.update(task, advance=1, figures=shown)
            done = index + 1
            due = done % checkpoint_every == 0 or done == steps or interrupt.pressed
            if checkpoint and due:
                seconds = time.monotonic() - began
                known = figures | {"seconds": seconds}
                save_checkpoint(checkpoint, trainable, step=done, figures=known, settings=made_with)
                if not progress.console.is_terminal:
                    progress.console.print(f"{title}: {done}/{steps} {seconds:.0f} s {shown}")
            if interrupt.pressed:
                raise KeyboardInterrupt
    return figures | {"seconds": time.monotonic() - began}


def _digest(data: Sequence[Tensor]) -> str:
    """What tells these tensors from others."""
    digest = hashlib.sha256()
    for each in data:
        digest.update(f"{each.dtype} {tuple(each.shape)} ".encode())
        digest.update(each.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{name}/{index}/{slot}": torch.as_tensor(value)
        for index, slots in state.items()
        for slot, value in slots.items()
    }


def save_checkpoint(
    path: Path,
    trainable: Trainable,
    *,
    step: int,
    figures: Mapping[str, float],
    settings: str,
) -> None:
    """Store the whole training state in one safetensors file, atomically."""
    # dropout draws from torch's own generators
    tensors = {"random": trainable.random.get_state(), "torch_random": torch.get_rng_state()}
    if torch.cuda.is_available():
        states = torch.cuda.get_rng_state_all()
        tensors |= {f"cuda_random/{index}": state for index, state in enumerate(states)}
    for name, module in trainable.modules.items():
        for key, value in module.state_dict().items():
            tensors[f"module/{name}/{key}"] = value
    for name, optimizer in trainable.optimizers.items():
        tensors |= _optimizer_tensors(name, optimizer)
    metadata = {"step": str(step), "figures": json.dumps(dict(figures)), "settings": settings}
    write_safetensors(path, tensors, metadata=metadata)


def load_checkpoint(
    path: Path, trainable: Trainable, *, settings: str
) -> tuple[int, dict[str, float]]:
    """Bring back the state stored by `save_checkpoint`: the steps done and their figures, if any.

    Raises:
        InputError: see `run_training`.
    """
    if not path.exists():
        return 0, {}
    try:
        metadata, tensors = read_metadata(path), load_file(path)
        if metadata["settings"] != settings:
            raise InputError(
                f"{path} was made with other settings or photographs, {metadata['settings']}; "
                "remove it to begin anew, or choose another folder."
            )
        _restore(trainable, tensors)
        return int(metadata["step"]), json.loads(metadata["figures"])
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is broken or belongs to another network; remove it to begin anew, or choose "
            "another folder."
        ) from error


def _restore(trainable: Trainable, tensors: Mapping[str, Tensor]) -> None:
    for name, module in trainable.modules.items():
        prefix = f"module/{name}/"
        module.load_state_dict(
            {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        )
    for name, optimizer in trainable.optimizers.items():
        prefix = f"optimizer/{name}/"
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, slot = key[len(prefix) :].split("/")
                state.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    trainable.random.set_state(tensors["random"])
    torch.set_rng_state(tensors["torch_random"])
    for index in range(torch.cuda.device_count()):
        if f"cuda_random/{index}" in tensors:  # of a machine with so many
            torch.cuda.set_rng_state(tensors[f"cuda_random/{index}"], index)


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, *, decay: float) -> None:
    """Move the exponential moving average of a module's weights and statistics one step on."""
    for target, source in zip(
        average.state_dict().values(), module.state_dict().values(), strict=True
    ):
        if target.is_floating_point():
            target.lerp_(source, 1 - decay)
        else:
            target.copy_(source)


def cosine_rate(index: int, steps: int, *, peak: float, warm_up: int = 200) -> float:
    """Learning rate at a step: linear warm-up to `peak`, then half a cosine down to zero.

    Args:
        index: of the step, from 0.
        steps: of the whole training.
        peak: the highest rate.
        warm_up: steps that it takes to get there, a fifth of a short training at most.
    """
    warm_up = min(warm_up, steps // 5)
    if index < warm_up:
        return peak * (index + 1) / warm_up
    progress = (index - warm_up) / max(1, steps - warm_up)
    return peak * 0.5 * float(1 + torch.cos(torch.tensor(torch.pi * progress)))
