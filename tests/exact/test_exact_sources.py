"""Point processes in continuous time follow their laws, and depend on nothing but seed, stream, member and number of the event."""

import math

import numpy as np
import pytest
import scipy.stats

from eventsim import (
    IAF,
    GammaSource,
    Network,
    NetworkError,
    OneToOne,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    States,
    VaryingRate,
)
from eventsim.exact.heap import pop, push, replace_first
from eventsim.processes import next_varying
from eventsim.rate_curve import make_curve, member_of
from eventsim.varying_rate import pieces

SIZE = 400
STRICT = 1e-3  # the seeds are fixed: a test always passes or never, and a right law fails one in a thousand of the seeds


def trains(source, duration, size=SIZE, seed=3):
    """The spikes of a population of sources alone."""
    network = Network([Population("s", size, source)])
    return Simulation(network, method="exact", seed=seed, record=[Spikes("s")]).run(duration).spikes["s"]


def intervals(found, size=SIZE):
    """The intervals between spikes of each member, in one list."""
    return np.concatenate([np.diff(found.times[found.neurons == member]) for member in range(size)])


def some_intervals(found, each=100, size=SIZE):
    """The first intervals of each member, so many that the end of the run cuts none of them off."""
    first = np.concatenate([np.diff(found.times[found.neurons == member])[:each] for member in range(size)])
    assert len(first) == each * size
    return first


def integral(rate, a, b, member=0):
    """The integral of a rate from a to b (spikes), from its pieces: an oracle for rates without a period."""
    start, left, right = pieces(rate)
    total = 0.0
    for j in range(len(left)):
        low, high = max(a, start[j]), min(b, start[j + 1])
        if high > low:
            slope = 0.0 if np.isinf(start[j + 1]) else (right[j, member] - left[j, member]) / (start[j + 1] - start[j])
            total += (high - low) * (left[j, member] + slope * (0.5 * (low + high) - start[j])) / 1000.0
    return total


def assert_counts(times, edges, expected):
    """Counts between edges by chi-square; bins where nothing may happen are empty."""
    counts = np.histogram(times, edges)[0]
    expected = np.asarray(expected)
    assert not counts[expected == 0].any()
    counts, expected = counts[expected > 0], expected[expected > 0]
    assert expected.min() > 10, "too few events for this test"
    assert scipy.stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), len(counts)) > STRICT


# Poisson processes


def test_intervals_at_a_constant_rate_are_exponential():
    found = trains(PoissonSource(50.0), 4000.0)
    first = np.array([found.times[found.neurons == member][0] for member in range(SIZE)])
    assert scipy.stats.kstest(first, "expon", args=(0, 20.0)).pvalue > STRICT
    assert scipy.stats.kstest(some_intervals(found), "expon", args=(0, 20.0)).pvalue > STRICT
    gaps = np.diff(found.times)  # all together are one process of the sum of the rates
    assert scipy.stats.kstest(gaps, "expon", args=(0, 20.0 / SIZE)).pvalue > STRICT


def test_a_varying_rate_that_is_constant_is_the_constant_one():
    one, other = trains(PoissonSource(50.0), 500.0), trains(PoissonSource(VaryingRate([50.0], [0.0])), 500.0)
    assert np.array_equal(one.neurons, other.neurons)
    assert np.allclose(one.times, other.times, rtol=1e-14, atol=0)


STEPS = VaryingRate([80.0, 0.0, 300.0, 20.0], [10.0, 50.0, 90.0, 100.0])
LINES = VaryingRate([0.0, 200.0, 0.0, 100.0], [20.0, 60.0, 100.0, 140.0], "linear", before="hold", after="zero")


@pytest.mark.parametrize("rate", [STEPS, LINES], ids=["steps", "lines"])
def test_counts_follow_the_rate(rate):
    edges = np.arange(0.0, 181.0, 5.0)
    found = trains(PoissonSource(rate), 180.0, size=4000)
    assert_counts(found.times, edges, [4000 * integral(rate, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)])


@pytest.mark.parametrize("rate", [STEPS, LINES], ids=["steps", "lines"])
def test_events_of_a_varying_rate_are_a_poisson_process_in_the_time_of_its_integral(rate):
    found = trains(PoissonSource(rate), 180.0, size=2000)
    grid = np.unique(np.concatenate([np.linspace(0.0, 180.0, 20001), np.nextafter(rate.times, 0.0), rate.times]))
    mass = np.interp(found.times, grid, [integral(rate, 0.0, t) for t in grid])
    assert scipy.stats.kstest(np.diff(np.sort(mass)), "expon", args=(0, 1.0 / 2000)).pvalue > STRICT
    counts = np.bincount(found.neurons, minlength=2000)
    mean = integral(rate, 0.0, 180.0)
    values = np.arange(int(scipy.stats.poisson.ppf(0.001, mean)), int(scipy.stats.poisson.ppf(0.999, mean)) + 1)
    chances = np.concatenate([scipy.stats.poisson.cdf(values[:1], mean), scipy.stats.poisson.pmf(values[1:], mean)])
    chances[-1] = scipy.stats.poisson.sf(values[-2], mean)
    seen = np.bincount(np.clip(counts, values[0], values[-1]) - values[0], minlength=len(values))
    keep = chances * 2000 > 5
    assert np.sum((seen - 2000 * chances)[keep] ** 2 / (2000 * chances[keep])) < scipy.stats.chi2.isf(STRICT, keep.sum())


def test_nothing_happens_where_the_rate_is_zero_and_all_at_once_where_it_leaps():
    rate = VaryingRate([0.0, 5000.0, 0.0], [0.0, 10.3, 10.7])
    found = trains(PoissonSource(rate), 50.0, size=3000)
    assert found.times.min() >= 10.3 and found.times.max() <= 10.7
    assert scipy.stats.kstest(found.times, "uniform", args=(10.3, 0.4)).pvalue > STRICT
    assert abs(len(found.times) - 6000) < 4 * math.sqrt(6000)


def test_rates_of_each_member_are_their_own():
    values = np.array([[10.0, 0.0, 100.0], [50.0, 0.0, 0.0]])
    found = trains(PoissonSource(VaryingRate(values, [0.0, 5000.0])), 10000.0, size=3)
    counts = [[np.sum((found.neurons == m) & (found.times // 5000 == half)) for m in range(3)] for half in range(2)]
    expected = values * 5.0
    assert np.all(np.abs(counts - expected) <= 4 * np.sqrt(expected))


@pytest.mark.parametrize("interpolation", ["constant", "linear"])
def test_a_period_repeats_without_end(interpolation):
    rate = VaryingRate([100.0, 0.0, 30.0], [5.0, 12.0, 21.0], interpolation, period=25.0)
    found = trains(PoissonSource(rate), 25.0 * 200, size=40)
    edges = np.linspace(0.0, 25.0, 26)
    start, left, right = pieces(rate)
    knots = np.unique(np.concatenate([start, np.linspace(0.0, 25.0, 50001)]))
    middle = 0.5 * (knots[1:] + knots[:-1])
    at = np.searchsorted(start, middle, side="right") - 1
    share = (middle - start[at]) / (start[at + 1] - start[at])
    value = left[at, 0] + (right - left)[at, 0] * share
    mass = np.histogram(middle, edges, weights=value * np.diff(knots))[0] / 1000.0 * 200 * 40
    assert_counts(found.times % 25.0, edges, np.where(mass < 1e-9, 0.0, mass))
    late = found.times[found.times > 12.5 * 200]
    assert abs(len(late) / len(found.times) - 0.5) < 4 * 0.5 / math.sqrt(len(found.times))


def test_a_sinusoid_has_its_mean_and_its_phase_and_is_never_negative():
    mean, amplitude, frequency, phase = 50.0, 50.0, 4.0, 0.7
    rate = VaryingRate.sinusoid(mean, amplitude, frequency, phase)
    t = np.linspace(0.0, 0.25, 3001)[:-1]
    wanted = mean + amplitude * np.sin(2 * np.pi * frequency * t + phase)
    start, left, _ = pieces(rate)
    assert np.abs(np.interp(1000.0 * t, np.append(start, 250.0)[:-1], np.append(left[:, 0], left[0, 0])) - wanted).max() < 3e-4
    found = trains(PoissonSource(rate), 10000.0, size=20)
    angle = 2 * np.pi * frequency * found.times / 1000.0 + phase
    n = len(angle)
    assert abs(n - 20 * 10 * mean) < 4 * math.sqrt(20 * 10 * mean)
    assert abs(np.sin(angle).sum() / n - 0.5) < 4 / math.sqrt(n) and abs(np.cos(angle).sum() / n) < 4 / math.sqrt(n)
    deep = VaryingRate.sinusoid(np.array([10.0, 40.0]), 30.0, 4.0)
    assert deep.values.min() == 0.0 and deep.values.shape == (1000, 2) and deep.peak == pytest.approx([40.0, 70.0])


@pytest.mark.parametrize(
    "rate",
    [
        0.0,
        VaryingRate([0.0], [0.0]),
        VaryingRate([0.0, 0.0], [1.0, 2.0], "linear", period=3.0),
        VaryingRate([9.0, 0.0], [0.0, 1e-9]),
    ],
    ids=["constant", "varying", "periodic", "ending"],
)
def test_a_rate_of_zero_never_fires(rate):
    assert len(trains(PoissonSource(rate), 1e5).times) == 0


def test_very_large_rates():
    found = trains(PoissonSource(1e9), 0.1, size=2)
    assert abs(len(found.times) - 200000) < 4 * math.sqrt(200000)
    assert scipy.stats.kstest(np.diff(found.times), "expon", args=(0, 0.5e-6)).pvalue > STRICT
    peaks = VaryingRate([1e8, 1.0], [0.0, 0.5], period=1e4)  # 1.0 is not lost beside 1e8, nor does it cost its candidates
    found = trains(PoissonSource(peaks), 1e4, size=10)
    assert abs(np.sum(found.times > 0.5) - 100) < 40 and abs(np.sum(found.times <= 0.5) - 500000) < 3000


def test_a_rare_periodic_rate_takes_no_longer_than_its_events():
    rate = VaryingRate([1e-6, 0.0], [0.0, 1.0], period=10.0)  # an event in 10**8 periods
    curve = make_curve(rate, 0, 1)
    times = [next_varying(np.uint64(7), member, 0, 0.0, curve, 0, member_of(curve, 0, 0)) for member in range(2000)]
    assert scipy.stats.kstest(times, "expon", args=(0, 1e10)).pvalue > STRICT


def test_noise_that_varies_reaches_neurons_at_its_rate():
    size = 3000
    values = np.zeros((2, size))
    values[0, : size // 2], values[1, size // 2 :] = 200.0, 100.0
    for rate, low, high in ((VaryingRate([200.0, 0.0], [0.0, 50.0]), 10.0, 10.0), (VaryingRate(values, [0.0, 50.0]), 10.0, 5.0)):
        network = Network([Population("n", size, IAF(v_th=1e18))], inputs=[PoissonNoise("n", rate, 1.0)])
        simulation = Simulation(network, method="exact", seed=5, record=[States("n", interval=10.0)])
        simulation.run(100.0)
        v = simulation.state("n", "v")
        for mean, part in ((low, v[: size // 2]), (high, v[size // 2 :])):
            assert abs(part.mean() - mean) < 4 * math.sqrt(mean / part.size)
            assert abs(part.var() / mean - 1.0) < 4 * math.sqrt(2.5 / part.size)


# Gamma processes


@pytest.mark.parametrize("start", ["ordinary", "equilibrium"])
@pytest.mark.parametrize("shape", [0.3, 1.0, 2.5, 40.0])
def test_intervals_have_a_gamma_law(shape, start):
    found = trains(GammaSource(50.0, shape, start), 6000.0)
    x = intervals(found)
    assert scipy.stats.kstest(some_intervals(found), "gamma", args=(shape, 0, 20.0 / shape)).pvalue > STRICT
    assert x.std() / x.mean() == pytest.approx(1.0 / math.sqrt(shape), rel=0.02)


@pytest.mark.parametrize("shape", [0.3, 1.0, 2.5, 40.0])
def test_the_first_interval_in_equilibrium_is_the_residual_one(shape):
    size = 20000
    found = trains(GammaSource(50.0, shape), 2000.0, size=size)
    order = np.argsort(found.neurons, kind="stable")
    neurons, begin = np.unique(found.neurons[order], return_index=True)
    first = found.times[order][begin]
    assert len(neurons) == size
    law = scipy.stats.gamma(shape, 0, 20.0 / shape)
    longer = scipy.stats.gamma(shape + 1.0, 0, 20.0 / shape)  # int_0^t (1 - F) = t (1 - F(t)) + mean * longer.cdf(t)

    def residual(t):
        return (t * law.sf(t) + 20.0 * longer.cdf(t)) / 20.0

    assert scipy.stats.kstest(first, residual).pvalue > STRICT


def test_in_equilibrium_the_rate_is_the_same_at_all_times_and_else_it_is_not():
    edges = np.arange(0.0, 61.0, 2.0)
    expected = np.full(30, 4000 * 50.0 * 0.002)
    found = trains(GammaSource(50.0, 9.0), 60.0, size=4000)
    counts = np.histogram(found.times, edges)[0]
    assert np.abs(counts - expected).max() < 4.5 * math.sqrt(400)
    ordinary = np.histogram(trains(GammaSource(50.0, 9.0, "ordinary"), 60.0, size=4000).times, edges)[0]
    assert ordinary[:3].max() < 20
    renewal = sum(4000 * np.diff(scipy.stats.gamma(9.0 * k, 0, 20.0 / 9.0).cdf(edges)) for k in range(1, 30))
    assert np.abs(ordinary - renewal).max() < 4.5 * math.sqrt(renewal.max())


def test_intervals_of_gamma_processes_are_independent():
    x = trains(GammaSource(100.0, 3.0, "ordinary"), 1e5, size=4)
    for member in range(4):
        gaps = np.diff(x.times[x.neurons == member])
        for lag in (1, 2):
            assert abs(np.corrcoef(gaps[lag:], gaps[:-lag])[0, 1]) < 4 / math.sqrt(len(gaps))
    first, second = (np.diff(x.times[x.neurons == member])[:9000] for member in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(9000)


def test_rates_and_shapes_of_each_member():
    rate, shape = np.array([0.0, 20.0, 80.0]), np.array([1.0, 0.5, 16.0])
    found = trains(GammaSource(rate, shape, "ordinary"), 1e5, size=3)
    assert not np.any(found.neurons == 0)
    for member in (1, 2):
        gaps = np.diff(found.times[found.neurons == member])
        assert gaps.mean() == pytest.approx(1000.0 / rate[member], rel=4 / math.sqrt(shape[member] * len(gaps)))
        assert gaps.std() / gaps.mean() == pytest.approx(1 / math.sqrt(shape[member]), rel=0.1)


# What they depend on

MIXED = {
    "poisson": PoissonSource(np.linspace(0.0, 90.0, 30)),
    "steps": PoissonSource(VaryingRate([90.0, 10.0], [3.3, 20.1], period=31.7)),
    "lines": PoissonSource(VaryingRate(np.linspace(0.0, 200.0, 60).reshape(2, 30), [0.0, 50.0], "linear")),
    "gamma": GammaSource(60.0, np.linspace(0.2, 5.0, 30)),
    "given": SpikeSource([0.01, math.pi, math.pi, 77.7], [4, 4, 2, 29]),
}


def mixed(pieces_of_run, extra=False, seed=9):
    """All kinds of sources, and noise, run in pieces: their spikes and the states at the end."""
    populations = [Population(name, 30, source) for name, source in MIXED.items()] + [Population("n", 30, IAF(v_th=1e18))]
    inputs = [PoissonNoise("n", VaryingRate([50.0, 500.0], [0.0, 40.0], "linear", period=60.0), 1.0), PoissonNoise("n", 30.0, 0.5)]
    if extra:  # further ones, behind those there are
        populations += [Population("more", 5, GammaSource(100.0, 2.0)), Population("most", 5, PoissonSource(3.0))]
        inputs += [PoissonNoise("n", 0.0, 1.0)]
    network = Network(populations, [Projection("gamma", "n", OneToOne(), weight=0.25, delay=0.123)], inputs)
    simulation = Simulation(network, method="exact", seed=seed, record=[Spikes(name) for name in MIXED])
    runs = [simulation.run(duration) for duration in pieces_of_run]
    found = {name: np.concatenate([run.spikes[name].times for run in runs]) for name in MIXED}
    who = {name: np.concatenate([run.spikes[name].neurons for run in runs]) for name in MIXED}
    return found, who, simulation.state("n", "v")


@pytest.mark.parametrize("pieces_of_run", [[64.0, 64.0], [0.125] * 1024, [1.0, 0.0, 127.0]], ids=["two", "many", "empty"])
def test_the_same_bits_however_a_run_is_cut(pieces_of_run):
    whole, cut = mixed([128.0]), mixed(pieces_of_run)
    for name in MIXED:
        assert len(whole[0][name]) > 3
        assert np.array_equal(whole[0][name], cut[0][name]) and np.array_equal(whole[1][name], cut[1][name])
    assert np.array_equal(whole[2], cut[2])


def test_the_same_bits_whatever_else_there_is_and_others_for_another_seed():
    one, more, other = mixed([100.0]), mixed([100.0], extra=True), mixed([100.0], seed=10)
    for name in MIXED:
        assert np.array_equal(one[0][name], more[0][name]) and np.array_equal(one[1][name], more[1][name])
        assert name == "given" or not np.isin(one[0][name], other[0][name]).any()
    assert np.array_equal(one[2], more[2])


def test_given_spikes_come_at_their_real_times():
    found = trains(SpikeSource([math.pi, 1e-12, math.pi, 77.7], [4, 0, 2, 29]), 100.0, size=30)
    assert found.times.tolist() == [1e-12, math.pi, math.pi, 77.7] and found.neurons.tolist() == [0, 2, 4, 29]


def test_a_large_rate_over_one_input_does_not_hold_the_others_up():
    found = trains(PoissonSource(np.array([1e5] + [10.0] * 9)), 1000.0, size=10)
    assert abs(np.sum(found.neurons == 0) - 1e5) < 4 * math.sqrt(1e5) and np.sum(found.neurons > 0) > 40


def test_replacing_the_first_entry_keeps_the_order():
    rng = np.random.default_rng(1)
    times, keys, count, held = np.empty(400), np.empty(400, np.int64), 0, []
    for step in range(3000):
        t, k = float(rng.integers(0, 40)), step  # many ties
        if count and rng.random() < 0.5:
            assert (times[0], keys[0]) == min(held)
            held.remove(min(held))
            replace_first(times, keys, count, t, k)
        elif count == 300 or (count and rng.random() < 0.4):
            held.remove(min(held))
            count = pop(times, keys, count)
            continue
        else:
            count = push(times, keys, count, t, k)
        held.append((t, k))
    while count:
        assert (times[0], keys[0]) == min(held)
        held.remove(min(held))
        count = pop(times, keys, count)


# What is refused


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: VaryingRate([1.0, -2.0], [0.0, 1.0]), "values must not be negative, not -2"),
        (lambda: VaryingRate([1.0, math.nan], [0.0, 1.0]), "values must be finite"),
        (lambda: VaryingRate([1.0, 2.0], [0.0, math.inf]), "times must be finite"),
        (lambda: VaryingRate([1.0, 2.0], [1.0, 0.0]), "times must ascend"),
        (lambda: VaryingRate([1.0, 2.0], [1.0, 1.0]), "times must ascend"),
        (lambda: VaryingRate([1.0, 2.0], [-1.0, 1.0]), "times must ascend from 0"),
        (lambda: VaryingRate([1.0, 2.0], [0.0]), "1 times, but values has shape"),
        (lambda: VaryingRate(5.0, [0.0]), "its first axis is time"),
        (lambda: VaryingRate([], []), "at least one time"),
        (lambda: VaryingRate([1.0], [0.0], "cubic"), "'constant' or 'linear'"),
        (lambda: VaryingRate([1.0], [0.0], after="last"), "'zero' or 'hold'"),
        (lambda: VaryingRate([1.0], [5.0], period=5.0), r"times must lie in \[0, period\)"),
        (lambda: VaryingRate([1.0], [0.0], period=5.0, after="zero"), "no before and after"),
        (lambda: VaryingRate("fast", [0.0]), "values must be numbers"),
        (lambda: VaryingRate.sinusoid(5.0, 5.0, 0.0), "frequency must be above 0"),
        (lambda: VaryingRate.sinusoid(5.0, 5.0, 1.0, points=2), "points"),
        (lambda: VaryingRate.sinusoid(np.ones(2), np.ones(3), 1.0), "do not fit"),
        (lambda: GammaSource(10.0, 0.0), "shape must be above 0"),
        (lambda: GammaSource(-1.0, 2.0), "rate must not be negative"),
        (lambda: GammaSource(10.0, math.nan), "shape must be finite"),
        (lambda: GammaSource(10.0, 2.0, "random"), "'equilibrium' or 'ordinary'"),
        (lambda: GammaSource(VaryingRate([1.0], [0.0]), 2.0), "rate must not vary"),
        (lambda: Population("s", 4, PoissonSource(VaryingRate(np.ones((2, 3)), [0.0, 1.0]))), "holds 3 values"),
        (lambda: Population("s", 4, GammaSource(10.0, np.ones(3))), "holds 3 values"),
        (
            lambda: Network([Population("n", 4, IAF())], inputs=[PoissonNoise("n", VaryingRate(np.ones((2, 3)), [0, 1]), 1.0)]),
            "holds 3 values",
        ),
        (lambda: trains(PoissonSource(2e9), 1.0), "2e\\+09 spikes/s is more than 1e\\+09"),
        (lambda: trains(PoissonSource(VaryingRate([1e12], [0.0])), 1.0), "population 's'.*use a Current"),
    ],
)
def test_malformed_processes_are_refused(make, named):
    with pytest.raises(NetworkError, match=named):
        make()
