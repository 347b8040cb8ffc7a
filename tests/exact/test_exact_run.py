"""Runs of the exact engine: cut into pieces, recorded, interrupted, refused; and what must not change a bit."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import eventsim.exact.simulation as exact_simulation
from eventsim import (
    LIF,
    Connectivity,
    Current,
    FixedInDegree,
    Increment,
    LIFDelta,
    LIFEx,
    Network,
    NetworkError,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
    Uniform,
)
from eventsim.exact.loop import compile_drive

NEURON = LIF(tau_mem=20.0, tau_syn=2.0, v_leak=24.0, v_th=20.0, v_reset=10.0, refractory=2.0)
EVERYTHING = (Spikes("cells"), Spikes("inputs"), States("cells", ("v", "i"), interval=0.1), Rates("cells", 2.0))


def network(*, inputs=(), size=60):
    """A network that is balanced, with drawn weights and delays, and inputs of all kinds."""
    return Network(
        [
            Population("cells", size, NEURON, initial={"v": Uniform(0.0, 20.0)}),
            Population("inputs", 10, PoissonSource(100.0)),
        ],
        [
            Projection("cells", "cells", FixedInDegree(20), weight=Normal(-4.0, 3.0), delay=Uniform(0.5, 3.0)),
            Projection("inputs", "cells", FixedInDegree(5), weight=8.0, delay=Uniform(0.5, 3.0)),
        ],
        [PoissonNoise("cells", 200.0, 5.0), *inputs],
    )


def simulation(chosen=None, **options):
    return Simulation(chosen or network(), method="exact", seed=3, record=EVERYTHING, **options)


def joined(recordings):
    """All that was recorded, as arrays."""
    out = {
        name: np.concatenate([np.stack([r.spikes[name].times, r.spikes[name].neurons]) for r in recordings], axis=1)
        for name in ("cells", "inputs")
    }
    states = [r.states["cells"] for r in recordings]
    out |= {"at": np.concatenate([s.times for s in states])}
    out |= {field: np.concatenate([s.values[field] for s in states]) for field in ("v", "i")}
    return out


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("cuts", [(20.0, 20.0), (0.3, 0.4, 39.3), (40.0, 0.0)])
def test_a_run_in_pieces_gives_the_same_bits(cuts):
    chosen = network(inputs=[Current("cells", [0.0, 3.0, -2.0], times=[5.0, 13.37, 20.0])])
    whole, pieces = simulation(chosen), simulation(chosen)
    one, other = joined([whole.run(40.0)]), joined([pieces.run(cut) for cut in cuts])
    assert one["cells"].shape[1] > 50
    same(one, other)
    assert whole.time == pieces.time == 40.0
    np.testing.assert_array_equal(whole.state("cells"), pieces.state("cells"))


def test_states_and_rates_are_those_of_the_spikes():
    run = simulation()
    recording = run.run(40.0)
    states, rates, spikes = recording.states["cells"], recording.rates["cells"], recording.spikes["cells"]
    np.testing.assert_allclose(states.times, 0.1 * np.arange(1, 401), rtol=1e-12)
    np.testing.assert_array_equal(rates.counts, np.histogram(spikes.times, np.arange(0.0, 41.0, 2.0))[0])
    held = [np.flatnonzero((states.times > t) & (states.times < t + 2.0)) for t in spikes.times]
    for rows, neuron in zip(held, spikes.neurons, strict=True):
        assert np.all(states.values["v"][rows, neuron] == 10.0)  # refractory
    assert recording.dt == 0.0 and run.counters.spikes == sum(len(recording.spikes[name].times) for name in ("cells", "inputs"))


def test_a_current_that_changes_acts_from_its_time_on():
    chosen = Network([Population("n", 1, LIF(tau_mem=20.0, v_th=1.0))], inputs=[Current("n", [0.0, 2.0], times=[0.0, 3.21])])
    found = Simulation(chosen, method="exact", record=[Spikes("n")]).run(30.0).spikes["n"].times
    assert found[0] == pytest.approx(3.21 + 20.0 * np.log(2.0), abs=1e-12)  # (v_leak - v)/(v_leak - v_th) = 2


def first_spikes(currents, pieces, record=(), names=("n",)):
    populations = [Population(name, 1, LIF(tau_mem=20.0, v_th=1.0)) for name in names]
    run = Simulation(Network(populations, inputs=currents), method="exact", record=[*map(Spikes, names), *record])
    found = [run.run(piece) for piece in pieces]
    return [np.concatenate([recording.spikes[name].times for recording in found])[0] for name in names]


def test_a_current_changes_where_a_run_or_a_sample_ends_a_rounding_before():
    """2.1 is 3 * 0.7 to rounding, and 0.8 eight times 0.1: what ends there has not reached the change, and must not pass over it."""
    assert 3 * 0.7 < 2.1 and sum([0.1] * 8) < 0.8
    current = Current("n", [2.0], times=[2.1])
    assert first_spikes([current], [30.0], [States("n", interval=0.7)]) == first_spikes([current], [30.0])
    current = Current("n", [2.0], times=[0.8])
    assert first_spikes([current], [0.1] * 8 + [29.2]) == first_spikes([current], [30.0])


def test_currents_of_two_populations_change_together():
    """At 0.3 and at 3 * 0.1, which is another number."""
    currents = [Current("a", [2.0], times=[0.3]), Current("b", [0.0] * 3 + [2.0] * 300, interval=0.1)]
    one, other = first_spikes(currents, [30.0], names=("a", "b"))
    assert one == pytest.approx(other, abs=1e-12)


def test_queue_and_spike_buffer_grow(monkeypatch):
    expected = joined([simulation().run(40.0)])
    monkeypatch.setattr(exact_simulation, "ROOM", 1)
    grown = simulation()
    before = grown._queue.room
    same(expected, joined([grown.run(40.0)]))
    assert grown._queue.room > before and grown._spikes.room > 1


class Interrupting:
    """The loop; Ctrl-C comes during its tenth piece."""

    def __init__(self):
        self.calls = 0

    def ctypes(self, context, until):
        self.calls += 1
        if self.calls == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return compile_drive().ctypes(context, until)


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, as it does where Python was not started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_a_recording_and_the_run_goes_on_with_the_same_bits(ctrl_c, monkeypatch):
    expected = joined([simulation().run(40.0)])
    monkeypatch.setattr(exact_simulation, "PIECE", 300)
    run = simulation()
    run._drive = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run.run(40.0)
    first = run.recording
    assert 0.0 < run.time < 40.0 and first.stop == run.time
    same(expected, joined([first, run.run(40.0 - run.time)]))


def test_ctrl_c_is_heard_where_nothing_ever_arrives(ctrl_c, monkeypatch):
    chosen = Network([network().populations[0]])
    expected = Simulation(chosen, method="exact", record=[Spikes("cells")]).run(400.0).spikes["cells"]
    monkeypatch.setattr(exact_simulation, "PIECE", 3)
    run = Simulation(chosen, method="exact", record=[Spikes("cells")])
    run._drive = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run.run(400.0)
    first, time = run.recording.spikes["cells"], run.time
    assert 0.0 < time < 200.0 and len(first.times)
    times = np.concatenate([first.times, run.run(400.0 - time).spikes["cells"].times])
    np.testing.assert_array_equal(times, expected.times)


def test_the_order_in_which_inputs_were_named_changes_no_bit():
    rng = np.random.default_rng(1)
    source, target = rng.integers(0, 30, 900), rng.integers(0, 30, 900)
    weight, delay = rng.normal(1.0, 3.0, 900), rng.choice([1.0, 1.5], 900)
    times, fire = np.repeat(np.arange(1.0, 30.0), 20), rng.integers(0, 30, 580)

    def spikes(order_of_spikes, order_of_synapses, turned):
        def part(chosen):
            at = [order_of_synapses[chosen[order_of_synapses]]]
            return Projection(
                "s", "n", Connectivity.from_coo(*(x[at[0]] for x in (source, target)), 30, 30, weight[at[0]], delay[at[0]])
            )

        halves = [part(np.arange(900) % 2 == half) for half in (0, 1)]
        chosen = Network(
            [Population("s", 30, SpikeSource(times[order_of_spikes], fire[order_of_spikes])), Population("n", 30, NEURON)],
            halves[::-1] if turned else halves,
        )
        run = Simulation(chosen, method="exact", record=[Spikes("n")])
        return run.run(40.0).spikes["n"].times, run.state("n")

    expected = spikes(np.arange(580), np.arange(900), False)
    assert len(expected[0]) > 10
    for turned in (False, True):
        for one, other in zip(expected, spikes(rng.permutation(580), rng.permutation(900), turned), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Simulation(network(), 0.1, method="exact"), SimulationError, "knows no 'dt'"),
        (lambda: Simulation(network(), method="exact", workers=2), SimulationError, "knows no 'workers'"),
        (lambda: Simulation(network(), method="exact", record=[States("cells")]), SimulationError, "give interval"),
        (lambda: Simulation(Network([Population("n", 1, LIF(method="euler"))]), method="exact"), NetworkError, "Euler's method"),
        (
            lambda: Simulation(Network([Population("n", 1, LIFEx())]), method="exact"),
            NetworkError,
            "population 'n': LIFEx cannot run",
        ),
        (lambda: Simulation(network(inputs=[Increment("cells", 1.0)]), method="exact"), NetworkError, "Increment to 'cells'"),
        (
            lambda: Simulation(
                Network([Population("n", 2, LIF())], [Projection("n", "n", FixedInDegree(1), 1.0, 0.0)]), method="exact"
            ),
            NetworkError,
            "n",
        ),
        (lambda: simulation().run(-1.0), SimulationError, "not negative"),
    ],
    ids=["dt", "workers", "interval", "euler", "no crossing", "increment", "zero delays", "duration"],
)
def test_what_cannot_be_is_refused_by_name(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_neurons_that_fire_without_end_are_an_error():
    run = Simulation(Network([Population("n", 1, LIFDelta(v_leak=3.0, v_th=1.0, v_reset=2.0))]), method="exact")
    with pytest.raises(SimulationError, match="fire without end"):
        run.run(50.0)
