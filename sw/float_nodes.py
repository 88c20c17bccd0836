"""The nodes of a float graph that are not those of the network: synapses, gains and neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from .formats import Format
from .images import Shape3
from .network import LIF, Conv2d, Input, Join, NetworkError, Neuron, Pool, Readout
from .nn.lif_function import NeuronRule
from .nn.surrogate import ATan, Surrogate
from .spatial import Pair

FloatArray = npt.NDArray[np.float64]

WIDE = Format(46)
"""The membrane of a neuron whose width is not yet known."""


class GraphError(ValueError):
    """A float graph, or the module it is traced from, that cannot become a network."""


def finite(value: npt.ArrayLike, node: str, what: str) -> FloatArray:
    """``value`` as float64, or an error that names the node if it holds NaN or infinity."""
    array = np.asarray(value, np.float64)
    if not np.isfinite(array).all():
        raise GraphError(f"node '{node}': {what} holds NaN or infinity, must be finite")
    return array


@dataclass(frozen=True, eq=False)
class FloatDense:
    """``I[j] = bias[j] + Σ_i weight[j, i] · s[i]``; ``weight`` is ``[n, inputs]``.

    ``learn`` is whether quantised training may change it; a pool must stay one.
    """

    name: str
    weight: FloatArray
    bias: FloatArray | None = None
    learn: bool = True

    ports: ClassVar[Mapping[str, bool]] = {"input": False}

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", finite(self.weight, self.name, "weight"))
        if self.bias is not None:
            object.__setattr__(self, "bias", finite(self.bias, self.name, "bias"))

    @property
    def size(self) -> int:
        return self.weight.shape[0]


@dataclass(frozen=True, eq=False)
class FloatConv2d:
    """The contract's :class:`~reslif.sw.network.Conv2d` with real weights, on flat images.

    ``weight`` is ``[out, in / groups, k, l]``, ``bias`` ``[out]``; ``shape`` (channels, height,
    width) is that of the input.
    """

    name: str
    weight: FloatArray
    shape: Shape3
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    bias: FloatArray | None = None
    learn: bool = True

    ports: ClassVar[Mapping[str, bool]] = {"input": False}

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", finite(self.weight, self.name, "weight"))
        if self.bias is not None:
            object.__setattr__(self, "bias", finite(self.bias, self.name, "bias"))
        self.geometry  # noqa: B018 - checks it

    @cached_property
    def geometry(self) -> Conv2d:
        """A convolution of the contract with this one's shapes; its weights are 0."""
        zero = np.zeros(self.weight.shape, np.int64)
        bias = None if self.bias is None else np.zeros(self.bias.shape, np.int64)
        try:
            return Conv2d(
                self.name, zero, Format(1), self.shape, self.stride, self.padding, self.groups, bias
            )
        except NetworkError as error:
            raise GraphError(str(error)) from None

    @property
    def out_shape(self) -> Shape3:
        """Channels, height and width of what it sends."""
        return self.geometry.out_shape

    @property
    def size(self) -> int:
        return self.geometry.size


@dataclass(frozen=True, eq=False)
class FloatAffine:
    """``y[j] = gain[t, j] · x[j] + bias[t, j]``; both ``[n]`` or ``[T, n]``."""

    name: str
    gain: FloatArray
    bias: FloatArray | None = None

    ports: ClassVar[Mapping[str, bool]] = {"input": False}

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", finite(self.gain, self.name, "gain"))
        if self.bias is not None:
            object.__setattr__(self, "bias", finite(self.bias, self.name, "bias"))

    @property
    def size(self) -> int:
        return self.gain.shape[-1]


@dataclass(frozen=True, eq=False)
class FloatNeuron:
    """Neurons with real ``numbers``, scalar or ``[n]``, by the names of ``template.NUMBERS``.

    ``template`` is a node of the contract that gives the model, the size and every option; its
    own integers and formats are placeholders (but the formats of one with ``OWN_FORMATS``).
    ``learn`` names the numbers that quantised training may change.
    """

    template: Neuron
    numbers: Mapping[str, FloatArray]
    surrogate: Surrogate = field(default_factory=ATan)
    learn: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        kinds = self.template.NUMBERS
        numbers = {}
        for what in kinds:
            value = finite(self.numbers[what], self.name, what)
            value = value.reshape(()) if value.size == 1 else value
            if value.shape not in ((), (self.size,)):
                raise GraphError(
                    f"node '{self.name}': {what} has shape {list(value.shape)}, "
                    f"must be a scalar or [{self.size}]"
                )
            low, high = {"leak": (0.0, 1.0), "increment": (0.0, np.inf)}.get(
                kinds[what], (np.nextafter(0, 1), np.inf)
            )
            if (value < low).any() or (value > high).any():
                must = {"leak": "within 0 to 1", "increment": "0 or more"}.get(
                    kinds[what], "above 0"
                )
                raise GraphError(
                    f"node '{self.name}': {what} spans {value.min():g} to {value.max():g}, "
                    f"must be {must}"
                )
            numbers[what] = value
        object.__setattr__(self, "numbers", numbers)

    @property
    def name(self) -> str:
        return self.template.name

    @property
    def size(self) -> int:
        return self.template.size

    @property
    def ports(self) -> Mapping[str, bool]:
        return self.template.ports


def float_lif(
    name: str,
    size: int,
    beta: npt.ArrayLike,
    threshold: npt.ArrayLike,
    rule: NeuronRule,
    learn: frozenset[str] = frozenset(),
    rectify: bool = False,
) -> FloatNeuron:
    """LIF neurons of leak ``beta`` in [0, 1] and ``threshold`` > 0 that step by ``rule``."""
    template = LIF(
        name, size, WIDE, np.array(0), 0, np.array(1),
        reset=rule.reset_mechanism,  # pyright: ignore[reportArgumentType] - checked by the rule
        reset_delay=rule.reset_delay, strict=rule.strict, keep_input=rule.reset_keeps_input,
        inhibition=rule.inhibition, rectify=rectify,
    )  # fmt: skip
    numbers = {"leak": np.asarray(beta), "threshold": np.asarray(threshold)}
    return FloatNeuron(template, numbers, rule.surrogate, learn)


FloatNode: TypeAlias = (
    Input | FloatDense | FloatConv2d | FloatAffine | FloatNeuron | Pool | Join | Readout
)
