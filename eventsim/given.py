"""What is given to a simulation apart from its network: spikes and increments, for each batch item."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim.coefficients import check_fits
from eventsim.errors import SimulationError
from eventsim.grid import steps_of
from eventsim.program import Program
from eventsim.stimuli import Increment, SpikeSource


def _item(value: Any, item: int, batch: int, label: str) -> np.ndarray:
    """The (steps, neurons) array of one batch item."""
    array = np.asarray(value)
    if array.ndim == 3:
        if array.shape[1] != batch:
            raise SimulationError(f"{label}: axis 1 holds {array.shape[1]} batch items, the simulation {batch}")
        return array[:, item]
    if array.ndim != 2:
        raise SimulationError(f"{label}: an array must be (steps, neurons) or (steps, batch, neurons), not {array.shape}")
    return array


def given_spikes(program: Program, spikes: dict[str, Any], item: int, batch: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """For each SpikeSource population its (steps, neurons) in the order of the grid, for one batch item."""
    result = {}
    for name in spikes:
        population = program.network.population(name, "spikes")
        if not isinstance(population.neuron, SpikeSource):
            raise SimulationError(f"spikes: {name!r} is not made of SpikeSource")
    for number, population in enumerate(program.network.populations):
        if not isinstance(population.neuron, SpikeSource):
            continue
        label = f"spikes of {population.name!r}"
        given = spikes.get(population.name, population.neuron)
        if isinstance(given, (list, tuple)):
            if len(given) != batch:
                raise SimulationError(
                    f"{label}: a list holds one entry for each batch item; it has {len(given)}, the simulation {batch} items "
                    "(wrap rows of 0 and 1 in numpy.array)"
                )
            given = given[item]
        if isinstance(given, SpikeSource):
            steps, neurons = np.atleast_1d(steps_of(given.times, program.dt, label)), given.neurons
        else:
            array = _item(given, item, batch, label)
            if not np.all((array == 0) | (array == 1)):
                raise SimulationError(f"{label}: an array of spikes holds only 0 and 1")
            if array.shape[1] != population.size:
                raise SimulationError(
                    f"{label}: the last axis holds {array.shape[1]} values, the population {population.size} neurons"
                )
            steps, neurons = np.nonzero(array)
            steps = steps + 1
        if steps.size and steps.min() < 1:
            raise SimulationError(f"{label}: {given.times.min()} ms lies before the first grid point, dt = {program.dt:g} ms")
        if neurons.size and neurons.max() >= population.size:
            raise SimulationError(f"{label}: neuron {neurons.max()} fires, the population has {population.size} neurons")
        order = np.lexsort((neurons, steps))
        steps, neurons = steps[order], neurons[order]
        if np.any((np.diff(steps) == 0) & (np.diff(neurons) == 0)):
            raise SimulationError(f"{label}: a neuron fires twice in one step of {program.dt:g} ms")
        result[number] = (steps, neurons)
    return result


def given_increments(program: Program, increments: dict[str, Any], item: int, batch: int) -> list[Increment]:
    result = []
    for name, value in increments.items():
        label = f"increments of {name!r}"
        population = program.network.neurons(name, label)
        increment = Increment(name, _item(value, item, batch, label), over_time=True)
        increment.check(population.size, label)
        check_fits(increment.value, program.dtype, label)
        result.append(increment)
    return result
