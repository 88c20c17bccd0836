"""What depth does to a residual network, block by block: does it live, learn, and count?

Four measures of every block, on a batch of samples:

- ``spike_rate`` of its neurons, and ``ratio``, ‖F(x)‖/‖x‖ of branch and shortcut: a block whose
  branch is 0 is decoration;
- ``gradient``, the norm of the loss's gradient by the block's weights, and ``signal``, by what the
  block sends: both should be about the same from the first block to the last;
- ``phi`` and ``spread``, mean and variance of the squared singular values of the block's Jacobian,
  tr(JJᵀ)/n and tr((JJᵀ)²)/n − φ²: at 1 and 0 a block passes gradients on as they are ("block
  dynamical isometry", Chen et al., "A comprehensive and modularized statistical framework for
  gradient norm equality in deep neural networks", TPAMI 2020).

The Jacobian is that of the surrogate gradient, of all timesteps at once: n = T·N. It and the rates
are those of evaluation, gradients those of a training step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..nn import LIF, BatchNormOverTime, MeanNormOverTime, MembraneShortcutBlock, ResidualSNN
from ..nn.blocks import PlainBlock, SEWBlock, SteppedModule

MEASURES = ("spike_rate", "ratio", "gradient", "signal", "phi", "spread")

Figures = dict[str, list[float]]
"""Of each measure one number a block."""


def measure_blocks(
    model: ResidualSNN, inputs: Tensor, labels: Tensor, jacobians: int = 4
) -> Figures:
    """All measures of all blocks of ``model``, which stays as it is.

    Args:
        model: batch norm's statistics have to be those of its data.
        inputs: ``[T, B, inputs]``, real numbers.
        labels: ``[B]``.
        jacobians: of how many samples Jacobians are computed; they are T·N by T·N.
    """
    figures = _gradients(copy.deepcopy(model), inputs, labels)
    model = copy.deepcopy(model).eval()
    figures |= {name: [] for name in ("spike_rate", "ratio", "phi", "spread")}
    with torch.no_grad():
        x = _start(model, inputs)
        for block in _blocks(model):
            with _recorded(block) as rates:
                output = run_block(block, x)
            phi, spread = isometry(jacobian(block, x[:, :jacobians]))
            figures["spike_rate"].append(sum(rates) / len(rates))
            figures["ratio"].append(_ratio(block, x))
            figures["phi"].append(phi)
            figures["spread"].append(spread)
            x = output
    return figures


def run_block(block: SteppedModule, x: Tensor) -> Tensor:
    """``[T, B, N]`` through a block as its stack runs it."""
    return block.body(x) if isinstance(block, MembraneShortcutBlock) else block(x)


def jacobian(block: SteppedModule, x: Tensor) -> Tensor:
    """∂output/∂x of every sample, ``[B, T·N, T·N]``, by the surrogate gradient; evaluation mode."""
    steps, batch, width = x.shape
    n = steps * width
    # Each sample as often as it has outputs, of which each copy asks for one.
    asked = torch.eye(n, dtype=x.dtype).view(n, steps, width).transpose(0, 1)
    found = []
    for sample in range(batch):
        copies = x[:, sample : sample + 1].expand(steps, n, width).clone().requires_grad_()
        with torch.enable_grad():
            output = run_block(block, copies)
        (rows,) = torch.autograd.grad(output, copies, asked)
        found.append(rows.transpose(0, 1).reshape(n, n))
    return torch.stack(found)


def isometry(jacobians: Tensor) -> tuple[float, float]:
    """(φ, its variance) of square matrices ``[B, n, n]``, means over the matrices."""
    n = jacobians.shape[-1]
    squares = jacobians @ jacobians.mT
    phi = squares.diagonal(dim1=1, dim2=2).sum(1) / n
    spread = squares.square().sum((1, 2)) / n - phi.square()
    return float(phi.mean()), float(spread.clamp(min=0).mean())


@contextmanager
def without_branches(model: ResidualSNN, blocks: Sequence[int]) -> Iterator[None]:
    """``model`` with the branches of these blocks at 0, for as long as the context lasts.

    What is left of such a block in evaluation: membrane shortcuts and spikes of ``or``, ``add``
    and ``iand`` pass as they are, a plain block is its last neurons.
    """
    tensors = []
    for index in blocks:
        modules = list(_blocks(model)[index].modules())
        norms = [m for m in modules if isinstance(m, BatchNormOverTime | MeanNormOverTime)]
        last = norms[-1] if norms else [m for m in modules if isinstance(m, nn.Linear)][-1]
        tensors += [(parameter, parameter.detach().clone()) for parameter in last.parameters()]
    with torch.no_grad():
        for parameter, _ in tensors:
            parameter.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in tensors:
                parameter.copy_(value)


def quarters(blocks: int) -> list[range]:
    """The blocks of each quarter of a stack, of a short one some of them empty."""
    ends = [round(part * blocks / 4) for part in range(5)]
    return [range(start, end) for start, end in pairwise(ends)]


def first_over_last(values: Sequence[float]) -> float | None:
    """How much stronger the first block's gradient is than the last one's; None if that is 0."""
    return values[0] / values[-1] if values[-1] > 0 else None


def _blocks(model: ResidualSNN) -> list[SteppedModule]:
    blocks = list(model.stack.blocks)
    assert all(isinstance(block, SteppedModule) for block in blocks)
    return blocks  # type: ignore[return-value]


def _start(model: ResidualSNN, inputs: Tensor) -> Tensor:
    return model.stem_lif(model.stem_norm(model.stem(inputs)))


def _gradients(model: ResidualSNN, inputs: Tensor, labels: Tensor) -> Figures:
    """Norms of the cross entropy's gradients, in training mode."""
    model.train()
    x, sent = _start(model, inputs), []
    for block in _blocks(model):
        x = run_block(block, x)
        x.retain_grad()
        sent.append(x)
    last = x if model.stack.lif is None else model.stack.lif(x)
    scores = model.readout(model.head(last))
    nn.functional.cross_entropy(scores / len(inputs), labels).backward()
    weights = [
        [m.weight.grad for m in block.modules() if isinstance(m, nn.Linear)]
        for block in _blocks(model)
    ]
    found = {
        "gradient": [_norm(grads) for grads in weights],
        "signal": [_norm([signal.grad]) for signal in sent],
    }
    finite = all(math.isfinite(norm) for norms in found.values() for norm in norms)
    if finite or inputs.dtype == torch.float64:
        return found
    # Over hundreds of blocks without exact shortcuts they may grow beyond single precision.
    model.zero_grad()
    return _gradients(model.double(), inputs.double(), labels)


def _norm(grads: Sequence[Tensor | None]) -> float:
    """Of all ``grads`` together; their squares need more than single precision."""
    return math.sqrt(sum(float(g.double().square().sum()) for g in grads if g is not None))


@contextmanager
def _recorded(block: SteppedModule) -> Iterator[list[float]]:
    """The mean spike rates of the block's neurons, layer by layer."""
    rates: list[float] = []

    def record(_module: nn.Module, _inputs: object, spikes: Tensor) -> None:
        rates.append(float(spikes.mean()))

    hooks = [m.register_forward_hook(record) for m in block.modules() if isinstance(m, LIF)]
    try:
        yield rates
    finally:
        for hook in hooks:
            hook.remove()


def _ratio(block: SteppedModule, x: Tensor) -> float:
    """‖F(x)‖/‖x‖ of what the branch brings to the join; 0 where nothing arrives."""
    if isinstance(block, MembraneShortcutBlock):
        branch = block.branch(block.lif1(x))
    else:
        assert isinstance(block, SEWBlock | PlainBlock)
        branch = block.branch(x)
    size = float(x.norm())
    return float(branch.norm()) / size if size else 0.0
