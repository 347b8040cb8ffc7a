"""A recording holds what happened in its call of `run`: no more, no less, of the neurons and at the times asked for."""

import numpy as np
import pytest

from eventsim import (
    LIF,
    FixedOutDegree,
    Network,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    Spikes,
    States,
    Uniform,
)

DT = 0.5
SIZE = 25


def network():
    neuron = LIF(tau_mem=10.0, tau_syn=3.0)
    return Network(
        [
            Population("source", 30, PoissonSource(60.0)),
            Population("n", SIZE, neuron, initial={"v": Uniform(0.0, 0.9)}),
            Population("m", 10, neuron),
        ],
        [
            Projection("source", "n", FixedOutDegree(8), weight=1.5, delay=Uniform(0.5, 3.0)),
            Projection("source", "m", FixedOutDegree(3), weight=1.5, delay=1.0),
            Projection("n", "n", FixedOutDegree(6), weight=-0.4, delay=2.0),
        ],
    )


def simulate(record, update="dense", **how):
    return Simulation(network(), DT, seed=1, dtype="float64", update=update, record=record, **how)


@pytest.fixture(scope="module")
def everything():
    """Spikes and states of all neurons in every step of 100 ms."""
    made = simulate([Spikes("n"), Spikes("source"), States("n", ("v", "i"))]).run(100.0)
    assert len(made.spikes["n"].times) > 100 and len(made.spikes["source"].times) > 100
    return made


CHOICES = {
    "slice": (slice(3, 20, 4), [3, 7, 11, 15, 19]),
    "negative slice": (slice(-2, None), [23, 24]),
    "array": (np.array([7, 2, 7], np.int16), [2, 7]),
    "list": ([24, 0], [0, 24]),
    "mask": (np.arange(SIZE) % 5 == 1, [1, 6, 11, 16, 21]),
    "none": ([], []),
    "all": (None, list(range(SIZE))),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("workers", [1, 3])
def test_the_neurons_asked_for_are_recorded(everything, choice, workers):
    asked, wanted = CHOICES[choice]
    made = simulate([Spikes("n", asked), States("n", ("i",), neurons=asked, interval=DT), Spikes("m")], workers=workers).run(100.0)
    keep = np.isin(everything.spikes["n"].neurons, wanted)
    assert np.array_equal(made.spikes["n"].neurons, everything.spikes["n"].neurons[keep])
    assert np.array_equal(made.spikes["n"].times, everything.spikes["n"].times[keep])
    assert made.states["n"].neurons.tolist() == wanted
    assert list(made.states["n"].values) == ["i"]
    assert np.array_equal(made.states["n"].values["i"], everything.states["n"].values["i"][:, wanted])


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_states_are_those_at_the_end_of_their_step(update):
    sampled = simulate([States("n", ("v", "i"), interval=2.5)], update)
    states = sampled.run(100.0).states["n"]
    np.testing.assert_allclose(states.times, 2.5 * np.arange(1, 41), rtol=1e-15)
    stepped = simulate([], update)
    for row in range(40):
        stepped.run(2.5)
        for field in "vi":
            assert np.array_equal(states.values[field][row], stepped.state("n", field)), (row, field)
    assert np.array_equal(states.values["v"][-1], sampled.state("n"))
    assert states.values["v"].std() > 0.01


def test_looking_changes_nothing():
    looked, alone = simulate([Spikes("n")], "sparse"), simulate([Spikes("n")], "sparse")
    parts = []
    for _ in range(50):
        parts.append(looked.run(2.0).spikes["n"])
        looked.state("n", "v"), looked.state("n", "i"), looked.counters, looked.update_modes()
    whole = alone.run(100.0).spikes["n"]
    assert np.array_equal(np.concatenate([p.times for p in parts]), whole.times)
    assert np.array_equal(looked.state("n"), alone.state("n")) and looked.counters == alone.counters


def binned(spikes, edges):
    """Spikes in (edges[k], edges[k + 1]]: a spike at t ends its step, so that it belongs to the bin that ends there."""
    return np.array(
        [np.sum((spikes.times > a + 1e-9) & (spikes.times <= b + 1e-9)) for a, b in zip(edges, edges[1:], strict=False)]
    )


@pytest.mark.parametrize("interval", [0.5, 4.0, 7.0, 100.0, 250.0])
def test_rates_are_counts_of_spikes(everything, interval):
    rates = simulate([Rates("n", interval), Rates("source", 10.0)]).run(100.0).rates
    edges = np.append(np.arange(0.0, 100.0, interval), 100.0)  # the last bin may be cut short
    counts = binned(everything.spikes["n"], edges)
    assert np.array_equal(rates["n"].counts, counts)
    np.testing.assert_allclose(rates["n"].times, edges[:-1], rtol=1e-14)
    np.testing.assert_allclose(rates["n"].rate, counts / (np.diff(edges) / 1000.0 * SIZE), rtol=1e-12)
    assert rates["source"].counts.sum() == len(everything.spikes["source"].times)


def test_bins_begin_at_multiples_of_the_interval_however_the_run_is_cut(everything):
    simulation = simulate([Rates("n", 7.0)])
    together = {}
    now = 0.0
    for piece in (3.0, 4.0, 0.0, 12.5, 0.5, 80.0):
        made = simulation.run(piece)
        rates = made.rates["n"]
        edges = np.unique(np.concatenate([rates.times, [now, now + piece]]))
        edges = edges[(edges >= now) & (edges <= now + piece)]
        assert np.allclose(rates.times, 7.0 * np.arange(now // 7.0, np.ceil((now + piece) / 7.0)))
        if piece:
            counts = binned(everything.spikes["n"], edges)
            assert np.array_equal(rates.counts, counts), now
            np.testing.assert_allclose(rates.rate, counts / (np.diff(edges) / 1000.0 * SIZE))
        else:
            assert not rates.counts.any() and not rates.rate.any()
        for time, count in zip(rates.times, rates.counts, strict=True):
            together[time] = together.get(time, 0) + count
        now += piece
    whole = simulate([Rates("n", 7.0)]).run(100.0).rates["n"]
    assert [together[t] for t in whole.times] == whole.counts.tolist()


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_recording_covers_its_call_only(everything, update):
    simulation = simulate([Spikes("n"), States("n", interval=1.5)], update)
    now, rows = 0.0, 0
    for piece in (10.0, 0.5, 0.0, 0.5, 64.0, 25.0):
        made = simulation.run(piece)
        assert (made.start, made.stop, made.dt) == pytest.approx((now, now + piece, DT))
        now += piece
        assert simulation.time == pytest.approx(now)
        spikes, states = made.spikes["n"], made.states["n"]
        inside = (everything.spikes["n"].times > made.start + 1e-9) & (everything.spikes["n"].times <= made.stop + 1e-9)
        assert np.array_equal(spikes.times, everything.spikes["n"].times[inside])
        assert np.array_equal(spikes.neurons, everything.spikes["n"].neurons[inside])
        times = 1.5 * np.arange(1, 100)
        times = times[(times > made.start + 1e-9) & (times <= made.stop + 1e-9)]
        np.testing.assert_allclose(states.times, times, rtol=1e-14)
        wanted = everything.states["n"].values["v"][np.rint(times / DT).astype(int) - 1]
        np.testing.assert_allclose(states.values["v"], wanted, rtol=0, atol=1e-12)
        rows += len(times)
    assert rows == 66


def test_shapes_and_types():
    record = [Spikes("n"), States("n", ("v", "i"), neurons=[1, 5, 9], interval=5.0), Rates("n", 20.0)]
    for batch, middle in ((1, ()), (2, (2,))):
        made = simulate(record, batch=batch).run(100.0)
        spikes, states, rates = made.spikes["n"], made.states["n"], made.rates["n"]
        assert spikes.times.dtype == np.float64 and spikes.neurons.dtype == spikes.batch.dtype == np.int64
        assert spikes.times.shape == spikes.neurons.shape == spikes.batch.shape
        assert set(spikes.batch) == set(range(batch))
        assert np.array_equal(np.lexsort((spikes.neurons, spikes.times, spikes.batch)), np.arange(len(spikes.times)))
        assert states.times.shape == (20,) and states.neurons.tolist() == [1, 5, 9]
        assert {field: value.shape for field, value in states.values.items()} == dict.fromkeys("vi", (20, *middle, 3))
        assert states.values["v"].dtype == np.float64
        assert rates.times.shape == (5,) and rates.counts.shape == rates.rate.shape == (5, *middle)
        assert rates.counts.sum() == len(spikes.times) and rates.counts.dtype == np.int64
        nothing = simulate(record, batch=batch).run(0.0)
        assert nothing.spikes["n"].times.shape == (0,) and nothing.states["n"].values["v"].shape == (0, *middle, 3)
        assert nothing.rates["n"].counts.shape == (0, *middle)


def test_each_item_of_a_batch_is_recorded_by_itself():
    record = [Spikes("n"), States("n", interval=5.0), Rates("n", 10.0)]
    simulation = simulate(record, batch=3, workers=2)
    made = simulation.run(100.0)
    for b in range(3):
        mine = made.spikes["n"].times[made.spikes["n"].batch == b]
        assert np.array_equal(np.histogram(mine - DT / 2, np.arange(0.0, 101.0, 10.0))[0], made.rates["n"].counts[:, b])
        assert np.array_equal(made.states["n"].values["v"][-1, b], simulation.state("n")[b])
    assert len(np.unique(made.states["n"].values["v"][-1], axis=0)) == 3
    assert simulation.state("n").shape == (3, SIZE)


def test_many_spikes_are_all_recorded():
    network = Network([Population("s", 300, PoissonSource(2000.0))])  # every member in every step: more than a buffer holds
    made = Simulation(network, DT, record=[Spikes("s"), Rates("s", 50.0)]).run(100.0)
    assert made.rates["s"].counts.tolist() == [30_000, 30_000] and made.rates["s"].rate.tolist() == [2000.0, 2000.0]
    assert np.array_equal(made.spikes["s"].neurons, np.tile(np.arange(300), 200))
    np.testing.assert_allclose(made.spikes["s"].times, np.repeat(DT * np.arange(1, 201), 300), rtol=1e-14)
