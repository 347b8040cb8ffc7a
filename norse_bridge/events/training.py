"""Losses on first spikes, and help for neurons that never fire."""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError


def first_spike_loss(times, labels, tau, late):
    """Cross entropy of classes whose neuron shall fire first, averaged over the batch:  p_c = softmax_c(-t_c / tau).

    times : (batch, classes, spikes), s; labels : (batch,), int64
    tau : s, by how much the right neuron has to be earlier
    late : s, what counts as the time of a neuron that does not fire; later spikes count as this, too. They have no gradient.

    Goeltz et al. (2021), Nat. Mach. Intell. 3:823, eq. 6, without its regularisation.
    """
    if not tau > 0.0 or times.ndim != 3:
        raise SimulationError(
            f"first_spike_loss: tau must be above 0 and times (batch, classes, spikes), not {tau!r}, {times.shape}"
        )
    first = times[..., 0]
    return torch.nn.functional.cross_entropy(-torch.where(first < late, first, late) / tau, labels)


def push_silent(weights, times, step, least=0.0):
    """Add ``step`` to all weights of the neurons that fire in no more than a share ``least`` of the samples; how many they are.

    weights : (neurons, inputs), modified in place; times : (batch, neurons, spikes), what they fire

    A silent neuron has no gradient, and would stay silent for ever.
    """
    share = (times[..., 0] < float("inf")).to(torch.float64).mean(0)
    silent = share <= least
    with torch.no_grad():
        weights[silent] += step
    return int(silent.sum())
