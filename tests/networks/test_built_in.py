"""The built-in networks: sizes and constants against the papers, and what they do when they run.

The full microcircuit runs in `tests/engine/test_data.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from eventsim.distributions import Normal
from eventsim.errors import NetworkError
from eventsim.estimate import estimate
from eventsim.models import Neuron
from eventsim.network import Network, Population
from eventsim.networks import BUILT_IN, brunel, microcircuit, vogels_abbott
from eventsim.networks.microcircuit import (
    CONNECTION_PROBABILITY,
    MEAN_RATES,
    SIZES,
    compensating_current,
    current_per_potential,
    external_current,
    synapse_numbers,
)
from eventsim.recording import Rates, Spikes, States
from eventsim.simulation import Simulation
from eventsim.stimuli import Current, PoissonNoise
from eventsim.storage import load, save


def counts(example, duration, discard=0.0, **settings):
    """Spikes of each population in the counted time, and the simulation."""
    simulation = Simulation(example.network, example.dt, record=[Spikes(name) for name in example.record], **settings)
    if discard:
        simulation.run(discard)
    recording = simulation.run(duration)
    return {name: recording.spikes[name] for name in example.record}


def test_the_microcircuit_has_the_published_size():
    example = microcircuit()
    guess = estimate(example.network, example.dt)
    assert guess.neurons == 77_169
    # Potjans & Diesmann (2014): nearly 0.3 billion synapses; the reference implementation counts 298,880,941.
    assert guess.synapses == pytest.approx(298_880_941, abs=64)
    assert guess.total_bytes < 2 * 2**30
    assert guess.bytes["synapses"] == pytest.approx(6 * guess.synapses)
    assert estimate(example.network, example.dt, weight_dtype="float16").bytes["synapses"] == pytest.approx(4 * guess.synapses)


def test_as_many_draws_as_give_the_connection_probability():
    pairs = np.outer(SIZES, SIZES)
    assert np.allclose(1.0 - (1.0 - 1.0 / pairs) ** synapse_numbers(), CONNECTION_PROBABILITY, atol=1e-9)


def test_a_current_of_88_pA_makes_a_potential_of_a_seventh_of_a_millivolt():
    current = 0.15 * current_per_potential()
    assert current == pytest.approx(87.8, abs=0.05)
    t = np.linspace(0.0, 20.0, 200_001)
    potential = current * 10.0 * 0.5 / (250.0 * 9.5) * (np.exp(-t / 10.0) - np.exp(-t / 0.5))
    assert potential.max() == pytest.approx(0.15, rel=1e-6)


def test_weights_and_delays_of_the_microcircuit():
    projections = {(p.source, p.target): p for p in microcircuit().network.projections}
    assert len(projections) == np.count_nonzero(CONNECTION_PROBABILITY)
    one = 0.15 * current_per_potential()
    assert projections["L23E", "L23E"].weight == Normal(one, 0.1 * one, low=0.0)
    assert projections["L4E", "L23E"].weight.mean == pytest.approx(2 * one)
    assert projections["L4E", "L23I"].weight.mean == pytest.approx(one)
    inhibitory = projections["L6I", "L6E"].weight
    assert inhibitory.mean == pytest.approx(-4 * one) and inhibitory.high == 0.0 and inhibitory.std == pytest.approx(0.4 * one)
    assert (projections["L5E", "L4E"].delay.mean, projections["L5E", "L4E"].delay.std) == (1.5, 0.75)
    assert (projections["L5I", "L5E"].delay.mean, projections["L5I", "L5E"].delay.std) == (0.75, 0.375)
    assert all(round(p.delay.minimum / 0.1) == 1 for p in projections.values())


def mean_input(example, name):
    """Weight times rate into each neuron of a population, pA/s, if all fire at the published rates."""
    rates = dict(zip(example.record, MEAN_RATES, strict=True))
    total = 0.0
    for p in example.network.projections:
        if p.target == name:
            total += p.connectivity.n / example.network.population(name).size * p.weight.mean * rates[p.source]
    for given in example.network.inputs:
        if given.target == name:
            total += float(given.rate * given.weight) if isinstance(given, PoissonNoise) else float(given.amplitude) / (0.001 * 0.5)
    return total


def test_scaling_keeps_the_mean_input():
    full, small = microcircuit(), microcircuit(scale=0.25)
    size = estimate(small.network, 0.1)
    assert size.neurons == pytest.approx(0.25 * 77_169, abs=8)
    assert size.synapses == pytest.approx(298_880_941 / 16, abs=64)
    for name in full.record:
        assert mean_input(small, name) == pytest.approx(mean_input(full, name), rel=2e-3)
    assert not any(isinstance(given, Current) for given in full.network.inputs)
    assert np.all(compensating_current(1.0) == 0.0)
    assert math.isclose(small.network.inputs[0].weight, full.network.inputs[0].weight * 2)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_constant_drive_has_the_mean_of_the_poisson_drive(scale):
    poisson, dc = microcircuit(scale=scale), microcircuit(scale=scale, drive="dc")
    for name in dc.record:
        assert mean_input(dc, name) == pytest.approx(mean_input(poisson, name), rel=2e-3)
    assert [type(given) for given in dc.network.inputs] == [Current] * 8
    if scale == 1.0:  # the reference's own formula, for its first population: 8/s x 1600 x 87.8 pA x 0.5 ms
        assert float(dc.network.inputs[0].amplitude) == pytest.approx(8.0 * 1600 * 87.8 * 0.0005, rel=1e-3)
        assert np.array_equal([float(given.amplitude) for given in dc.network.inputs], external_current())


def test_the_two_drives_move_a_silent_network_alike():
    """Without synapses and threshold: the mean voltage under either drive, seen in the engine, is E_L + R I."""
    voltages = []
    for drive in ("poisson", "dc"):
        example = microcircuit(scale=0.01, drive=drive)
        populations = [
            Population(p.name, p.size, replace(p.neuron, params=p.neuron.params._replace(v_th=1e3)))
            for p in example.network.populations
        ]
        simulation = Simulation(Network(populations, inputs=example.network.inputs), 0.1, seed=1)
        simulation.run(100.0)
        mean = np.zeros(8)
        for _ in range(40):
            simulation.run(10.0)
            mean += [simulation.state(name, "v").mean() / 40 for name in example.record]
        voltages.append(mean)
    wanted = -65.0 + (10.0 / 250.0) * (external_current() + compensating_current(0.01, "dc"))
    np.testing.assert_allclose(voltages[1], wanted, rtol=1e-5)
    # 40 samples of 11 to 219 neurons: the errors of the means seen were up to 0.3 mV
    np.testing.assert_allclose(voltages[0], wanted, atol=1.0)


def test_the_microcircuit_with_a_constant_drive_is_active():
    example = microcircuit(scale=0.3, drive="dc")
    spikes = counts(example, 200.0, discard=200.0, seed=3)
    rates = [len(spikes[name].times) / (example.network.population(name).size * 0.2) for name in example.record]
    assert np.all(np.array(rates) > 0.4 * np.array(MEAN_RATES)) and np.all(np.array(rates) < 1.6 * np.array(MEAN_RATES))
    assert "the expected rates are those with Poisson input" in example.notes[1]
    assert "synchronous" in microcircuit(scale=0.1, drive="dc").notes[-1]


@pytest.mark.parametrize("scale", [0.0, -1.0, 2.0, float("nan")])
def test_a_scale_that_makes_no_sense(scale):
    with pytest.raises(NetworkError, match="scale"):
        microcircuit(scale=scale)


@pytest.mark.parametrize("build", [brunel, vogels_abbott])
def test_too_few_neurons(build):
    with pytest.raises(NetworkError, match="neurons must be at least"):
        build(neurons=3)


def test_the_microcircuit_is_active_at_a_tenth_of_its_size():
    example = microcircuit(scale=0.1)
    spikes = counts(example, 300.0, discard=100.0, seed=3)
    rates = [len(spikes[name].times) / (example.network.population(name).size * 0.3) for name in example.record]
    # Scaled correctly, populations fire near the published rates; correlations (and so rates) differ somewhat.
    assert np.all(np.array(rates) > 0.3 * np.array(MEAN_RATES)) and np.all(np.array(rates) < 2.5 * np.array(MEAN_RATES))


def test_brunel_fires_asynchronously_and_irregularly():
    example = brunel(neurons=2500, weight=0.4)  # a quarter of the synapses, four times as strong
    spikes = counts(example, 300.0, discard=100.0, seed=1)
    rate = len(spikes["exc"].times) / (2000 * 0.3)
    assert 20.0 < rate < 100.0
    intervals = []
    for neuron in range(0, 2000, 20):
        times = spikes["exc"].times[spikes["exc"].neurons == neuron]
        if len(times) > 5:
            intervals.append(np.std(np.diff(times)) / np.mean(np.diff(times)))
    assert np.mean(intervals) > 0.4
    assert min(np.diff(spikes["exc"].times[spikes["exc"].neurons == 0])) > 2.0, "the refractory period is 2 ms"


def test_brunel_full_size_matches_its_mean_drive():
    network = brunel().network
    assert {p.name: p.size for p in network.populations} == {"exc": 8000, "inh": 2000}
    assert estimate(network, 0.1).synapses == 10_000 * 1000
    noise = network.inputs[0]
    # eta = 2: the external input alone would drive the membrane to twice its threshold: J nu tau = 2 theta.
    assert float(noise.rate * noise.weight) * 0.020 == pytest.approx(2 * 20.0)


def test_vogels_abbott_goes_on_by_itself():
    example = vogels_abbott()
    assert estimate(example.network, 0.1).synapses == pytest.approx(320_000, rel=0.01)
    simulation = Simulation(example.network, 0.1, seed=2, record=[Rates("exc", 50.0), States("inh", ("v",), [0, 1], 1.0)])
    recording = simulation.run(300.0)
    rates = recording.rates["exc"].rate[1:]
    assert np.all(rates > 2.0) and np.all(rates < 60.0)
    assert recording.states["inh"].values["v"].max() <= -50.0 + 1e-3


def variation(spikes, neurons):
    """The mean coefficient of variation of the intervals of those neurons that fired more than five times."""
    found = []
    for neuron in neurons:
        intervals = np.diff(spikes.times[spikes.neurons == neuron])
        if len(intervals) > 4:
            found.append(intervals.std() / intervals.mean())
    return np.mean(found)


# Bounds: 20 networks with other seeds, 2 s each, gave COBA 19.0 +- 1.4 (exc) and 18.9 +- 0.6 (inh) spikes/s for both delays; Brian2
# 2.9 and NEST 3.10 on networks drawn alike lie within that. CUBA: 5.4 +- 0.2 and 5.55 +- 0.05. Four standard deviations, and the
# variation of the intervals with a quarter either side of what three simulators showed (1.7 and 0.61).
@pytest.mark.parametrize("delay", [0.1, 0.8])
@pytest.mark.parametrize(
    ("synapses", "exc", "inh", "irregular"),
    [("coba", (13.0, 25.0), (16.0, 22.0), (1.3, 2.2)), ("cuba", (4.5, 6.5), (5.0, 6.0), (0.45, 0.8))],
)
def test_vogels_abbott_fires_as_in_other_simulators(synapses, exc, inh, irregular, delay):
    example = vogels_abbott(synapses=synapses, delay=delay)
    spikes = counts(example, 2000.0, discard=200.0, seed=1)
    assert exc[0] < len(spikes["exc"].times) / (3200 * 2.0) < exc[1]
    assert inh[0] < len(spikes["inh"].times) / (800 * 2.0) < inh[1]
    assert irregular[0] < variation(spikes["exc"], range(0, 3200, 16)) < irregular[1]
    assert spikes["exc"].times.max() > 2190.0, "the activity sustains itself"


def test_the_two_benchmarks_of_vogels_and_abbott():
    coba = vogels_abbott(synapses="coba", delay=0.8).network
    assert estimate(coba, 0.1).synapses == pytest.approx(320_000, rel=0.01)
    assert {(p.port, p.weight.value, p.delay.value) for p in coba.projections} == {("exc", 6.0, 0.8), ("inh", 67.0, 0.8)}
    p = coba.population("exc").neuron.params
    assert 1.0 / p.r_mem == pytest.approx(10.0) and p.tau_mem / p.r_mem == pytest.approx(200.0), "10 nS and 200 pF"
    assert (p.v_leak, p.v_th, p.v_reset, p.e_exc, p.e_inh, p.tau_exc, p.tau_inh) == (-60, -50, -60, 0, -80, 5, 10)
    assert coba.population("inh").neuron.refractory == 5.0
    assert {p.delay.value for p in vogels_abbott(dt=0.2).network.projections} == {0.2}
    assert "COBA" in vogels_abbott(synapses="coba").description and "CUBA" in vogels_abbott().description


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: vogels_abbott(synapses="hh"), "synapses must be cuba or coba"),
        (lambda: vogels_abbott(delay=0.0), "delay must be above 0"),
        (lambda: vogels_abbott(delay=float("nan")), "delay must be above 0"),
        (lambda: microcircuit(drive="ac"), "drive must be poisson or dc"),
    ],
)
def test_variants_that_do_not_exist(build, named):
    with pytest.raises(NetworkError, match=named):
        build()


def test_a_network_with_conductances_comes_back_from_its_file(tmp_path):
    network = vogels_abbott(synapses="coba", neurons=200).network
    save(network, tmp_path / "coba.npz")
    again = load(tmp_path / "coba.npz")
    both = [Simulation(n, 0.1, seed=3, record=[Spikes("exc")]).run(20.0).spikes["exc"] for n in (network, again)]
    assert len(both[0].times) > 20
    assert np.array_equal(both[0].times, both[1].times) and np.array_equal(both[0].neurons, both[1].neurons)


def test_the_table_of_built_in_networks():
    assert list(BUILT_IN) == ["brunel", "vogels-abbott", "microcircuit", "fly"]
    for name in ("brunel", "vogels-abbott", "microcircuit"):
        example = BUILT_IN[name]()
        assert example.name == name and example.duration > 0 and example.discard >= 0
        assert all(isinstance(example.network.population(p).neuron, Neuron) for p in example.record)
        assert len(example.expected) in (0, len(example.record))
