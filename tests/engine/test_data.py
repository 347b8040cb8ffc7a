"""Published networks at full size: the rates that their authors report, and neurons that do nothing cost nothing."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eventsim import Rates, Simulation, Spikes
from eventsim.networks import fly

CONNECTOME = "flywire783_both_hemispheres_thr5.npz"
ROOT = Path(__file__).parents[2]


def simulate_fly(path, duration, silent=0, **how):
    example = fly(path, silent=silent)
    simulation = Simulation(example.network, example.dt, seed=1, record=[Spikes("brain")], **how)
    return simulation, simulation.run(duration).spikes["brain"]


@pytest.mark.slow
def test_the_fly_fires_the_same_spikes_in_dense_and_sparse(data_file):
    path = data_file(CONNECTOME)
    (_, dense), (simulation, sparse) = (simulate_fly(path, 2000.0, dtype="float64", update=u) for u in ("dense", "sparse"))
    assert len(dense.times) > 10_000
    assert np.array_equal(dense.times, sparse.times) and np.array_equal(dense.neurons, sparse.neurons)
    assert simulation.counters.updates < 0.02 * simulation.counters.neuron_steps


@pytest.mark.slow
def test_the_fly_fires_as_often_as_published(data_file):
    """Measured with the reference model on Brian2 for the same connectome: 9,800 spikes/s of 170 to 190 neurons."""
    _, spikes = simulate_fly(data_file(CONNECTOME), 10_000.0)
    second = np.minimum((spikes.times - 1e-6) // 1000.0, 9).astype(int)
    counts = np.bincount(second, minlength=10)
    active = [len(np.unique(spikes.neurons[second == s])) for s in range(10)]
    assert counts.mean() == pytest.approx(9800.0, rel=0.04)
    assert 170 <= np.mean(active) <= 190


@pytest.mark.slow
def test_a_million_silent_neurons_cost_nothing(data_file):
    """The same spikes, and the same time within 10 %: medians of runs that alternate, so that a busy machine slows both."""
    path = data_file(CONNECTOME)
    simulations, spikes, seconds = [], [], ([], [])
    for silent in (0, 1_000_000):
        simulation, first = simulate_fly(path, 200.0, silent)
        simulations.append(simulation)
        spikes.append(first)
    assert np.array_equal(spikes[0].times, spikes[1].times) and np.array_equal(spikes[0].neurons, spikes[1].neurons)
    for _ in range(7):
        for simulation, taken in zip(simulations, seconds, strict=True):
            begin = time.perf_counter()
            simulation.run(1000.0)
            taken.append(time.perf_counter() - begin)
    assert simulations[0].counters.updates == simulations[1].counters.updates
    few, many = (float(np.median(taken)) for taken in seconds)
    assert many < 1.1 * few, seconds


MICROCIRCUIT = """
import resource, sys
from eventsim import Rates, Simulation
from eventsim.networks import microcircuit

example = microcircuit()
simulation = Simulation(example.network, example.dt, seed=1, record=[Rates(name, 500.0) for name in example.record])
simulation.run(500.0)
rates = simulation.run(1000.0).rates
for name, expected in zip(example.record, example.expected):
    print(name, rates[name].rate.mean(), expected)
print("synapses", simulation.synapses, 0)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts other units elsewhere")
def test_the_microcircuit_fires_at_its_published_rates_in_four_gigabytes():
    """A process of its own, so that its peak is that of this network alone."""
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", MICROCIRCUIT], cwd=ROOT, capture_output=True, text=True, timeout=3000
    )
    assert made.returncode == 0 and made.stderr == "", made.stderr
    found = {name: (float(value), float(expected)) for name, value, expected in map(str.split, made.stdout.splitlines())}
    peak, synapses = found.pop("peak")[0], found.pop("synapses")[0]
    assert synapses == pytest.approx(298.88e6, rel=1e-3)
    wrong = {name: rates for name, rates in found.items() if abs(rates[0] - rates[1]) > 0.1 * rates[1]}
    assert len(found) == 8 and not wrong, found
    assert peak < 4e9, peak


def test_rates_of_the_fly_are_its_spikes(data_file):
    """A short run, not slow: the whole brain at once, counted in two ways."""
    example = fly(data_file(CONNECTOME))
    simulation = Simulation(example.network, example.dt, seed=1, record=[Spikes("brain"), Rates("brain", 50.0)])
    made = simulation.run(200.0)
    times = made.spikes["brain"].times
    assert np.array_equal(np.histogram(times - 0.05, np.arange(0.0, 201.0, 50.0))[0], made.rates["brain"].counts)
    assert 100 < len(times) < 4000
    stimulated = np.flatnonzero(example.network.inputs[0].rate)
    assert set(made.spikes["brain"].neurons[times < 5.0]) <= set(stimulated)  # nothing arrives before its delay
