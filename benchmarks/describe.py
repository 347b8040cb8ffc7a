"""A network as plain data, from which other simulators build the same one: nothing about it is written down twice.

Numbers that differ between neurons or synapses are arrays, kept in an .npz file beside the description.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eventsim import Connectivity, Current, Network, PoissonNoise, VaryingRate
from eventsim.distributions import Constant, Distribution, PerSynapse
from eventsim.networks import Example
from eventsim.rules import Rule


class _Arrays:
    """Arrays by name, on their way into a file."""

    def __init__(self):
        self.held: dict[str, np.ndarray] = {}

    def put(self, value: Any) -> Any:
        """A number as it is, an array as ``{"array": its name}``."""
        if np.ndim(value) == 0:
            return float(value)
        name = f"array{len(self.held)}"
        self.held[name] = np.asarray(value)
        return {"array": name}


def _distribution(values: Distribution, arrays: _Arrays) -> Any:
    if isinstance(values, Constant):
        return values.value
    if isinstance(values, PerSynapse):
        return arrays.put(values.values)
    return {"law": type(values).__name__, **asdict(values)}


def _connectivity(found: Any, arrays: _Arrays) -> dict[str, Any]:
    if isinstance(found, Connectivity):
        return {"rule": "explicit", "indptr": arrays.put(found.indptr), "targets": arrays.put(found.targets)}
    if isinstance(found, Rule):
        return {"rule": type(found).__name__, **asdict(found)}
    raise TypeError(f"a peer cannot be told about a {type(found).__name__}")


def _constant(noise: PoissonNoise) -> Any:
    if isinstance(noise.rate, VaryingRate):
        raise TypeError("a peer cannot be told about a VaryingRate")
    return noise.rate


def describe(chosen: Example, path: Path) -> dict[str, Any]:
    """The description of a network; its arrays go to the file ``path``. Times in ms, rates in spikes/s."""
    arrays, network = _Arrays(), chosen.network
    content = {
        "name": chosen.name,
        "dt": chosen.dt,
        "populations": [_population(network, population, arrays) for population in network.populations],
        "projections": [
            {
                "source": p.source,
                "target": p.target,
                "connectivity": _connectivity(p.connectivity, arrays),
                "weight": _distribution(p.weight, arrays),
                "delay": _distribution(p.delay, arrays),
                "port": p.port or _default_port(network, p.target),
            }
            for p in network.projections
        ],
        "noise": [
            {
                "target": given.target,
                "rate": arrays.put(_constant(given)),
                "weight": arrays.put(given.weight),
                "port": given.port or _default_port(network, given.target),
            }
            for given in network.inputs
            if isinstance(given, PoissonNoise)
        ],
        "arrays": str(path),
    }
    np.savez(path, **arrays.held)
    return content


def _default_port(network: Network, target: str) -> str:
    return network.neurons(target, "describe").neuron.model.default_port[0]


def _population(network: Network, population: Any, arrays: _Arrays) -> dict[str, Any]:
    neuron = population.neuron
    currents = [g.amplitude for g in network.inputs if isinstance(g, Current) and g.target == population.name]
    return {
        "name": population.name,
        "size": population.size,
        "model": neuron.model.name,
        "params": {name: arrays.put(value) for name, value in neuron.params._asdict().items()},
        "refractory": arrays.put(neuron.refractory),
        "hold": list(neuron.hold),
        "initial": {name: _distribution(value, arrays) for name, value in population.initial.items()},
        "current": sum(float(current) for current in currents),
    }
