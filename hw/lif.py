"""Leaky integrate-and-fire neurons in hardware."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Mux

from .lanes import Pipe, fire, scaled
from .neuron_model import LaneUpdate, NeuronModel


class LIFModel(NeuronModel):
    """:class:`~reslif.sw.neurons.LIF`: stages leak, add, and saturate, fire, reset."""

    latency = 4

    def update(self, pipe: Pipe, config: Any, state: Any, numbers: Any, current: Any) -> LaneUpdate:
        fired, threshold = state.fired, numbers.threshold

        # Stage 1: L = (k·u) >> n; beside it the current, less what a late reset takes away.
        keep = ~(fired & (config.late_zero_leak | config.late_zero_all))
        leaked = scaled(state.membrane, numbers.leak, self.node.leak_shift)
        taken = Mux(fired & config.late_subtract, threshold, 0)
        arriving = (Mux(fired & config.late_zero_all, 0, current) << self.align) - taken
        leaked = pipe.stage(Mux(keep, leaked, 0), "leaked", self.states["membrane"])
        arriving = pipe.stage(arriving, "arriving")

        # Stage 2: the current joins.
        value = pipe.stage(leaked + arriving, "value")

        # Stage 3.
        threshold = pipe.later(threshold, 2, "threshold")
        firing = fire(pipe, config, value, threshold, threshold)
        states = {"membrane": firing.membrane}
        return LaneUpdate(states, firing.fired, firing.results(threshold), [firing.clipped])
