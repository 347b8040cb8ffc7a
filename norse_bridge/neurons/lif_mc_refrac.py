"""LIFMCRefrac: Norse's coupled LIF neurons with a refractory period, counted in steps.

    m = H(rho)      v' = v + (1 - m) dt tau_mem_inv ((v_leak - v) + i) + G v      i' = i - dt tau_syn_inv i
    z = H(v' - v_th)      v = v_reset where z, else v'      i = i' + x (recurrent: i' + W_in x + W_rec z)
    rho = rho_reset where z, else max(rho - m, 0)

Not a refractory `norse_bridge.neurons.lif_mc`: G is what the coupling adds in one step, whatever dt is; it is not held, and neither
are spikes, so that a neuron may fire while rho > 0 if its neighbours lift it; the input comes last. All of it is as in Norse.
Flow, threshold, reset and input are the functions of `eventsim.models.LIF`.
"""

from __future__ import annotations

import torch

from eventsim.models import LIF as MODEL
from eventsim.models.model import bind_hold, chain_ports, with_ops
from norse_bridge.family import cast, compute_dtype, dense, join, milliseconds, split
from norse_bridge.neurons.lif_mc import CoupledCell
from norse_bridge.neurons.lif_refrac import DEFAULT, FAMILY
from norse_bridge.ops import TORCH, surrogate_ops


def _step(inputs, s, rho, g_coupling, p, dt, dtype):
    """``(z, State, rho)`` after a step that receives the ``inputs`` in turn, each (batch, neurons)."""
    params = FAMILY.contract_params(p, dt)
    k, params = cast(MODEL.euler(TORCH, milliseconds(dt), params), dtype), cast(params, dtype)
    ops = surrogate_ops(p.lif.method, p.lif.alpha)
    m = ops.fire(rho)
    new = with_ops(MODEL.advance, ops)(s, k._replace(v=k.v - m * k.v), params)
    new = new._replace(v=new.v + torch.nn.functional.linear(s.v, g_coupling))
    z = ops.fire(MODEL.margin(new, params))
    receive = chain_ports([MODEL.ports["i"]] * len(inputs), ops)
    new = receive(MODEL.reset(new, z, params), inputs, params)
    s, rho = bind_hold(MODEL.State, (), ops)(s, new, rho, m, z, p.rho_reset)
    return z, s, rho


def lif_mc_refrac_feed_forward_step(input_tensor, state, g_coupling, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LIFRefracFeedForwardState)``. input_tensor: (batch, neurons)."""
    s, rho, _ = split(FAMILY, state)
    z, s, rho = _step((dense(input_tensor),), s, rho, g_coupling, p, dt, compute_dtype(input_tensor, state, p))
    return z.to_sparse() if input_tensor.is_sparse else z, join(FAMILY, s, rho)


def lif_mc_refrac_step(input_tensor, state, input_weights, recurrent_weights, g_coupling, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LIFRefracState)``. input_tensor: (batch, inputs)."""
    s, rho, z = split(FAMILY, state)
    linear = torch.nn.functional.linear
    inputs = linear(dense(input_tensor), input_weights), linear(dense(z), recurrent_weights)  # (batch, neurons)
    z, s, rho = _step(inputs, s, rho, g_coupling, p, dt, compute_dtype(input_tensor, state, p))
    z = z.to_sparse() if input_tensor.is_sparse else z
    return z, join(FAMILY, s, rho, z)


class LIFMCRefracRecurrentCell(CoupledCell, family=FAMILY):
    """Coupled recurrent LIF neurons with a refractory period, one step: (batch, inputs) -> (spikes (batch, hidden), state).

    Parameters: `CoupledCell`.
    """

    step = staticmethod(lif_mc_refrac_step)
