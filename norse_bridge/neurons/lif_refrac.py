"""LIFRefrac: Norse's LIF neuron with a refractory period, counted in steps.

    the step of LIF gives z~, v~, i      m = H(rho)      v = v of the step before where m, else v~      z = (1 - m) z~
    rho = rho_reset where z, else max(rho - m, 0)

While rho > 0 the voltage stands still; the current runs on. With rho_reset = n the earliest next spike is n + 1 steps later.
The step is `eventsim.models.model.bind_refractory_step` of `eventsim.models.LIF`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import IAF
from eventsim.models.model import bind_hold
from norse_bridge.family import Refractory, feed_forward_step, recurrent_step
from norse_bridge.layer import Cell, RecurrentCell, RecurrentLayer
from norse_bridge.neurons.lif import FAMILY as LIF_FAMILY
from norse_bridge.neurons.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse_bridge.ops import surrogate_ops
from norse_bridge.pytree import state_tuple


@state_tuple
class LIFRefracParameters(NamedTuple):
    """lif: `LIFParameters`; rho_reset: the refractory period in steps, whatever dt is."""

    lif: LIFParameters = LIFParameters()
    rho_reset: Any = torch.as_tensor(5.0)


DEFAULT = LIFRefracParameters()


@state_tuple
class LIFRefracFeedForwardState(NamedTuple):
    """lif: v, i; rho: for how many steps the neuron is still held, (batch, neurons)."""

    lif: LIFFeedForwardState
    rho: Any


@state_tuple
class LIFRefracState(NamedTuple):
    """lif: z, v, i; rho: for how many steps the neuron is still held, (batch, neurons)."""

    lif: LIFState
    rho: Any


FAMILY = LIF_FAMILY._replace(
    refractory=Refractory(
        LIFRefracFeedForwardState,
        LIFRefracState,
        inner=lambda p: p.lif,
        period=lambda p: p.rho_reset,
        Parameters=LIFRefracParameters,
    )
)


def lif_refrac_feed_forward_step(input_tensor, state, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFRefracFeedForwardState)``. input_tensor: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_tensor, state, p, dt)


def lif_refrac_step(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFRefracState)``; no gradient through the reset of v. input_tensor: (batch, inputs)."""
    return recurrent_step(FAMILY, input_tensor, state, input_weights, recurrent_weights, p, dt)


def compute_refractory_update(state, z_new, v_new, p=DEFAULT):
    """``(v, z, rho)`` after a step, from the state before it and what it gave: its part of the step that refractoriness is.

    state, p : those of LIFRefrac or of LIFAdExRefrac; z_new, v_new : (batch, neurons), of the step without refractoriness
    """
    (neuron, rho), (parameters, period) = state, p
    ops = surrogate_ops(parameters.method, parameters.alpha)
    m = ops.fire(rho)
    z = z_new - m * z_new
    (v,), rho = bind_hold(IAF.State, ("v",), ops)(IAF.State(neuron.v), IAF.State(v_new), rho, m, z, period)
    return v, z, rho


class LIFRefracCell(Cell, family=FAMILY):
    """LIF neurons with a refractory period, one step: (batch, ...) -> (spikes (batch, ...), LIFRefracFeedForwardState)."""


class LIFRefracRecurrentCell(RecurrentCell, family=FAMILY):
    """Recurrent LIF neurons with a refractory period, one step: (batch, inputs) -> (spikes (batch, hidden), LIFRefracState)."""


class LIFRefracRecurrent(RecurrentLayer, family=FAMILY):
    """Recurrent LIF neurons with a refractory period: (time, batch, inputs) -> (spikes (time, batch, hidden), LIFRefracState)."""
