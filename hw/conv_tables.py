"""Where an event goes along one axis of an image: which taps of the kernel hit which outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution: ``size`` positions in, a ``kernel`` of so many taps.

    Tap ``k`` takes position ``i`` to output ``(i + padding - k) / stride``, if that is whole and
    inside. So the taps that a position passes lie ``stride`` apart, and from each to the next the
    output falls by one.
    """

    size: int
    kernel: int
    stride: int
    padding: int

    def __post_init__(self) -> None:
        if min(self.size, self.kernel, self.stride) < 1 or self.padding < 0:
            raise ValueError(
                f"an axis of {self.size} positions, kernel {self.kernel}, stride {self.stride}, "
                f"padding {self.padding}: must be 1 or more, padding 0 or more"
            )
        if self.out < 1:
            raise ValueError(
                f"kernel {self.kernel} is larger than the {self.size} positions and padding "
                f"{self.padding}: no output"
            )

    @property
    def out(self) -> int:
        """Outputs along the axis."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @cached_property
    def hits(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """By position: the pairs (tap, output) it contributes to, taps ascending; maybe none."""
        return tuple(
            tuple(
                (tap, output)
                for tap in range(self.kernel)
                for output, rest in [divmod(position + self.padding - tap, self.stride)]
                if not rest and 0 <= output < self.out
            )
            for position in range(self.size)
        )

    @property
    def most(self) -> int:
        """Outputs that one position can hit: no more in the middle of the widest image."""
        return -(-self.kernel // self.stride)


@dataclass(frozen=True)
class AxisTable:
    """What the hardware looks up for a position: where its taps begin, and how many there are.

    With ``spread`` the axis' outputs lie in ``banks`` memories, output ``o`` in bank ``o % banks``
    at ``o // banks``, and all taps are served at once; else there is one bank, the taps are served
    one after the other, and the first of them is looked up. ``pitch`` is the way between two
    outputs in a bank, ``row_pitch`` that between the weight rows of two taps.
    """

    axis: Axis
    spread: bool
    banks: int
    pitch: int
    row_pitch: int

    @cached_property
    def columns(self) -> dict[str, list[int]]:
        """By position: whether it hits an output at all (``any``), how many taps follow the first
        ones (``more``), the way to the first tap's weight row (``row``); and by bank, whether it
        holds an output that is hit (``hit0``…), the way to it (``word0``…), and, where all taps
        are served at once, which of them serves it (``tap0``…).
        """
        columns: dict[str, list[int]] = {"any": [], "more": [], "row": []}
        for bank in range(self.banks):
            columns |= {f"hit{bank}": [], f"word{bank}": [], f"tap{bank}": []}
        for hits in self.axis.hits:
            served = hits if self.spread else hits[:1]
            columns["any"].append(int(bool(hits)))
            columns["more"].append(len(hits) - len(served))
            columns["row"].append(hits[0][0] * self.row_pitch if hits and not self.spread else 0)
            by_bank = {output % self.banks: (tap, output) for tap, output in served}
            assert len(by_bank) == len(served)
            for bank in range(self.banks):
                tap, output = by_bank.get(bank, (0, 0))
                columns[f"hit{bank}"].append(int(bank in by_bank))
                columns[f"word{bank}"].append(output // self.banks * self.pitch)
                columns[f"tap{bank}"].append(tap if self.spread else 0)
        return columns
