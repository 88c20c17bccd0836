"""The race of training steps: that it is fair, and that its figures come from its clock."""

import json
from dataclasses import replace

import pytest
import training_speed
from training_speed import LIBRARIES, OURS, RACES, Race, compare, data, main, measure, summarise

TINY = [replace(race, sizes=(30, 16, 16, 5), steps=8, batch=6) for race in RACES]


@pytest.mark.parametrize("race", TINY, ids=lambda race: race.name)
def test_all_three_send_the_same_spikes_and_find_the_same_gradients(race: Race) -> None:
    agreement = compare(race, LIBRARIES)
    assert set(agreement) == {"layer_rates", "snntorch", "spikingjelly"}
    assert len(agreement["layer_rates"]) == 3


@pytest.mark.parametrize("other", [{"beta": 0.75}, {"reset": "zero"}], ids=str)
@pytest.mark.parametrize("cheat", LIBRARIES)
def test_a_library_that_does_other_work_may_not_race(cheat: str, other: dict[str, str]) -> None:
    def altered(race: Race):
        return LIBRARIES[cheat](replace(race, **other))

    with pytest.raises(SystemExit, match="does other work than reslif"):
        compare(TINY[0], {**LIBRARIES, cheat: altered})


def test_other_gradients_are_other_work() -> None:
    """The same spikes, but a surrogate of another width."""

    def altered(race: Race):
        net = LIBRARIES["spikingjelly"](race)
        for neuron in net.neurons:
            neuron.surrogate_function.alpha = 20.0
        return net

    with pytest.raises(SystemExit, match=r"'equal_spikes': 1\.0"):
        compare(TINY[0], {**LIBRARIES, "spikingjelly": altered})


def test_a_silent_network_may_not_race(monkeypatch) -> None:
    dark = [tensor * 0 for tensor in data(TINY[0])]
    monkeypatch.setattr(training_speed, "data", lambda race: dark)
    with pytest.raises(SystemExit, match="a race needs"):
        compare(TINY[0], LIBRARIES)


def test_ratios_are_those_of_the_measured_times() -> None:
    seconds = {OURS: [1.0, 2.0, 1.0, 4.0], "slow": [3.0, 6.0, 3.0, 12.0], "mixed": [1, 1, 2, 6.0]}
    summary = summarise(seconds)
    assert summary["times_faster_than"]["slow"] == pytest.approx(
        {"median": 3, "lower_quartile": 3, "upper_quartile": 3, "best": 3}
    )
    # Round by round: 1, 0.5, 2, 1.5. The ratio of the medians would be 1.5 / 1.5 = 1.
    assert summary["times_faster_than"]["mixed"]["median"] == pytest.approx(1.25)
    assert summary["milliseconds"][OURS]["median"] == pytest.approx(1500)
    twice = summarise({**seconds, "slow": [2 * s for s in seconds["slow"]]})
    assert twice["times_faster_than"]["slow"]["median"] == pytest.approx(6)


def test_the_clock_sees_a_slow_library(monkeypatch) -> None:
    """A library that waits is slower by what it waits, whoever it is."""
    waits = {OURS: 0.0, "snntorch": 0.03, "spikingjelly": 0.0}
    now = [0.0]
    monkeypatch.setattr(training_speed.time, "process_time", lambda: now[0])

    def waiting(name: str):
        def make(race: Race):
            net = LIBRARIES[name](race)
            forward = net.forward

            def slow(x):
                now[0] += 0.01 + waits[name]
                return forward(x)

            net.forward = slow
            return net

        return make

    seconds = measure(TINY[0], {name: waiting(name) for name in LIBRARIES}, rounds=4)
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys(LIBRARIES, 4)
    ratios = summarise(seconds)["times_faster_than"]
    assert ratios["snntorch"]["median"] == pytest.approx(4)
    assert ratios["spikingjelly"]["median"] == pytest.approx(1)


def test_the_command_writes_all_it_measured(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(training_speed, "RACES", (TINY[0], TINY[-1]))
    out = tmp_path / "deep" / "speed.json"
    main([str(out)])
    content = json.loads(out.read_text())
    assert set(content) == {"rounds", "versions", "races"}
    assert content["versions"]["snntorch"] == "1.0.0"
    for race, expected in zip(content["races"], (TINY[0], TINY[-1]), strict=True):
        assert race["race"]["neuron"] == expected.neuron
        assert {name: len(times) for name, times in race["seconds"].items()} == dict.fromkeys(
            LIBRARIES, content["rounds"]
        )
        assert all(seconds > 0 for times in race["seconds"].values() for seconds in times)
        again = summarise(race["seconds"])
        assert race["times_faster_than"] == again["times_faster_than"]
        assert race["milliseconds"] == again["milliseconds"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["leaky on images", "rleaky on spikes"]


def test_the_command_names_its_usage() -> None:
    with pytest.raises(SystemExit, match="usage"):
        main([])
