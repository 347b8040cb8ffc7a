"""Windows of the exact engine: neurons fire late, at the right time, so that no bit depends on when they are looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventsim.exact.simulation as exact_simulation
from eventsim import (
    IAF,
    LIF,
    QIF,
    AdaLIF,
    Current,
    FixedInDegree,
    LIFAlpha,
    LIFDelta,
    LIFExcInh,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
    Uniform,
)
from eventsim.exact import layout as w
from eventsim.exact.calendar import day_of, push
from eventsim.exact.queue import EventQueue
from eventsim.exact.windows import first_time, next_day
from eventsim.models import BUILT_IN

NEURONS = {
    "LIF": LIF(tau_mem=20.0, tau_syn=2.0, v_leak=24.0, v_th=20.0, v_reset=10.0, refractory=2.0),
    "LIFDelta": LIFDelta(tau_mem=20.0, v_leak=np.linspace(18.0, 26.0, 80), v_th=20.0, v_reset=10.0),
    "LIFAlpha": LIFAlpha(tau_mem=20.0, tau_syn=2.0, v_leak=24.0, v_th=20.0, v_reset=10.0, refractory=1.0),
    "LIFExcInh": LIFExcInh(tau_mem=20.0, v_leak=24.0, v_th=20.0, v_reset=10.0, refractory=2.0),
    "AdaLIF": AdaLIF(tau_mem=20.0, v_leak=24.0, v_th=20.0, v_reset=10.0),
    "QIF": QIF(),
    "IAF": IAF(v_th=20.0, slope=1.0),
}


def network(neuron, delay):
    """Inputs of all kinds; those of the sources come without delay, too."""
    port = "exc" if neuron.model.name == "LIFExcInh" else None
    return Network(
        [
            Population("n", 80, neuron),
            Population("s", 10, PoissonSource(100.0)),
            Population("g", 1, SpikeSource([3.0, 3.0, 7.25], [0, 0, 0])),
        ],
        [
            Projection("n", "n", FixedInDegree(20), weight=Normal(-1.0, 3.0), delay=delay, port=port),
            Projection("s", "n", FixedInDegree(5), weight=3.0, delay=Uniform(0.0, 3.0), port=port),
            Projection("g", "n", FixedInDegree(1), weight=2.0, delay=0.0, port=port),
        ],
        [PoissonNoise("n", 300.0, 2.0, port=port), Current("n", [0.0, 1.0, 0.0], times=[4.5, 11.0, 20.0])],
    )


def results(chosen, pieces=(30.0,)):
    run = Simulation(chosen, method="exact", seed=4, record=[Spikes("n"), Spikes("s"), States("n", interval=0.7)])
    recordings = [run.run(piece) for piece in pieces]
    out = [np.concatenate([getattr(r.spikes[name], field) for r in recordings]) for name in "ns" for field in ("times", "neurons")]
    out += [np.concatenate([r.states["n"].values["v"] for r in recordings]), run.state("n")]
    return run, out


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("delay", [1.5, Uniform(0.4, 3.0)], ids=["one", "drawn"])
@pytest.mark.parametrize("name", NEURONS)
def test_late_or_in_order_the_bits_are_the_same(name, delay, monkeypatch):
    chosen = network(NEURONS[name], delay)
    late, expected = results(chosen)
    assert late._by_day and len(expected[0]) > 100 and np.all(np.diff(expected[0]) >= 0.0)
    for shorter in (0.3, 0.01):
        monkeypatch.setattr(exact_simulation, "SHORTER", shorter)
        same(expected, results(chosen)[1])
    same(expected, results(chosen, (0.1, 3.37, 11.0, 30.0 - 0.1 - 3.37 - 11.0))[1])
    monkeypatch.setattr(exact_simulation, "LEAST_WINDOW", math.inf)
    in_order, found = results(chosen)
    assert not in_order._by_day
    same(expected, found)
    assert in_order.counters == late.counters


@pytest.mark.parametrize("room", [1, 1 << 12])
def test_a_neuron_fires_often_in_one_window(room, monkeypatch):
    """v = 100 (1 - exp(-t/10)) from 0, again and again, is at 20 after 10 log(100/80) ms; the least delay is longer than the run."""
    monkeypatch.setattr(exact_simulation, "ROOM", room)
    chosen = Network(
        [Population("n", 3, LIFDelta(tau_mem=10.0, v_leak=100.0, v_th=20.0), initial={"v": np.array([0.0, 10.0, -50.0])})],
        [Projection("n", "n", FixedInDegree(1), weight=0.0, delay=60.0)],
    )
    run = Simulation(chosen, method="exact", record=[Spikes("n")])
    spikes = run.run(50.0).spikes["n"]
    interval = 10.0 * math.log(100.0 / 80.0)
    for neuron, v in enumerate((0.0, 10.0, -50.0)):
        first = 10.0 * math.log((100.0 - v) / 80.0)
        expected = first + interval * np.arange(math.floor((50.0 - first) / interval) + 1)
        np.testing.assert_allclose(spikes.times[spikes.neurons == neuron], expected, rtol=1e-13)
    assert np.all(np.diff(spikes.times) >= 0.0)


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_layers_without_delay_fire_in_order(delay):
    """A spike that arrives at once sets off the next layer at the same time."""
    population = [Population("s", 1, SpikeSource([1.0, 5.5], [0, 0]))] + [
        Population(name, 2, LIFDelta(v_th=1.0, refractory=0.5)) for name in "ab"
    ]
    chosen = Network(
        population, [Projection("s", "a", FixedInDegree(1), 2.0, 0.25), Projection("a", "b", FixedInDegree(1), 2.0, delay)]
    )
    run = Simulation(chosen, method="exact", record=[Spikes("a"), Spikes("b")])
    recording = run.run(10.0)
    assert run._by_day == (delay > 0.0)
    np.testing.assert_array_equal(recording.spikes["a"].times, [1.25, 1.25, 5.75, 5.75])
    np.testing.assert_array_equal(recording.spikes["b"].times, delay + np.array([1.25, 1.25, 5.75, 5.75]))


@pytest.mark.parametrize("least", [0.01, math.inf])
@pytest.mark.parametrize("size", [1, 3000])
def test_neurons_that_fire_without_end_are_noticed_in_time(size, least, monkeypatch):
    monkeypatch.setattr(exact_simulation, "LEAST_WINDOW", least)
    chosen = Network([Population("n", size, LIFDelta(tau_mem=20.0, v_leak=3.0, v_th=1.0, v_reset=2.0), initial={"v": 0.0})])
    with pytest.raises(SimulationError, match="fire without end at 8.1"):
        Simulation(chosen, method="exact").run(50.0)


@given(per_ms=st.floats(1e-3, 1e4), day=st.integers(1, 10**9))
def test_a_day_begins_where_the_one_before_ends(per_ms, day):
    queue = EventQueue(10)
    queue.set_days(0.0, per_ms)
    first = first_time(queue.words, day)
    assert day_of(queue.words, first) == day and day_of(queue.words, np.nextafter(first, 0.0)) == day - 1


def test_days_without_visits_are_passed_over():
    queue = EventQueue(100)
    queue.set_days(0.0, 1.0)
    queue.begin(0.0)
    next_day(queue.words, 1e9)  # nobody is to be visited at all
    assert queue.words[w.QUEUE_DAY] + 1 == 10**9
    queue.begin(3.0)
    push(queue.words, 6.5, 1)
    next_day(queue.words, 100.0)
    assert queue.words[w.QUEUE_DAY] + 1 == 6
    queue.begin(3.0)
    next_day(queue.words, 5.2)  # something arrives before
    assert queue.words[w.QUEUE_DAY] + 1 == 5
    next_day(queue.words, 0.0)
    assert queue.words[w.QUEUE_DAY] + 1 == 6


def test_silence_costs_nothing():
    """A million windows, and nobody to be visited."""
    chosen = Network([Population("n", 1000, LIF(v_th=1.0))], [Projection("n", "n", FixedInDegree(10), 1.0, 1.0)])
    run = Simulation(chosen, method="exact")
    run.run(1e6)
    assert run.counters.spikes == 0 and run.time == 1e6 and run._visits.entries == 0


@pytest.mark.parametrize("model", [name for name, model in BUILT_IN.items() if not model.spiking and model.exact is not None])
def test_a_readout_is_moved_and_never_fires(model):
    chosen = Network(
        [Population("s", 3, SpikeSource([1.0, 2.5, 2.5], [0, 1, 2])), Population("n", 3, BUILT_IN[model]())],
        [Projection("s", "n", FixedInDegree(3), 1.0, Uniform(0.0, 1.0))],
        [Current("n", [0.0, 0.1], times=[0.0, 1.25])],
    )
    (late, found), (_, expected) = (
        results_of(Simulation(chosen, method="exact", seed=1, record=[States("n", interval=0.5)]), pieces)
        for pieces in ((10.0,), (1.25, 0.0, 8.75))
    )
    assert late.counters.spikes == 3 and np.all(np.isfinite(found)) and np.ptp(found) > 0.0
    np.testing.assert_array_equal(found, expected)


def results_of(run, pieces):
    return run, np.concatenate([run.run(piece).states["n"].values["v"] for piece in pieces])


def test_many_visits_of_later_years_and_small_pieces_end(monkeypatch):
    """Entries that are only put back do not use up the budget of a piece, and a day that used it up is over."""
    monkeypatch.setattr(exact_simulation, "PIECE", 0)
    chosen = Network(
        [Population("n", 1000, LIFDelta(tau_mem=1e5, v_leak=24.0, v_th=20.0), initial={"v": 0.0})],
        [Projection("n", "n", FixedInDegree(1), 0.0, 0.5)],
    )
    run = Simulation(chosen, method="exact")
    run.run(3000.0)
    assert run.time == 3000.0 and run.counters.spikes == 0


def test_sources_may_fire_as_often_at_one_time_as_they_are_told():
    many = 5000
    chosen = Network(
        [Population("s", 1, SpikeSource(np.ones(many), np.zeros(many, int))), Population("n", 1, LIFDelta(v_th=4999.5))],
        [Projection("s", "n", FixedInDegree(1), 1.0, 1.0)],
    )
    run = Simulation(chosen, method="exact", record=[Spikes("n")])
    np.testing.assert_array_equal(run.run(3.0).spikes["n"].times, [2.0])
    assert run.counters.spikes == many + 1


def test_times_beyond_what_windows_can_tell_apart_are_refused():
    chosen = Network([Population("n", 1, LIF())], [Projection("n", "n", FixedInDegree(1), 0.0, 0.01)])
    with pytest.raises(SimulationError, match="lost in rounding"):
        Simulation(chosen, method="exact").run(1e13)


def test_a_neuron_at_its_threshold_that_falls_fires_when_it_comes_back():
    """v = v_th exactly, and an inhibitory current: it fires where v crosses from below, much later."""
    neuron = LIF(tau_mem=20.0, tau_syn=2.0, v_leak=24.0, v_th=20.0, v_reset=0.0)
    chosen = Network([Population("n", 1, neuron, initial={"v": 20.0, "i": -100.0})])
    found = Simulation(chosen, method="exact", record=[Spikes("n")]).run(40.0).spikes["n"].times
    # v = 24 - 4 exp(-t/20) + 100/9 (exp(-t/2) - exp(-t/20)) = 20, where exp(-t/2) counts for nothing any more
    assert found[0] == pytest.approx(20.0 * math.log((4.0 + 100.0 / 9.0) / 4.0), abs=1e-3) and len(found) == 1
