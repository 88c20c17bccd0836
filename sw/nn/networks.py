"""Whole networks: a plain feed-forward LIF network by sizes, and the residual classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .blocks import make_norm
from .encoders import DirectEncoder
from .errors import LayerError
from .lif import LIF
from .readout import SpikeRate, SumCurrent
from .stack import DeepSNNStack
from .surrogate import ScaledFastSigmoid, Surrogate


def lif_neuron(
    membrane: Tensor,
    current: Tensor,
    beta: float,
    threshold: float,
    reset_mechanism: str = "zero",
    surrogate: Surrogate | None = None,
) -> tuple[Tensor, Tensor]:
    """One LIF step with an immediate reset: ``V = β·V + I``, fire at ``V > θ``, then reset.

    Args:
        membrane, current: V and I, same shape.
        beta, threshold: β and θ.
        reset_mechanism: ``"zero"`` (V·(1−s)), ``"subtract"`` (V − s·θ) or ``"none"``.
        surrogate: default scaled fast sigmoid of slope 25, on V − θ.

    Returns:
        (new membrane, spikes).
    """
    neuron = LIF(
        threshold=membrane.new_tensor(threshold), reset_mechanism=reset_mechanism,
        reset_delay=False, surrogate=surrogate or ScaledFastSigmoid(), normalise_surrogate=False,
    )  # fmt: skip
    # A step from rest that receives the leaked membrane with the current is the same V.
    spikes, state = neuron.to(membrane.device).step(beta * membrane + current)
    return state.membrane, spikes


def rate_decode(spikes: Tensor) -> Tensor:
    """Mean over time of spikes [B, T, H] → [B, H]. Note the order: all else here is [T, B, ...].

    Raises:
        LayerError: ``spikes`` does not have three dimensions, or no step.
    """
    if spikes.dim() != 3 or spikes.shape[1] == 0:
        raise LayerError(
            f"rate_decode: the spikes have shape {list(spikes.shape)}; they must be [B, T, H] "
            "with T ≥ 1 (batch first)"
        )
    return spikes.mean(1)


class FeedForwardSNN(nn.Module):
    """LIF layers by sizes on a static input: [B, input] → output spike rates [B, output] in [0, 1].

    Made by :func:`build_snn`. ``layers`` is the part on [T, B, ...], between ``encoder`` and
    ``readout``.
    """

    def __init__(self, encoder: DirectEncoder, layers: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.layers, self.readout = encoder, layers, SpikeRate()

    def spikes(self, x: Tensor) -> Tensor:
        """Output spikes, batch first as :func:`rate_decode` takes them: [B, T, output]."""
        return self.layers(self.encoder(x)).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.layers(self.encoder(x)))


def build_snn(
    input_size: int,
    hidden_sizes: Sequence[int] = (256, 128),
    output_size: int = 10,
    num_timesteps: int = 25,
    tau: float = 2.0,
    threshold: float = 1.0,
    reset_mechanism: str = "zero",
) -> FeedForwardSNN:
    """A plain feed-forward LIF network: β = exp(−1/tau), immediate reset, fast-sigmoid surrogate.

    Args:
        input_size, hidden_sizes, output_size: neurons per layer.
        num_timesteps: T, for which the input is presented.
        tau: membrane time constant in timesteps.
        threshold: θ.
        reset_mechanism: ``"zero"`` or the soft ``"subtract"``.

    Raises:
        LayerError: a size, ``num_timesteps``, ``tau`` or ``threshold`` that is not positive.
    """
    sizes = [input_size, *hidden_sizes, output_size]
    if min(sizes) < 1:
        raise LayerError(f"build_snn: the layer sizes are {sizes}; each must be at least 1")
    if not tau > 0:
        raise LayerError(f"build_snn: tau is {tau}; it must be above 0 timesteps")
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        linear = nn.Linear(n_in, n_out)
        # With torch's default weights (std 0.58/√n_in) the last layers never fire; with these all
        # layers do, at 4 to 28 % for sparse and for dense inputs in [0, 1] and τ = 2.
        nn.init.normal_(linear.weight, std=2 / math.sqrt(n_in))
        lif = LIF(
            math.exp(-1 / tau), threshold, reset_mechanism=reset_mechanism,
            reset_delay=False, surrogate=ScaledFastSigmoid(), normalise_surrogate=False,
        )  # fmt: skip
        layers += [linear, lif]
    return FeedForwardSNN(DirectEncoder(num_timesteps), nn.Sequential(*layers))


class ResidualSNN(nn.Module):
    """Residual SNN classifier of dense layers: [T, B, inputs] → logits [B, classes].

    Stem (linear, norm; then a LIF unless ``block_type`` is ``"ms"``) → residual blocks of
    two weight layers each, normed → linear head → sum of currents over time.

    Args:
        inputs, classes: sizes of input and output.
        width: neurons of every hidden layer.
        blocks: number of residual blocks.
        block_type: ``"ms"``, ``"sew"`` or ``"plain"``; see :class:`DeepSNNStack`.
        op: join of SEW blocks.
        beta, threshold: of every LIF.
        neuron: further options for every :class:`LIF`.
        norm: behind every weight layer but the head; as ``zero_gamma``,
            ``branch_power`` and ``checkpoint`` see :class:`DeepSNNStack`.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        width: int = 64,
        blocks: int = 4,
        block_type: str = "ms",
        *,
        op: str = "or",
        beta: float = 15 / 16,
        threshold: float = 1.0,
        neuron: dict[str, object] | None = None,
        norm: str = "batch",
        zero_gamma: bool = False,
        branch_power: float = 0.5,
        checkpoint: int = 0,
    ) -> None:
        super().__init__()
        options: dict[str, object] = {"beta": beta, **(neuron or {})}
        self.stem = nn.Linear(inputs, width, bias=False)
        self.stem_norm = make_norm(norm, width)
        if norm != "batch":
            # Nothing else brings the first currents near the threshold.
            nn.init.normal_(self.stem.weight, std=2 / math.sqrt(inputs))
        self.stem_lif = (
            nn.Identity() if block_type == "ms" else LIF(threshold=threshold, **options)  # pyright: ignore[reportArgumentType]
        )
        self.stack = DeepSNNStack(
            width, blocks, block_type, threshold=threshold, norm=norm, op=op, neuron=options,
            zero_gamma=zero_gamma, branch_power=branch_power, checkpoint=checkpoint,
        )  # fmt: skip
        self.head = nn.Linear(width, classes)
        self.readout = SumCurrent()

    @property
    def depth(self) -> int:
        """Weight layers in the residual blocks (stem and head are not counted)."""
        return self.stack.depth

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_lif(self.stem_norm(self.stem(x)))
        return self.readout(self.head(self.stack(x)))
