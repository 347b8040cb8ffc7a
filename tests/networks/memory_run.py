"""The most memory that a simulation holds, measured in a process of its own: ``python memory_run.py NAME`` prints it as JSON.

The process first builds and runs a small network of the same kind, so that the program and its machine code count as what it held
before. What is measured is what came on top: the network's arrays, building it, and running it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers.protocol import forget_peak, peak_memory, resident_memory
from eventsim import (
    LIF,
    Connectivity,
    FixedInDegree,
    FixedProbability,
    GammaSource,
    LIFDelta,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    SpikeSource,
    Uniform,
    VaryingRate,
    estimate,
)

DRAWN = Normal(1e-4, 1e-5)  # too weak to matter: all fire about as often, whatever the network
START = {"v": Uniform(0.0, 1.0)}
RATE, STRENGTH = 2000.0, 0.1  # spikes/s onto each neuron, which let it fire some spikes/s, and their weight


def sized(size: int, small: bool) -> int:
    """The size of a population; a small one needs the same machine code."""
    return size if not small else 70_000 if size > 2**16 else 300


def recurrent(neurons: int, in_degree: int, small: bool, weight: Any = DRAWN, delay: Any = 1.5, rule: Any = None) -> Network:
    """Noisy neurons that connect to each other."""
    connectivity = rule or FixedInDegree(2 if small else in_degree)
    return Network(
        (Population("a", sized(neurons, small), LIF(tau_mem=20.0), START),),
        (Projection("a", "a", connectivity, weight=weight, delay=delay),),
        (PoissonNoise("a", RATE, STRENGTH),),
    )


def given_arrays(small: bool) -> Network:
    n, degree = sized(20_000, small), 500
    rng = np.random.default_rng(0)
    targets = np.sort(rng.integers(0, n, (n, degree), dtype=np.int32), axis=1).reshape(-1)
    weights, delays = rng.normal(1e-4, 1e-5, n * degree), rng.integers(1, 30, n * degree) * 0.1
    connectivity = Connectivity(np.arange(n + 1) * degree, targets, weights, delays, n)
    populations = (Population("a", n, LIF(), START),)
    return Network(populations, (Projection("a", "a", connectivity),), (PoissonNoise("a", RATE, STRENGTH),))


def own_parameters(small: bool) -> Network:
    n = sized(1_000_000, small)
    neuron = LIF(tau_mem=np.linspace(10.0, 20.0, n), v_th=np.linspace(1.0, 2.0, n), refractory=2.0)
    inputs = (PoissonNoise("a", np.linspace(500.0, 2500.0, n), np.linspace(0.05, 0.1, n)),)
    return Network((Population("a", n, neuron),), (Projection("a", "a", FixedInDegree(5), weight=DRAWN, delay=1.0),), inputs)


def varying_rates(small: bool) -> Network:
    n = sized(500_000, small)
    rate = VaryingRate(np.linspace(100.0, 3000.0, 5 * n).reshape(5, n), 10.0 * np.arange(5), "linear")
    populations = (Population("a", n, LIF(), START), Population("g", n, GammaSource(np.linspace(10.0, 20.0, n), 3.0)))
    projections = (Projection("g", "a", FixedInDegree(20), weight=1e-4, delay=Uniform(1.0, 3.0)),)
    return Network(populations, projections, (PoissonNoise("a", rate, STRENGTH),))


def given_spikes(small: bool) -> Network:
    n = sized(100_000, small)
    each = n // 2  # of them fire in each step
    spikes = each if small else 6_000_000
    source = SpikeSource(1.0 + 0.1 * (np.arange(spikes) // each), np.arange(spikes) % each)
    populations = (Population("s", n, source), Population("a", n, LIF(), START))
    projections = (Projection("s", "a", FixedInDegree(2 if small else 50), weight=1e-4, delay=1.5),)
    return Network(populations, projections, (PoissonNoise("a", RATE, STRENGTH),))


def layers(small: bool) -> Network:
    """Sources, two populations of one kind and two ports, from one to the other without delay."""
    n, degree = sized(30_000, small), FixedInDegree(2 if small else 400)
    neuron = LIFDelta(tau_mem=20.0, refractory=2.0)
    populations = (Population("p", n, PoissonSource(5.0)), Population("a", n, neuron, START), Population("b", n, neuron, START))
    projections = (
        Projection("p", "a", degree, weight=1e-4, delay=1.0),
        Projection("a", "b", degree, weight=DRAWN, delay=0.0),
        Projection("b", "b", degree, weight=DRAWN, delay=Uniform(0.5, 2.0)),
    )
    return Network(populations, projections, (PoissonNoise("a", RATE, 0.02), PoissonNoise("b", RATE, 0.02)))


EXACT = {"method": "exact"}
NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "one weight": (lambda s: recurrent(30_000, 2000, s, weight=1e-4), {}),
    "drawn weights": (lambda s: recurrent(30_000, 1000, s), {}),
    "drawn delays": (lambda s: recurrent(100_000, 100, s, weight=1e-4, delay=Uniform(0.1, 10.0)), {}),
    "float64": (lambda s: recurrent(20_000, 1000, s), {"dtype": "float64"}),
    "float16 weights": (lambda s: recurrent(40_000, 1000, s), {"weight_dtype": "float16"}),
    "fixed probability": (lambda s: recurrent(20_000, 0, s, rule=FixedProbability(0.08)), {}),
    "given arrays": (given_arrays, {}),
    "many neurons": (lambda s: recurrent(4_000_000, 2, s), {"update": "dense"}),
    "many quiet neurons": (lambda s: recurrent(2_000_000, 2, s), {"update": "sparse"}),
    "batch of 64": (lambda s: recurrent(60_000, 100, s), {"batch": 64}),
    "two workers": (lambda s: recurrent(30_000, 1000, s), {"workers": 2}),
    "parameters of each neuron": (own_parameters, {}),
    "varying rates": (varying_rates, {}),
    "given spikes": (given_spikes, {}),
    "layers": (layers, {}),
    "exact, one delay": (lambda s: recurrent(100_000, 100, s), EXACT),
    "exact, drawn delays": (lambda s: recurrent(40_000, 100, s, delay=Uniform(1.0, 3.0)), EXACT),
    "exact, many neurons": (lambda s: recurrent(700_000, 2, s), EXACT),
}
MS, SHORT = 20.0, 5.0  # what is simulated on the grid, and in continuous time


def simulate(name: str, small: bool) -> Simulation:
    """Build and run one of the networks; the peak of memory is forgotten once it is described."""
    make, settings = NETWORKS[name]
    network = make(small)
    gc.collect()
    forget_peak()
    simulation = Simulation(network, **({"workers": 1} | settings if settings is not EXACT else EXACT))
    simulation.run(SHORT if settings is EXACT else MS)
    return simulation


def measure(name: str) -> dict[str, Any]:
    """Bytes: "measured", "peak" (estimated), "kinds"."""
    simulate(name, True)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the small network has left behind is not held by the large one
    before = resident_memory()
    simulation = simulate(name, False)
    measured = peak_memory() - before
    guess = estimate(simulation.network, **NETWORKS[name][1])
    rate = simulation.counters.spikes / simulation.network.size / simulation.batch / (simulation.time / 1000.0)
    return {"measured": measured, "peak": guess.peak_bytes, "kinds": guess.bytes, "rate": rate}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
