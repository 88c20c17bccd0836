"""Alpha neurons in hardware."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Mux, Value

from .lanes import Pipe, fire, saturate, scaled
from .neuron_model import LaneUpdate, NeuronModel


class AlphaModel(NeuronModel):
    """:class:`~reslif.sw.neurons.Alpha`: leak, add, bound, sum, gain, join, fire.

    The membrane follows from the other states, so it is not stored.
    """

    latency = 8
    clips = 4
    unstored = ("membrane",)

    def update(self, pipe: Pipe, config: Any, state: Any, numbers: Any, current: Any) -> LaneUpdate:
        node, fired, threshold = self.node, state.fired, numbers.threshold
        shape = self.states["excitatory"]

        # Stage 1: both leaks.
        decayed = [
            pipe.stage(scaled(state[name], leak, node.leak_shift), f"{name}_decayed", shape)
            for name, leak in (
                ("excitatory", numbers.excitatory_leak),
                ("inhibitory", numbers.inhibitory_leak),
            )
        ]
        current = pipe.stage(current << self.align, "arriving")
        before = Mux(fired & config.late_subtract, state.inhibitory, 0)
        before = pipe.later(pipe.stage(before, "before", shape), 4, "before")
        taken = Mux(fired & config.late_subtract, threshold, 0)
        taken = pipe.later(pipe.stage(taken, "taken"), 2, "taken")
        late = fired & (config.late_zero_all | config.late_subtract)
        late = pipe.later(late, 3, "late")
        zero = pipe.later(fired & config.late_zero_all, 3, "zero")

        # Stage 2: the current joins. Stage 3: both are bounded.
        clipped: list[Value] = []
        joined = (
            pipe.stage(decayed[0] + current, "excitatory_joined"),
            pipe.stage(decayed[1] - current, "inhibitory_joined"),
        )
        synaptic = []
        for value, name in zip(joined, ("excitatory", "inhibitory"), strict=True):
            bounded, over, under = saturate(pipe, value, config[name], f"{name}_bounded")
            synaptic.append(pipe.stage(bounded, f"{name}_new"))
            clipped.append(pipe.later(over | under, 4, f"{name}_clipped"))
        excitatory, inhibitory = synaptic

        # Stage 4: their sum; beside it a late reset acts on them.
        total = pipe.stage(Mux(zero, 0, excitatory + inhibitory), "total")
        excitatory = pipe.stage(Mux(zero, 0, excitatory) - taken, "excitatory_reduced")
        inhibitory = pipe.stage(Mux(late, 0, inhibitory), "inhibitory_reduced")

        # Stage 5: the gain. Stage 6: what a late reset adds to the membrane.
        gain = pipe.later(numbers.gain, 4, "gain")
        value = pipe.stage(scaled(total, gain, node.gain_shift), "gained")
        bounded, over, under = saturate(pipe, excitatory, config.excitatory, "excitatory_rebounded")
        excitatory = pipe.later(bounded, 2, "excitatory_last")
        inhibitory = pipe.later(inhibitory, 2, "inhibitory_last")
        clipped.append(pipe.later(over | under, 2, "excitatory_reclipped"))
        value = pipe.stage(value + before, "value")

        # Stage 7: the membrane fires; an immediate reset clears all.
        threshold = pipe.later(threshold, 6, "threshold")
        firing = fire(pipe, config, value, threshold, threshold)
        now = firing.fired & config.now_zero
        states = {
            "excitatory": pipe.named(Mux(now, 0, excitatory), "excitatory_after", shape),
            "inhibitory": pipe.named(Mux(now, 0, inhibitory), "inhibitory_after", shape),
            "membrane": firing.membrane,
        }
        return LaneUpdate(
            states, firing.fired, firing.results(threshold), [*clipped, firing.clipped]
        )
