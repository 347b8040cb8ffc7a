"""CobaLIF: Norse's leaky integrate-and-fire neuron with excitatory and inhibitory conductances.

    g_e' = g_e + relu(x)      g_i' = g_i + relu(-x)
    recurrent: g_e' = g_e + relu(W_in) x + relu(W_rec) z      g_i' = g_i + relu(-W_in) x + relu(-W_rec) z
    g_e = g_e' - dt tau_syn_exc_inv g_e'      g_i = g_i' - dt tau_syn_inh_inv g_i'
    v' = v + dt c_m_inv (g_l (v_rest - v) + g_e (e_rev_E - v) + g_i (e_rev_I - v))
    z = H(v' - v_thresh)      v = v_reset where z, else v'

The equations are those of `eventsim.models.CobaLIF` in forward Euler. In the recurrent form the sign of a weight says what its
synapse is, so that inputs of both kinds that arrive in one step do not cancel. (In Norse the input has no effect there.)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from eventsim.models import CobaLIF as MODEL
from eventsim.models.model import bind_step
from norse_bridge.family import Family, cast, compute_dtype, dense, feed_forward_step, join, milliseconds, split, time_constant
from norse_bridge.layer import RecurrentCell
from norse_bridge.ops import TORCH, surrogate_ops
from norse_bridge.pytree import state_tuple


@state_tuple
class CobaLIFParameters(NamedTuple):
    """tau_syn_exc_inv, tau_syn_inh_inv in 1/s; c_m_inv: 1/(s unit of conductance); g_l: leak conductance; e_rev_I, e_rev_E, v_rest,
    v_reset, v_thresh in the unit of v; method and alpha: the surrogate gradient. The defaults are Norse's: synapses of 5 s."""

    tau_syn_exc_inv: Any = torch.as_tensor(0.2)
    tau_syn_inh_inv: Any = torch.as_tensor(0.2)
    c_m_inv: Any = torch.as_tensor(5.0)
    g_l: Any = torch.as_tensor(0.25)
    e_rev_I: Any = torch.as_tensor(-100.0)
    e_rev_E: Any = torch.as_tensor(60.0)
    v_rest: Any = torch.as_tensor(-20.0)
    v_reset: Any = torch.as_tensor(-70.0)
    v_thresh: Any = torch.as_tensor(-10.0)
    method: str = "super"
    alpha: Any = 100.0


DEFAULT = CobaLIFParameters()


@state_tuple
class CobaLIFFeedForwardState(NamedTuple):
    """v, g_e, g_i (conductances): (batch, neurons)."""

    v: Any
    g_e: Any
    g_i: Any


@state_tuple
class CobaLIFState(NamedTuple):
    """z: the spikes of the step before; v, g_e, g_i (conductances): all (batch, neurons)."""

    z: Any
    v: Any
    g_e: Any
    g_i: Any


def contract(p, dt):
    """The Params of `eventsim.models.CobaLIF` (ms) of Norse's parameters (1/s)."""
    return MODEL.Params(
        tau_exc=time_constant(p.tau_syn_exc_inv, dt),
        tau_inh=time_constant(p.tau_syn_inh_inv, dt),
        c_m=time_constant(p.c_m_inv, dt),
        g_l=p.g_l,
        e_exc=p.e_rev_E,
        e_inh=p.e_rev_I,
        v_rest=p.v_rest,
        v_th=p.v_thresh,
        v_reset=p.v_reset,
    )


FAMILY = Family(MODEL, contract, CobaLIFFeedForwardState, CobaLIFState, Parameters=CobaLIFParameters)


def by_sign(input_weights, recurrent_weights):
    """``(port, input weights, recurrent weights)``, all of 0 or more, for excitation and for inhibition."""
    relu = torch.relu
    return (
        ("exc", relu(input_weights), relu(recurrent_weights)),
        ("inh", relu(-input_weights), relu(-recurrent_weights)),
    )


def coba_lif_feed_forward_step(input_tensor, state, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, CobaLIFFeedForwardState)``. input_tensor: (batch, neurons), excitation where above 0."""
    return feed_forward_step(FAMILY, input_tensor, state, p, dt)


def coba_lif_step(input_spikes, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, CobaLIFState)``. input_spikes: (batch, inputs); the signs of weights tell synapses apart."""
    s, _, z = split(FAMILY, state)
    ports = by_sign(input_weights, recurrent_weights)
    dtype = compute_dtype(input_spikes, state, p)
    params = contract(p, dt)
    k, params = cast(MODEL.euler(TORCH, milliseconds(dt), params), dtype), cast(params, dtype)
    linear = torch.nn.functional.linear
    x, z = dense(input_spikes), dense(z)
    conductances = tuple(linear(x, w_in) + linear(z, w_rec) for _, w_in, w_rec in ports)
    step = bind_step(MODEL, surrogate_ops(p.method, p.alpha), FAMILY.order, tuple(port for port, _, _ in ports))
    s, z = step(s, conductances, k, params)
    z = z.to_sparse() if input_spikes.is_sparse else z
    return z, join(FAMILY, s, None, z)


class CobaLIFCell(RecurrentCell, family=FAMILY):
    """Recurrent CobaLIF neurons, one step: (batch, inputs) -> (spikes (batch, hidden), CobaLIFState); from v = v_rest on.

    The weights are drawn as randn / sqrt(inputs) and randn / sqrt(hidden); neurons may receive their own spikes.
    """

    def __init__(self, input_size, hidden_size, p=DEFAULT, dt=0.001):
        inputs, hidden = int(input_size), int(hidden_size)
        weights = {
            "input_weights": torch.randn(hidden, inputs) / math.sqrt(inputs),
            "recurrent_weights": torch.randn(hidden, hidden) / math.sqrt(hidden),
        }
        super().__init__(inputs, hidden, p, dt=dt, autapses=True, **weights)

    def weights_by_port(self):
        """See `by_sign`."""
        return by_sign(self.input_weights, self.recurrent_weights)

    def forward(self, input_tensor, state=None):
        state = self.initial_state(input_tensor) if state is None else state
        return coba_lif_step(input_tensor, state, self.input_weights, self.recurrent_weights, self.p, self.dt)
