"""Rates that vary and gamma processes on the grid: the law of each step, the exact engine's times, the same bits however run."""

import math

import numpy as np
import pytest
import scipy.stats

from eventsim import (
    IAF,
    LIF,
    FixedOutDegree,
    GammaSource,
    Network,
    NetworkError,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    States,
    VaryingRate,
)
from eventsim.cpu.inputs import MOST_THRESHOLDS, fill_thresholds
from eventsim.cpu.poisson import thresholds
from eventsim.rate_curve import make_curve, mean_rate, member_of
from eventsim.varying_rate import pieces

STRICT = 1e-3  # the seeds are fixed
COUNTER = IAF(v_th=1e18)  # v is the sum of all that it received, exact for whole numbers

RATES = {
    "steps": VaryingRate([80.0, 0.0, 300.0, 20.0], [10.0, 50.03, 90.0, 100.07]),
    "lines": VaryingRate([0.0, 200.0, 0.0, 100.0], [20.0, 60.05, 100.0, 140.0], "linear", before="hold", after="zero"),
    "periodic steps": VaryingRate([200.0, 10.0, 60.0], [1.0, 2.55, 7.0], period=11.3),
    "periodic lines": VaryingRate([0.0, 300.0, 20.0], [2.0, 3.0, 9.0], "linear", period=13.7),
    "within a step": VaryingRate([0.0, 1900.0, 0.0], [0.0, 20.2, 20.3], period=40.0),
}


def means(rate, edges, member=0):
    """The mean rate in spikes/s between edges in ms: an oracle on a fine mesh that holds all corners of the rate."""
    start, left, right = pieces(rate)
    turns = np.arange(math.ceil(edges[-1] / rate.period) + 1) if rate.period else np.zeros(1)
    corners = (turns[:, None] * (rate.period or 0.0) + start[np.isfinite(start)]).ravel()
    mesh = np.unique(np.concatenate([edges, corners[corners < edges[-1]]]))
    middle, width = 0.5 * (mesh[1:] + mesh[:-1]), np.diff(mesh)
    x = middle % rate.period if rate.period else middle
    at = np.searchsorted(start, x, side="right") - 1
    length = np.where(np.isfinite(start[at + 1]), start[at + 1] - start[at], 1.0)
    value = left[at, member] + (right - left)[at, member] * (x - start[at]) / length
    return np.histogram(middle, edges, weights=value * width)[0] / np.diff(edges)


def trains(source, duration, size, dt=0.5, seed=3, **how):
    network = Network([Population("s", size, source)])
    return Simulation(network, dt, seed=seed, record=[Spikes("s")], **how).run(duration).spikes["s"]


def chi_square(counts, expected, variance):
    keep = expected > 10
    assert keep.any() and not counts[expected < 1e-9].any()
    return scipy.stats.chi2.sf(np.sum((counts - expected)[keep] ** 2 / variance[keep]), keep.sum())


@pytest.mark.parametrize("name", RATES)
def test_the_mean_over_a_step_is_exact(name):
    edges = 0.25 * np.arange(600)
    curve = make_curve(RATES[name], 0, 1, 0.25)
    found = [1000.0 * mean_rate(curve, 0, member_of(curve, 0, 0), t, 0.25) for t in edges[:-1]]
    assert np.allclose(found, means(RATES[name], edges), rtol=1e-9, atol=1e-6)
    long = 1000.0 * mean_rate(curve, 0, member_of(curve, 0, 0), 3.1, 71.7)
    assert long == pytest.approx(means(RATES[name], np.array([0.0, 3.1, 74.8]))[1], rel=1e-9)


@pytest.mark.parametrize("name", RATES)
def test_sources_fire_with_the_chance_of_each_step(name):
    size, dt = 4000, 0.5
    found = trains(PoissonSource(RATES[name]), 160.0, size, dt)
    steps = np.rint(found.times / dt).astype(int)
    assert len(np.unique(steps * size + found.neurons)) == len(steps)
    counts = np.bincount(steps, minlength=321)[1:]
    chance = means(RATES[name], dt * np.arange(321)) * dt / 1000.0
    assert chi_square(counts, size * chance, size * chance * (1.0 - chance)) > STRICT
    per_member = np.bincount(found.neurons, minlength=size)
    spread = np.sum(chance * (1.0 - chance))
    assert abs(per_member.mean() - chance.sum()) < 4 * math.sqrt(spread / size)
    assert abs(per_member.var() / spread - 1.0) < 4 * math.sqrt((2.0 + 1.0 / spread) / size)


@pytest.mark.parametrize("each", [False, True], ids=["common", "each"])
@pytest.mark.parametrize("name", RATES)
def test_noise_has_the_law_of_each_step(name, each):
    size, dt, rate = 3000, 0.5, RATES[name]
    if each:
        values = np.repeat(rate.values[:, None], size, axis=1)
        rate = VaryingRate(values, rate.times, rate.interpolation, rate.before, rate.after, rate.period)
    network = Network([Population("n", size, COUNTER)], inputs=[PoissonNoise("n", rate, 1.0)])
    simulation = Simulation(network, dt, seed=6, dtype="float64", record=[States("n")])
    counts = np.diff(simulation.run(160.0).states["n"].values["v"], axis=0, prepend=0.0)
    expected = size * means(RATES[name], dt * np.arange(321)) * dt / 1000.0
    assert chi_square(counts.sum(axis=1), expected, expected) > STRICT
    total = expected.sum() / size
    assert abs(counts.sum(axis=0).var() / total - 1.0) < 4 * math.sqrt((2.0 + 1.0 / total) / size)


@pytest.mark.parametrize("mean", [0.003, 0.5, 7.0, 63.0, 200.0, 5e3, 9e5])
def test_the_table_of_a_step_is_the_poisson_law(mean):
    out = np.empty(MOST_THRESHOLDS, np.uint32)
    many, least = fill_thresholds(mean, out)
    wanted = thresholds(mean)
    assert many < MOST_THRESHOLDS and not wanted[:least].any()
    wanted = wanted[least:].astype(np.int64)
    common = min(many, len(wanted))
    assert np.abs(out[:common].astype(np.int64) - wanted[:common]).max() <= 4 + 1e-9 * mean * 16
    rest = np.concatenate([out[common:many].astype(np.int64), wanted[common:]])
    assert np.all(2**32 - rest <= 4 + 1e-9 * mean * 16)


@pytest.mark.parametrize("mean", [300.0, 2e4])
def test_noise_of_many_events_in_a_step(mean):
    rate = VaryingRate([1000.0 * mean, 2000.0 * mean], [0.0, 5.0])
    network = Network([Population("n", 3000, COUNTER)], inputs=[PoissonNoise("n", rate, 1.0)])
    simulation = Simulation(network, 1.0, seed=6, dtype="float64", record=[States("n")])
    counts = np.diff(simulation.run(10.0).states["n"].values["v"], axis=0, prepend=0.0)
    for part, m in ((counts[:5], mean), (counts[5:], 2 * mean)):
        assert abs(part.mean() - m) < 4 * math.sqrt(m / part.size) and abs(part.var() / m - 1.0) < 4 * math.sqrt(2 / part.size)


def test_a_varying_rate_that_is_constant_is_the_constant_one():
    one, other = trains(PoissonSource(50.0), 500.0, 200), trains(PoissonSource(VaryingRate([50.0], [0.0])), 500.0, 200)
    assert np.array_equal(one.times, other.times) and np.array_equal(one.neurons, other.neurons) and len(one.times) > 3000


def test_rates_of_each_member_are_their_own_for_any_number_of_workers():
    values = np.stack([np.linspace(0.0, 400.0, 301), np.linspace(400.0, 0.0, 301)])
    rate = VaryingRate(values, [0.0, 400.0])
    one, three = (trains(PoissonSource(rate), 800.0, 301, workers=workers) for workers in (1, 3))
    assert np.array_equal(one.times, three.times) and np.array_equal(one.neurons, three.neurons)
    for half in range(2):
        counts = np.bincount(one.neurons[(one.times > 400.0) == half], minlength=301)
        z = (counts - 0.4 * values[half]) / np.sqrt(np.maximum(0.4 * values[half], 1e-9) + 1e-9)
        assert counts[values[half] == 0].sum() == 0 and np.abs(z[values[half] > 0]).max() < 4.5


# Gamma processes


@pytest.mark.parametrize("start", ["equilibrium", "ordinary"])
@pytest.mark.parametrize("shape", [0.4, 3.0])
def test_gamma_sources_have_the_times_of_the_exact_engine_rounded_up(shape, start):
    dt, size = 0.1, 300
    source = GammaSource(np.linspace(0.0, 80.0, size), shape, start)
    network = Network([Population("other", 3, LIF()), Population("s", size, source)])
    real = Simulation(network, method="exact", seed=4, record=[Spikes("s")]).run(400.0).spikes["s"]
    grid = Simulation(network, dt, seed=4, record=[Spikes("s")]).run(400.0).spikes["s"]
    assert abs(len(real.times) - len(grid.times)) <= (0 if shape > 1 else 5) and len(grid.times) > 3000
    late = 0
    for member in range(size):
        wanted, steps = np.ceil(real.times[real.neurons == member] / dt).astype(int), -1
        found = np.rint(grid.times[grid.neurons == member] / dt).astype(int)
        for step, got in zip(wanted, found, strict=False):
            late += steps + 1 > max(step, 1)
            steps = max(step, steps + 1, 1)
            assert got == steps
    assert (late == 0) if shape > 1 else late > 20  # bursts: a step has one spike, the next ones come in the next steps


def test_no_spike_of_a_burst_is_lost():
    found = trains(GammaSource(200.0, 0.05), 20000.0, 20, dt=1.0)
    assert abs(len(found.times) - 80000) < 5 * math.sqrt(80000 / 0.05)
    keys = np.rint(found.times).astype(int) * 20 + found.neurons
    assert len(np.unique(keys)) == len(keys)


# The same bits


def mixed(pieces_of_run=(200.0,), **how):
    rng = np.random.default_rng(2)
    populations = [
        Population("v", 70, PoissonSource(VaryingRate.sinusoid(60.0, 50.0, 20.0, points=50))),
        Population("w", 70, PoissonSource(VaryingRate(rng.uniform(0, 100, (4, 70)), [3.0, 50.2, 80.0, 120.0], "linear"))),
        Population("g", 70, GammaSource(rng.uniform(0, 100, 70), 0.7)),
        Population("n", 5000, LIF(v_th=1.0)),
    ]
    inputs = [
        PoissonNoise("n", VaryingRate([500.0, 3000.0], [0.0, 31.7], period=60.0), 0.05),
        PoissonNoise("n", VaryingRate(rng.uniform(0, 1000, (3, 5000)), [0.0, 50.0, 90.0], "linear"), 0.05),
    ]
    projections = [Projection(name, "n", FixedOutDegree(50), weight=0.3, delay=1.0) for name in "vwg"]
    simulation = Simulation(Network(populations, projections, inputs), 0.1, seed=8, record=[Spikes(name) for name in "vwgn"], **how)
    runs = [simulation.run(duration) for duration in pieces_of_run]
    return {
        name: tuple(np.concatenate([getattr(run.spikes[name], what) for run in runs]) for what in ("times", "neurons", "batch"))
        for name in "vwgn"
    }


@pytest.mark.parametrize(
    "how",
    [{"pieces_of_run": (0.1, 99.9, 33.3, 66.7)}, {"workers": 3}, {"update": "sparse"}],
    ids=["pieces", "workers", "sparse"],
)
def test_the_same_bits_however_it_is_run(how):
    exact = {"dtype": "float64", "update": "dense"} | how
    one, other = mixed(dtype="float64", update="dense"), mixed(**exact)
    for name in "vwgn":
        assert len(one[name][0]) > 100
        assert np.array_equal(one[name][0], other[name][0]) and np.array_equal(one[name][1], other[name][1])


def test_items_of_a_batch_have_stimuli_of_their_own():
    one, three = mixed(), mixed(batch=3)
    for name in "vwg":
        times, neurons, batch = three[name]
        assert np.array_equal(times[batch == 0], one[name][0]) and np.array_equal(neurons[batch == 0], one[name][1])
        keys = [set(zip(times[batch == b].tolist(), neurons[batch == b].tolist(), strict=True)) for b in range(3)]
        assert len(keys[0] & keys[1]) < 0.2 * len(keys[0]) > 20


@pytest.mark.parametrize(
    ("population", "inputs", "named"),
    [
        (Population("s", 4, PoissonSource(VaryingRate([1.0, 2e4], [0.0, 1.0]))), [], "'s'.*20000.*method='exact'"),
        (Population("s", 4, GammaSource(2e4, 2.0)), [], "'s'.*20000.*method='exact'"),
        (Population("n", 4, IAF()), [PoissonNoise("n", VaryingRate([1e14], [0.0]), 1.0)], "'n'.*use a Current"),
    ],
)
def test_what_the_grid_cannot_hold_is_refused(population, inputs, named):
    with pytest.raises(NetworkError, match=named):
        Simulation(Network([population], inputs=inputs), 0.1)
