"""The nodes of a :class:`~reslif.sw.network.Network`: frozen dataclasses holding integers only.

Each node checks itself on construction, and derives from the ranges of its operands the range
(and so the exact format) of what it emits. Every error is a :class:`NetworkError` that names the
node, what was found and what it must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .formats import MAX_WIDTH, SPIKE, Format, FormatError, IntArray


class NetworkError(ValueError):
    """A network that the contract does not allow."""


@dataclass(frozen=True, eq=False)
class Values:
    """What travels on an edge each timestep: ``[n]`` integers, each within ``[low, high]``."""

    format: Format
    low: IntArray
    high: IntArray

    @property
    def size(self) -> int:
        return len(self.low)

    @classmethod
    def of(cls, low: npt.NDArray[Any], high: npt.NDArray[Any], frac: int, node: str) -> Values:
        """The values between ``low`` and ``high`` in the narrowest format, or an error."""
        try:
            form = Format.for_range(int(low.min()), int(high.max()), frac)
        except FormatError as error:
            raise NetworkError(f"node '{node}': {error}") from None
        return cls(form, low.astype(np.int64), high.astype(np.int64))

    @classmethod
    def full(cls, form: Format, size: int) -> Values:
        """``size`` values that may take the whole range of ``form``."""
        return cls(form, np.full(size, form.min, np.int64), np.full(size, form.max, np.int64))


def integers(value: npt.ArrayLike, node: str, what: str) -> IntArray:
    """``value`` as a read-only int64 array; floats and NaN are refused, never rounded."""
    array = np.asarray(value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NetworkError(f"node '{node}': {what} holds NaN or infinity, must be integers")
    if array.dtype.kind not in "iub":
        raise NetworkError(f"node '{node}': {what} is {array.dtype}, must be integers")
    result = array.astype(np.int64)
    result.setflags(write=False)
    return result


def _exact(array: IntArray) -> npt.NDArray[np.object_]:
    """``array`` as Python's integers: what is too wide is then refused, and never wraps."""
    return array.astype(object)


def _check_name_and_size(name: str, size: int) -> None:
    if not name or not name.isidentifier() or not name.isascii():
        raise NetworkError(f"node name is {name!r}, must be an ASCII identifier")
    if not isinstance(size, int) or size < 1:
        raise NetworkError(f"node '{name}': size is {size!r}, must be an integer above 0")


def _check_range(node: str, what: str, array: IntArray, low: int, high: int) -> None:
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise NetworkError(
            f"node '{node}': {what} spans {int(array.min())} to {int(array.max())}, "
            f"must lie within {low} to {high}"
        )


@dataclass(frozen=True, eq=False)
class Input:
    """The network's input: ``[n]`` integers of ``format`` each timestep; 0 sends no event."""

    name: str
    size: int
    format: Format = SPIKE

    ports: ClassVar[Mapping[str, bool]] = {}

    def __post_init__(self) -> None:
        _check_name_and_size(self.name, self.size)

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

    def __post_init__(self) -> None:
        weight = integers(self.weight, self.name, "weight")
        if weight.ndim != 2 or 0 in weight.shape:
            raise NetworkError(
                f"node '{self.name}': weight has shape {list(weight.shape)}, must be [n, inputs]"
            )
        _check_name_and_size(self.name, weight.shape[0])
        _check_range(self.name, "weight", weight, self.weight_format.min, self.weight_format.max)
        object.__setattr__(self, "weight", weight)
        if self.bias is not None:
            bias = integers(self.bias, self.name, "bias")
            if bias.shape != (self.size,):
                raise NetworkError(
                    f"node '{self.name}': bias has shape {list(bias.shape)}, must be [{self.size}]"
                )
            object.__setattr__(self, "bias", bias)

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
        weight = _exact(self.weight)
        bias = np.zeros(self.size, object) if self.bias is None else _exact(self.bias)
        ends = np.stack([weight * source.low, weight * source.high])
        low = bias + np.minimum(ends.min(axis=0), 0).sum(axis=1)
        high = bias + np.maximum(ends.max(axis=0), 0).sum(axis=1)
        return Values.of(low, high, self.weight_format.frac + source.format.frac, self.name)


Reset: TypeAlias = Literal["subtract", "zero", "none"]


@dataclass(frozen=True, eq=False)
class LIF:
    """Leaky integrate-and-fire neurons, the step of ``docs/arithmetic.md``.

    ``L = (leak · u) >> leak_shift`` (floor); ``I`` is the sum of all incoming edges, aligned to
    ``membrane`` by left shifts. Then, with ``r`` whether the neuron fired in the last step,

    * delayed reset: subtract ``v = L + I - r·θ``; zero ``v = (r ? 0 : L) + I`` if ``keep_input``
      (snnTorch's ``Leaky``), else ``v = r ? 0 : L + I`` (its other neurons); none ``v = L + I``;
    * immediate reset: ``v = L + I``;
    * ``v ← sat(v)``; fire ``f = v > θ`` (``≥`` unless ``strict``);
    * delayed: ``u ← v``; immediate: subtract ``u ← v - f·θ``, zero ``u ← f ? 0 : v``.

    ``leak`` and ``threshold`` are scalars or ``[n]``. With ``inhibition`` only the neuron of the
    largest ``v - θ`` (ties: lowest index) may emit its spike; the reset uses the unmasked ``f``.
    """

    name: str
    size: int
    membrane: Format
    leak: IntArray
    leak_shift: int
    threshold: IntArray
    reset: Reset = "subtract"
    reset_delay: bool = True
    strict: bool = True
    keep_input: bool = True
    inhibition: bool = False

    ports: ClassVar[Mapping[str, bool]] = {"input": True}

    def __post_init__(self) -> None:
        _check_name_and_size(self.name, self.size)
        if not self.membrane.signed:
            raise NetworkError(f"node '{self.name}': membrane is {self.membrane}, must be signed")
        if not 0 <= self.leak_shift <= 16:
            raise NetworkError(
                f"node '{self.name}': leak_shift is {self.leak_shift}, must be 0 to 16"
            )
        if self.reset not in ("subtract", "zero", "none"):
            raise NetworkError(
                f"node '{self.name}': reset is {self.reset!r}, must be subtract, zero or none"
            )
        for field in ("leak", "threshold"):
            array = integers(getattr(self, field), self.name, field)
            if array.shape not in ((), (self.size,)):
                raise NetworkError(
                    f"node '{self.name}': {field} has shape {list(array.shape)}, "
                    f"must be a scalar or [{self.size}]"
                )
            object.__setattr__(self, field, array)
        if self.membrane.width + self.leak_shift > MAX_WIDTH:
            raise NetworkError(
                f"node '{self.name}': membrane is {self.membrane.width} bits and leak_shift "
                f"{self.leak_shift}, must be at most {MAX_WIDTH} together"
            )
        _check_range(self.name, "leak", self.leak, 0, 1 << self.leak_shift)
        # Below max, so that saturation never changes a decision to fire.
        _check_range(self.name, "threshold", self.threshold, 1, self.membrane.max - 1)

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        for source in operands["input"]:
            if source.size != self.size:
                raise NetworkError(
                    f"node '{self.name}': has {self.size} neurons, a source sends {source.size}"
                )
            if source.format.frac > self.membrane.frac:
                raise NetworkError(
                    f"node '{self.name}': membrane fraction is {self.membrane.frac} bits, "
                    f"must be at least its source's {source.format.frac}"
                )
            if source.format.width + self.membrane.frac - source.format.frac > MAX_WIDTH - 2:
                raise NetworkError(
                    f"node '{self.name}': its source's {source.format} on the membrane's grid is "
                    f"wider than {MAX_WIDTH - 2} bits"
                )
        return Values.full(SPIKE, self.size)


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

    def __post_init__(self) -> None:
        _check_name_and_size(self.name, self.size)
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
            low = (_exact(branch.low) << up) + (_exact(shortcut.low) << across)
            high = (_exact(branch.high) << up) + (_exact(shortcut.high) << across)
            return Values.of(low, high, frac, self.name)
        if self.op == "and":
            ends = np.stack(
                [
                    _exact(a) * _exact(b)
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
    ``max_membrane`` read the membrane of the :class:`LIF` that feeds them.
    """

    name: str
    kind: ReadoutKind
    size: int

    ports: ClassVar[Mapping[str, bool]] = {"input": False}

    def __post_init__(self) -> None:
        _check_name_and_size(self.name, self.size)
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
        low = np.minimum(_exact(source.low) * max_steps, source.low)
        high = np.maximum(_exact(source.high) * max_steps, source.high)
        return Values.of(low, high, source.format.frac, self.name)


Node: TypeAlias = Input | Dense | LIF | Join | Readout
