"""Neurons with a synaptic current in hardware."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Mux

from .lanes import Pipe, fire, saturate, scaled
from .neuron_model import LaneUpdate, NeuronModel


class SynapticModel(NeuronModel):
    """:class:`~reslif.sw.neurons.Synaptic`: leak, add, bound the synaptic current, add, fire."""

    latency = 6
    clips = 2

    def update(self, pipe: Pipe, config: Any, state: Any, numbers: Any, current: Any) -> LaneUpdate:
        node, fired, threshold = self.node, state.fired, numbers.threshold
        zero = fired & config.late_zero_all

        # Stage 1: both leaks.
        kept = scaled(state.synaptic, numbers.synaptic_leak, node.leak_shift)
        kept = pipe.stage(kept, "kept", self.states["synaptic"])
        current = pipe.stage(current << self.align, "arriving")
        leaked = scaled(state.membrane, numbers.leak, node.leak_shift)
        leaked = pipe.stage(Mux(zero, 0, leaked), "leaked", self.states["membrane"])
        taken = pipe.stage(Mux(fired & config.late_subtract, threshold, 0), "taken")
        zero = pipe.later(zero, 3, "zero")

        # Stage 2: the current joins the synaptic one; beside it a late reset takes its part.
        synaptic = pipe.stage(kept + current, "synaptic")
        leaked = pipe.later(pipe.stage(leaked - taken, "reduced"), 1, "reduced")

        # Stage 3: the synaptic current is final. Stage 4: it joins the membrane.
        bounded, over, under = saturate(pipe, synaptic, config.synaptic, "synaptic_bounded")
        synaptic = pipe.stage(bounded, "synaptic_new")
        clipped = pipe.later(over | under, 2, "synaptic_clipped")
        driven = synaptic << (node.membrane.frac - node.synaptic.frac)
        value = pipe.stage(Mux(zero, 0, driven) + leaked, "value")

        # Stage 5.
        threshold = pipe.later(threshold, 4, "threshold")
        firing = fire(pipe, config, value, threshold, threshold)
        states = {"synaptic": pipe.stage(synaptic, "synaptic_last"), "membrane": firing.membrane}
        return LaneUpdate(
            states, firing.fired, firing.results(threshold), [clipped, firing.clipped]
        )
