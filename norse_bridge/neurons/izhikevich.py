"""Izhikevich: Norse's quadratic neuron with a recovery variable; its parameters come with a state to start from.

    v' = v + dt tau_inv (sq v^2 + mn v + bias - u + x) (recurrent: x = W_in x + W_rec z)      u' = u + dt tau_inv a (b v - u)
    z = H(v' - v_th)      v = c where z, else v'      u = u' + z d

The equations are those of `eventsim.models.Izhikevich`; the input is a current that flows for one step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError
from eventsim.models import Izhikevich as MODEL
from norse_bridge.family import Family, feed_forward_step, recurrent_step, time_constant
from norse_bridge.layer import Cell, Layer, RecurrentCell, RecurrentLayer
from norse_bridge.pytree import state_tuple


@state_tuple
class IzhikevichParameters(NamedTuple):
    """a, b: rate and sensitivity of u; c: v after a spike; d: what a spike adds to u; sq, mn, bias: the parabola of v; v_th;
    tau_inv in 1/s (1000: dt counts in ms as in the source); method and alpha: the surrogate gradient."""

    a: Any
    b: Any
    c: Any
    d: Any
    sq: Any = 0.04
    mn: Any = 5.0
    bias: Any = 140.0
    v_th: Any = 30.0
    tau_inv: Any = 250.0
    method: str = "super"
    alpha: Any = 100.0


@state_tuple
class IzhikevichState(NamedTuple):
    """v, u: (batch, neurons)."""

    v: Any
    u: Any


@state_tuple
class IzhikevichRecurrentState(NamedTuple):
    """z: the spikes of the step before; v, u: all (batch, neurons)."""

    z: Any
    v: Any
    u: Any


@state_tuple
class IzhikevichSpikingBehavior(NamedTuple):
    """p: `IzhikevichParameters`; s: the `IzhikevichState` to start from."""

    p: IzhikevichParameters
    s: IzhikevichState


@state_tuple
class IzhikevichLayerParameters(NamedTuple):
    """What a layer has as its parameters ``p``: the fields of `IzhikevichParameters`, and where v and u start."""

    a: Any
    b: Any
    c: Any
    d: Any
    sq: Any
    mn: Any
    bias: Any
    v_th: Any
    tau_inv: Any
    method: str
    alpha: Any
    v_start: Any
    u_start: Any


def contract(p, dt):
    """The Params of `eventsim.models.Izhikevich` (ms) of Norse's parameters (1/s). Without a start: as after a spike."""
    return MODEL.Params(
        **{name: getattr(p, name) for name in ("a", "b", "c", "d", "sq", "mn", "bias", "v_th")},
        tau=time_constant(p.tau_inv, dt),
        v_start=getattr(p, "v_start", p.c),
        u_start=getattr(p, "u_start", p.b * p.c),
    )


FAMILY = Family(MODEL, contract, IzhikevichState, IzhikevichRecurrentState, hidden=("i",), Parameters=IzhikevichParameters)


def izhikevich_feed_forward_step(input_current, s, p, dt=0.001):
    """One step without recurrence: ``(z, IzhikevichState)``. input_current: (batch, neurons)."""
    return feed_forward_step(FAMILY, input_current, s, p, dt)


def izhikevich_recurrent_step(input_current, s, input_weights, recurrent_weights, p, dt=0.001):
    """One step with recurrence: ``(z, IzhikevichRecurrentState)``. input_current: (batch, inputs)."""
    return recurrent_step(FAMILY, input_current, s, input_weights, recurrent_weights, p, dt)


def _with_start(behavior, label):
    """The parameters of a layer: numbers as 0-d float64 tensors, so that they are as exact as Norse's."""
    if not (hasattr(behavior, "p") and hasattr(behavior, "s")):
        raise ModelError(
            f"{label}: spiking_method must be an IzhikevichSpikingBehavior, such as tonic_spiking or what "
            f"create_izhikevich_spiking_behavior returns, not a {type(behavior).__name__}"
        )
    values = (*behavior.p, behavior.s.v, behavior.s.u)
    return IzhikevichLayerParameters(*(torch.tensor(v, dtype=torch.float64) if isinstance(v, (int, float)) else v for v in values))


class _SpikingMethod:
    """What the layers have in common: the behaviour that they were given, as its parameters are now."""

    p: Any
    dt: float

    @property
    def spiking_method(self):
        p, start = self.p, contract(self.p, self.dt)
        parameters = IzhikevichParameters(*(getattr(p, name) for name in IzhikevichParameters._fields))
        return IzhikevichSpikingBehavior(parameters, IzhikevichState(start.v_start, start.u_start))


class IzhikevichCell(_SpikingMethod, Cell, family=FAMILY):
    """Izhikevich neurons, one step: (batch, ...) -> (spikes (batch, ...), IzhikevichState)."""

    def __init__(self, spiking_method, *, dt=0.001, activation_sparse=None):
        super().__init__(_with_start(spiking_method, type(self).__name__), dt=dt)


class Izhikevich(_SpikingMethod, Layer, family=FAMILY):
    """Izhikevich neurons over time: (time, batch, ...) -> (spikes (time, batch, ...), IzhikevichState)."""

    def __init__(self, spiking_method, *, dt=0.001, activation_sparse=None, record_states=False):
        super().__init__(_with_start(spiking_method, type(self).__name__), dt=dt, record_states=record_states)


class IzhikevichRecurrentCell(_SpikingMethod, RecurrentCell, family=FAMILY):
    """Recurrent Izhikevich neurons, one step: (batch, inputs) -> (spikes (batch, hidden), IzhikevichRecurrentState)."""

    def __init__(
        self,
        input_size,
        hidden_size,
        spiking_method,
        *,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        dt=0.001,
        activation_sparse=None,
    ):
        p, given = _with_start(spiking_method, type(self).__name__), {"input_weights": input_weights, "dt": dt}
        super().__init__(input_size, hidden_size, p, recurrent_weights=recurrent_weights, autapses=autapses, **given)


class IzhikevichRecurrent(_SpikingMethod, RecurrentLayer, family=FAMILY):
    """Recurrent Izhikevich neurons over time: (time, batch, inputs) -> (spikes (time, batch, hidden), IzhikevichRecurrentState)."""

    def __init__(
        self,
        input_size,
        hidden_size,
        spiking_method,
        *,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        dt=0.001,
        activation_sparse=None,
        record_states=False,
    ):
        p, given = _with_start(spiking_method, type(self).__name__), {"input_weights": input_weights, "dt": dt}
        given |= {"autapses": autapses, "record_states": record_states}
        super().__init__(input_size, hidden_size, p, recurrent_weights=recurrent_weights, **given)
