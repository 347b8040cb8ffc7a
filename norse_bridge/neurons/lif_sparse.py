"""Norse's names of the steps of LIF and LIFRefrac for sparse (COO) spikes: the ordinary steps, which take them, too.

Only the recurrent ones differ in their gradient: it flows through the reset here, as in Norse.
"""

from __future__ import annotations

from norse_bridge.family import recurrent_step
from norse_bridge.neurons import lif, lif_refrac


def lif_feed_forward_step_sparse(input_tensor, state, p=lif.DEFAULT, dt=0.001):
    """`lif_feed_forward_step` of a sparse input: ``(sparse z, LIFFeedForwardState)``. input_tensor: (batch, neurons)."""
    return lif.lif_feed_forward_step(input_tensor, state, p, dt)


def lif_step_sparse(input_spikes, state, input_weights, recurrent_weights, p=lif.DEFAULT, dt=0.001):
    """`lif_step` of sparse spikes: ``(sparse z, LIFState with it)``. input_spikes: (batch, inputs)."""
    family = lif.FAMILY._replace(detach=False)
    return recurrent_step(family, input_spikes, state, input_weights, recurrent_weights, p, dt)


def lif_refrac_step_sparse(input_tensor, state, input_weights, recurrent_weights, p=lif_refrac.DEFAULT, dt=0.001):
    """`lif_refrac_step` of sparse spikes: ``(sparse z, LIFRefracState with it)``. input_tensor: (batch, inputs)."""
    family = lif_refrac.FAMILY._replace(detach=False)
    return recurrent_step(family, input_tensor, state, input_weights, recurrent_weights, p, dt)
