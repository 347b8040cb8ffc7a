"""LI: Norse's leaky integrator with an exponentially decaying synaptic current, which never fires: a readout.

    i' = i + x      v = v + dt tau_mem_inv ((v_leak - v) + i')      i = i' - dt tau_syn_inv i'

The equations are those of `eventsim.models.LI` in forward Euler; the output is v.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from eventsim.models import LI as MODEL
from norse_bridge.family import Family, feed_forward_step, time_constant
from norse_bridge.layer import Cell, Layer
from norse_bridge.neurons.bio import default_bio_parameters
from norse_bridge.pytree import state_tuple


@state_tuple
class LIParameters(NamedTuple):
    """tau_syn_inv, tau_mem_inv in 1/s; v_leak in the unit of v."""

    tau_syn_inv: Any = torch.as_tensor(200.0)
    tau_mem_inv: Any = torch.as_tensor(100.0)
    v_leak: Any = torch.as_tensor(0.0)

    @classmethod
    def bio_default(cls):
        """Biological values in mV and, as in Norse, rates in 1/ms: use them with dt in ms."""
        return cls(**default_bio_parameters("li"))


DEFAULT = LIParameters()


@state_tuple
class LIState(NamedTuple):
    """v, i: (batch, neurons)."""

    v: Any
    i: Any


def contract(p, dt):
    """The Params of `eventsim.models.LI` (ms) of Norse's parameters (1/s)."""
    return MODEL.Params(tau_mem=time_constant(p.tau_mem_inv, dt), tau_syn=time_constant(p.tau_syn_inv, dt), v_leak=p.v_leak)


FAMILY = Family(MODEL, contract, LIState, Parameters=LIParameters)


def li_feed_forward_step(input_tensor, state, p=DEFAULT, dt=0.001):
    """One step: ``(v, LIState)``. input_tensor: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_tensor, state, p, dt)


def li_step(input_spikes, state, input_weights, p=DEFAULT, dt=0.001):
    """One step behind a linear map: ``(v, LIState)``. input_spikes: (batch, inputs); input_weights: (neurons, inputs)."""
    return feed_forward_step(FAMILY, torch.nn.functional.linear(input_spikes, input_weights), state, p, dt)


class LICell(Cell, family=FAMILY):
    """Leaky integrators, one step: (batch, ...) -> (voltages (batch, ...), LIState)."""


class LI(Layer, family=FAMILY):
    """Leaky integrators over time: (time, batch, ...) -> (voltages (time, batch, ...), LIState)."""


class LILinearCell(torch.nn.Module):
    """A linear map without bias, then leaky integrators, one step: (batch, inputs) -> (voltages (batch, hidden), LIState).

    The weights are drawn as randn / sqrt(inputs).
    """

    def __init__(self, input_size, hidden_size, p: LIParameters = DEFAULT, dt=0.001):
        super().__init__()
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.input_weights = torch.nn.Parameter(torch.randn(self.hidden_size, self.input_size) / math.sqrt(self.input_size))
        self.integrator = LICell(p, dt=dt)

    def forward(self, input_tensor, state=None):
        x = torch.nn.functional.linear(input_tensor, self.input_weights)  # (batch, hidden)
        return self.integrator(x, state)
