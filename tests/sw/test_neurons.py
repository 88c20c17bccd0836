"""The integer neurons: by hand, in training and in the golden model, and what they refuse."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from neuron_cases import CASES, FORMATS, RESETS, Case, samples
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import (
    LIF,
    LSTM,
    Adaptive,
    Alpha,
    Dense,
    Edge,
    Input,
    Network,
    NetworkError,
    Neuron,
    Readout,
    Synaptic,
)
from reslif.sw.network_file import load_network, save_network
from reslif.sw.neurons.arithmetic import IntegerOps
from reslif.sw.neurons.table import Tanh
from reslif.sw.qat import QATNetwork


def differences(network, other, inputs) -> dict[golden.Probe, int]:
    """Values in which quantised training of ``other`` differs from the golden ``network``."""
    trace = golden.run(network, inputs, None)
    with torch.no_grad():
        seen = QATNetwork.of_network(other).run(torch.as_tensor(inputs))
    assert set(seen) == set(trace.probes)
    return {p: int((v.numpy() != trace[p]).sum()) for p, v in seen.items()}


@pytest.mark.parametrize("formats", FORMATS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_training_equals_golden(case: Case, formats: int) -> None:
    network, inputs = case.network(formats), samples(case)
    found = differences(network, network, inputs)
    assert sum(found.values()) == 0, found
    spikes = golden.run(network, inputs, [("neuron", "spike")])["neuron", "spike"]
    assert 0 < spikes.mean() < 0.9


def test_narrow_formats_saturate() -> None:
    """Else the cases would not see where a value is clipped."""
    clipped = {
        family: sum(
            golden.run(case.network(1), samples(case)).saturations["neuron"]
            for case in CASES
            if case.family == family
        )
        for family in ("LIF", "Synaptic", "Alpha", "Adaptive", "LSTM")
    }
    assert all(clipped.values()), clipped


FAULTS = {
    "LIF": ("leak", 1),
    "Synaptic": ("synaptic_leak", 1),
    "Alpha": ("gain", 1),
    "Adaptive": ("increment", 1),
    "LSTM": ("threshold", 1),
}


@pytest.mark.parametrize("family", FAULTS)
@pytest.mark.parametrize("what", ["number", "strict", "reset"])
def test_faults_are_caught(family: str, what: str) -> None:
    """One unit in a number, ``≥`` for ``>``, or another reset changes what is compared above."""
    case = next(c for c in CASES if c.family == family and c.reset != "none")
    network, inputs = case.network(1), samples(case, 64)
    (neuron,) = network.nodes_of(Neuron)
    field, change = FAULTS[family]
    faulty = {
        "number": {field: getattr(neuron, field) + change},
        "strict": {"strict": False},
        "reset": {"reset": "none"},
    }[what]
    nodes = tuple(replace(n, **faulty) if n is neuron else n for n in network.nodes)
    found = differences(network, replace(network, nodes=nodes), inputs)
    assert found["neuron", "membrane"] + found["neuron", "spike"] > 0


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_files_keep_every_field(case: Case, tmp_path) -> None:
    network = case.network()
    save_network(network, tmp_path / "n.safetensors")
    assert load_network(tmp_path / "n.safetensors").digest == network.digest


def step(node: Neuron, current: int, **state: int) -> dict[str, int]:
    """One step of a single neuron, its new states and whether it fired."""
    full = {name: np.array([[state.get(name, 0)]]) for name in (*node.states, "fired")}
    currents = np.full((1, node.INPUTS), current)
    update, _ = golden.neuron_step(node, full, currents)
    values = {**update.state, "fired": update.fired}
    return {name: int(value[0, 0]) for name, value in values.items()}


def test_synaptic_by_hand() -> None:
    node = Synaptic(
        "n", 1, Format(12, 5), Format(8, 4), np.array(9), np.array(15), 4, np.array(100)
    )
    # i: floor(9·−7/16) + 20 = −4 + 20; u: floor(15·50/16) + 2·16 − θ of a late reset
    assert step(node, 20, synaptic=-7, membrane=50, fired=1) == {
        "synaptic": 16, "membrane": 46 + 32 - 100, "fired": 0,
    }  # fmt: skip
    # the synaptic current saturates at 127, and the membrane sees the saturated one
    assert step(node, 500)["membrane"] == 2 * 127
    zero = replace(node, reset="zero")
    assert step(zero, 20, membrane=50, fired=1) == {"synaptic": 20, "membrane": 0, "fired": 0}
    now = replace(node, reset_delay=False)
    assert step(now, 60, membrane=0) == {"synaptic": 60, "membrane": 20, "fired": 1}


def test_alpha_by_hand() -> None:
    node = Alpha(
        "n", 1, Format(12, 4), Format(9, 4), np.array(14), np.array(11), 4, np.array(30), 4,
        np.array(50),
    )  # fmt: skip
    # e = floor(14·40/16) + 10 = 45; h = floor(11·−30/16) − 10 = −31; v = floor(30·14/16)
    assert step(node, 10, excitatory=40, inhibitory=-30) == {
        "excitatory": 45, "inhibitory": -31, "membrane": 26, "fired": 0,
    }  # fmt: skip
    assert step(node, 10, excitatory=40, inhibitory=-30, fired=1) == dict.fromkeys(
        ("excitatory", "inhibitory", "membrane", "fired"), 0
    )
    less = replace(node, reset="subtract")
    assert step(less, 10, excitatory=40, inhibitory=-30, fired=1) == {
        "excitatory": 45 - 50, "inhibitory": 0, "membrane": 26 - 30, "fired": 0,
    }  # fmt: skip


def test_adaptive_by_hand() -> None:
    node = Adaptive(
        "n", 1, Format(10, 4), Format(7, 4, False), np.array(15), np.array(14), 4, np.array(60),
        np.array(20),
    )  # fmt: skip
    assert step(node, 100) == {"membrane": 100, "adaptation": 20, "fired": 1}
    # 100 no longer reaches 60 + 40, the threshold takes 60 off, b decays to floor(14·40/16)
    assert step(node, 67, membrane=100, adaptation=40, fired=1) == {
        "membrane": 93 + 67 - 60, "adaptation": 35, "fired": 0,
    }  # fmt: skip
    assert step(node, 400, adaptation=127)["adaptation"] == 127
    assert step(replace(node, strict=False), 100, adaptation=40)["fired"] == 1


def test_lstm_by_hand() -> None:
    table = Tanh.of(4, 6, 4)
    node = LSTM(
        "n", 1, Format(9, 7), Format(12, 8), 6, table.entries, 4, 6, np.array(20)
    )  # fmt: skip
    # every gate's current is 1.0: 64 with 6 fraction bits
    tanh1 = int(np.rint(np.tanh(1) * 64))
    half = 64 + int(np.rint(np.tanh(0.5) * 64))
    cell = (half * 100 + (half * tanh1 << 2)) >> 7
    index = min((cell + 8) >> 4, 63)
    hidden = (half * int(table.entries[index])) >> 6
    assert step(node, 64, cell=100) == {"cell": cell, "membrane": hidden, "fired": hidden > 20}


def test_the_table_is_symmetric_and_its_bound_holds() -> None:
    for table in (Tanh.of(6, 8), Tanh.of(4, 6, 2), Tanh.of(8, 12, 5)):
        frac = table.step + 5
        raw = np.arange(-(8 << frac), (8 << frac) + 1)
        tanh, sigmoid = table.tanh(raw, frac), table.sigmoid(raw, frac)
        np.testing.assert_array_equal(tanh, -tanh[::-1])
        np.testing.assert_array_equal(sigmoid + sigmoid[::-1], 2 << table.frac)
        x = raw * 2.0**-frac
        worst = np.abs(tanh * 2.0**-table.frac - np.tanh(x)).max()
        assert worst <= table.error
        assert worst > table.error / 2  # a bound worth stating
        logistic = 1 / (1 + np.exp(-x))
        assert np.abs(sigmoid * 2.0 ** -(table.frac + 1) - logistic).max() <= table.error / 2
        # a table of other numbers does not keep the bound
        wrong = Tanh(table.entries // 2, table.step, table.frac)
        assert np.abs(wrong.tanh(raw, frac) * 2.0**-table.frac - np.tanh(x)).max() > table.error


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("Synaptic", {"synaptic": Format(9, 12)}, "must have at least the synaptic current's 12"),
        ("Synaptic", {"membrane": Format(19, 62)}, "make 76 bits wide, must be at most 62"),
        ("Adaptive", {"adaptation": Format(12, 4)}, "adaptation is s12.4, must be unsigned"),
        ("Adaptive", {"adaptation": Format(12, 3, False)}, "must have the membrane's 4 fraction"),
        ("Alpha", {"gain_shift": True}, "gain_shift is True, must be an integer"),
        ("LSTM", {"table_frac": 8.0}, "table_frac is 8.0, must be an integer"),
        ("Synaptic", {"synaptic_leak": np.array(99)}, "synaptic_leak spans 99 to 99, must lie"),
        ("Alpha", {"reset": "subtract", "reset_delay": False}, "must be zero or none"),
        ("Alpha", {"synaptic": Format(9, 1)}, "must have the synaptic currents' 1"),
        ("Alpha", {"gain": np.array(1 << 20)}, "gain spans"),
        ("Adaptive", {"adaptation": Format(15, 4, False)}, "leave no threshold, the membrane must"),
        ("LSTM", {"table": np.array([0, 3, 1])}, "must start at 0 and never fall"),
        ("LSTM", {"gate_frac": 2}, "gate_frac is 2 bits, must be 6 to 40"),
        ("LSTM", {"cell": Format(9, 3)}, "cell fraction is 3 bits, must be 8 to 40"),
        ("LSTM", {"reset": "half"}, "must be subtract, zero or none"),
    ],
)
def test_what_no_hardware_could_do_is_refused(family: str, changes: dict, message: str) -> None:
    case = next(c for c in CASES if c.family == family)
    (neuron,) = case.network().nodes_of(Neuron)
    with pytest.raises(NetworkError, match=message) as error:
        replace(neuron, **changes)
    assert str(error.value).startswith("node 'neuron': ")


class BigOps(IntegerOps):
    """The operations on Python's integers, which never wrap."""

    def fire(self, value, level, unit, strict):
        return super().fire(value, level, unit, strict).astype(object)

    def tanh(self, value, frac, table):
        drop = frac - table.step
        half = 1 << (drop - 1) if drop else 0
        last = len(table.entries) - 1

        def look_up(x: int) -> int:
            entry = int(table.entries[min((abs(x) + half) >> drop, last)])
            return entry if x > 0 else -entry

        return np.array([look_up(x) for x in value.ravel()], object).reshape(value.shape)

    def sigmoid(self, value, frac, table):
        return self.tanh(value, frac + 1, table) + (1 << table.frac)


def widest(family: str, random: np.random.Generator) -> Neuron:
    """A neuron in formats as wide as its checks allow, its numbers at their limits."""
    reset, delay = RESETS[random.integers(len(RESETS))]
    shift = int(random.choice([0, 4, 16]))
    width = 62 - shift
    options: dict[str, Any] = {
        "reset": reset,
        "reset_delay": delay,
        "strict": random.random() < 0.5,
    }
    wide, zero, one = Format(width, 4), np.array(0), np.array(1)
    if family == "LIF":
        node = LIF("n", 4, wide, zero, shift, one, **options)
    elif family == "Synaptic":
        rise = int(random.choice([0, 9]))
        inner = Format(62 - max(rise, shift), 4 - rise)
        node = Synaptic("n", 4, wide, inner, zero, zero, shift, one, **options)
    elif family == "Alpha":
        options["reset"] = "zero" if not delay else reset
        inner = Format(int(random.choice([width, 45 - shift])), 4)
        node = Alpha("n", 4, wide, inner, zero, zero, shift, zero, 3, one, **options)
    elif family == "Adaptive":
        narrower = Format(width - 2, 4, signed=False)
        node = Adaptive("n", 4, wide, narrower, zero, zero, shift, one, zero, **options)
    else:
        table = Tanh.of(8, 16, 4)
        cell = Format(24, int(random.choice([16, 40])))
        node = LSTM(
            "n", 4, Format(62, 33), cell, 40, table.entries, 8, 16, one, **options
        )  # fmt: skip
    numbers = {what: ends(*node.limits(what), (4,), random) for what in node.NUMBERS}
    return replace(node, **numbers)  # pyright: ignore[reportArgumentType]


def ends(low: int, high: int, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Mostly the two ends of a range, also what lies between."""
    return random.choice(np.array([low, high, high // 3, low + high // 2]), shape)


@pytest.mark.parametrize("family", FAULTS)
def test_steps_never_wrap(family: str) -> None:
    """64 bits give what unlimited integers give, in the widest formats and at their ends."""
    for seed in range(100):
        random = np.random.default_rng(seed)
        assert not wraps(widest(family, random), random)


def test_a_step_that_wraps_is_seen() -> None:
    random = np.random.default_rng(0)
    node = widest("LIF", random)
    object.__setattr__(node, "membrane", Format(62))  # which its check would refuse
    object.__setattr__(node, "leak", np.array(1 << 16))
    assert wraps(node, random)


def wraps(node: Neuron, random: np.random.Generator) -> bool:
    """Whether a step from the ends of all ranges differs from that of unlimited integers."""
    state = {k: ends(f.min, f.max, (3, 4), random) for k, f in node.states.items()}
    state["fired"] = random.integers(0, 2, (3, 4))
    current = ends(-(1 << 60), 1 << 60, (3, 4 * node.INPUTS), random)
    ops, big = IntegerOps(), BigOps()
    found = node.step(ops, node.numbers, state, current)
    numbers, wide = ({k: v.astype(object) for k, v in d.items()} for d in (node.numbers, state))
    expected = node.step(big, numbers, wide, current.astype(object))
    pairs = [(found.fired, expected.fired), (found.margin, expected.margin)]
    pairs += [(value, expected.state[name]) for name, value in found.state.items()]
    same = all((value.astype(object) == other).all() for value, other in pairs)
    return not same or ops.clipped != big.clipped


@pytest.mark.parametrize("fault", [False, True])
def test_training_knows_how_far_a_synaptic_current_reaches(monkeypatch, fault: bool) -> None:
    """Summed up over many steps and aligned to a finer membrane, it needs float64."""
    if fault:
        monkeypatch.setattr(Synaptic, "reach", Neuron.reach)
    node = Synaptic(
        "neuron", 1, Format(19, 20), Format(12, 0), np.array(16), np.array(15), 4, np.array(9),
        reset="none",
    )  # fmt: skip
    nodes = (
        Input("input", 1), Dense("dense", np.array([[1]]), Format(2)), node,
        Readout("readout", "last_membrane", 1),
    )  # fmt: skip
    edges = (Edge("input", "dense"), Edge("dense", "neuron"), Edge("neuron", "readout"))
    dtype = QATNetwork.of_network(Network(nodes, edges, 2000)).dtype
    assert dtype == (torch.float32 if fault else torch.float64)
