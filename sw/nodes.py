"""The nodes of a :class:`~reslif.sw.network.Network` that are no neurons: frozen dataclasses
holding integers only. Neurons are in :mod:`reslif.sw.neurons`.

Each node checks itself on construction, and derives from the ranges of its operands the range
(and so the exact format) of what it emits. Every error is a :class:`NetworkError` that names the
node, what was found and what it must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from .formats import SPIKE, Format, IntArray
from .values import (
    NetworkError,
    Values,
    check_fields,
    check_range,
    checked_bias,
    exact,
    integers,
)


@dataclass(frozen=True, eq=False)
class Input:
    """The network's input: ``[n]`` integers of ``format`` each timestep; 0 sends no event."""

    name: str
    size: int
    format: Format = SPIKE

    ports: ClassVar[Mapping[str, bool]] = {}
    quantities: ClassVar[tuple[str, ...]] = ("spike",)

    def __post_init__(self) -> None:
        check_fields(self)

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        del operands
        return Values.full(self.format, self.size)


@dataclass(frozen=True, eq=False)
class Dense:
    """A fully connected synapse, ``I[j] = bias[j] + Σ_i weight[j, i] · s[i]``, exact.

    ``weight`` is ``[n, inputs]`` in ``weight_format``; ``bias`` is ``[n]`` on the accumulator's
    grid (fraction ``weight_format.frac`` + the operand's) and counts every timestep.
    """

    name: str
    weight: IntArray
    weight_format: Format
    bias: IntArray | None = None

    ports: ClassVar[Mapping[str, bool]] = {"input": False}
    quantities: ClassVar[tuple[str, ...]] = ("current",)

    def __post_init__(self) -> None:
        check_fields(self)
        weight = integers(self.weight, self.name, "weight")
        if weight.ndim != 2 or 0 in weight.shape:
            raise NetworkError(
                f"node '{self.name}': weight has shape {list(weight.shape)}, must be [n, inputs]"
            )
        check_range(self.name, "weight", weight, self.weight_format.min, self.weight_format.max)
        object.__setattr__(self, "weight", weight)
        if self.bias is not None:
            object.__setattr__(self, "bias", checked_bias(self.bias, self.name, self.size))

    @property
    def size(self) -> int:
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        return self.weight.shape[1]

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        """Also bounds every partial sum, in any order of events: each operand may still be 0."""
        (source,) = operands["input"]
        if source.size != self.inputs:
            raise NetworkError(
                f"node '{self.name}': weight expects {self.inputs} inputs, "
                f"its source sends {source.size}"
            )
        weight = exact(self.weight)
        bias = np.zeros(self.size, object) if self.bias is None else exact(self.bias)
        ends = np.stack([weight * source.low, weight * source.high])
        low = bias + np.minimum(ends.min(axis=0), 0).sum(axis=1)
        high = bias + np.maximum(ends.max(axis=0), 0).sum(axis=1)
        return Values.of(low, high, self.weight_format.frac + source.format.frac, self.name)


@dataclass(frozen=True, eq=False)
class Affine:
    """A gain and a bias for each neuron: ``y[j] = gain[t, j] · x[j] + bias[t, j]``, exact.

    Behind a synapse it is batch norm through time, whose gain and bias differ from one timestep t
    to the next; on a delayed edge from spikes it is a one-to-one recurrence.

    ``gain`` is ``[n]`` or ``[T, n]`` in ``gain_format``, T being the network's ``max_steps``;
    ``bias`` has either shape, on the product's grid (``gain_format.frac`` + the operand's
    fraction), and counts every timestep.
    """

    name: str
    gain: IntArray
    gain_format: Format
    bias: IntArray | None = None

    ports: ClassVar[Mapping[str, bool]] = {"input": False}
    quantities: ClassVar[tuple[str, ...]] = ("value",)

    def __post_init__(self) -> None:
        check_fields(self)
        gain = integers(self.gain, self.name, "gain")
        if gain.ndim not in (1, 2) or 0 in gain.shape:
            raise NetworkError(
                f"node '{self.name}': gain has shape {list(gain.shape)}, must be [n] or [T, n]"
            )
        check_range(self.name, "gain", gain, self.gain_format.min, self.gain_format.max)
        object.__setattr__(self, "gain", gain)
        if self.bias is not None:
            bias = integers(self.bias, self.name, "bias")
            if bias.ndim not in (1, 2) or 0 in bias.shape or bias.shape[-1] != self.size:
                raise NetworkError(
                    f"node '{self.name}': bias has shape {list(bias.shape)}, "
                    f"must be [{self.size}] or [T, {self.size}]"
                )
            object.__setattr__(self, "bias", bias)
        if len(self.steps) > 1:
            raise NetworkError(
                f"node '{self.name}': gain and bias have {min(self.steps)} and {max(self.steps)} "
                "timesteps, must have as many"
            )

    @property
    def size(self) -> int:
        return self.gain.shape[-1]

    @property
    def steps(self) -> set[int]:
        """The timesteps that gain or bias is given for, empty if all are alike."""
        arrays = [self.gain] if self.bias is None else [self.gain, self.bias]
        return {len(array) for array in arrays if array.ndim == 2}

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        (source,) = operands["input"]
        if source.size != self.size:
            raise NetworkError(
                f"node '{self.name}': has {self.size} values, its source sends {source.size}"
            )
        gain = exact(self.gain).reshape(-1, self.size)
        bias = np.zeros((1, self.size), object)
        if self.bias is not None:
            bias = exact(self.bias).reshape(-1, self.size)
        ends = np.stack([gain * source.low + bias, gain * source.high + bias])
        low, high = ends.min(axis=(0, 1)), ends.max(axis=(0, 1))
        return Values.of(low, high, self.gain_format.frac + source.format.frac, self.name)


JoinOp: TypeAlias = Literal["add", "and", "iand", "or"]


@dataclass(frozen=True, eq=False)
class Join:
    """A residual join of branch ``s`` and shortcut ``x``.

    ``add`` is ``s + x`` (operands aligned by left shifts), ``and`` is ``s·x``, ``iand`` is
    ``s ? 0 : x``, ``or`` is ``min(s + x, 1)`` (the clipped add of SEW-ResNet, Fang et al. 2021).
    The result is exact, or, where a narrower ``format`` is declared, floor-shifted to its
    fraction and then saturated.
    """

    name: str
    op: JoinOp
    size: int
    format: Format | None = None

    ports: ClassVar[Mapping[str, bool]] = {"branch": False, "shortcut": False}
    quantities: ClassVar[tuple[str, ...]] = ("value",)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.op not in ("add", "and", "iand", "or"):
            raise NetworkError(
                f"node '{self.name}': op is {self.op!r}, must be add, and, iand or or"
            )

    def exact(self, operands: Mapping[str, list[Values]]) -> Values:
        """The values before a declared ``format`` narrows them."""
        (branch,), (shortcut,) = operands["branch"], operands["shortcut"]
        for port, values in (("branch", branch), ("shortcut", shortcut)):
            if values.size != self.size:
                raise NetworkError(
                    f"node '{self.name}': joins {self.size} values, its {port} sends {values.size}"
                )
            if self.op == "or" and (values.format.signed or values.format.frac):
                raise NetworkError(
                    f"node '{self.name}': op or joins spikes, "
                    f"its {port} sends {values.format}, must be unsigned integers"
                )
        if self.op == "add":
            frac = max(branch.format.frac, shortcut.format.frac)
            up, across = frac - branch.format.frac, frac - shortcut.format.frac
            low = (exact(branch.low) << up) + (exact(shortcut.low) << across)
            high = (exact(branch.high) << up) + (exact(shortcut.high) << across)
            return Values.of(low, high, frac, self.name)
        if self.op == "and":
            ends = np.stack(
                [
                    exact(a) * exact(b)
                    for a in (branch.low, branch.high)
                    for b in (shortcut.low, shortcut.high)
                ]
            )
            frac = branch.format.frac + shortcut.format.frac
            return Values.of(ends.min(axis=0), ends.max(axis=0), frac, self.name)
        if self.op == "iand":
            low, high = np.minimum(shortcut.low, 0), np.maximum(shortcut.high, 0)
            return Values.of(low, high, shortcut.format.frac, self.name)
        low = np.minimum(branch.low + shortcut.low, 1)
        return Values.of(low, np.minimum(branch.high + shortcut.high, 1), 0, self.name)

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        exact = self.exact(operands)
        if self.format is None:
            return exact
        if self.format.frac > exact.format.frac:
            raise NetworkError(
                f"node '{self.name}': format is {self.format}, "
                f"must have at most {exact.format.frac} fraction bits"
            )
        shift = exact.format.frac - self.format.frac
        low = np.clip(exact.low >> shift, self.format.min, self.format.max)
        high = np.clip(exact.high >> shift, self.format.min, self.format.max)
        return Values(self.format, low, high)


ReadoutKind: TypeAlias = Literal["count", "sum_current", "last_membrane", "max_membrane"]


@dataclass(frozen=True, eq=False)
class Readout:
    """The class scores of a sample, one per class; the first largest score wins (signed).

    ``count`` and ``sum_current`` add up their source over the timesteps; ``last_membrane`` and
    ``max_membrane`` read the membrane of the neuron that feeds them.
    """

    name: str
    kind: ReadoutKind
    size: int

    ports: ClassVar[Mapping[str, bool]] = {"input": False}
    quantities: ClassVar[tuple[str, ...]] = ("score",)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.kind not in ("count", "sum_current", "last_membrane", "max_membrane"):
            raise NetworkError(
                f"node '{self.name}': kind is {self.kind!r}, "
                "must be count, sum_current, last_membrane or max_membrane"
            )

    @property
    def reads_membrane(self) -> bool:
        return self.kind in ("last_membrane", "max_membrane")

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        (source,) = operands["input"]
        if source.size != self.size:
            raise NetworkError(
                f"node '{self.name}': has {self.size} classes, its source sends {source.size}"
            )
        return source

    def scores(self, source: Values, max_steps: int) -> Values:
        """The range of the scores after up to ``max_steps`` timesteps."""
        if self.reads_membrane:
            return source
        low = np.minimum(exact(source.low) * max_steps, source.low)
        high = np.maximum(exact(source.high) * max_steps, source.high)
        return Values.of(low, high, source.format.frac, self.name)
