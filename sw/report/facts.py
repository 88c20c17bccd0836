"""What a page is made of: frozen facts of a run, each part there or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..formats import IntArray
from ..network import Network

FloatArray: TypeAlias = npt.NDArray[np.float64]
History: TypeAlias = tuple[Mapping[str, float], ...]
"""Every epoch of a training, as in :class:`reslif.sw.fit.Fit`."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights and bias of a layer in real numbers, ``[n, ...]`` and ``[n]``.

    ``stage`` is ``"before"`` or ``"after"`` training, or ``"quantised"``.
    """

    layer: str
    stage: str
    weight: FloatArray
    bias: FloatArray | None


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of neurons on the shown samples.

    ``spikes`` is ``[S, k, T]`` of ``k`` of its ``size`` neurons, ``counts`` ``[S, T]`` of all;
    ``membranes`` ``[S, m, T]`` of the neurons ``traced`` (a part of those ``picked``), with their
    ``thresholds`` ``[m]`` or None if it is no constant; ``raised`` ``[S, m, T]`` is what adaptation
    adds to them. ``rates`` is ``[size]``, over all samples.
    """

    name: str
    size: int
    picked: IntArray
    spikes: npt.NDArray[np.uint8]
    counts: IntArray
    traced: IntArray
    membranes: IntArray
    thresholds: IntArray | None
    rates: FloatArray
    raised: IntArray | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A test sample and what the golden model makes of it; ``frames`` are PNG data addresses."""

    index: int
    label: int
    predicted: int
    scores: tuple[int, ...]
    frames: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Agreement:
    """The float network beside the golden model, by node, on ``samples`` samples.

    ``error`` is the root mean square difference of a layer's currents, as a part of that of the
    currents; ``spikes`` the share of spikes (or silences) of a neuron that are the same.
    """

    samples: int
    error: Mapping[str, float]
    spikes: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the golden model does with the first ``count`` of ``total`` test samples.

    ``confusion`` is ``[expected, predicted]``; ``saturations`` counts clipped values by node.
    """

    count: int
    total: int
    steps: int
    confusion: IntArray
    labels: IntArray
    classes: IntArray
    samples: tuple[Sample, ...]
    layers: tuple[Layer, ...]
    saturations: Mapping[str, int]


@dataclass(frozen=True)
class Span:
    """A layer at work on a timestep, from cycle ``start`` to ``end``."""

    step: int
    start: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """Who works when on one sample, as estimated: rows of (layer, spans); layers ``take_turns`` on
    one engine, or all have their own. ``block_rams`` are by memory or layer.
    """

    sample: int
    take_turns: bool
    rows: tuple[tuple[str, tuple[Span, ...]], ...]
    block_rams: tuple[tuple[str, int], ...]

    @property
    def cycles(self) -> float:
        return max((spans[-1].end for _, spans in self.rows if spans), default=0.0)


@dataclass(frozen=True)
class Hop:
    """A part of the critical path: what kind it is, how long it takes, and where it ends."""

    kind: str
    ns: float
    cell: str


@dataclass(frozen=True)
class Module:
    """What a module of the design takes."""

    name: str
    luts: int
    ffs: int
    brams: int
    dsps: int


@dataclass(frozen=True)
class Placed:
    """What place-and-route left: (resource, used, available), the critical path, and the area by
    module, the largest first, if there is a netlist.
    """

    utilisation: tuple[tuple[str, int, int], ...]
    path: tuple[Hop, ...]
    modules: tuple[Module, ...]


@dataclass(frozen=True, eq=False)
class RunFacts:
    """All that is known about a run; ``report`` is its ``report.json``, ``stages`` the results of
    each stage, ``written`` when (UTC), ``windows`` the waveforms of mismatches.
    ``why`` says of a missing part why it is.
    """

    name: str
    report: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]
    written: Mapping[str, str]
    network: Network | None = None
    engine: str | None = None
    histories: Mapping[str, History] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    seen: Seen | None = None
    agreement: Agreement | None = None
    schedule: Schedule | None = None
    placed: Placed | None = None
    windows: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)

    def figure(self, key: str) -> Any:
        """A value of ``report.json`` by its path, such as ``"accuracy.float"``; None if missing."""
        value: Any = self.report
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value
