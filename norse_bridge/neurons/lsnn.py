"""LSNN: Norse's neuron with a threshold b that every spike lifts and that relaxes to v_th.

    v' = v + dt tau_mem_inv ((v_leak - v) + i)      i' = i - dt tau_syn_inv i      b' = b + dt tau_adapt_inv (v_th - b)
    z = H(v' - b')      v = v_reset where z, else v'      b = b' + beta z      i = i' + x (recurrent: i' + W_in x + W_rec z)

The equations are those of `eventsim.models.LSNN` in forward Euler. The input comes last: it acts on the voltage one step later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import AFTER_RESET, AdaLIF
from eventsim.models import LSNN as MODEL
from norse_bridge.family import Family, feed_forward_step, recurrent_step, time_constant
from norse_bridge.layer import OF_FAMILY, Cell, Layer, RecurrentCell, RecurrentLayer
from norse_bridge.neurons.bio import default_bio_parameters
from norse_bridge.pytree import state_tuple


@state_tuple
class LSNNParameters(NamedTuple):
    """tau_syn_inv, tau_mem_inv, tau_adapt_inv in 1/s; v_leak, v_th, v_reset, beta in the unit of v; method and alpha: the surrogate
    gradient. The default of tau_adapt_inv, Norse's, is a time constant of 800 s."""

    tau_syn_inv: Any = torch.as_tensor(200.0)
    tau_mem_inv: Any = torch.as_tensor(100.0)
    tau_adapt_inv: Any = torch.as_tensor(1.0 / 800)
    v_leak: Any = torch.as_tensor(0.0)
    v_th: Any = torch.as_tensor(1.0)
    v_reset: Any = torch.as_tensor(0.0)
    beta: Any = torch.as_tensor(1.8)
    method: str = "super"
    alpha: Any = 100.0

    @classmethod
    def bio_default(cls):
        """Biological values in mV and, as in Norse, rates in 1/ms: use them with dt in ms."""
        return cls(**default_bio_parameters("lsnn"))


DEFAULT = LSNNParameters()


@state_tuple
class LSNNFeedForwardState(NamedTuple):
    """v, i, b (the threshold): (batch, neurons)."""

    v: Any
    i: Any
    b: Any


@state_tuple
class LSNNState(NamedTuple):
    """z: the spikes of the step before; v, i, b (the threshold): all (batch, neurons)."""

    z: Any
    v: Any
    i: Any
    b: Any


def contract(p, dt):
    """The Params of `eventsim.models.LSNN` (and of `AdaLIF`, the same) in ms of Norse's parameters (1/s)."""
    return MODEL.Params(
        tau_mem=time_constant(p.tau_mem_inv, dt),
        tau_syn=time_constant(p.tau_syn_inv, dt),
        tau_adapt=time_constant(p.tau_adapt_inv, dt),
        v_leak=p.v_leak,
        v_th=p.v_th,
        v_reset=p.v_reset,
        beta=p.beta,
    )


FAMILY = Family(MODEL, contract, LSNNFeedForwardState, LSNNState, order=AFTER_RESET, detach=True, Parameters=LSNNParameters)

ADA_LIF_FAMILY = FAMILY._replace(model=AdaLIF, detach=False)


def lsnn_feed_forward_step(input_tensor, state, p=DEFAULT, dt=0.001):
    """One step without recurrence: ``(z, LSNNFeedForwardState)``. input_tensor: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_tensor, state, p, dt)


def lsnn_step(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step with recurrence: ``(z, LSNNState)``; no gradient through reset and jump of b. input_tensor: (batch, inputs)."""
    return recurrent_step(FAMILY, input_tensor, state, input_weights, recurrent_weights, p, dt)


def ada_lif_step(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step of `eventsim.models.AdaLIF`, recurrent: ``(z, LSNNState)``. Here b is a current against the input, and rests at 0.

    v' = v + dt tau_mem_inv ((v_leak - v) + i - b)      b' = b - dt tau_adapt_inv b      z = H(v' - v_th)
    v = v' - z (v_th - v_reset)      b = b' + beta z      i = i - dt tau_syn_inv i + W_in x + W_rec z
    """
    return recurrent_step(ADA_LIF_FAMILY, input_tensor, state, input_weights, recurrent_weights, p, dt)


# ``adjoint=True`` asks Norse for a backward pass of its own, which is not the gradient of the forward pass; the gradient here is.


class LSNNCell(Cell, family=FAMILY):
    """LSNN neurons, one step: (batch, ...) -> (spikes (batch, ...), LSNNFeedForwardState). adjoint: taken and ignored."""

    def __init__(self, p=OF_FAMILY, adjoint=False, **options):
        super().__init__(p, **options)


class LSNN(Layer, family=FAMILY):
    """LSNN neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), LSNNFeedForwardState). adjoint: ignored."""

    def __init__(self, p=OF_FAMILY, adjoint=False, **options):
        super().__init__(p, **options)


class LSNNRecurrentCell(RecurrentCell, family=FAMILY):
    """Recurrent LSNN neurons, one step: (batch, inputs) -> (spikes (batch, hidden), LSNNState). adjoint: ignored."""

    def __init__(self, input_size, hidden_size, p=OF_FAMILY, adjoint=False, **options):
        super().__init__(input_size, hidden_size, p, **options)


class LSNNRecurrent(RecurrentLayer, family=FAMILY):
    """Recurrent LSNN neurons over time: (time, batch, inputs) -> (spikes (time, batch, hidden), LSNNState). adjoint: ignored."""

    def __init__(self, input_size, hidden_size, p=OF_FAMILY, adjoint=False, **options):
        super().__init__(input_size, hidden_size, p, **options)
