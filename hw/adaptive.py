"""Neurons with an adaptive threshold in hardware."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Mux

from .lanes import Pipe, fire, scaled
from .neuron_model import LaneUpdate, NeuronModel


class AdaptiveModel(NeuronModel):
    """:class:`~reslif.sw.neurons.Adaptive`: leak, add, and fire."""

    latency = 4
    clips = 2

    def update(self, pipe: Pipe, config: Any, state: Any, numbers: Any, current: Any) -> LaneUpdate:
        node, fired, threshold = self.node, state.fired, numbers.threshold
        zero = fired & config.late_zero_all

        # Stage 1: both leaks, and the fire level.
        leaked = scaled(state.membrane, numbers.leak, node.leak_shift)
        leaked = pipe.stage(Mux(zero, 0, leaked), "leaked", self.states["membrane"])
        taken = Mux(fired & config.late_subtract, threshold, 0)
        arriving = pipe.stage((Mux(zero, 0, current) << self.align) - taken, "arriving")
        eased = scaled(state.adaptation, numbers.adaptation_leak, node.leak_shift)
        eased = pipe.stage(eased, "eased", self.states["adaptation"])
        increment = pipe.later(numbers.increment, 1, "increment")
        level = pipe.later(pipe.stage(threshold + state.adaptation, "level"), 1, "level")

        # Stage 2: the current joins; beside it, what the adaptation becomes should it fire.
        value = pipe.stage(leaked + arriving, "value")
        raised = pipe.stage(eased + increment, "raised")
        eased = pipe.later(eased, 1, "eased")

        # Stage 3. Only a spike can take the adaptation out of bounds.
        threshold = pipe.later(threshold, 2, "threshold")
        firing = fire(pipe, config, value, threshold, level)
        high = config.adaptation.high
        over = raised > high
        after = Mux(firing.fired, Mux(over, high, raised), eased)
        states = {
            "adaptation": pipe.named(after, "adaptation_after", self.states["adaptation"]),
            "membrane": firing.membrane,
        }
        clipped = [firing.clipped, firing.fired & over]
        return LaneUpdate(states, firing.fired, firing.results(level), clipped)
