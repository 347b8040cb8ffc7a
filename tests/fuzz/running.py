"""A few steps of simulation of a network that may be anything, if it is small enough to be run here."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim import Network, Population, Rates, Simulation, Spikes, States, estimate
from eventsim.models import Neuron
from eventsim.stimuli import GammaSource, PoissonNoise, PoissonSource
from eventsim.varying_rate import average_rate

DT, STEPS = 0.5, 8  # ms
MOST_BYTES, MOST_EVENTS = 2**26, 20_000


def recorders(network: Network, dt: float = DT) -> list[Any]:
    """Of all that fires and of all states."""
    found: list[Any] = [Spikes(p.name) for p in network.populations if p.spiking]
    found += [Rates(p.name, 2.0 * dt) for p in network.populations if p.spiking]
    return found + [States(p.name, p.neuron.model.State._fields, interval=2.0 * dt) for p in network.populations if is_neurons(p)]


def is_neurons(population: Population) -> bool:
    """Whether it is made of neurons."""
    return isinstance(population.neuron, Neuron)


def run_on_grid(network: Network, dt: float = DT, **how: Any) -> None:
    """Estimate a network and, if it is small, simulate some steps."""
    if estimate(network, dt).total_bytes <= MOST_BYTES:
        Simulation(network, dt, record=recorders(network), **how).run(STEPS * dt)


def run_exactly(network: Network, **how: Any) -> None:
    """Simulate in continuous time as long as a few thousand events of sources take."""
    if network.size <= 1000 and estimate(network, DT).total_bytes <= MOST_BYTES:
        Simulation(network, method="exact", record=recorders(network), **how).run(
            min(STEPS * DT, MOST_EVENTS / (1.0 + events(network)))
        )


def events(network: Network) -> float:
    """How many events of point processes to expect in a ms, about, synapses included."""
    fanned = {p.name: 1.0 for p in network.populations}
    for projection in network.projections:
        sizes = (network.population(name).size for name in (projection.source, projection.target))
        fanned[projection.source] += projection.connectivity.expected(*sizes) / network.population(projection.source).size
    found = 0.0
    for population in network.populations:
        if isinstance(population.neuron, (PoissonSource, GammaSource)):
            rate = np.max(average_rate(population.neuron.rate)) / np.min(getattr(population.neuron, "shape", 1.0) + 0.0)
            found += population.size * rate * fanned[population.name]
    for given in network.inputs:
        if isinstance(given, PoissonNoise):
            found += network.population(given.target).size * np.max(average_rate(given.rate))
    return float(found) / 1000.0
