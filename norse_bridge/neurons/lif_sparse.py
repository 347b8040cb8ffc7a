"""Steps of LIF and LIFRefrac for sparse (COO) spikes: the steps for dense ones, with spikes that are sparse on both sides.

Only the recurrent forms differ in their gradient: it flows through the reset here, as in Norse.
"""

from __future__ import annotations

from norse_bridge.family import recurrent_step
from norse_bridge.neurons import lif, lif_refrac


def _dense(spikes):
    return spikes.to_dense() if spikes.is_sparse else spikes


def lif_feed_forward_step_sparse(input_tensor, state, p=lif.DEFAULT, dt=0.001):
    """`lif_feed_forward_step` of a sparse input: ``(sparse z, LIFFeedForwardState)``. input_tensor: (batch, neurons)."""
    z, state = lif.lif_feed_forward_step(_dense(input_tensor), state, p, dt)
    return z.to_sparse(), state


def lif_step_sparse(input_spikes, state, input_weights, recurrent_weights, p=lif.DEFAULT, dt=0.001):
    """`lif_step` of sparse spikes: ``(sparse z, LIFState with it)``. input_spikes: (batch, inputs)."""
    family, state = lif.FAMILY._replace(detach=False), state._replace(z=_dense(state.z))
    z, state = recurrent_step(family, _dense(input_spikes), state, input_weights, recurrent_weights, p, dt)
    z = z.to_sparse()
    return z, state._replace(z=z)


def lif_refrac_step_sparse(input_tensor, state, input_weights, recurrent_weights, p=lif_refrac.DEFAULT, dt=0.001):
    """`lif_refrac_step` of sparse spikes: ``(sparse z, LIFRefracState with it)``. input_tensor: (batch, inputs)."""
    family = lif_refrac.FAMILY._replace(detach=False)
    state = state._replace(lif=state.lif._replace(z=_dense(state.lif.z)))
    z, state = recurrent_step(family, _dense(input_tensor), state, input_weights, recurrent_weights, p, dt)
    z = z.to_sparse()
    return z, state._replace(lif=state.lif._replace(z=z))
