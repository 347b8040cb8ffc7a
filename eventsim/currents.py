"""Currents over time: what flows when, and the parameters under it."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim.network import Network, Population
from eventsim.stimuli import Current


def under_currents(network: Network, population: Population, dt: float, time: float) -> Any:
    """The population's Params under the sum of its currents in the steps that begin at ``time``."""
    params = population.neuron.params
    mine = [c for c in network.inputs if isinstance(c, Current) and c.target == population.name]
    if not mine:
        return params
    amplitudes = [amplitude_at(current, dt, time) for current in mine]
    if len(amplitudes) > 1:  # summed by size: the order in which they were named changes no bit
        amplitudes = [np.sort(np.stack(np.broadcast_arrays(*amplitudes)), axis=0).sum(axis=0)[()]]
    return population.neuron.model.inject(params, amplitudes[0])


def amplitude_at(current: Current, dt: float, time: float) -> Any:
    """The amplitude, a number or one for each neuron, in the step that begins at ``time`` (ms)."""
    if not current.varying:
        return current.amplitude[()]
    nothing = np.zeros(current.amplitude.shape[1:])[()]
    if current.times is not None:
        index = int(np.searchsorted(current.times, time + 0.5 * dt, side="right")) - 1
        return current.amplitude[index] if index >= 0 else nothing
    index = int((time + 0.5 * dt) // current.interval)
    return current.amplitude[index] if index < len(current.amplitude) else nothing


def next_change(current: Current, dt: float, time: float) -> float:
    """The first time in ms after ``time`` at which the amplitude may change, or inf."""
    if current.times is not None:
        later = current.times[current.times > time + 0.5 * dt]
        return float(later[0]) if later.size else np.inf
    if current.interval is not None:
        index = int((time + 0.5 * dt) // current.interval) + 1
        return index * current.interval if index <= len(current.amplitude) else np.inf
    return np.inf
