"""Where there is a formula, the simulation gives its numbers."""

import math

import numpy as np
import pytest
import scipy.optimize

from eventsim import (
    BEFORE_FLOW,
    IAF,
    LIF,
    Current,
    Increment,
    Network,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    States,
)

UPDATES = ["dense", "sparse"]


def alone(neuron, dt, duration, inputs=(), size=1, initial=None, **how):
    """One population by itself: its simulation after the run, and what was recorded."""
    network = Network([Population("n", size, neuron, initial=initial or {})], inputs=inputs)
    how = {"dtype": "float64", "record": [Spikes("n")], **how}
    simulation = Simulation(network, dt, **how)
    return simulation, simulation.run(duration)


def spike_steps(made, dt):
    return np.rint(made.spikes["n"].times / dt).astype(int)


def first_above(x):
    """The first whole number above x; x must not be so near to one that rounding decides."""
    assert abs(x - round(x)) > 1e-6
    return math.floor(x) + 1


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("refractory_steps", [0, 1, 20])
@pytest.mark.parametrize(
    ("tau", "current", "threshold", "reset", "dt"),
    [(10.0, 1.5, 1.0, 0.0, 0.1), (20.0, 30.0, 15.0, -3.0, 0.1), (7.0, 1.0001, 1.0, 0.5, 0.5), (5.0, 40.0, 1.0, 0.0, 0.1)],
)
def test_interspike_interval_under_constant_current(tau, current, threshold, reset, dt, refractory_steps, update):
    """v(t) = I + (v_reset - I) exp(-t / tau) is above threshold from t = tau ln((I - v_reset) / (I - v_th)) on."""
    interval = first_above(tau * math.log((current - reset) / (current - threshold)) / dt)
    begin = first_above(tau * math.log(current / (current - threshold)) / dt)  # starts from 0
    neuron = LIF(tau_mem=tau, v_th=threshold, v_reset=reset, refractory=refractory_steps * dt)
    simulation, made = alone(neuron, dt, 400.0, [Current("n", current)], update=update)
    wanted = np.arange(begin, round(400.0 / dt) + 1, interval + refractory_steps)
    assert len(wanted) > 3
    assert np.array_equal(spike_steps(made, dt), wanted)
    if update == "sparse":  # touched when it fires, and at most once in vain
        assert simulation.counters.updates <= 2 * len(wanted) + 2


@pytest.mark.parametrize("update", UPDATES)
def test_interspike_interval_of_eulers_method(update):
    """v_n = I (1 - (1 - dt / tau)**n)."""
    tau, current, dt = 10.0, 1.3, 0.5
    interval = first_above(math.log(1.0 - 1.0 / current) / math.log(1.0 - dt / tau))
    exact = first_above(-tau * math.log(1.0 - 1.0 / current) / dt)
    _, made = alone(LIF(tau_mem=tau, method="euler"), dt, 200.0, [Current("n", current)], update=update)
    assert np.array_equal(spike_steps(made, dt), np.arange(interval, 401, interval))
    assert interval != exact


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("n", [1, 4])
def test_a_refractory_period_of_n_steps_makes_the_shortest_interval_n_plus_1(n, update):
    dt = 0.5
    driven = [Increment("n", 1e3)]  # above threshold after any one step
    _, made = alone(LIF(refractory=n * dt), dt, 60.0, driven, update=update)
    steps = spike_steps(made, dt)
    assert np.array_equal(np.diff(steps), np.full(len(steps) - 1, n + 1)) and len(steps) > 20


@pytest.mark.parametrize("update", UPDATES)
def test_what_is_held_stands_still_and_what_is_not_flows(update):
    neuron = LIF(tau_mem=10.0, tau_syn=5.0, v_reset=-2.0, refractory=2.0)
    start = {"v": 1.5, "i": 3.0}  # above threshold: fires in the first step
    record = [Spikes("n"), States("n", ("v", "i"))]
    _, made = alone(neuron, 0.5, 5.0, initial=start, update=update, record=record)
    assert spike_steps(made, 0.5).tolist() == [1]
    states = made.states["n"]
    np.testing.assert_allclose(states.values["i"][:, 0], 3.0 * np.exp(-states.times / 5.0), rtol=1e-14)
    assert states.values["v"][:5, 0].tolist() == [-2.0] * 5  # the spike and 4 steps
    assert states.values["v"][5, 0] > -2.0


def psp(t, weight, tau_mem, tau_syn):
    """v(t) of tau_mem dv/dt = -v + i, tau_syn di/dt = -i from v = 0, i = weight."""
    if tau_mem == tau_syn:
        return weight * t / tau_mem * np.exp(-t / tau_mem)
    return weight * tau_syn / (tau_mem - tau_syn) * (np.exp(-t / tau_mem) - np.exp(-t / tau_syn))


def after_one_spike(tau_mem, tau_syn, weight, dt, steps, update, dtype="float64"):
    """(t since arrival, v, i) of a neuron that receives one spike."""
    network = Network(
        [Population("s", 1, SpikeSource([dt], [0])), Population("n", 1, LIF(tau_mem=tau_mem, tau_syn=tau_syn))],
        [Projection("s", "n", [[weight]], delay=2 * dt)],
    )
    record = [States("n", ("v", "i")), Spikes("n")]
    made = Simulation(network, dt, dtype=dtype, update=update, record=record).run((steps + 3) * dt)
    assert not len(made.spikes["n"].times)
    values = made.states["n"].values
    assert not values["v"][:3].any()
    return made.states["n"].times[2:] - 3 * dt, values["v"][2:, 0], values["i"][2:, 0]


TIME_CONSTANTS = [(10.0, 5.0), (10.0, 0.5), (5.0, 10.0), (8.0, 8.0), (8.0, 8.0 * (1 + 1e-9))]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("tau_mem", "tau_syn"), TIME_CONSTANTS)
def test_postsynaptic_potential(tau_mem, tau_syn, update):
    same = abs(tau_mem - tau_syn) < 1e-6
    peak_time = tau_mem if same else math.log(tau_mem / tau_syn) * tau_mem * tau_syn / (tau_mem - tau_syn)
    weight = 1.2
    dt = peak_time / 64  # so that the peak lies on the grid
    t, v, i = after_one_spike(tau_mem, tau_syn, weight, dt, 200, update)
    np.testing.assert_allclose(i, weight * np.exp(-t / tau_syn), rtol=0, atol=1e-14)  # a jump rounds relative to where it began
    np.testing.assert_allclose(
        v, psp(t, weight, tau_mem, tau_mem if same else tau_syn), rtol=0, atol=2e-9 if tau_syn != 8 and same else 1e-13
    )
    peak = weight / math.e if same else weight * (tau_syn / tau_mem) ** (tau_mem / (tau_mem - tau_syn))
    assert np.argmax(v) == 64
    assert v[64] == pytest.approx(peak, rel=1e-8 if same else 1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_float32_is_float64_to_its_precision(update):
    t, v, i = after_one_spike(10.0, 5.0, 1.2, 0.1, 1000, update, "float32")
    assert v.dtype == np.float32
    np.testing.assert_allclose(v, psp(t, 1.2, 10.0, 5.0), rtol=0, atol=1000 * 2**-24 * 0.3)
    np.testing.assert_allclose(i, 1.2 * np.exp(-t / 5.0), rtol=0, atol=10 * 2**-24)
    assert np.abs(v - psp(t, 1.2, 10.0, 5.0)).max() > 1e-9  # float32 indeed


def test_long_silent_gaps_are_jumped_to_the_same_state():
    """Gaps of up to 100,000 steps, with time constants that leave something to compare: sparse equals dense to 1e-9."""
    rng = np.random.default_rng(0)
    sources = 5
    times = np.array([0.1, 51.3, 51.4, 152.6, 400.0, 2000.1, 12000.0])  # gaps within the table of 512 steps and beyond it
    neurons = np.arange(len(times)) % sources
    neuron = LIF(tau_mem=3000.0, tau_syn=1500.0)
    network = Network(
        [Population("s", sources, SpikeSource(times, neurons)), Population("n", 20, neuron)],
        [Projection("s", "n", rng.uniform(-1.0, 0.6, (sources, 20)), delay=0.3)],
    )
    simulations = [Simulation(network, 0.1, dtype="float64", update=update) for update in UPDATES]
    for duration in (100.0, 1900.0, 9999.0, 11000.0):
        for simulation in simulations:
            simulation.run(duration)
        for field in "vi":
            dense, sparse = (simulation.state("n", field) for simulation in simulations)
            np.testing.assert_allclose(sparse, dense, rtol=0, atol=1e-9)
    assert np.abs(simulations[0].state("n")).min() > 1e-5
    assert simulations[1].counters.updates <= 20 * len(times) < simulations[0].counters.updates / 10_000
    assert simulations[0].counters.spikes == simulations[1].counters.spikes == len(times)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("tau", "steps"), [(20.0, 400), (200.0, 3000), (2000.0, 30_000)])  # in the table, beyond ring, far beyond
def test_a_threshold_crossed_far_in_the_future(tau, steps, update):
    dt, leak = 0.5, 1.0001
    crossing = first_above(tau * math.log(leak / (leak - 1.0)) / dt)
    assert crossing > 0.9 * steps
    simulation, made = alone(LIF(tau_mem=tau, v_leak=leak), dt, (2 * crossing + 9) * dt, initial={"v": 0.0}, update=update)
    assert spike_steps(made, dt).tolist() == [crossing, 2 * crossing]
    if update == "sparse":
        assert simulation.counters.updates <= 6


@pytest.mark.parametrize("update", UPDATES)
def test_far_crossings_of_many_neurons_at_once(update):
    """Crossing times that share slots of the ring (equal modulo 1024) and others: each in its own step."""
    wanted = np.array([3, 1027, 2051, 2052, 4099, 9000, 5, 1029])
    dt = 0.5
    # A straight line that is above 1 from step n on: slope dt (n - 1/2) = 1, which no rounding can move to another step.
    simulation, made = alone(
        IAF(v_reset=-1e9), dt, 5000.0, [Current("n", 1.0 / (dt * (wanted - 0.5)))], size=len(wanted), update=update
    )
    found = dict(zip(made.spikes["n"].neurons.tolist(), spike_steps(made, dt).tolist(), strict=True))
    assert [found[j] for j in range(len(wanted))] == wanted.tolist()
    if update == "sparse":
        assert simulation.counters.updates <= 2 * len(wanted)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("tau_mem", "tau_syn", "start"), [(10.0, 5.0, 0.0), (10.0, 30.0, 0.9), (200.0, 50.0, 0.5), (10.0, 10.0, 0.0)]
)
def test_inhibition_delays_a_spike_and_the_rebound_fires(tau_mem, tau_syn, start, update):
    """v falls first and turns: the next crossing lies behind the turning point."""
    dt, leak, weight = 0.1, 1.05, -40.0
    neuron = LIF(tau_mem=tau_mem, tau_syn=tau_syn, v_leak=leak)

    def v(t):
        return leak + (start - leak) * np.exp(-t / tau_mem) + psp(t, weight, tau_mem, tau_syn)

    bottom = scipy.optimize.minimize_scalar(v, (0.0, 1.0)).x
    assert v(bottom) < -1.0
    crossing = first_above(scipy.optimize.brentq(lambda t: v(t) - 1.0, bottom, 1e5) / dt)
    simulation, made = alone(neuron, dt, (crossing + 2) * dt, initial={"v": start, "i": weight}, update=update)
    assert spike_steps(made, dt).tolist() == [crossing]
    if update == "sparse":
        assert simulation.counters.updates <= 3


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("drive", [0.999, 1.001])
def test_a_peak_that_just_misses_or_just_reaches_threshold(update, drive):
    """The margin is above 0 for a few steps around its turning point only, or not at all."""
    tau_mem, tau_syn, dt = 10.0, 5.0, 0.05
    start = {"v": 0.0, "i": drive * 4.0}  # peaks at i / 4, at 10 ln 2 ms
    simulation, made = alone(LIF(tau_mem=tau_mem, tau_syn=tau_syn), dt, 100.0, initial=start, update=update)
    if drive < 1.0:
        assert not len(made.spikes["n"].times)
    else:
        wanted = scipy.optimize.brentq(lambda t: psp(t, 4 * drive, tau_mem, tau_syn) - 1.0, 0.1, 10 * math.log(2)) / dt
        assert spike_steps(made, dt).tolist() == [first_above(wanted)]
    if update == "sparse":
        assert simulation.counters.updates <= 2


@pytest.mark.parametrize("method", ["exact", "euler"])
def test_silence_and_rebound_of_many_neurons_are_the_same_in_both_updates(method):
    """Few strong inputs of both signs, leak just above threshold, gaps of thousands of steps: the same spikes, the same states."""
    rng = np.random.default_rng(2)
    n, steps = 60, 30_000
    given = np.zeros((steps, 8), np.uint8)
    given[rng.integers(0, steps // 2, 40), rng.integers(0, 8, 40)] = 1
    neuron = LIF(tau_mem=400.0, tau_syn=100.0, v_leak=1.001, method=method, order=BEFORE_FLOW if method == "euler" else LIF().order)
    network = Network(
        [Population("s", 8, SpikeSource()), Population("n", n, neuron)],
        [Projection("s", "n", rng.normal(-3.0, 6.0, (8, n)) * (rng.random((8, n)) < 0.3), delay=1.0)],
    )
    made = []
    for update in UPDATES:
        simulation = Simulation(network, 0.5, dtype="float64", update=update, record=[Spikes("n")], spikes={"s": given})
        spikes = simulation.run(0.5 * steps).spikes["n"]
        made.append((spikes.times, spikes.neurons, simulation.state("n"), simulation.counters))
    dense, sparse = made
    assert len(dense[0]) > 100
    assert np.array_equal(dense[0], sparse[0]) and np.array_equal(dense[1], sparse[1])
    np.testing.assert_allclose(sparse[2], dense[2], rtol=0, atol=1e-9)
    assert sparse[3].updates < dense[3].updates / 500
