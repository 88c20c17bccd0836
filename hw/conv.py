"""The convolution engine: events in, exact currents out."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .conv_layout import ConvLayout
from .streams import current_stream, spike_stream
from .weights import RowPort


class Conv(wiring.Component):
    """A convolution whose work follows the events.

    Members
    -------
    spikes: events in.
    rows: where the weight rows come from, as :func:`~reslif.hw.conv_layout.conv_rows` has them.
    currents: the sums of each timestep.
    initial: only if the layout has an ``initial`` shape: what the sums of each timestep start from.
    """

    def __init__(self, layout: ConvLayout) -> None:
        self.layout = layout
        rows = RowPort(layout.rows, layout.row_taps * layout.lanes, layout.weight)
        members = {
            "spikes": In(spike_stream(layout.inputs, layout.spike)),
            "rows": Out(rows),
            "currents": Out(current_stream(layout.out_lanes, layout.current)),
        }
        if layout.initial is not None:
            members["initial"] = In(current_stream(layout.out_lanes, layout.initial))
        super().__init__(members)
