"""How fast an epoch of 482 layers is, block by block and layer by layer.

``python tests/depth_speed.py OUT.json`` races two ways of one training step (forward pass, loss
with the spike rate, backward pass, clipping, AdamW) of a network of 241 membrane-shortcut blocks,
width 32, on the built-in digits:

- ``layers``: each layer an operation of autograd's, the surrogate computed step by step, the
  optimiser going parameter by parameter;
- ``blocks``: each block one function, the surrogate of a small block at once, the optimiser too.

Both compute the same gradients, which is checked. Times are processor seconds of one thread, the
steps of the two interleaved; the ratio is that of two steps of one round.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
from reslif.sw.data import Dataset, load_dataset
from reslif.sw.models import TrainConfig, build_model, seen
from reslif.sw.nn import LIF, blocks, lif_function
from torch import Tensor, nn

FAST = {"can_fuse": blocks.can_fuse, "SMALL": lif_function.SMALL}
SLOW = {"can_fuse": lambda *_: False, "SMALL": 0}


class Trainer:
    """One way of training."""

    def __init__(self, fast: bool, config: TrainConfig, data: Dataset) -> None:
        self.fast, self.config = fast, config
        self.model = build_model(config, data)
        self.rates: list[Tensor] = []
        for module in self.model.modules():
            if isinstance(module, LIF):
                module.register_forward_hook(lambda _, __, out: self.rates.append(out.mean()))
        self.optimiser = torch.optim.AdamW(self.model.parameters(), 1e-3, fused=fast or None)
        part = data.train[: config.batch]
        raw = torch.tensor(part.over_time(config.steps)).float()
        self.inputs = seen(raw, data.format.step, None)
        self.labels = torch.tensor(part.labels)

    def step(self) -> float:
        """One step; the processor seconds that it took."""
        way = FAST if self.fast else SLOW
        blocks.can_fuse, lif_function.SMALL = way["can_fuse"], way["SMALL"]  # type: ignore
        start = time.process_time()
        scores = self.model(self.inputs) / self.config.steps
        loss = nn.functional.cross_entropy(scores, self.labels) + torch.stack(self.rates).mean()
        self.rates.clear()
        self.optimiser.zero_grad()
        loss.backward()
        self.gradients = [p.grad.clone() for p in self.model.parameters() if p.grad is not None]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return time.process_time() - start


def race(config: TrainConfig, data: Dataset, rounds: int) -> dict[str, float]:
    """Seconds per epoch of both ways, medians, and their ratio."""
    ways = {"layers": Trainer(False, config, data), "blocks": Trainer(True, config, data)}
    for way in ways.values():
        way.step()
    pairs = zip(ways["layers"].gradients, ways["blocks"].gradients, strict=True)
    if not all(torch.equal(a, b) for a, b in pairs):
        raise SystemExit("the two ways have other gradients")
    times = [{name: way.step() for name, way in ways.items()} for _ in range(rounds)]
    steps = math.ceil(len(data.train) / config.batch)
    found = {name: statistics.median(t[name] for t in times) * steps for name in ways}
    ratio = statistics.median(t["layers"] / t["blocks"] for t in times)
    return {"batch": config.batch, **{n: round(v, 2) for n, v in found.items()}, "ratio": ratio}


def main(out: Path, rounds: int = 7) -> None:
    torch.set_num_threads(1)
    data = load_dataset("digits")
    races = []
    for batch in (64, 128, 256):
        config = TrainConfig(blocks=241, width=32, steps=4, batch=batch)
        races.append(race(config, data, rounds))
        print(races[-1], flush=True)
    report = {"seconds": "per epoch", "rounds": rounds, "torch": torch.__version__, "races": races}
    out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
