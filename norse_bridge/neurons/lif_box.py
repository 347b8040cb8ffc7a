"""LIFBox and LIBox: Norse's neurons without a synaptic current; the input itself drives the membrane for one step.

    LIFBox: v' = v + dt tau_mem_inv ((x + v_leak) - v)      z = H(v' - v_th)      v = reset_method(z, v', v_reset, v_th)
    LIBox: v = v + dt tau_mem_inv ((v_leak - v) + x)

The equations are those of `eventsim.models.lif_box` in forward Euler: with r = 1 the LIF and LI of NIR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError
from eventsim.models import LIBox as LIBOX
from eventsim.models import LIFBox as LIFBOX
from eventsim.models import LIFBoxSubtract as LIFBOX_SUBTRACT
from norse_bridge.family import Family, feed_forward_step, time_constant
from norse_bridge.layer import OF_FAMILY, Cell, Layer
from norse_bridge.pytree import state_tuple

ResetMethod = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""``(z, v, v_reset, v_th) -> v`` after the reset."""


def reset_value(z, v, reset, th):
    """v = reset where z is 1, else v. All of shape (batch, neurons), or numbers."""
    return LIFBOX.reset(LIFBOX.State(v, 0.0), z, LIFBOX.Params(v_th=th, v_reset=reset)).v


def reset_subtract(z, v, reset, th):
    """v - th where z is 1, else v. All of shape (batch, neurons), or numbers."""
    return LIFBOX_SUBTRACT.reset(LIFBOX.State(v, 0.0), z, LIFBOX.Params(v_th=th, v_reset=reset)).v


@state_tuple
class LIFBoxParameters(NamedTuple):
    """tau_mem_inv in 1/s; v_leak, v_th, v_reset in the unit of v; method and alpha: the surrogate gradient; reset_method:
    `reset_value` or `reset_subtract`."""

    tau_mem_inv: Any = torch.as_tensor(100.0)
    v_leak: Any = torch.as_tensor(0.0)
    v_th: Any = torch.as_tensor(1.0)
    v_reset: Any = torch.as_tensor(0.0)
    method: str = "super"
    alpha: Any = torch.as_tensor(100.0)
    reset_method: ResetMethod = reset_value


@state_tuple
class LIBoxParameters(NamedTuple):
    """tau_mem_inv in 1/s; v_leak in the unit of v."""

    tau_mem_inv: Any = torch.as_tensor(100.0)
    v_leak: Any = torch.as_tensor(0.0)


@state_tuple
class LIFBoxFeedForwardState(NamedTuple):
    """v: (batch, neurons)."""

    v: Any


@state_tuple
class LIFBoxState(NamedTuple):
    """z: the spikes of the step before; v: both (batch, neurons)."""

    z: Any
    v: Any


@state_tuple
class LIBoxState(NamedTuple):
    """v: (batch, neurons)."""

    v: Any


def lif_box_contract(p, dt):
    """The Params of `eventsim.models.LIFBox` (ms) of Norse's parameters (1/s)."""
    return LIFBOX.Params(tau_mem=time_constant(p.tau_mem_inv, dt), v_leak=p.v_leak, v_th=p.v_th, v_reset=p.v_reset)


def li_box_contract(p, dt):
    """The Params of `eventsim.models.LIBox` (ms) of Norse's parameters (1/s)."""
    return LIBOX.Params(tau_mem=time_constant(p.tau_mem_inv, dt), v_leak=p.v_leak)


def _of_reset_method(p):
    """The family whose reset the parameters name."""
    method = getattr(p, "reset_method", reset_value)
    if method is reset_value:
        return LIFBOX_FAMILY
    if method is reset_subtract:
        return LIFBOX_FAMILY._replace(model=LIFBOX_SUBTRACT)
    raise ModelError(f"LIFBoxParameters: reset_method must be reset_value or reset_subtract of this package, not {method!r}")


LIFBOX_FAMILY = Family(
    LIFBOX,
    lif_box_contract,
    LIFBoxFeedForwardState,
    LIFBoxState,
    hidden=("i",),
    variant=_of_reset_method,
    Parameters=LIFBoxParameters,
)
LIFBOX_DEFAULT, LIBOX_DEFAULT = LIFBoxParameters(), LIBoxParameters()
LIBOX_FAMILY = Family(LIBOX, li_box_contract, LIBoxState, hidden=("i",), Parameters=LIBoxParameters)


def lif_box_feed_forward_step(input_tensor, state, p=LIFBOX_DEFAULT, dt=0.001):
    """One step: ``(z, LIFBoxFeedForwardState)``. input_tensor: (batch, neurons)."""
    return feed_forward_step(LIFBOX_FAMILY, input_tensor, state, p, dt)


def li_box_feed_forward_step(input_tensor, state, p=LIBOX_DEFAULT, dt=0.001):
    """One step: ``(v, LIBoxState)``. input_tensor: (batch, neurons)."""
    return feed_forward_step(LIBOX_FAMILY, input_tensor, state, p, dt)


def li_box_step(input_spikes, state, input_weights, p=LIBOX_DEFAULT, dt=0.001):
    """One step behind a linear map: ``(v, LIBoxState)``. input_spikes: (batch, inputs); input_weights: (neurons, inputs)."""
    return li_box_feed_forward_step(torch.nn.functional.linear(input_spikes, input_weights), state, p, dt)


class LIFBoxCell(Cell, family=LIFBOX_FAMILY):
    """LIFBox neurons, one step: (batch, ...) -> (spikes (batch, ...), LIFBoxFeedForwardState)."""

    def __init__(self, p=OF_FAMILY, dt=0.001, **options):
        super().__init__(p, dt=dt, **options)


class LIFBox(Layer, family=LIFBOX_FAMILY):
    """LIFBox neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), LIFBoxFeedForwardState)."""

    def __init__(self, p=OF_FAMILY, dt=0.001, **options):
        super().__init__(p, dt=dt, **options)


class LIBoxCell(Cell, family=LIBOX_FAMILY):
    """Leaky integrators without a synaptic current, one step: (batch, ...) -> (voltages (batch, ...), LIBoxState)."""


class LIBox(Layer, family=LIBOX_FAMILY):
    """Leaky integrators without a synaptic current over time: (time, batch, ...) -> (voltages (time, batch, ...), LIBoxState)."""

    def __init__(self, p=OF_FAMILY, dt=0.001, **options):
        super().__init__(p, dt=dt, **options)
