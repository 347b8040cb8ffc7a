"""Counts of spikes in bins: those of the grid, and the same however a run is cut."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventsim.exact.simulation as exact_simulation
from eventsim import LIFDelta, Network, OneToOne, PoissonSource, Population, Projection, Rates, Simulation, Spikes, SpikeSource
from eventsim.exact.loop import compile_drive


def sources(times) -> Network:
    """A neuron that fires at given times."""
    return Network([Population("s", 1, SpikeSource(np.asarray(times, float), np.zeros(len(times), np.int64)))])


def together(recordings, name="s"):
    """The counts of all bins, by the time at which they begin."""
    found: dict[float, int] = {}
    for recording in recordings:
        rates = recording.rates[name]
        for time, count in zip(rates.times.tolist(), rates.counts.tolist(), strict=True):
            found[time] = found.get(time, 0) + count
    return {time: count for time, count in found.items() if count}


def test_a_spike_where_two_bins_meet_counts_in_the_first():
    run = Simulation(sources([1.0, 2.0, 2.5, 4.0, 6.0]), method="exact", record=[Rates("s", 2.0)])
    rates = run.run(7.0).rates["s"]
    assert rates.times.tolist() == [0.0, 2.0, 4.0, 6.0]
    assert rates.counts.tolist() == [2, 2, 1, 0] and rates.counts.dtype == np.int64
    assert rates.rate.tolist() == [1000.0, 1000.0, 500.0, 0.0]
    assert run.run(1.0).rates["s"].times.tolist() == [6.0]
    assert run.run(0.0).rates["s"].times.tolist() == []  # 8 ms: no bin has begun


@given(st.sets(st.integers(1, 80), max_size=20), st.lists(st.integers(0, 30), max_size=4), st.sampled_from([1, 3, 8]))
def test_bins_are_those_of_the_grid_however_either_is_cut(fired, pieces, bins):
    """Everything at multiples of 1/8 ms, so that spikes fall on edges of bins and on the ends of runs."""
    network, record = sources(np.sort(list(fired)) / 8.0), [Rates("s", bins / 8.0)]
    exact = Simulation(network, method="exact", record=record)
    grid = Simulation(network, 0.125, record=record)
    for piece in [*(p / 8.0 for p in pieces), 20.0]:
        one, other = exact.run(piece).rates["s"], grid.run(piece).rates["s"]
        assert one.times.tolist() == other.times.tolist()
        assert one.counts.tolist() == other.counts.tolist()
        np.testing.assert_allclose(one.rate, other.rate, rtol=1e-12)


@pytest.mark.parametrize("interval", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("pieces", [[0.1] * 60, [0.3] * 20, [2.0, 0.7, 0.0, 3.3], [1.1, 4.9]], ids=["60", "20", "4", "2"])
def test_bins_add_up_where_neither_edges_nor_ends_are_numbers_of_float64(interval, pieces):
    """A spike on the edge of a bin that the end of a run misses by a rounding belongs to the same bin in all cuts."""
    network, record = sources(np.arange(1, 60) * 0.1), [Rates("s", interval)]
    whole = Simulation(network, method="exact", record=record)
    cut = Simulation(network, method="exact", record=record)
    runs = [cut.run(piece) for piece in pieces]
    last = whole.run(max(cut.time, 6.0))
    assert together([last]) == together(runs) and sum(together(runs).values()) == 59
    edges, times = np.arange(0, 100) * interval, np.arange(1, 60) * 0.1
    for begin, count in together([last]).items():
        k = int(np.flatnonzero(edges == begin)[0])
        assert count == np.sum((times > edges[k]) & (times <= edges[k + 1]))
    assert all(np.all(run.rates["s"].rate < 1e5) for run in runs)


def test_what_fires_at_0_counts_in_the_first_bin():
    network = Network([Population("s", 3, LIFDelta(v_th=1.0), initial={"v": np.array([0.0, 2.0, 3.0])})])
    for pieces in ([5.0], [0.0, 5.0], [0.0, 0.0, 2.0, 3.0]):
        run = Simulation(network, method="exact", record=[Rates("s", 2.0), Spikes("s")])
        recordings = [run.run(piece) for piece in pieces]
        assert together(recordings) == {0.0: 2}
        assert recordings[0].spikes["s"].times.tolist() == [0.0, 0.0]


def test_ctrl_c_comes_between_two_times_and_not_within_one(monkeypatch):
    """All sources fire at the same times; the loop pauses after each event, and is interrupted after each number of them."""
    n, ends = 7, set()
    times = np.repeat(np.arange(1.0, 5.0), n)
    network = Network(
        [Population("s", n, SpikeSource(times, np.tile(np.arange(n), 4))), Population("n", n, LIFDelta(v_th=0.5))],
        [Projection("s", "n", OneToOne(), weight=1.0, delay=1.0)],
    )
    monkeypatch.setattr(exact_simulation, "PIECE", 0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    drive = compile_drive()
    try:
        for number in range(1, 40):
            run, calls = Simulation(network, method="exact", record=[Rates("s", 1.0), Rates("n", 1.0), Spikes("n")]), []

            class Interrupting:
                """The loop; Ctrl-C comes during one of its pieces."""

                @staticmethod
                def ctypes(context, until, calls=calls, number=number):
                    calls.append(until)
                    if len(calls) == number:
                        os.kill(os.getpid(), signal.SIGINT)
                    return drive.ctypes(context, until)

            run._drive = Interrupting
            with pytest.raises(KeyboardInterrupt):
                run.run(6.0)
            first, second = run.recording, run.run(6.0 - run.time)
            ends.add(first.stop)
            assert np.all(first.spikes["n"].times <= first.stop) and np.all(second.spikes["n"].times > first.stop)
            for name, begin in (("s", 0.0), ("n", 1.0)):
                assert together([first, second], name) == {begin + k: n for k in range(4)}
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(ends) > 2


def test_counts_are_of_all_spikes():
    network = Network([Population("s", 50, PoissonSource(100.0))])
    run = Simulation(network, method="exact", seed=1, record=[Rates("s", 0.7), Spikes("s")])
    for piece in (10.0, 0.3, 12.34, 0.0, 5.0):
        recording = run.run(piece)
        rates, times = recording.rates["s"], recording.spikes["s"].times
        assert rates.counts.sum() == len(times)
        covered = np.minimum(rates.times + 0.7, recording.stop) - np.maximum(rates.times, recording.start)
        np.testing.assert_allclose(rates.rate[covered > 0], (rates.counts / np.maximum(covered, 1e-9) / 0.05)[covered > 0])
