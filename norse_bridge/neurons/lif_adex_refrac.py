"""LIFAdExRefrac: Norse's adaptive exponential neuron with a refractory period, counted in steps.

    the step of LIFAdEx gives z~, v~, i, a      m = H(rho)      v = v of the step before where m, else v~      z = (1 - m) z~
    rho = rho_reset where z, else max(rho - m, 0)

While rho > 0 the voltage stands still; current and adaptation run on, and only spikes that are fired lift the adaptation (in
Norse z~ does). The step is `eventsim.models.model.bind_refractory_step` of `eventsim.models.LIFAdEx`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from norse_bridge.family import Refractory, feed_forward_step, recurrent_step
from norse_bridge.layer import Cell, RecurrentCell, RecurrentLayer
from norse_bridge.neurons.lif_adex import FAMILY as LIF_ADEX_FAMILY
from norse_bridge.neurons.lif_adex import LIFAdExFeedForwardState, LIFAdExParameters, LIFAdExState
from norse_bridge.pytree import state_tuple


@state_tuple
class LIFAdExRefracParameters(NamedTuple):
    """lif_adex: `LIFAdExParameters`; rho_reset: the refractory period in steps, whatever dt is."""

    lif_adex: LIFAdExParameters = LIFAdExParameters()
    rho_reset: Any = torch.as_tensor(5.0)


DEFAULT = LIFAdExRefracParameters()


@state_tuple
class LIFAdExRefracFeedForwardState(NamedTuple):
    """lif_adex: v, i, a; rho: for how many steps the neuron is still held, (batch, neurons)."""

    lif_adex: LIFAdExFeedForwardState
    rho: Any


@state_tuple
class LIFAdExRefracState(NamedTuple):
    """lif_adex: z, v, i, a; rho: for how many steps the neuron is still held, (batch, neurons)."""

    lif_adex: LIFAdExState
    rho: Any


FAMILY = LIF_ADEX_FAMILY._replace(
    refractory=Refractory(
        LIFAdExRefracFeedForwardState,
        LIFAdExRefracState,
        inner=lambda p: p.lif_adex,
        period=lambda p: p.rho_reset,
        Parameters=LIFAdExRefracParameters,
    )
)


def lif_adex_refrac_feed_forward_step(input_tensor, state, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFAdExRefracFeedForwardState)``. input_tensor: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_tensor, state, p, dt)


def lif_adex_refrac_step(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFAdExRefracState)``. input_tensor: (batch, inputs)."""
    return recurrent_step(FAMILY, input_tensor, state, input_weights, recurrent_weights, p, dt)


class LIFAdExRefracCell(Cell, family=FAMILY):
    """LIFAdEx neurons with a refractory period, one step: (batch, ...) -> (spikes, LIFAdExRefracFeedForwardState)."""


class LIFAdExRefracRecurrentCell(RecurrentCell, family=FAMILY):
    """Recurrent LIFAdEx neurons with a refractory period, one step: (batch, inputs) -> (spikes (batch, hidden), state)."""


class LIFAdExRefracRecurrent(RecurrentLayer, family=FAMILY):
    """Recurrent LIFAdEx neurons with a refractory period: (time, batch, inputs) -> (spikes (time, batch, hidden), state)."""
