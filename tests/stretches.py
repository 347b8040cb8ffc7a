"""Made-up recordings of any stretch of one run, as the engines would return them, and whether two recordings are equal."""

from __future__ import annotations

import numpy as np

from eventsim.exact.recorders import rates_of
from eventsim.rate_bins import grid_bins, grid_rate
from eventsim.recording import RateData, Rates, Recording, SpikeData, Spikes, StateData, States

DT, STEPS, SIZE, INTERVAL, EVERY = 0.1, 400, 7, 0.7, 3
SIZES = {"a": SIZE, "b/c": 3}
CHOSEN = np.array([1, 4, 6])
RECORDERS = (
    Spikes("a"),
    Rates("a", INTERVAL),
    States("a", ("v", "i"), neurons=CHOSEN, interval=EVERY * DT),
    Spikes("b/c"),
    Rates("b/c", DT),
)


def _fired(population: str, batch: int) -> np.ndarray:
    """Which neurons fire in which step: (batch, steps, neurons)."""
    return np.random.default_rng(len(population)).random((batch, STEPS, SIZES[population])) < 0.1


def stretch(first: int, last: int, batch: int = 1, dtype: type = np.float32) -> Recording:
    """What `Simulation.run` returns for the steps first + 1 ... last."""
    spikes, rates = {}, {}
    for name, interval in (("a", 7), ("b/c", 1)):
        fired = _fired(name, batch)[:, first:last]
        item, step, neuron = np.nonzero(fired)
        spikes[name] = SpikeData((step + first + 1) * DT, neuron, item)
        times, seconds = grid_bins(first, last, interval, DT)
        counts = np.zeros((len(times), batch), np.int64)
        np.add.at(counts, ((step + first) // interval - first // interval, item), 1)
        counts = counts[:, 0] if batch == 1 else counts
        rates[name] = RateData(times, counts, grid_rate(counts, seconds, SIZES[name]))
    samples = np.arange(first // EVERY + 1, last // EVERY + 1) * EVERY
    shape = (len(samples), len(CHOSEN)) if batch == 1 else (len(samples), batch, len(CHOSEN))
    values = (
        np.sin(samples).reshape(-1, *[1] * (len(shape) - 1)) * np.arange(1, np.prod(shape[1:]) + 1).reshape(shape[1:])
    ).astype(dtype)
    states = {"a": StateData(samples * DT, CHOSEN, {"v": values, "i": values + dtype(1)})}
    return Recording(first * DT, last * DT, DT, spikes, states, rates)


def exact_stretch(start: float, stop: float) -> Recording:
    """What a run in continuous time returns for start < t <= stop (ms), with Spikes and Rates of "a"."""
    rng = np.random.default_rng(5)
    times, neurons = np.sort(rng.uniform(0.0, 40.0, 300)), rng.integers(0, SIZE, 300)
    times[::10] = np.ceil(times[::10] / INTERVAL) * INTERVAL  # some where bins meet
    order = np.lexsort((neurons, times))
    times, neurons = times[order], neurons[order]
    mine = (times > start) & (times <= stop)
    spikes = SpikeData(times[mine], neurons[mine], np.zeros(mine.sum(), np.int64))
    return Recording(start, stop, 0.0, {"a": spikes}, {}, {"a": rates_of(times[mine], SIZE, INTERVAL, start, stop)})


def assert_same(found: Recording, expected: Recording) -> None:
    """Equal in every bit, type and shape."""
    assert (found.start, found.stop, found.dt) == (expected.start, expected.stop, expected.dt)
    pairs = []
    for kind in ("spikes", "states", "rates"):
        mine, other = getattr(found, kind), getattr(expected, kind)
        assert set(mine) == set(other)
        for name in mine:
            for part in mine[name]._fields:
                values = getattr(mine[name], part), getattr(other[name], part)
                if part == "values":
                    assert list(values[0]) == list(values[1])
                    pairs += [(f"{kind} {name} {field}", values[0][field], values[1][field]) for field in values[0]]
                else:
                    pairs.append((f"{kind} {name} {part}", *values))
    for label, one, two in pairs:
        assert one.dtype == two.dtype and one.shape == two.shape, label
        assert one.tobytes() == two.tobytes(), label
