"""The training loop: epochs, validation, best checkpoint, and resuming after an interruption."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from .data import Samples, shown
from .network_file import write_atomically
from .progress import Progress

FREEZE = 0.8
"""The part of the epochs after which quantisation scales stay as they are."""

_KEY = "reslif_training"


class TrainError(ValueError):
    """A training configuration or run folder that cannot be used."""


@dataclass(frozen=True)
class Fit:
    """How a training run went: validation ``accuracy`` of the best epoch, and every epoch.

    Each entry of ``history`` has ``loss`` (training), ``accuracy``, ``validation_loss``,
    ``seconds`` and what the job measures beside.
    """

    accuracy: float
    best_epoch: int
    history: tuple[Mapping[str, float], ...]

    @property
    def seconds(self) -> float:
        """Time of all epochs, those before an interruption included."""
        return sum(epoch["seconds"] for epoch in self.history)


@dataclass(frozen=True)
class Job:
    """What :func:`fit` trains.

    Attributes:
        label: names the run in progress reports.
        model: trained in place.
        loss: (inputs ``[T, B, n]`` raw integers, labels ``[B]``) to (loss, scores ``[B, C]``).
        train, validation: samples, presented for ``steps`` timesteps.
        save_best: called when the model is the best so far on the validation samples.
        best_file: what ``save_best`` writes; a run that has lost it starts over.
        state_file: where the run's state is kept between epochs.
        settings: identifies the run: a state of other settings is refused.
        adapt: called before each epoch until :data:`FREEZE`.
        augment: makes other training inputs ``[B, n]`` out of given ones.
        measures: called after each epoch's validation: further figures for its report.
        paces: factors on the learning rate of single parameters, by name.
    """

    label: str
    model: nn.Module
    loss: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    train: Samples
    validation: Samples
    steps: int
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    seed: int
    device: torch.device
    save_best: Callable[[], None]
    best_file: Path
    state_file: Path
    settings: Mapping[str, Any]
    adapt: Callable[[], None] | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    measures: Callable[[], Mapping[str, float]] | None = None
    paces: Mapping[str, float] = field(default_factory=dict)


MANY = 500
"""Parameter tensors from which on they are updated all at once."""


def fit(job: Job) -> Fit:
    """Train ``job``, continuing from its state file if there is one."""
    with one_thread():
        return _fit(job)


@contextmanager
def one_thread() -> Iterator[None]:
    """For figures that do not depend on how many cores there are: threads share out sums.

    Tensors this small lose more to a thread pool than they gain (measured: 2 to 10 times).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(job: Job) -> Fit:
    optimiser = _optimiser(job)
    history, planned = _resume(job, optimiser)
    best = max(range(len(history)), key=lambda e: _rank(history[e]), default=-1)
    with Progress(f"train {job.label}", job.epochs) as progress:
        for epoch in range(len(history), job.epochs):
            start = time.monotonic()
            if job.adapt is not None and epoch < math.ceil(FREEZE * job.epochs):
                planned = {name: value.clone() for name, value in job.model.state_dict().items()}
                job.adapt()
            loss = _train_epoch(job, optimiser, epoch)
            accuracy, validation_loss = _validate(job)
            entry = {"loss": loss, "accuracy": accuracy, "validation_loss": validation_loss}
            beside = {} if job.measures is None else job.measures()
            history.append({**entry, **beside, "seconds": time.monotonic() - start})
            if best < 0 or _rank(history[-1]) >= _rank(history[best]):
                best = epoch
                job.save_best()
            _save_state(job, optimiser, history, planned)
            note = f"loss {loss:.3f}, validation {accuracy:.2%}"
            for name, value in beside.items():
                note += f", {name.replace('_', ' ')} {value:.3g}"
            progress.update(epoch + 1, note)
    return Fit(history[best]["accuracy"], best, tuple(history))


def _rank(epoch: Mapping[str, float]) -> tuple[float, float]:
    return epoch["accuracy"], -epoch["validation_loss"]


def _optimiser(job: Job) -> torch.optim.AdamW:
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in job.model.named_parameters():
        key = parameter.dim() <= 1, job.paces.get(name, 1.0)
        groups.setdefault(key, []).append(parameter)
    # By default a CPU goes parameter by parameter; a deep stack has thousands of small ones. All
    # at once (which rounds differently) it goes by places in memory, which a state that is read
    # from a file has in C order.
    parameters = list(job.model.parameters())
    at_once = len(parameters) >= MANY and all(p.is_contiguous() for p in parameters)
    return torch.optim.AdamW(
        [
            {"params": groups[key], "weight_decay": job.weight_decay * (not key[0]), "pace": key[1]}
            for key in sorted(groups)
        ],
        lr=job.lr,
        fused=at_once or None,
    )


def _inputs(job: Job, samples: Samples, part: np.ndarray) -> tuple[Tensor, Tensor]:
    inputs = torch.as_tensor(samples.inputs[part], dtype=torch.float32, device=job.device)
    labels = torch.as_tensor(samples.labels[part], device=job.device)
    return inputs, labels


def _train_epoch(job: Job, optimiser: torch.optim.Optimizer, epoch: int) -> float:
    """One epoch; the mean loss. Order and learning rate depend on the epoch alone."""
    job.model.train()
    order = np.random.default_rng([job.seed, epoch]).permutation(len(job.train))
    # Parts of about one size: batch norm would suffer from a small last one.
    parts = np.array_split(order, math.ceil(len(order) / job.batch))
    warm_up = len(parts)
    random = torch.Generator().manual_seed(int(order[0]) + len(order) * (epoch + job.seed * 10**6))
    total = 0.0
    for index, part in enumerate(parts):
        step = epoch * len(parts) + index + 1
        rate = min(1.0, step / warm_up)
        rate *= 0.5 * (1 + math.cos(math.pi * step / (job.epochs * len(parts))))
        for group in optimiser.param_groups:
            group["lr"] = job.lr * rate * group["pace"]
        inputs, labels = _inputs(job, job.train, part)
        if job.augment is not None:
            inputs = job.augment(inputs, random)
        loss, _ = job.loss(shown(inputs, job.steps, job.train.frames), labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainError(
                f"training of {job.label} diverged in epoch {epoch + 1}: the loss is {value}; "
                "lower the learning rate"
            )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(job.model.parameters(), 1.0)
        optimiser.step()
        total += value * len(part)
    return total / len(order)


def _validate(job: Job) -> tuple[float, float]:
    """Accuracy and loss on the validation samples."""
    job.model.eval()
    right, total = 0, 0.0
    everything = np.arange(len(job.validation))
    with torch.no_grad():
        for part in np.array_split(everything, math.ceil(len(everything) / 256)):
            inputs, labels = _inputs(job, job.validation, part)
            loss, scores = job.loss(shown(inputs, job.steps, job.validation.frames), labels)
            right += int((scores.argmax(1) == labels).sum())
            total += float(loss) * len(part)
    return right / len(everything), total / len(everything)


def _save_state(
    job: Job,
    optimiser: torch.optim.Optimizer,
    history: list[dict[str, float]],
    planned: Mapping[str, Tensor],
) -> None:
    tensors = {f"model.{name}": value for name, value in job.model.state_dict().items()}
    tensors |= {f"planned.{name}": value for name, value in planned.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    header = {"settings": dict(job.settings), "history": history}
    content = to_bytes(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        {_KEY: json.dumps(header)},
    )
    write_atomically(job.state_file, content)


def _resume(
    job: Job, optimiser: torch.optim.Optimizer
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """History so far (empty for a new run) and the parameters of the last ``adapt``."""
    path = job.state_file
    if not path.exists() or not job.best_file.exists():
        return [], {}
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError):
        raise TrainError(f"{path} is no readable training state; delete it to start over") from None
    settings = json.loads(json.dumps(dict(job.settings)))
    found = header.get("settings", {})
    if found != settings:
        different = sorted(
            name for name in settings.keys() | found.keys() if settings.get(name) != found.get(name)
        )
        raise TrainError(
            f"{path} belongs to a run of other settings ({', '.join(different)} differ); "
            "delete it to start over"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        size = len(prefix)
        return {n[size:]: v for n, v in tensors.items() if n.startswith(prefix)}

    planned = part("planned.")
    if job.adapt is not None and planned:
        job.model.load_state_dict(planned)
        job.adapt()
    job.model.load_state_dict(part("model."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimiser.").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return header["history"], planned


def save_module(model: nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers as safetensors."""
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    write_atomically(path, to_bytes({name: v.contiguous() for name, v in tensors.items()}))


def load_module(model: nn.Module, path: Path) -> None:
    """Load what :func:`save_module` wrote; :class:`TrainError` if it does not fit the module."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise TrainError(f"{path} does not exist; train first") from None
    except (SafetensorError, RuntimeError):
        raise TrainError(f"{path} does not hold the parameters of this model") from None
