"""LIF: Norse's leaky integrate-and-fire neuron with an exponentially decaying synaptic current.

    i' = i + x (recurrent: i + W_in x + W_rec z)      v' = v + dt tau_mem_inv ((v_leak - v) + i')      i = i' - dt tau_syn_inv i'
    z = H(v' - v_th)      v = v_reset where z, else v'

The equations are those of `eventsim.models.LIF` in forward Euler; the input acts on the voltage in the same step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import LIF as MODEL
from norse_bridge.family import Family, feed_forward_step, recurrent_step, time_constant
from norse_bridge.layer import Cell, Layer, RecurrentCell, RecurrentLayer
from norse_bridge.lifting import lift
from norse_bridge.neurons.bio import default_bio_parameters
from norse_bridge.pytree import state_tuple


@state_tuple
class LIFParameters(NamedTuple):
    """tau_syn_inv, tau_mem_inv in 1/s; v_leak, v_th, v_reset in the unit of v; method and alpha: the surrogate gradient."""

    tau_syn_inv: Any = torch.as_tensor(200.0)
    tau_mem_inv: Any = torch.as_tensor(100.0)
    v_leak: Any = torch.as_tensor(0.0)
    v_th: Any = torch.as_tensor(1.0)
    v_reset: Any = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Any = torch.as_tensor(100.0)

    @classmethod
    def bio_default(cls):
        """Biological values in mV and, as in Norse, rates in 1/ms: use them with dt in ms."""
        return cls(**default_bio_parameters("lif"))


DEFAULT = LIFParameters()


@state_tuple
class LIFFeedForwardState(NamedTuple):
    """v, i: (batch, neurons)."""

    v: Any
    i: Any


@state_tuple
class LIFState(NamedTuple):
    """z: the spikes of the step before; v, i: all (batch, neurons)."""

    z: Any
    v: Any
    i: Any


def contract(p, dt):
    """The Params of `eventsim.models.LIF` (ms) of Norse's parameters (1/s)."""
    return MODEL.Params(
        tau_mem=time_constant(p.tau_mem_inv, dt),
        tau_syn=time_constant(p.tau_syn_inv, dt),
        v_leak=p.v_leak,
        v_th=p.v_th,
        v_reset=p.v_reset,
    )


FAMILY = Family(MODEL, contract, LIFFeedForwardState, LIFState, detach=True, Parameters=LIFParameters)


def lif_feed_forward_step(input_spikes, state, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFFeedForwardState)``. input_spikes: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_spikes, state, p, dt)


def lif_step(input_spikes, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFState)``; no gradient through the reset. input_spikes: (batch, inputs)."""
    return recurrent_step(FAMILY, input_spikes, state, input_weights, recurrent_weights, p, dt)


def lif_current_encoder(input_current, voltage, p=DEFAULT, dt=0.001):
    """One step of the membrane alone, driven by a current: ``(z, v)``.  v' = v + dt tau_mem_inv ((v_leak - v) + x)."""
    z, state = lif_feed_forward_step(input_current, LIFFeedForwardState(voltage, torch.zeros_like(input_current)), p, dt)
    return z, state.v


def lif_feed_forward_integral(input_tensor, state, p=DEFAULT, dt=0.001):
    """`lif_feed_forward_step` over time: ``(spikes (time, batch, neurons), last state)``. input_tensor: (time, batch, neurons)."""
    return lift(lambda x, s: lif_feed_forward_step(x, s, p, dt))(input_tensor, state)


def lif_step_integral(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """`lif_step` over time: ``(spikes (time, batch, neurons), last state)``. input_tensor: (time, batch, inputs)."""
    return lift(lambda x, s: lif_step(x, s, input_weights, recurrent_weights, p, dt))(input_tensor, state)


class LIFCell(Cell, family=FAMILY):
    """LIF neurons, one step: (batch, ...) -> (spikes (batch, ...), LIFFeedForwardState)."""


class LIF(Layer, family=FAMILY):
    """LIF neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), LIFFeedForwardState)."""


class LIFRecurrentCell(RecurrentCell, family=FAMILY):
    """Recurrent LIF neurons, one step: (batch, inputs) -> (spikes (batch, hidden), LIFState)."""


class LIFRecurrent(RecurrentLayer, family=FAMILY):
    """Recurrent LIF neurons over time: (time, batch, inputs) -> (spikes (time, batch, hidden), LIFState)."""
