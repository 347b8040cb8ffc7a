"""What continuous time cannot simulate, refused by name before anything is built."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim.coefficients import holds_whole
from eventsim.errors import NetworkError
from eventsim.models.model import Neuron
from eventsim.network import Network, Population
from eventsim.stages import zero_delay_levels
from eventsim.stimuli import GammaSource, Increment, PoissonNoise, PoissonSource
from eventsim.varying_rate import peak_rate

FASTEST = 1e9  # spikes/s of one process: intervals must not vanish beside the time of a long run


def check_network(network: Network) -> None:
    """Refuse what has no exact solution here, by name."""
    if network.size >= 2**31:
        raise NetworkError(f"the network has {network.size} neurons; at most 2**31 - 1 can be numbered")
    for population in network.populations:
        if isinstance(population.neuron, Neuron):
            _check_neuron(population)
        if isinstance(population.neuron, (PoissonSource, GammaSource)):
            _check_rate(population.neuron.rate, f"population {population.name!r}")
    for given in network.inputs:
        if isinstance(given, PoissonNoise):
            _check_rate(given.rate, f"PoissonNoise to {given.target!r}")
        if isinstance(given, Increment):
            raise NetworkError(
                f"Increment to {given.target!r}: it comes in every step, and method='exact' has no steps; use a Current"
            )
    edges = []
    for projection in network.projections:
        if projection.procedural:
            raise NetworkError(
                f"{projection.label}: method='exact' stores every synapse, and procedural=True asks that none is; leave it out, or "
                "use the grid (method='grid')"
            )
        source, target = network.number(projection.source), network.number(projection.target)
        projection.connectivity.check(
            network.populations[source].size, network.populations[target].size, projection.label, same=source == target
        )
        if projection.delay.minimum == 0.0:
            edges.append((source, target))
    zero_delay_levels([population.name for population in network.populations], edges)


def _check_rate(rate: Any, label: str) -> None:
    fastest = np.max(peak_rate(rate))
    if fastest > FASTEST:
        raise NetworkError(
            f"{label}: {fastest:g} spikes/s is more than {FASTEST:g}, every one an event of method='exact'; use a Current"
        )


def _check_neuron(population: Population) -> None:
    neuron, label = population.neuron, f"population {population.name!r}"
    model = neuron.model
    if neuron.method != "exact" or (model.spiking and model.crossing is None and (model.slope is None or model.bend is None)):
        why = (
            "it is solved by Euler's method" if neuron.method != "exact" else "nothing is known about when it crosses its threshold"
        )
        raise NetworkError(f"{label}: {model.name} cannot run with method='exact': {why}; use the grid (method='grid')")
    if not holds_whole(neuron):
        raise NetworkError(
            f"{label}: {model.name} holds {', '.join(neuron.hold)}, which drives what it does not hold; use the grid"
        )
