"""IAF: Norse's integrate-and-fire neuron without a leak.

    v' = v + x (recurrent: v + W_in x + W_rec z)      z = H(v' - v_th)      v = v_reset where z, else v'

The equations are those of `eventsim.models.IAF`. dt has no effect, as in Norse.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import IAF as MODEL
from norse_bridge.family import Family, feed_forward_step, recurrent_step
from norse_bridge.layer import OF_FAMILY, Cell, Layer
from norse_bridge.neurons.bio import default_bio_parameters
from norse_bridge.pytree import state_tuple


@state_tuple
class IAFParameters(NamedTuple):
    """v_th, v_reset in the unit of v; method and alpha: the surrogate gradient."""

    v_th: Any = torch.as_tensor(1.0)
    v_reset: Any = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Any = torch.as_tensor(100.0)

    @classmethod
    def bio_default(cls):
        """Biological values in mV."""
        return cls(**default_bio_parameters("iaf"))


DEFAULT = IAFParameters()


@state_tuple
class IAFFeedForwardState(NamedTuple):
    """v: (batch, neurons)."""

    v: Any


@state_tuple
class IAFState(NamedTuple):
    """z: the spikes of the step before; v: both (batch, neurons)."""

    z: Any
    v: Any


def contract(p, dt):
    """The Params of `eventsim.models.IAF` of Norse's parameters: v starts where a spike puts it."""
    return MODEL.Params(v_th=p.v_th, v_reset=p.v_reset, slope=torch.zeros(()), v_start=p.v_reset)


FAMILY = Family(MODEL, contract, IAFFeedForwardState, IAFState, Parameters=IAFParameters)


def iaf_feed_forward_step(input_spikes, state, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, IAFFeedForwardState)``. input_spikes: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_spikes, state, p, dt)


def iaf_step(input_spikes, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, IAFState)``. input_spikes: (batch, inputs)."""
    return recurrent_step(FAMILY, input_spikes, state, input_weights, recurrent_weights, p, dt)


class IAFCell(Cell, family=FAMILY):
    """IAF neurons, one step: (batch, ...) -> (spikes (batch, ...), IAFFeedForwardState)."""

    def __init__(self, p=OF_FAMILY, dt=0.001, **options):
        super().__init__(p, dt=dt, **options)


class IAF(Layer, family=FAMILY):
    """IAF neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), IAFFeedForwardState)."""

    def __init__(self, p=OF_FAMILY, dt=0.001, **options):
        super().__init__(p, dt=dt, **options)
