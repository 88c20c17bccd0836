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
