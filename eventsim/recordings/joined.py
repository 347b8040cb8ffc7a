"""Recordings of stretches of time that follow one another, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eventsim.rate_bins import rate_of_bins
from eventsim.recording import RateData, Rates, Recorder, Recording, SpikeData, StateData


def joined(parts: Sequence[Recording], recorders: Sequence[Recorder], sizes: Mapping[str, int]) -> Recording:
    """What one run over all of the time would have recorded.

    parts : one or more, each begins where the one before it ends; recorders : by which all were made; sizes : of populations
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return first
    intervals = {recorder.population: recorder.interval for recorder in recorders if isinstance(recorder, Rates)}
    states = {name: _states([part.states[name] for part in parts]) for name in first.states}
    rates = {}
    for name in first.rates:
        times, counts = _bins([part.rates[name] for part in parts])
        rate = rate_of_bins(times, counts, intervals[name], sizes[name], first.start, last.stop, first.dt)
        rates[name] = RateData(times, counts, rate)
    spikes = {name: _spikes([part.spikes[name] for part in parts]) for name in first.spikes}
    return Recording(first.start, last.stop, first.dt, spikes, states, rates)


def _spikes(parts: list[SpikeData]) -> SpikeData:
    times, neurons, batch = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(batch, kind="stable")  # of each batch item they come in the order of time
    return SpikeData(times[order], neurons[order], batch[order])


def _states(parts: list[StateData]) -> StateData:
    values = {field: np.concatenate([part.values[field] for part in parts]) for field in parts[0].values}
    return StateData(np.concatenate([part.times for part in parts]), parts[0].neurons, values)


def _bins(parts: list[RateData]) -> tuple[np.ndarray, np.ndarray]:
    """Where bins begin, and their counts; one in which a part ends and the next one begins has those of both."""
    times, at = np.unique(np.concatenate([part.times for part in parts]), return_inverse=True)
    counts = np.concatenate([part.counts for part in parts])
    total = np.zeros((len(times), *counts.shape[1:]), np.int64)
    np.add.at(total, at, counts)
    return times, total
