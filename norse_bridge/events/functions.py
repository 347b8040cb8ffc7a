"""Layers in continuous time as functions of spike times and weights; `norse_bridge.events` says what all of them share."""

from __future__ import annotations

import math

import torch

from eventsim.errors import SimulationError
from norse_bridge.events.arrays import check_spikes, milliseconds_of, rows_of
from norse_bridge.events.function import Fire, FireRecurrent, Peak, Plan, Read
from norse_bridge.family import MS
from norse_bridge.neurons import li, lif


def _number_of_spikes(spikes, label):
    if spikes is not None and (isinstance(spikes, bool) or not isinstance(spikes, int) or spikes < 1):
        raise SimulationError(f"{label}: spikes must be a whole number above 0, or None for all, not {spikes!r}")
    return spikes


def event_lif(times, weights, p=lif.DEFAULT, *, spikes=None, duration=math.inf):
    """The spikes of LIF neurons that hear the spikes of inputs.

    Parameters
    ----------
    times : (batch, inputs, spikes), s, inf where there is none
    weights : (neurons, inputs)
    p : `LIFParameters`
    spikes : how many of each neuron's first spikes to give, or None: as many as the neuron that fires most has, at least 1
    duration : s; what comes later is not simulated

    Returns
    -------
    (batch, neurons, spikes), s, ascending, inf where there is none
    """
    check_spikes(times, weights, "event_lif")
    rows = rows_of(lif.FAMILY, p, len(weights), "event_lif")
    end = milliseconds_of(duration, "event_lif", "duration")
    plan = Plan(lif.MODEL, rows, end, "event_lif", spikes=_number_of_spikes(spikes, "event_lif"))
    return Fire.apply(times, weights, plan)


def event_lif_recurrent(times, weights, recurrent_weights, p=lif.DEFAULT, *, delay=0.0, spikes=None, duration=math.inf):
    """The spikes of LIF neurons that hear inputs and, ``delay`` s after they fire, one another.

    recurrent_weights : (neurons, neurons), the target first; all else as in `event_lif`, but that ``spikes`` only says what is
    given back: later spikes are simulated, since others hear them

    With a delay of 0 a spike arrives at the time at which it is fired, after the reset of whoever fired it.
    """
    label = "event_lif_recurrent"
    check_spikes(times, weights, label)
    check_spikes(times.detach()[:, :0], recurrent_weights[:, :0], label)
    if recurrent_weights.shape != (len(weights), len(weights)) or not bool(recurrent_weights.isfinite().all()):
        raise SimulationError(f"{label}: recurrent_weights must be ({len(weights)}, {len(weights)}) and finite")
    rows = rows_of(lif.FAMILY, p, len(weights), label)
    end, late = milliseconds_of(duration, label, "duration"), milliseconds_of(delay, label, "delay", finite=True)
    plan = Plan(lif.MODEL, rows, end, label, spikes=_number_of_spikes(spikes, label), delay=late)
    return FireRecurrent.apply(times, weights, recurrent_weights, plan)


def event_li(times, weights, at, p=li.DEFAULT):
    """The voltages of leaky integrators at given times.

    Parameters
    ----------
    times, weights : as in `event_lif`
    at : (reads,) or (batch, reads), s, in any order; they have no gradient
    p : `LIParameters`

    Returns
    -------
    (batch, neurons, reads), in the unit of v
    """
    check_spikes(times, weights, "event_li")
    at = torch.as_tensor(at)
    if at.ndim not in (1, 2) or (at.ndim == 2 and len(at) != len(times)) or at.requires_grad:
        raise SimulationError(f"event_li: at must be (reads,) or (batch, reads) without gradient, not of shape {tuple(at.shape)}")
    if not bool((at.isfinite() & (at >= 0)).all()):
        raise SimulationError("event_li: times of reading must be finite and not negative")
    found, order = (at.to(torch.float64) * MS).expand(len(times), -1).sort(1)
    end = float(found.max()) if found.numel() else 0.0
    plan = Plan(li.MODEL, rows_of(li.FAMILY, p, len(weights), "event_li"), end, "event_li")
    voltages = Read.apply(times, weights, plan, found)  # (batch, neurons, reads), in the order of time
    place = order.argsort(1)[:, None].expand(voltages.shape)
    return voltages.gather(2, place)


def event_li_max(times, weights, p=li.DEFAULT, *, duration=math.inf):
    """The greatest voltage of leaky integrators over time, that at time 0 included, and when it is reached.

    times, weights, p : as in `event_li`; duration : s; later voltages do not count

    Returns ``(voltages, times)``, both (batch, neurons); the times, in s, have no gradient. Of equal voltages the first counts.
    """
    check_spikes(times, weights, "event_li_max")
    end = milliseconds_of(duration, "event_li_max", "duration")
    plan = Plan(li.MODEL, rows_of(li.FAMILY, p, len(weights), "event_li_max"), end, "event_li_max")
    return Peak.apply(times, weights, plan)
