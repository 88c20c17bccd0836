"""The integer neurons: by hand, in training and in the golden model, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from neuron_cases import CASES, FORMATS, Case, samples
from reslif.sw import golden
from reslif.sw.formats import Format
from reslif.sw.network import LSTM, Adaptive, Alpha, NetworkError, Neuron, Synaptic
from reslif.sw.network_file import load_network, save_network
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
        ("Synaptic", {"synaptic_leak": np.array(99)}, "synaptic_leak spans 99 to 99, must lie"),
        ("Alpha", {"reset": "subtract", "reset_delay": False}, "must be zero or none"),
        ("Alpha", {"synaptic": Format(9, 1)}, "must have the synaptic currents' 1"),
        ("Alpha", {"gain": np.array(1 << 20)}, "gain spans"),
        ("Adaptive", {"adaptation": Format(15, 4, False)}, "threshold spans"),
        ("Adaptive", {"adaptation": Format(5, 4)}, "must be unsigned"),
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
