"""What comes from outside arrives: as often as its law says, in the step that its delay and the order of a step say."""

import numpy as np
import pytest
import scipy.stats

from eventsim import (
    AFTER_RESET,
    AT_GRID,
    BEFORE_FLOW,
    BEFORE_RESET,
    IAF,
    LIF,
    AllToAll,
    Current,
    FixedOutDegree,
    Increment,
    LIFDelta,
    Network,
    OneToOne,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    States,
    Uniform,
)

UPDATES = ["dense", "sparse"]
COUNTER = IAF(v_th=1e18)  # no leak, no threshold: v is the sum of all that it received, exact for whole numbers


# Poisson sources


def trains(rate, members=2000, steps=400, dt=1.0, seed=5, **how):
    """What sources fire, bool (steps, members)."""
    network = Network([Population("other", 7, PoissonSource(1.0)), Population("s", members, PoissonSource(rate))])
    found = Simulation(network, dt, seed=seed, record=[Spikes("s")], **how).run(steps * dt).spikes["s"]
    fired = np.zeros((steps, members), bool)
    fired[np.rint(found.times / dt).astype(int) - 1, found.neurons] = True
    assert fired.sum() == len(found.times)
    return fired


def assert_about(value, mean, variance):
    """Within five standard deviations: a fixed seed, so that this either always holds or never."""
    assert abs(value - mean) < 5.0 * np.sqrt(variance), (value, mean, np.sqrt(variance))


def test_sources_follow_the_bernoulli_law():
    p, fired = 0.05, trains(50.0)
    steps, members = fired.shape
    assert_about(fired.mean(), p, p * (1 - p) / fired.size)
    for axis, n in ((0, steps), (1, members)):  # of the counts of each member, and of each step
        counts = fired.sum(axis=axis)
        spread = n * p * (1 - p)
        assert_about(counts.var(), spread, 2 * spread**2 / len(counts))


def test_sources_are_independent_of_each_other_and_of_their_past():
    p, fired = 0.05, trains(50.0)
    x = fired - p
    for a, b in ((x[1:], x[:-1]), (x[2:], x[:-2]), (x[:, 1:], x[:, :-1]), (x[:, 4:], x[:, :-4])):
        assert_about((a * b).mean(), 0.0, (p * (1 - p)) ** 2 / a.size)
    gaps = np.diff(np.argwhere(fired.T)[:, 1])  # time between spikes of one member; negative where the next begins
    gaps = gaps[gaps > 0]
    for gap in (1, 2, 20):
        chance = p * (1 - p) ** (gap - 1)
        assert np.mean(gaps == gap) == pytest.approx(chance, rel=0.15)  # a little high: long gaps are cut off by the end


def test_a_chance_of_one_fires_in_every_step_and_of_zero_never():
    rate = np.array([1000.0, 0.0, 200.0])
    fired = trains(rate, members=3, steps=1500)
    assert fired[:, 0].all() and not fired[:, 1].any()
    assert_about(fired[:, 2].mean(), 0.2, 0.2 * 0.8 / 1500)
    assert trains(1000.0, members=5, steps=30).all() and not trains(0.0, members=5, steps=30).any()


def test_rates_are_those_of_each_member():
    rate = np.linspace(0.0, 900.0, 200)
    fired = trains(rate, members=200, steps=600)
    p = rate / 1000.0
    z = (fired.mean(axis=0) - p)[1:] / np.sqrt(p * (1 - p) / 600)[1:]
    assert np.abs(z).max() < 4.5 and 0.7 < z.std() < 1.3


def test_sources_with_long_silences_fire_at_their_rate():
    fired = trains(0.2, members=3000, steps=5000)  # 1 in 5000 steps: far beyond the ring of 1024
    assert_about(fired.sum(), 3000.0, 3000.0)


@pytest.mark.parametrize("rate", [30.0, np.linspace(0.0, 100.0, 2000)], ids=["one", "each"])
def test_sources_do_not_depend_on_workers_but_on_seed_and_item(rate):
    one = trains(rate)
    assert np.array_equal(one, trains(rate, workers=3))
    other = trains(rate, seed=6)
    p = np.broadcast_to(rate, 2000) / 1000.0
    both = (one & other).sum()  # independent: neither equal nor exclusive
    assert_about(both, 400 * (p**2).sum(), 400 * (p**2).sum())


def test_items_of_a_batch_have_sources_of_their_own():
    network = Network([Population("s", 500, PoissonSource(50.0))])
    found = Simulation(network, 1.0, seed=5, batch=3, record=[Spikes("s")]).run(200.0).spikes["s"]
    keys = [set((found.times[found.batch == b] * 1000 + found.neurons[found.batch == b]).tolist()) for b in range(3)]
    alone = Simulation(network, 1.0, seed=5, record=[Spikes("s")]).run(200.0).spikes["s"]
    assert keys[0] == set((alone.times * 1000 + alone.neurons).tolist())
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert_about(len(keys[a] & keys[b]), 500 * 200 * 0.05**2, 500 * 200 * 0.05**2)


# Poisson noise


def counts_of(rate, weight=1.0, size=3000, steps=40, seed=2, update="dense", **how):
    """What noise adds in each step, (steps, size): dt = 1 ms."""
    network = Network([Population("n", size, COUNTER)], inputs=[PoissonNoise("n", rate, weight)])
    simulation = Simulation(network, 1.0, seed=seed, dtype="float64", update=update, record=[States("n")], **how)
    values = simulation.run(float(steps)).states["n"].values["v"]
    return np.diff(values, axis=0, prepend=0.0)


@pytest.mark.parametrize("path", ["table", "list"])
@pytest.mark.parametrize("mean", [0.004, 0.7, 8.0, 60.0, 900.0, 3e4])
def test_noise_follows_the_poisson_law(mean, path):
    rate = 1000.0 * mean if path == "table" else np.full(3000, 1000.0 * mean)
    counts = counts_of(rate)
    assert np.array_equal(counts, np.rint(counts)) and counts.min() >= 0
    samples = counts.size
    assert_about(counts.mean(), mean, mean / samples)
    assert_about(counts.var(), mean, (mean + 2 * mean**2) / samples)
    assert_about((counts == 0).mean(), np.exp(-mean), np.exp(-mean) * (1 - np.exp(-mean)) / samples + 1e-12)
    edges = np.unique(scipy.stats.poisson.ppf(np.linspace(0.02, 0.98, 25), mean))
    chances = np.diff(np.concatenate([[0.0], scipy.stats.poisson.cdf(edges, mean), [1.0]]))
    seen = np.bincount(np.searchsorted(edges, counts.ravel()), minlength=len(chances))
    assert scipy.stats.chisquare(seen, chances * samples).pvalue > 1e-4


@pytest.mark.parametrize("path", ["table", "list"])
def test_noise_is_independent_of_neighbours_and_past(path):
    mean = 0.7
    x = counts_of(1000.0 * mean if path == "table" else np.full(3000, 1000.0 * mean)) - mean
    for lag in (1, 2, 3, 4, 256, 1024):
        assert_about((x[:, lag:] * x[:, :-lag]).mean(), 0.0, mean**2 / x[:, lag:].size)
    for lag in (1, 2, 4):
        assert_about((x[lag:] * x[:-lag]).mean(), 0.0, mean**2 / x[lag:].size)


def test_rates_of_noise_are_those_of_each_neuron():
    mean = np.linspace(0.0, 3.0, 300)
    counts = counts_of(1000.0 * mean, size=300, steps=400)
    assert not counts[:, 0].any()
    z = (counts.mean(axis=0) - mean)[1:] / np.sqrt(mean / 400)[1:]
    assert np.abs(z).max() < 4.5 and 0.7 < z.std() < 1.3


@pytest.mark.parametrize("path", ["table", "list"])
@pytest.mark.parametrize("update", UPDATES)
def test_weights_of_noise_are_those_of_each_neuron(path, update):
    rate = 600.0 if path == "table" else np.full(3000, 600.0)
    counts = counts_of(rate)
    weights = np.arange(3000) % 7 - 2.0
    assert np.array_equal(counts_of(rate, weights, update=update), counts * weights)
    assert np.array_equal(counts_of(rate, -2.5, update=update), counts * -2.5)


@pytest.mark.parametrize("path", ["table", "list"])
def test_noise_does_not_depend_on_workers_or_update(path):
    rate = 600.0 if path == "table" else np.linspace(0.0, 3000.0, 3000)
    counts = counts_of(rate)
    for how in ({"workers": 2}, {"workers": 5}, {"workers": 3, "update": "sparse"}):
        assert np.array_equal(counts, counts_of(rate, **how)), how
    assert np.mean(counts == counts_of(rate, seed=3)) < 0.9


def test_noise_reaches_its_port_and_two_noises_are_two():
    apart = LIF(tau_mem=1e300, tau_syn=1e300, r_mem=0.0, v_th=1e18)  # no flow: two sums
    inputs = [PoissonNoise("n", 2000.0, 1.0), PoissonNoise("n", 2000.0, 1.0, port="i"), PoissonNoise("n", 500.0, 1.0, port="v")]
    simulation = Simulation(Network([Population("n", 2000, apart)], inputs=inputs), 1.0, dtype="float64", update="dense")
    simulation.run(50.0)
    i, v = simulation.state("n", "i"), simulation.state("n", "v")
    assert_about(i.mean(), 200.0, 200.0 / 2000)
    assert_about(i.var(), 200.0, 2 * 200.0**2 / 2000)  # 400 if both noises were the same one
    assert_about(v.mean(), 25.0, 25.0 / 2000)
    assert abs(np.corrcoef(i, v)[0, 1]) < 5 / np.sqrt(2000)


def test_noise_of_two_populations_and_of_items_differs():
    populations = [Population("a", 1000, COUNTER), Population("b", 1000, COUNTER)]  # one group: one sweep
    network = Network(populations, inputs=[PoissonNoise(name, 3000.0, 1.0) for name in "ab"])
    simulation = Simulation(network, 1.0, dtype="float64", update="dense", batch=2)
    simulation.run(10.0)
    a, b = simulation.state("a"), simulation.state("b")
    for x, y in ((a[0], b[0]), (a[0], a[1]), (b[0], b[1])):
        assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(1000)
        assert_about(x.mean(), 30.0, 30.0 / 1000)


# Given spikes and delays


def given_network(**source):
    return Network([Population("s", 3, SpikeSource(**source))])


def fired(network, **how):
    found = Simulation(network, 0.1, record=[Spikes("s")], **how).run(2.0).spikes["s"]
    return [(round(t, 6), int(n), int(b)) for t, n, b in zip(found.times, found.neurons, found.batch, strict=True)]


def test_given_spikes_are_fired_as_given():
    wanted = [(0.1, 2, 0), (0.3, 0, 0), (0.3, 1, 0), (2.0, 1, 0)]
    times, neurons = [0.3, 2.0, 0.1, 0.1 * 3, 2.1], [1, 1, 2, 0, 0]  # in any order; what comes after the run stays away
    assert fired(given_network(times=times, neurons=neurons)) == wanted
    assert fired(given_network(), spikes={"s": SpikeSource(times, neurons)}) == wanted
    rows = np.zeros((25, 3))
    for t, n in zip(times, neurons, strict=True):
        rows[round(t / 0.1) - 1, n] = 1
    for array in (rows, rows.astype(bool), rows.astype(np.uint8)[:, None, :]):
        assert fired(given_network(), spikes={"s": array}) == wanted
    assert fired(given_network(times=[0.5], neurons=[0]), spikes={"s": rows}) == wanted  # the simulation's replace the network's
    assert fired(given_network()) == []


def test_each_item_of_a_batch_fires_its_own():
    a, b = SpikeSource([0.2, 0.4], [0, 1]), SpikeSource([0.2], [2])
    wanted = [(0.2, 0, 0), (0.4, 1, 0), (0.2, 2, 1)]
    assert fired(given_network(), batch=2, spikes={"s": [a, b]}) == wanted
    rows = np.zeros((4, 2, 3))
    rows[1, 0, 0] = rows[3, 0, 1] = rows[1, 1, 2] = 1
    assert fired(given_network(), batch=2, spikes={"s": rows}) == wanted
    assert fired(given_network(), batch=2, spikes={"s": b}) == [(0.2, 2, 0), (0.2, 2, 1)]  # one for all
    assert fired(given_network(), batch=2, spikes={"s": rows[:, 1]}) == [(0.2, 2, 0), (0.2, 2, 1)]


D = np.exp(-0.1)  # decay of one step of 1 ms, tau_mem = 10 ms
# Two spikes: with weight 2 (above threshold 1) received in step a, with weight 1/4 in step a + 1. By order: when the target
# fires, and its v at the end of steps a, a + 1, a + 2. Reset goes to -1/2.
STEP_BY_STEP = {
    # v = 2 lands on the grid point that closes step a: fires and is reset there; 1/4 lands after one step of flow
    AT_GRID: (0, (-0.5, -0.5 * D + 0.25, (-0.5 * D + 0.25) * D)),
    # v = 2 flows through step a: 2 D is above threshold at its end; 1/4 flows too
    BEFORE_FLOW: (0, (-0.5, (-0.5 + 0.25) * D, (-0.5 + 0.25) * D**2)),
    # v = 2 comes after the threshold of step a and is found at the end of a + 1, where 1/4 lands behind the reset
    AFTER_RESET: (1, (2.0, -0.5 + 0.25, -0.25 * D)),
    # as before, but 1/4 lands between threshold and reset, and is lost
    BEFORE_RESET: (1, (2.0, -0.5, -0.5 * D)),
}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize("order", STEP_BY_STEP, ids=["at_grid", "before_flow", "after_reset", "before_reset"])
def test_a_spike_arrives_in_the_step_that_delay_and_order_say(order, delay, update):
    later, values = STEP_BY_STEP[order]
    arrival = 2 + delay
    network = Network(
        [Population("s", 2, SpikeSource([2.0, 3.0], [0, 1])), Population("n", 1, LIFDelta(v_reset=-0.5, order=order))],
        [Projection("s", "n", [[2.0], [0.25]], delay=float(delay))],
    )
    record = [Spikes("n"), States("n")]
    made = Simulation(network, 1.0, dtype="float64", update=update, record=record).run(10.0)
    assert made.spikes["n"].times.tolist() == [arrival + later]
    v = made.states["n"].values["v"][:, 0]
    assert not v[: arrival - 1].any()
    np.testing.assert_allclose(v[arrival - 1 : arrival + 2], values, rtol=1e-14)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("update", UPDATES)
def test_zero_delays_reach_down_a_chain_in_one_step(update, workers):
    neuron = LIFDelta()
    populations = [Population(name, 4, neuron) for name in ("c", "b", "a")]  # against the direction of the chain
    populations.append(Population("s", 4, SpikeSource([2.0, 5.0], [1, 3])))
    chain = [Projection(x, y, OneToOne(), weight=2.0, delay=0.0) for x, y in (("b", "c"), ("s", "a"), ("a", "b"))]
    back = Projection("c", "a", OneToOne(), weight=2.0, delay=1.0)
    record = [Spikes(name) for name in "abc"]
    made = Simulation(Network(populations, [*chain, back]), 1.0, dtype="float64", update=update, workers=workers, record=record)
    spikes = made.run(6.0).spikes
    for name in "abc":  # what c fires in a step comes back one step later
        found = [(t, n) for t, n in zip(spikes[name].times, spikes[name].neurons, strict=True)]
        assert found == [(2, 1), (3, 1), (4, 1), (5, 1), (5, 3), (6, 1), (6, 3)], name


# Currents


TAU, R = 10.0, 2.0
LEAKY = LIF(tau_mem=TAU, v_leak=-3.0, v_th=1e18, r_mem=R)


def under_steps(breaks, amplitudes, times):
    """tau dv/dt = (v_leak - v) + r I for an I that is amplitudes[k] from breaks[k] on, at given times."""
    v, result = -3.0, np.empty(len(times))
    for k, begin in enumerate(breaks):
        end = breaks[k + 1] if k + 1 < len(breaks) else np.inf
        still = -3.0 + R * amplitudes[k]
        inside = (times > begin + 1e-9) & (times <= end + 1e-9)
        result[inside] = still + (v - still) * np.exp(-(times[inside] - begin) / TAU)
        v = still + (v - still) * np.exp(-(min(end, times[-1]) - begin) / TAU)
    return result


CURRENTS = {
    "constant": ([(7.0, {})], [0.0], [7.0]),
    "two of them": ([(7.0, {}), (-2.0, {})], [0.0], [5.0]),
    "steps": ([([1.0, -4.0, 0.0], {"times": [0.5, 2.0, 6.1]})], [0.0, 0.5, 2.0, 6.1], [0.0, 1.0, -4.0, 0.0]),
    "from the start": ([([1.0, 2.0], {"times": [0.0, 3.3]})], [0.0, 3.3], [1.0, 2.0]),
    "intervals": ([([1.0, 2.0, -1.0, 5.0], {"interval": 0.3})], [0.0, 0.3, 0.6, 0.9, 1.2], [1.0, 2.0, -1.0, 5.0, 0.0]),
    "all at once": (
        [(1.0, {}), ([2.0, 3.0], {"interval": 4.0}), ([10.0], {"times": [4.0]})],
        [0.0, 4.0, 8.0],
        [3.0, 14.0, 11.0],
    ),
}


@pytest.mark.parametrize("pieces", [(20.0,), (0.5, 1.5, 0.1, 17.9)], ids=["whole", "pieces"])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("case", CURRENTS)
def test_currents_act_through_the_exact_flow(case, update, pieces):
    currents, breaks, amplitudes = CURRENTS[case]
    network = Network([Population("n", 2, LEAKY)], inputs=[Current("n", a, **when) for a, when in currents])
    simulation = Simulation(network, 0.1, dtype="float64", update=update, record=[States("n")])
    made = [simulation.run(piece).states["n"] for piece in pieces]
    times, v = np.concatenate([m.times for m in made]), np.concatenate([m.values["v"] for m in made])
    assert np.allclose(times, 0.1 * np.arange(1, 201), rtol=0, atol=1e-9)
    np.testing.assert_allclose(v[:, 0], under_steps(breaks, amplitudes, times), rtol=0, atol=1e-12)
    assert np.array_equal(v[:, 0], v[:, 1])
    assert np.array_equal(simulation.state("n"), v[-1])


@pytest.mark.parametrize("update", UPDATES)
def test_currents_differ_between_neurons_and_over_time(update):
    # steps at the times 1 and 3 for one population, intervals for the other; one number for each neuron to begin with for both
    steps, rows = np.array([[1.0, 2.0, 3.0], [0.0, -2.0, 9.0]]), np.array([[4.0, 5.0], [6.0, 7.0]])
    network = Network(
        [Population("a", 3, LEAKY), Population("b", 2, LEAKY)],
        inputs=[
            Current("a", [0.5, 0.25, 0.0]),
            Current("a", steps, times=[1.0, 3.0]),
            Current("b", rows, interval=2.0),
        ],
    )
    record = [States("a"), States("b")]
    made = Simulation(network, 0.1, dtype="float64", update=update, record=record).run(9.0).states
    for j, base in enumerate([0.5, 0.25, 0.0]):
        wanted = under_steps([0.0, 1.0, 3.0], [base, base + steps[0, j], base + steps[1, j]], made["a"].times)
        np.testing.assert_allclose(made["a"].values["v"][:, j], wanted, rtol=0, atol=1e-12)
    for j in range(2):
        wanted = under_steps([0.0, 2.0, 4.0], [rows[0, j], rows[1, j], 0.0], made["b"].times)
        np.testing.assert_allclose(made["b"].values["v"][:, j], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_a_current_that_comes_wakes_silent_neurons_and_one_that_goes_puts_them_to_sleep(update):
    neuron = LIF(tau_mem=TAU, r_mem=1.0)  # v_th = 1, reset to 0
    network = Network([Population("n", 1, neuron)], inputs=[Current("n", [2.0, 0.5, 2.0], times=[100.0, 150.0, 500.0])])
    found = Simulation(network, 0.1, dtype="float64", update=update, record=[Spikes("n")]).run(600.0).spikes["n"].times
    period = 0.1 * np.ceil(TAU * np.log(2.0) / 0.1)  # 2 (1 - exp(-t / tau)) = 1: 7.0 ms
    first = 100.0 + period * np.arange(1, 8)  # until 149: the eighth would come at 156
    v = 0.5 + (2.0 * (1 - np.exp(-(150.0 - first[-1]) / TAU)) - 0.5) * np.exp(-350.0 / TAU)
    start = 500.0 + 0.1 * np.ceil(TAU * np.log((2.0 - v) / 1.0) / 0.1)
    second = start + period * np.arange(14)
    np.testing.assert_allclose(found, np.concatenate([first, second[second < 600.05]]), atol=1e-9)


# Increments


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("workers", [1, 2])
def test_increments_are_received_in_every_step(update, workers):
    rng = np.random.default_rng(0)
    each, common, table = rng.integers(-5, 6, 5).astype(float), rng.integers(-5, 6, 12), rng.integers(-5, 6, (9, 5))
    table[4] = 0
    inputs = [
        Increment("n", 2.0),
        Increment("n", each),
        Increment("n", common, over_time=True),
        Increment("n", table, over_time=True),
    ]
    network = Network([Population("other", 2, COUNTER), Population("n", 5, COUNTER)], inputs=inputs)
    simulation = Simulation(network, 1.0, dtype="float64", update=update, workers=workers, record=[States("n")])
    v = np.concatenate([simulation.run(piece).states["n"].values["v"] for piece in (7.0, 13.0)])
    received = np.zeros((20, 5)) + 2.0 + each
    received[:12] += common[:, None]
    received[:9] += table
    assert np.array_equal(v, np.cumsum(received, axis=0))
    assert not simulation.state("other").any()


def test_increments_given_to_the_simulation_are_those_of_each_item():
    rng = np.random.default_rng(1)
    table = rng.integers(-5, 6, (8, 3, 4)).astype(float)
    network = Network([Population("n", 4, COUNTER)], inputs=[Increment("n", 1.0)])
    simulation = Simulation(network, 1.0, dtype="float64", update="dense", batch=3, increments={"n": table})
    simulation.run(10.0)
    assert np.array_equal(simulation.state("n"), 10.0 + table.sum(axis=0))
    shared = Simulation(network, 1.0, dtype="float64", update="dense", batch=2, increments={"n": table[:, 0]})
    shared.run(10.0)
    assert np.array_equal(shared.state("n"), np.broadcast_to(10.0 + table[:, 0].sum(axis=0), (2, 4)))


# Batches and counters


def layered(noise=()):
    neuron = LIF(tau_mem=10.0, tau_syn=3.0)
    return Network(
        [Population("s", 20, SpikeSource()), Population("n", 40, neuron, initial={"v": Uniform(0.0, 0.9)})],
        [
            Projection("s", "n", FixedOutDegree(12), weight=Uniform(1.0, 4.0), delay=Uniform(0.5, 6.0)),
            Projection("n", "n", FixedOutDegree(5), weight=0.3, delay=2.0),
        ],
        noise,
    )


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_of_a_batch_is_a_run_of_its_own(update, workers):
    rng = np.random.default_rng(3)
    given = (rng.random((200, 3, 20)) < [[0.01], [0.05], [0.1]]).astype(np.uint8)
    extra = rng.normal(0.0, 0.05, (200, 3, 40))
    how = {"dt": 0.5, "dtype": "float64", "update": update, "record": [Spikes("n"), States("n", ("v", "i"), interval=2.0)]}
    together = Simulation(layered(), batch=3, workers=workers, spikes={"s": given}, increments={"n": extra}, **how)
    made = together.run(100.0)
    total = np.zeros(5, int)
    for b in range(3):
        alone = Simulation(layered(), spikes={"s": given[:, b]}, increments={"n": extra[:, b]}, **how)
        single = alone.run(100.0)
        mine = made.spikes["n"].batch == b
        assert mine.sum() > 20
        assert np.array_equal(made.spikes["n"].times[mine], single.spikes["n"].times)
        assert np.array_equal(made.spikes["n"].neurons[mine], single.spikes["n"].neurons)
        for field in "vi":
            assert np.array_equal(made.states["n"].values[field][:, b], single.states["n"].values[field])
            assert np.array_equal(together.state("n", field)[b], alone.state("n", field))
        total += alone.counters
    assert tuple(total) == tuple(together.counters)


def test_items_of_a_batch_have_noise_of_their_own_and_the_same_synapses():
    network = layered([PoissonNoise("n", 500.0, 0.8)])
    how = {"dt": 0.5, "dtype": "float64", "update": "dense", "record": [Spikes("n")]}
    simulation = Simulation(network, batch=2, **how)
    found = simulation.run(300.0).spikes["n"]
    a, b = ((found.times[found.batch == k], found.neurons[found.batch == k]) for k in (0, 1))
    assert min(len(a[0]), len(b[0])) > 100 and not np.array_equal(a[0], b[0])
    alone = Simulation(network, **how).run(300.0).spikes["n"]
    assert np.array_equal(a[0], alone.times) and np.array_equal(a[1], alone.neurons)
    assert simulation.synapses == 20 * 12 + 40 * 5


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("workers", [1, 3])
def test_counters_count_what_was_done(update, workers):
    neuron = LIF(tau_mem=10.0, tau_syn=3.0)
    rng = np.random.default_rng(4)
    made = (rng.random((30, 50)) < np.linspace(0.0, 0.6, 30)[:, None]).astype(float)  # out-degrees differ
    network = Network(
        [Population("s", 30, SpikeSource()), Population("n", 50, neuron)],
        [
            Projection("s", "n", made, delay=1.5),
            Projection("n", "n", AllToAll(self_connections=False), weight=-0.01, delay=0.5),
        ],
    )
    given = (rng.random((100, 30)) < 0.1).astype(int)
    record = [Spikes("n")]
    simulation = Simulation(network, 0.5, dtype="float64", update=update, workers=workers, record=record, spikes={"s": given})
    own = simulation.run(80.0).spikes["n"].times  # 30 ms after the last given spike: all has arrived, and decayed
    assert len(own) > 20 and own.max() < 79.0
    counted = simulation.counters
    assert counted.steps == 160 and counted.neuron_steps == 160 * 50
    assert counted.spikes == len(own) + given.sum()
    assert counted.synaptic_events == (given @ (made != 0).sum(axis=1)).sum() + len(own) * 49
    assert simulation.synapses == (made != 0).sum() + 50 * 49
    assert counted.updates == 160 * 50 if update == "dense" else 0 < counted.updates < 160 * 50
