"""LIFEx: Norse's exponential integrate-and-fire neuron with an exponentially decaying synaptic current.

    i' = i + x (recurrent: i + W_in x + W_rec z)      i = i' - dt tau_syn_inv i'
    v' = v + dt tau_mem_inv ((v_leak - v) + delta_T exp((v - v_th)/delta_T) + i')      z = H(v' - v_th)
    v = v_reset where z, else v'

The equations are those of `eventsim.models.LIFEx` in forward Euler. With delta_T = 0 there is no exponential term, the limit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import LIFEx as MODEL
from norse_bridge.family import Family, feed_forward_step, recurrent_step, time_constant
from norse_bridge.layer import Cell, Layer, RecurrentCell, RecurrentLayer
from norse_bridge.neurons.bio import default_bio_parameters
from norse_bridge.pytree import state_tuple


@state_tuple
class LIFExParameters(NamedTuple):
    """delta_T (sharpness) in the unit of v; tau_syn_inv, tau_mem_inv in 1/s; v_leak, v_th, v_reset in the unit of v; method and
    alpha: the surrogate gradient."""

    delta_T: Any = torch.as_tensor(0.5)
    tau_syn_inv: Any = torch.as_tensor(200.0)
    tau_mem_inv: Any = torch.as_tensor(100.0)
    v_leak: Any = torch.as_tensor(0.0)
    v_th: Any = torch.as_tensor(1.0)
    v_reset: Any = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Any = 100.0

    @classmethod
    def bio_default(cls):
        """Biological values in mV, without an exponential term, and, as in Norse, rates in 1/ms: use them with dt in ms."""
        return cls(**default_bio_parameters("lif_ex"))


@state_tuple
class LIFExFeedForwardState(NamedTuple):
    """v, i: (batch, neurons)."""

    v: Any
    i: Any


@state_tuple
class LIFExState(NamedTuple):
    """z: the spikes of the step before; v, i: all (batch, neurons)."""

    z: Any
    v: Any
    i: Any


DEFAULT, AT_ZERO = LIFExParameters(), LIFExFeedForwardState(v=0, i=0)


def contract(p, dt):
    """The Params of `eventsim.models.LIFEx` (ms) of Norse's parameters (1/s)."""
    return MODEL.Params(
        tau_mem=time_constant(p.tau_mem_inv, dt),
        tau_syn=time_constant(p.tau_syn_inv, dt),
        delta_t=torch.as_tensor(p.delta_T),
        v_leak=p.v_leak,
        v_th=p.v_th,
        v_reset=p.v_reset,
    )


FAMILY = Family(MODEL, contract, LIFExFeedForwardState, LIFExState, Parameters=LIFExParameters)


def lif_ex_feed_forward_step(input_spikes, state=AT_ZERO, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFExFeedForwardState)``. input_spikes: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_spikes, state, p, dt)


def lif_ex_step(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFExState)``. input_tensor: (batch, inputs)."""
    return recurrent_step(FAMILY, input_tensor, state, input_weights, recurrent_weights, p, dt)


def lif_ex_current_encoder(input_current, voltage, p=DEFAULT, dt=0.001):
    """One step of the membrane alone, driven by a current: ``(z, v)``."""
    state = LIFExFeedForwardState(voltage, torch.zeros_like(input_current))
    z, state = lif_ex_feed_forward_step(input_current, state, p, dt)
    return z, state.v


class LIFExCell(Cell, family=FAMILY):
    """LIFEx neurons, one step: (batch, ...) -> (spikes (batch, ...), LIFExFeedForwardState)."""


class LIFEx(Layer, family=FAMILY):
    """LIFEx neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), LIFExFeedForwardState)."""


class LIFExRecurrentCell(RecurrentCell, family=FAMILY):
    """Recurrent LIFEx neurons, one step: (batch, inputs) -> (spikes (batch, hidden), LIFExState)."""


class LIFExRecurrent(RecurrentLayer, family=FAMILY):
    """Recurrent LIFEx neurons over time: (time, batch, inputs) -> (spikes (time, batch, hidden), LIFExState)."""
