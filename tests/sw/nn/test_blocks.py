"""Residual blocks and deep stacks: what they compute, and that depth is alive and used."""

import math

import numpy as np
import pytest
import torch
from reslif.sw.nn import (
    LIF,
    BatchNormOverTime,
    DeepSNNStack,
    LayerError,
    MembraneShortcutBlock,
    PlainBlock,
    SEWBlock,
    SpikeAnd,
    SpikeIAnd,
    SpikeOr,
)
from torch import Tensor, fx

DEEP = 241
KINDS = ("ms", "sew", "plain")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def spikes(*shape: int, rate: float = 0.2) -> Tensor:
    return (torch.rand(*shape) < rate).float()


def firing(stack: DeepSNNStack, x: Tensor) -> tuple[list[float], Tensor]:
    """(rate of every LIF layer in order, output)."""
    rates: list[float] = []
    hooks = [
        module.register_forward_hook(lambda _, __, out: rates.append(out.mean().item()))
        for module in stack.modules()
        if isinstance(module, LIF)
    ]
    with torch.no_grad():
        output = stack(x)
    for hook in hooks:
        hook.remove()
    return rates, output


def test_membrane_shortcut_block_alone_and_its_body() -> None:
    block = MembraneShortcutBlock(8)
    x = spikes(10, 3, 8)
    w1, w2 = block.linear1.weight, block.linear2.weight
    lif = LIF(math.exp(-1 / 10), 1.0)
    torch.testing.assert_close(block(x), lif(lif(x @ w1.T) @ w2.T + x))
    current = torch.randn(10, 3, 8)
    torch.testing.assert_close(block.body(current), current + lif(lif(current) @ w1.T) @ w2.T)


@pytest.mark.parametrize(
    ("op", "join"),
    [
        ("or", lambda s, x: (s + x).clamp(max=1)),
        ("add", lambda s, x: s + x),
        ("and", lambda s, x: s * x),
        ("iand", lambda s, x: torch.where(s > 0, 0.0, x)),
    ],
)
def test_sew_block_joins(op: str, join) -> None:
    x = spikes(10, 3, 8, rate=0.5)
    lif = LIF(math.exp(-1 / 10), 1.0)
    one = SEWBlock(8, op=op)
    s = lif(x @ one.branch[0].weight.T)
    assert 0 < s.mean() < 1
    torch.testing.assert_close(one(x), join(s, x))
    two = SEWBlock(8, op=op, layers=2)
    w1, w2 = (m.weight for m in two.modules() if isinstance(m, torch.nn.Linear))
    torch.testing.assert_close(two(x), join(lif(lif(x @ w1.T) @ w2.T), x))


def test_spike_joins_are_the_logic_functions_of_their_names() -> None:
    s, x = torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 1, 0, 1])
    assert SpikeOr()(s, x).tolist() == [0, 1, 1, 1]
    assert SpikeAnd()(s, x).tolist() == [0, 0, 0, 1]
    assert SpikeIAnd()(s, x).tolist() == [0, 1, 0, 0]


def test_stack_passes_currents_between_membrane_shortcut_blocks() -> None:
    stack = DeepSNNStack(8, 3)
    x = torch.randn(6, 2, 8)
    current = x
    for block in stack.blocks:
        current = block.body(current)
    assert current.unique().numel() > 2
    assert stack.lif is not None
    assert torch.equal(stack(x), stack.lif(current))


@pytest.mark.parametrize("kind", KINDS)
def test_depth_counts_two_weight_layers_a_block(kind: str) -> None:
    stack = DeepSNNStack(4, 5, kind)
    assert stack.depth == 10 == sum(isinstance(m, torch.nn.Linear) for m in stack.modules())


@pytest.mark.parametrize(("kind", "norm"), [("ms", False), ("ms", True), ("sew", False)])
def test_a_stack_of_482_layers_is_alive_at_every_depth(kind: str, norm: bool) -> None:
    stack = DeepSNNStack(64, DEEP, kind, norm=norm)
    assert stack.depth == 482
    rates, output = firing(stack, spikes(12, 8, 64))
    assert min(rates) > 0
    assert max(rates) < 0.9
    assert 0.02 < output.mean() < 0.95


def test_the_liveness_check_sees_the_plain_baseline_die() -> None:
    rates, output = firing(DeepSNNStack(64, DEEP, "plain"), spikes(12, 8, 64))
    assert min(rates) == 0
    assert output.mean() == 0


@pytest.mark.parametrize("kind", ["ms", "sew"])
def test_deep_branches_are_not_decorative(kind: str) -> None:
    stack = DeepSNNStack(64, DEEP, kind)
    x = spikes(12, 8, 64)
    whole = firing(stack, x)[1]
    for block in list(stack.blocks)[DEEP // 2 :]:
        for module in block.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.zeros_(module.weight)
    without = firing(stack, x)[1]
    assert (whole != without).float().mean() > 0.02


def test_gradients_reach_the_first_of_482_layers() -> None:
    stack = DeepSNNStack(32, DEEP, "ms")
    stack(spikes(6, 4, 32)).sum().backward()
    first, last = (stack.blocks[i].linear1.weight.grad.norm() for i in (0, -1))
    assert 1e-3 < first / last < 1e3


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_numpy_vectors_step_a_stateful_stack(kind: str, norm: bool) -> None:
    stack = DeepSNNStack(16, 2, kind, norm=norm)
    x = spikes(9, 1, 16, rate=0.5)
    stack.eval()
    with torch.no_grad():
        block = stack(x)[:, 0].numpy()
    stack.train()
    for _ in range(2):
        stack.reset()
        stepped = np.stack([stack.forward(step) for step in x[:, 0].numpy()])
        np.testing.assert_array_equal(stepped, block)
    assert block.any()
    assert stack.training
    # The [T, B, N] form always starts from rest, whatever was stepped before.
    with torch.no_grad():
        assert torch.equal(stack.eval()(x)[:, 0], torch.from_numpy(block))


@pytest.mark.parametrize("block", [MembraneShortcutBlock(8), SEWBlock(8), PlainBlock(8)])
def test_numpy_vectors_step_a_single_block(block) -> None:
    x = spikes(9, 1, 8, rate=0.6)
    stepped = np.stack([block.forward(step) for step in x[:, 0].numpy().astype(np.float64)])
    np.testing.assert_array_equal(stepped, block(x)[:, 0].detach().numpy())


def test_batch_norm_is_over_time_and_batch_and_folds() -> None:
    norm = BatchNormOverTime(5, gain=0.5)
    x = torch.randn(6, 4, 5) * 3 + 1
    y = norm(x)
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        y.std((0, 1), unbiased=False), torch.full((5,), 0.5), atol=1e-4, rtol=0
    )
    scale, shift = norm.eval().scale_and_shift()
    torch.testing.assert_close(norm(x), scale * x + shift)


@pytest.mark.parametrize(
    "block", [MembraneShortcutBlock(8, norm=True), SEWBlock(8, op="iand"), PlainBlock(8)]
)
def test_blocks_trace_to_a_graph_of_layers(block) -> None:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
            return m is not block and not isinstance(m, torch.nn.Sequential)

    graph = Tracer().trace(block)
    x = spikes(4, 2, 8)
    block.eval()
    assert torch.equal(fx.GraphModule(block, graph)(x), block(x))
    # Nothing but whole layers and the add join.
    others = {n.target for n in graph.nodes if n.op in ("call_function", "call_method")}
    assert {getattr(target, "__name__", target) for target in others} <= {"add"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SEWBlock(4, op="xor"), "op is 'xor'; it must be one of or, add, and, iand"),
        (lambda: SEWBlock(4, layers=3), "layers is 3; it must be 1 or 2"),
        (lambda: DeepSNNStack(4, 0), "n_blocks is 0"),
        (lambda: DeepSNNStack(4, 2, "dense"), "block_type is 'dense'"),
        (lambda: MembraneShortcutBlock(4, tau_mem=0), "tau_mem is 0"),
        (lambda: SEWBlock(4).forward(np.zeros((2, 4))), r"shape \[2, 4\]; it must be \[4\]"),
    ],
)
def test_bad_arguments_are_named(make, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        make()
