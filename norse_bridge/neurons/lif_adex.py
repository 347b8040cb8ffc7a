"""LIFAdEx: Norse's adaptive exponential integrate-and-fire neuron.

    i' = i + x (recurrent: i + W_in x + W_rec z)      i = i' - dt tau_syn_inv i'
    v' = v + dt tau_mem_inv ((v_leak - v) + delta_T exp((v - v_th)/delta_T) + i' - a)      z = H(v' - v_th)
    a' = a + dt tau_ada_inv (adaptation_current (v - v_leak) - a)      a = a' + z adaptation_spike      v = v_reset where z, else v'

The equations are those of `eventsim.models.LIFAdEx` in forward Euler; the adaptation follows the voltage of the step before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import LIFAdEx as MODEL
from norse_bridge.family import Family, feed_forward_step, recurrent_step, time_constant
from norse_bridge.layer import Cell, Layer, RecurrentCell, RecurrentLayer
from norse_bridge.neurons.bio import default_bio_parameters
from norse_bridge.pytree import state_tuple


@state_tuple
class LIFAdExParameters(NamedTuple):
    """adaptation_current (a per v, no unit), adaptation_spike (of v); delta_T (sharpness) in the unit of v; tau_ada_inv,
    tau_syn_inv, tau_mem_inv in 1/s; v_leak, v_th, v_reset in the unit of v; method and alpha: the surrogate gradient."""

    adaptation_current: Any = torch.as_tensor(4.0)
    adaptation_spike: Any = torch.as_tensor(0.02)
    delta_T: Any = torch.as_tensor(0.5)
    tau_ada_inv: Any = torch.as_tensor(2.0)
    tau_syn_inv: Any = torch.as_tensor(200.0)
    tau_mem_inv: Any = torch.as_tensor(100.0)
    v_leak: Any = torch.as_tensor(0.0)
    v_th: Any = torch.as_tensor(1.0)
    v_reset: Any = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Any = 100.0

    @classmethod
    def bio_default(cls):
        """Biological values in mV and, as in Norse, rates in 1/ms: use them with dt in ms."""
        return cls(**default_bio_parameters("lif_adex"))


@state_tuple
class LIFAdExFeedForwardState(NamedTuple):
    """v, i, a (the adaptation): (batch, neurons)."""

    v: Any
    i: Any
    a: Any


@state_tuple
class LIFAdExState(NamedTuple):
    """z: the spikes of the step before; v, i, a (the adaptation): all (batch, neurons)."""

    z: Any
    v: Any
    i: Any
    a: Any


DEFAULT, AT_ZERO = LIFAdExParameters(), LIFAdExFeedForwardState(v=0, i=0, a=0)


def contract(p, dt):
    """The Params of `eventsim.models.LIFAdEx` (ms) of Norse's parameters (1/s)."""
    return MODEL.Params(
        tau_mem=time_constant(p.tau_mem_inv, dt),
        tau_syn=time_constant(p.tau_syn_inv, dt),
        tau_ada=time_constant(p.tau_ada_inv, dt),
        delta_t=torch.as_tensor(p.delta_T),
        adaptation_current=p.adaptation_current,
        adaptation_spike=p.adaptation_spike,
        v_leak=p.v_leak,
        v_th=p.v_th,
        v_reset=p.v_reset,
    )


FAMILY = Family(MODEL, contract, LIFAdExFeedForwardState, LIFAdExState, Parameters=LIFAdExParameters)


def lif_adex_feed_forward_step(input_spikes, state=AT_ZERO, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFAdExFeedForwardState)``. input_spikes: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_spikes, state, p, dt)


def lif_adex_step(input_spikes, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFAdExState)``. input_spikes: (batch, inputs)."""
    return recurrent_step(FAMILY, input_spikes, state, input_weights, recurrent_weights, p, dt)


def lif_adex_current_encoder(input_current, voltage, adaptation, p=DEFAULT, dt=0.001):
    """One step of membrane and adaptation alone, driven by a current: ``(z, v, a)``."""
    state = LIFAdExFeedForwardState(voltage, torch.zeros_like(input_current), adaptation)
    z, state = lif_adex_feed_forward_step(input_current, state, p, dt)
    return z, state.v, state.a


class LIFAdExCell(Cell, family=FAMILY):
    """LIFAdEx neurons, one step: (batch, ...) -> (spikes (batch, ...), LIFAdExFeedForwardState)."""


class LIFAdEx(Layer, family=FAMILY):
    """LIFAdEx neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), LIFAdExFeedForwardState)."""


class LIFAdExRecurrentCell(RecurrentCell, family=FAMILY):
    """Recurrent LIFAdEx neurons, one step: (batch, inputs) -> (spikes (batch, hidden), LIFAdExState)."""


class LIFAdExRecurrent(RecurrentLayer, family=FAMILY):
    """Recurrent LIFAdEx neurons over time: (time, batch, inputs) -> (spikes (time, batch, hidden), LIFAdExState)."""
