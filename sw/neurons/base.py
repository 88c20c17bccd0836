"""What every integer neuron shares: its interface, the resets, and the checks of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from ..formats import MAX_WIDTH, SPIKE, Format, IntArray
from ..values import NetworkError, Values, check_fields, check_range, integers
from .arithmetic import Ops

Reset: TypeAlias = Literal["subtract", "zero", "none"]
NumberKind: TypeAlias = Literal["leak", "level", "increment", "gain"]
"""How a neuron's number is counted: ``leak`` in ``2^-leak_shift``, ``level`` (above 0) and
``increment`` (0 or more) on the membrane's grid, ``gain`` in ``2^-gain_shift``."""


class Update(NamedTuple):
    """One step's outcome: new states, whether a neuron fired, and ``v`` above its fire level."""

    state: dict[str, Any]
    fired: Any
    margin: Any


class Neuron:
    """Base of the integer neurons: frozen dataclasses that are nodes of a network.

    Besides its ``state_formats`` a neuron remembers whether it ``fired`` in the last step; all
    are 0 at the start of a sample. With ``inhibition`` only the neuron of the largest margin
    (ties: lowest index) may emit its spike; the reset uses the unmasked spike.
    """

    name: str
    size: int
    membrane: Format
    threshold: IntArray
    reset: Reset
    reset_delay: bool
    strict: bool
    inhibition: bool

    ports: ClassVar[Mapping[str, bool]] = {"input": True}
    STATES: ClassVar[Mapping[str, str]] = {"membrane": "membrane"}
    """For each state variable the field that holds its format; ``membrane`` is among them."""
    NUMBERS: ClassVar[Mapping[str, NumberKind]]
    """The fields that hold a scalar or ``[n]`` integers, and how they are counted."""
    UNSIGNED: ClassVar[frozenset[str]] = frozenset()
    """The states whose formats are unsigned."""
    OWN_FORMATS: ClassVar[bool] = False
    """Whether its formats come with the model and stay, its currents counted in units of 1."""
    INPUTS: ClassVar[int] = 1
    """Input currents a neuron takes each step."""

    @property
    def states(self) -> dict[str, Format]:
        """The format of each state variable."""
        return {state: getattr(self, field) for state, field in self.STATES.items()}

    @property
    def quantities(self) -> tuple[str, ...]:
        """What can be probed: the input current, each state after the step, the spike sent."""
        return ("current", *self.STATES, "spike")

    @property
    def numbers(self) -> dict[str, IntArray]:
        """The neuron's numbers, scalar or ``[n]``."""
        return {name: getattr(self, name) for name in self.NUMBERS}

    @property
    def current_frac(self) -> int:
        """Fraction bits of the grid on which input currents are added up."""
        return self.membrane.frac

    def step(self, ops: Ops, numbers: Mapping[str, Any], state: Any, current: Any) -> Update:
        """One timestep; ``state`` maps the states' names, and ``fired``, to ``[..., n]``."""
        raise NotImplementedError

    def output(self, operands: Mapping[str, list[Values]]) -> Values:
        """Spikes; checks what arrives."""
        inputs = self.INPUTS * self.size
        low = high = 0
        for source in operands["input"]:
            if source.size != inputs:
                raise NetworkError(
                    f"node '{self.name}': takes {inputs} currents ({self.size} neurons), "
                    f"a source sends {source.size}"
                )
            if source.format.frac > self.current_frac:
                raise NetworkError(
                    f"node '{self.name}': its currents have {self.current_frac} fraction bits, "
                    f"must have at least its source's {source.format.frac}"
                )
            if source.format.width + self.current_frac - source.format.frac > MAX_WIDTH - 2:
                raise NetworkError(
                    f"node '{self.name}': its source's {source.format} on the neuron's grid is "
                    f"wider than {MAX_WIDTH - 2} bits"
                )
            up = self.current_frac - source.format.frac
            low += min(int(source.low.min()), 0) << up
            high += max(int(source.high.max()), 0) << up
        if max(-low, high) >= 1 << (MAX_WIDTH - 2):
            raise NetworkError(
                f"node '{self.name}': its currents add up to {low} to {high}, "
                f"must fit {MAX_WIDTH - 1} bits"
            )
        return Values.full(SPIKE, self.size)

    def scaled(self, incoming: int, guard: int, width: int, shift: int) -> dict[str, Any]:
        """Fields for currents of ``incoming`` fraction bits: formats ``width`` bits wide whose
        grid is ``guard`` bits finer, and leaks counted in ``2^-shift``.
        """
        return {
            **{field: Format(width, incoming + guard) for field in self.STATES.values()},
            "leak_shift": shift,
        }

    def bounds(self, current: int, steps: int) -> dict[str, int]:
        """Widths that no state leaves in ``steps`` steps of currents up to ``current`` (on their
        grid), by the field that holds the format; only those for which a bound is known.
        """
        del current, steps
        return {}

    def fitted(self, widths: dict[str, int]) -> dict[str, int]:
        """``widths`` of the states, by field, wider where formats must leave each other room."""
        return widths

    def unit(self, what: str, scale: float) -> float:
        """What one unit of a number is worth, if one of the current's value 1 is ``scale``."""
        kind = self.NUMBERS[what]
        if kind == "leak":
            return 2.0**-self.shift
        return scale * self.membrane.step

    def limits(self, what: str) -> tuple[int, int]:
        """The smallest and the largest a number may be."""
        kind = self.NUMBERS[what]
        if kind == "leak":
            return 0, 1 << self.shift
        # Below max, so that saturation never changes a decision to fire.
        return (1 if kind == "level" else 0), self.membrane.max - 1

    @property
    def shift(self) -> int:
        """n of leaks counted in ``2^-n``."""
        return getattr(self, "leak_shift", 0)

    def reach(self, current: int) -> int:
        """What no integer in the step exceeds, for currents up to ``current`` (on their grid)."""
        largest = max(max(-form.min, form.max + 1) for form in self.states.values())
        driven = current << max(0, self.membrane.frac - self.current_frac)
        return max(2 * largest << self.shift, driven + 4 * largest)

    # For subclasses

    def check(self) -> None:
        """Check what all neurons have."""
        check_fields(self)
        shift = self.shift
        for state, form in self.states.items():
            if form.signed == (state in self.UNSIGNED):
                must = "unsigned" if form.signed else "signed"
                raise NetworkError(f"node '{self.name}': {state} is {form}, must be {must}")
            if form.width + shift > MAX_WIDTH:
                raise NetworkError(
                    f"node '{self.name}': {state} is {form.width} bits and leak_shift {shift}, "
                    f"must be at most {MAX_WIDTH} together"
                )
        if not 0 <= shift <= 16:
            raise NetworkError(f"node '{self.name}': leak_shift is {shift}, must be 0 to 16")
        if self.reset not in ("subtract", "zero", "none"):
            raise NetworkError(
                f"node '{self.name}': reset is {self.reset!r}, must be subtract, zero or none"
            )
        for field, kind in self.NUMBERS.items():
            array = integers(getattr(self, field), self.name, field)
            if array.shape not in ((), (self.size,)):
                raise NetworkError(
                    f"node '{self.name}': {field} has shape {list(array.shape)}, "
                    f"must be a scalar or [{self.size}]"
                )
            object.__setattr__(self, field, array)
            if kind != "gain":
                low, high = self.limits(field)
                if low > high:
                    formats = ", ".join(f"{state} {form}" for state, form in self.states.items())
                    raise NetworkError(
                        f"node '{self.name}': its formats ({formats}) leave no {field}, "
                        "the membrane must be wider"
                    )
                check_range(self.name, field, array, low, high)

    def late(self, ops: Ops, kept: Any, driven: Any, fired: Any, threshold: Any) -> Any:
        """The delayed reset: ``kept`` (of the old state) + ``driven`` less what it takes away."""
        if not self.reset_delay or self.reset == "none":
            return kept + driven
        if self.reset == "subtract":
            return kept + driven - fired * threshold
        return ops.where(fired, 0, kept + driven)

    def now(self, ops: Ops, value: Any, fired: Any, threshold: Any) -> Any:
        """The immediate reset of ``value``."""
        if self.reset_delay or self.reset == "none":
            return value
        fired = ops.detach(fired)
        if self.reset == "subtract":
            return value - fired * threshold
        return ops.where(fired, 0, value)
