"""LIFMC: Norse's LIF neurons that are coupled to one another as the compartments of a cell are.

    feed forward: v~ = v + dt G v, then the step of LIF from v~ on
    recurrent: the step of LIF, then v = v + dt G v (after the reset: a neuron may be left above its threshold)

G, (neurons, neurons), is a plain matrix, not a Laplacian: G_jk v_k is what the voltage of neuron k adds to that of neuron j in 1 s.
The step of LIF is that of `norse_bridge.neurons.lif`. Only layers have it: the engine knows no coupling but spikes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch

from eventsim.errors import SimulationError
from norse_bridge.layer import OF_FAMILY, RecurrentCell
from norse_bridge.neurons.lif import DEFAULT, FAMILY, lif_feed_forward_step, lif_step


def lif_mc_feed_forward_step(input_tensor, state, g_coupling, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFFeedForwardState)``. input_tensor: (batch, neurons)."""
    coupled = state._replace(v=state.v + dt * torch.nn.functional.linear(state.v, g_coupling))
    return lif_feed_forward_step(input_tensor, coupled, p, dt)


def lif_mc_step(input_tensor, state, input_weights, recurrent_weights, g_coupling, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFState)``. input_tensor: (batch, inputs)."""
    z, state = lif_step(input_tensor, state, input_weights, recurrent_weights, p, dt)
    return z, state._replace(v=state.v + dt * torch.nn.functional.linear(state.v, g_coupling))


class CoupledCell(RecurrentCell):
    """Coupled recurrent neurons, one step: (batch, inputs) -> (spikes (batch, hidden), state); the subclasses say which.

    g_coupling : (hidden, hidden), or None for randn / sqrt(hidden); copied, and trained. The others as in `RecurrentCell`.
    """

    step: ClassVar[Callable]

    def __init__(self, input_size, hidden_size, p=OF_FAMILY, g_coupling=None, **options):
        super().__init__(input_size, hidden_size, p, **options)
        shape = self.hidden_size, self.hidden_size
        g = torch.randn(shape) / math.sqrt(self.hidden_size) if g_coupling is None else g_coupling.detach().clone()
        if tuple(g.shape) != shape:
            raise SimulationError(f"g_coupling must have shape {shape} (neurons, neurons), not {tuple(g.shape)}")
        self.g_coupling = torch.nn.Parameter(g)

    def forward(self, input_tensor, state=None):
        state = self.initial_state(input_tensor) if state is None else state
        weights = self.input_weights, self.effective_recurrent_weights(), self.g_coupling
        return type(self).step(input_tensor, state, *weights, self.p, self.dt)


class LIFMCRecurrentCell(CoupledCell, family=FAMILY):
    """Coupled recurrent LIF neurons, one step: (batch, inputs) -> (spikes (batch, hidden), LIFState). Parameters: `CoupledCell`."""

    step = staticmethod(lif_mc_step)
