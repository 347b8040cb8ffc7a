"""LIFExcInh: leaky integrate-and-fire with an excitatory and an inhibitory current of different time constants.

    tau_mem dv/dt = (v_leak - v) + r_mem (exc + inh)        tau_exc dexc/dt = -exc        tau_inh dinh/dt = -inh
    an arriving weight w on port "exc": exc -> exc + w; on port "inh": inh -> inh + w (inhibition has w < 0)
    fires where v > v_th; then v = v_reset

Source: Brette et al. (2007), J. Comput. Neurosci. 23:349, appendix, benchmark 2 (CUBA). Three exponentials: no closed form
for the turning time, so on a grid a silent neuron sleeps only once its update no longer changes it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba.extending import register_jitable

from eventsim.models.earliest import rise_to, with_currents
from eventsim.models.lif import coupling
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    exc: Any
    inh: Any


class Params(NamedTuple):
    tau_mem: Any = 20.0
    tau_exc: Any = 5.0
    tau_inh: Any = 10.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """The flow as increments: v grows by v * (v_leak - v + r_exc * exc + r_inh * inh), exc by exc * exc, inh by inh * inh."""

    v: Any
    r_exc: Any
    r_inh: Any
    exc: Any
    inh: Any


def exact(ops, dt, p):
    x, e, i = dt / p.tau_mem, dt / p.tau_exc, dt / p.tau_inh
    return Propagator(
        -ops.expm1(-x),
        p.r_mem * coupling(ops, x, e),
        p.r_mem * coupling(ops, x, i),
        ops.expm1(-e),
        ops.expm1(-i),
    )


def euler(ops, dt, p):
    return Propagator(dt / p.tau_mem, p.r_mem, p.r_mem, -(dt / p.tau_exc), -(dt / p.tau_inh))


def advance(s, k, p):
    return State(
        s.v + k.v * ((p.v_leak - s.v) + k.r_exc * s.exc + k.r_inh * s.inh),
        s.exc + k.exc * s.exc,
        s.inh + k.inh * s.inh,
    )


def receive_exc(s, w, p):
    return State(s.v, s.exc + w, s.inh)


def receive_inh(s, w, p):
    return State(s.v, s.exc, s.inh + w)


def kick(s, w, p):
    return State(s.v + w, s.exc, s.inh)


def margin(s, p):
    return s.v - p.v_th


def reset(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset, s.exc, s.inh)


def inject(p, current):
    return p._replace(v_leak=p.v_leak + p.r_mem * current)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak, 0.0 * p.v_leak)


def slope(s, p):
    return ((p.v_leak - s.v) + p.r_mem * (s.exc + s.inh)) / p.tau_mem


@register_jitable
def cancelling_time(ops, a, tau_a, b, tau_b):
    """The t > 0 in ms with ``a exp(-t/tau_a) + b exp(-t/tau_b) = 0``, or inf: ``log(-a/b) / (1/tau_a - 1/tau_b)``.

    The logarithm is that of -a/b or of its inverse, whichever is above 1, since 1 less a small ratio would round.
    """
    rates = 1.0 / tau_a - 1.0 / tau_b
    opposed = ((a > 0.0) & (b < 0.0)) | ((a < 0.0) & (b > 0.0))
    larger = ops.absolute(a) > ops.absolute(b)
    above = ops.select(opposed, ops.select(larger, a, b), 2.0)
    below = ops.select(opposed, ops.select(larger, b, a), -1.0)
    meet = opposed & (rates != 0.0)
    t = ops.log1p(-above / below - 1.0) / ops.select(meet, ops.select(larger, rates, -rates), 1.0)
    return ops.select(meet & (t > 0.0), t, math.inf)


def earliest(ops, s, p):
    """The bound of `eventsim.models.earliest`, for two currents."""
    rise, above = rise_to(ops, p.v_th, s.v), p.v_leak - p.v_th
    return with_currents(ops, p.tau_mem, rise, above, p.r_mem * s.exc, p.tau_exc, p.r_mem * s.inh, p.tau_inh)


def bend(ops, s, p):
    """exp(t/tau_mem) dv/dt has the derivative exp(t/tau_mem) r_mem d(exc + inh)/dt / tau_mem, since d/dt (exp(t/tau_mem) dv/dt) =
    exp(t/tau_mem) (d2v/dt2 + dv/dt / tau_mem). It is 0 where exc/tau_exc exp(-t/tau_exc) = -inh/tau_inh exp(-t/tau_inh): at one
    time at most. Before it and after it exp(t/tau_mem) dv/dt is monotone and so dv/dt is 0 once at most."""
    return cancelling_time(ops, s.exc / p.tau_exc, p.tau_exc, s.inh / p.tau_inh, p.tau_inh)


LIFExcInh = Model(
    name="LIFExcInh",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports={"exc": receive_exc, "inh": receive_inh, "v": kick},
    margin=margin,
    reset=reset,
    inject=inject,
    initial=initial,
    slope=slope,
    bend=bend,
    earliest=earliest,
    positive=("tau_mem", "tau_exc", "tau_inh"),
    units={
        "tau_mem": "ms",
        "tau_exc": "ms",
        "tau_inh": "ms",
        "v_leak": "unit of v",
        "v_th": "unit of v",
        "v_reset": "unit of v",
        "r_mem": "unit of v / unit of current",
        "v": "unit of v",
        "exc": "unit of current",
        "inh": "unit of current",
    },
    doc=__doc__,
)
