"""The networks that benchmarks build, by name and parameters, in this process and in others."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import Failed
from eventsim import LIF, FixedInDegree, LIFDelta, Network, PoissonNoise, Population, Projection, Uniform
from eventsim.models.model import Neuron
from eventsim.networks import BUILT_IN, Example

CONNECTOME = "flywire783_both_hemispheres_thr5.npz"
WARM = {
    "brunel": {"neurons": 200},
    "vogels-abbott": {"neurons": 50},
    "microcircuit": {"scale": 0.01},
    "uniform": {"neurons": 100},
    "balanced": {"neurons": 500},
}
"""Parameters of a small network of the same kind, whose first step compiles or loads all that the large one needs."""


def uniform(*, neurons: int, in_degree: int, rate: float = 20.0, dt: float = 0.1) -> Example:
    """Neurons that fire at a few spikes/s whatever their number and in-degree is: the synapses are too weak to matter.

    neurons : number; in_degree : synapses of each; rate : mean input voltage, mV (the threshold is 20); dt : ms
    """
    neuron = LIFDelta(tau_mem=20.0, v_leak=0.0, v_th=20.0, v_reset=10.0, refractory=2.0)
    network = Network(
        populations=(Population("cells", neurons, neuron),),
        projections=(Projection("cells", "cells", FixedInDegree(in_degree), weight=1e-6, delay=1.5),),
        inputs=(PoissonNoise("cells", rate=1000.0 * rate / (20.0 * 1.0), weight=1.0),),
    )
    return Example("uniform", network, dt, 100.0, 0.0, ("cells",), "Independent noisy neurons, connected without effect.")


def balanced(
    *,
    neurons: int,
    in_degree: int = 100,
    synapses: str = "delta",
    noise: float = 0.0,
    drive: float = 22.0,
    spread: float = 0.0,
    dt: float = 0.125,
) -> Example:
    """A sparse balanced network after Brunel (2000), driven by a constant current a little above threshold (20 mV above rest).

    neurons : number, four in five excitatory; in_degree : synapses of each, four in five excitatory; synapses : "delta" or
    "exponential" (2 ms); noise : Poisson input of each, spikes/s; drive : mV, where the voltage would go; spread : mV, by so much
    less to so much more in equal steps from neuron to neuron, so that only some are driven above their threshold; dt : ms, of grids
    """
    excitatory = 4 * neurons // 5
    model, weight = (LIFDelta, 0.45) if synapses == "delta" else (partial(LIF, tau_syn=2.0), 4.5)

    def neuron(size: int) -> Neuron:
        ends = drive + spread * np.linspace(-1.0, 1.0, size) if spread else drive
        return model(tau_mem=20.0, v_leak=ends, v_th=20.0, v_reset=10.0, refractory=2.0)

    sizes, degrees = {"exc": excitatory, "inh": neurons - excitatory}, {"exc": 4 * in_degree // 5, "inh": in_degree // 5}
    weights = {"exc": weight, "inh": -5.0 * weight}
    network = Network(
        populations=tuple(Population(name, size, neuron(size), initial={"v": Uniform(0.0, 20.0)}) for name, size in sizes.items()),
        projections=tuple(
            Projection(source, target, FixedInDegree(degrees[source]), weight=weights[source], delay=1.5)
            for source in sizes
            for target in sizes
        ),
        inputs=tuple(PoissonNoise(name, rate=noise, weight=weight) for name in sizes if noise > 0.0),
    )
    return Example("balanced", network, dt, 200.0, 100.0, ("exc", "inh"), "A sparse balanced network, driven by a current.")


def example(name: str, parameters: dict[str, Any]) -> Example:
    """The network called ``name``."""
    build: Any = {**BUILT_IN, "uniform": uniform, "balanced": balanced}[name]
    return build(**parameters)


def data_file(given: str | None, name: str, option: str) -> str:
    """The path of a file of data: as given, or in the folder that EVENTSIM_DATA names."""
    folder = os.environ.get("EVENTSIM_DATA")
    path = Path(given) if given else Path(folder) / name if folder else None
    if path is None:
        raise Failed(f"needs {name}: give {option} FILE, or set EVENTSIM_DATA to the folder that holds it")
    if not path.is_file():
        raise Failed(f"{option}: there is no file {path}; give another, or set EVENTSIM_DATA to the folder that holds {name}")
    return str(path)
