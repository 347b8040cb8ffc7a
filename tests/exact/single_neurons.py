"""Random single neurons of a model, as one population of the exact engine and one by one in 50 digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from exact.closed_forms import simulate

from eventsim import Current, Network, Population, Projection, Simulation, Spikes, SpikeSource
from eventsim.connectivity import Connectivity
from eventsim.models import (
    IAF,
    LIF,
    LSNN,
    QIF,
    AdaLIF,
    IAFSubtract,
    LIFAlpha,
    LIFDelta,
    LIFExcInh,
    LIFResetAll,
    LIFSubtract,
)

MODELS = (IAF, LIF, LSNN, QIF, AdaLIF, IAFSubtract, LIFAlpha, LIFDelta, LIFExcInh, LIFResetAll, LIFSubtract)
HORIZON = 100.0  # ms
CHANGES = (30.0, 61.7)  # ms, when the current changes


@dataclass(frozen=True)
class Case:
    """params, refractory: (n,) each; times, weights: (arrivals, n), of one port each; currents: (1 + changes, n)"""

    model: Any
    params: dict[str, np.ndarray]
    refractory: np.ndarray
    ports: tuple[str, ...]
    times: np.ndarray
    weights: np.ndarray
    currents: np.ndarray

    @property
    def size(self) -> int:
        return len(self.refractory)


def drawn_params(model, rng, n):
    """Time constants over more than a decade, some of them equal or nearly so; potentials without unit or in mV."""
    names = model.Params._fields
    scale, shift = np.where(rng.random(n) < 0.6, 1.0, 15.0), 0.0
    shift = np.where(scale == 1.0, 0.0, -65.0)
    if model in (IAFSubtract, LIFSubtract):
        shift = 0.0 * shift
    p = {
        "tau_mem": np.exp(rng.uniform(np.log(2.0), np.log(40.0), n)),
        "tau_syn": np.exp(rng.uniform(np.log(0.3), np.log(30.0), n)),
        "tau_exc": np.exp(rng.uniform(np.log(0.3), np.log(20.0), n)),
        "tau_inh": np.exp(rng.uniform(np.log(0.3), np.log(30.0), n)),
        "tau_adapt": np.exp(rng.uniform(np.log(5.0), np.log(300.0), n)),
        "v_leak": shift + scale * np.where(rng.random(n) < 0.7, rng.uniform(-0.3, 0.9, n), rng.uniform(1.02, 1.6, n)),
        "v_th": shift + scale,
        "v_reset": shift + scale * rng.uniform(-0.5, 0.6, n),
        "v_start": shift + scale * rng.uniform(-0.5, 0.9, n),
        "slope": scale * rng.uniform(-0.02, 0.08, n),
        "r_mem": rng.uniform(0.2, 3.0, n),
        "beta": scale * rng.uniform(0.0, 0.8, n),
        "drive": np.where(rng.random(n) < 0.5, 0.0, scale * rng.uniform(-0.3, 0.8, n)),
    }
    if model is QIF:
        p["v_leak"], p["v_crit"] = shift + scale * rng.uniform(-0.3, 0.2, n), shift + scale * rng.uniform(0.3, 0.9, n)
        p["curve"], p["v_th"] = rng.uniform(0.5, 2.0, n) / scale, shift + scale * rng.uniform(1.0, 30.0, n)
    for name in ("tau_syn", "tau_exc", "tau_inh"):
        same = rng.random(n)
        p[name] = np.where(same < 0.05, p["tau_mem"], np.where(same < 0.1, p["tau_mem"] * (1 + 1e-9), p[name]))
    p["tau_inh"] = np.where(rng.random(n) < 0.05, p["tau_exc"], p["tau_inh"])
    p["tau_adapt"] = np.where(rng.random(n) < 0.05, p["tau_mem"], p["tau_adapt"])
    return {name: p[name] for name in names}, scale


def drawn_case(model, seed, n, arrivals=8):
    rng = np.random.default_rng(seed)
    p, scale = drawn_params(model, rng, n)
    ports = tuple(rng.permutation(list(model.ports))[k % len(model.ports)] for k in range(arrivals))
    times = np.sort(rng.uniform(0.0, 90.0, (arrivals, n)), axis=0)
    weights = scale * rng.uniform(-0.6, 1.6, (arrivals, n))
    for k, port in enumerate(ports):
        if port == "v":
            weights[k] *= 0.4
        else:
            tau = p.get({"exc": "tau_exc", "inh": "tau_inh"}.get(port, "tau_syn"))
            weights[k] *= (1.0 + 0.5 * p["tau_mem"] / tau) / p["r_mem"]
        if port == "inh":
            weights[k] = -abs(weights[k])
    refractory = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0.2, 6.0, n))
    factor = 0.03 if "slope" in p else 0.4
    currents = scale * np.where(rng.random(n) < 0.5, 0.0, rng.uniform(-factor, factor, (1 + len(CHANGES), n)))
    return Case(model, p, refractory, ports, times, weights, currents)


def in_engine(case: Case):
    """The spike times of each neuron."""
    n, count = case.size, len(case.ports)
    neurons = np.arange(count * n)
    times = case.times.reshape(-1)
    order = np.lexsort((neurons, times))
    populations = [
        Population("input", count * n, SpikeSource(times[order], neurons[order])),
        Population("cells", n, case.model(**case.params, refractory=case.refractory)),
    ]
    projections = []
    for port in dict.fromkeys(case.ports):
        of_port = np.array([k for k in range(count) if case.ports[k] == port])
        sources = (of_port[:, None] * n + np.arange(n)).reshape(-1)
        targets, weights = np.tile(np.arange(n), len(of_port)), case.weights[of_port].reshape(-1)
        wires = Connectivity.from_coo(sources, targets, count * n, n, weights=weights, delays=np.zeros(len(targets)))
        projections.append(Projection("input", "cells", wires, port=port))
    current = Current("cells", case.currents, times=[0.0, *CHANGES])
    simulation = Simulation(Network(populations, projections, [current]), method="exact", record=[Spikes("cells")])
    found = simulation.run(HORIZON).spikes["cells"]
    return [found.times[found.neurons == j] for j in range(n)]


def in_50_digits(case: Case, j: int):
    """``(times, conditioning)`` of neuron j."""
    events = [(float(t), None, float(c)) for t, c in zip((0.0, *CHANGES), case.currents[:, j], strict=True)]
    arrivals = zip(case.times[:, j], case.ports, case.weights[:, j], strict=True)
    events += [(float(t), str(port), float(w)) for t, port, w in arrivals]
    params = {name: float(values[j]) for name, values in case.params.items()}
    states = case.model.State._fields
    return simulate(case.model.name, params, states, float(case.refractory[j]), sorted(events, key=lambda e: e[0]), HORIZON)
