"""The bins of rates: where they begin, how much of each a run has covered, and the rate that its spikes make."""

from __future__ import annotations

import numpy as np

from eventsim.errors import SimulationError
from eventsim.grid import whole_steps

ROUNDING = 1e-9  # ms: so little of a bin is covered by the rounding of a time alone


def bins_reached(start: int, stop: int, interval: int) -> tuple[int, int]:
    """The first bin of ``interval`` steps that a run from the end of step ``start`` to that of ``stop`` reaches, and the one
    after the last."""
    return start // interval, -(-stop // interval)


def grid_bins(start: int, stop: int, interval: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """The bins of a run on a grid, all times in steps of ``dt`` ms: where they begin (ms), how much of each was covered (s)."""
    first, last = bins_reached(start, stop, interval)
    covered = np.full(last - first, float(interval))
    if last > first:  # no bin in a run of 0 ms that begins where one does
        covered[0] -= start - first * interval
        covered[-1] -= last * interval - stop
    return np.arange(first, last) * interval * dt, np.maximum(covered, 1.0) * (dt / 1000.0)


def grid_rate(counts: np.ndarray, seconds: np.ndarray, size: int) -> np.ndarray:
    """Spikes/s a neuron. counts : (bins,) or (bins, batch); seconds : (bins,); size : neurons"""
    return counts / (seconds if counts.ndim == 1 else seconds[:, None]) / size


def exact_rate(counts: np.ndarray, edges: np.ndarray, start: float, stop: float, size: int) -> np.ndarray:
    """Spikes/s a neuron of a run in continuous time; 0 in a bin that was covered by no more than a rounding.

    counts : (bins,); edges : ms, (bins + 1,); start, stop : ms; size : neurons
    """
    covered = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)
    return counts / np.where(covered > ROUNDING, covered, np.inf) * 1000.0 / size


def rate_of_bins(
    times: np.ndarray, counts: np.ndarray, interval: float, size: int, start: float, stop: float, dt: float
) -> np.ndarray:
    """The rate, in spikes/s a neuron, that the counts make in the bins that a run from start to stop reaches.

    times : ms, where the bins begin; counts : (bins,) or (bins, batch); size : neurons
    interval, start, stop, dt : ms; dt is 0 in continuous time, where the first bin tells which they are

    A SimulationError if bins begin elsewhere, or are more or fewer.
    """
    if dt == 0.0:
        first = np.rint(times[0] / interval) if len(times) else 0.0
        edges = (first + np.arange(len(times) + 1)) * interval
        bins, rate = edges[:-1], exact_rate(counts if counts.ndim == 1 else counts.T, edges, start, stop, size).T
    else:
        begin, end = whole_steps(start, dt, "start"), whole_steps(stop, dt, "stop")
        width = whole_steps(interval, dt, "interval")
        first, last = bins_reached(begin, end, width) if width > 0 else (0, -1)
        if last - first != len(times):
            raise SimulationError(f"holds {len(times)} bins; {last - first} are reached from start to stop")
        bins, seconds = grid_bins(begin, end, width, dt)
        rate = grid_rate(counts, seconds, size)
    if not np.array_equal(bins, times) or not np.all(np.isfinite(bins)):
        raise SimulationError(f"bins are not those of {interval} ms one after another")
    return rate
