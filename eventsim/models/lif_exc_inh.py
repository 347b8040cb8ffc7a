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


def bend(ops, s, p):
    """exp(t/tau_mem) dv/dt has the derivative exp(t/tau_mem) r_mem d(exc + inh)/dt / tau_mem, which is 0 where
    exc/tau_exc exp(-t/tau_exc) = -inh/tau_inh exp(-t/tau_inh)."""
    rates = 1.0 / p.tau_exc - 1.0 / p.tau_inh
    ratio = -(s.exc * p.tau_inh) / ops.select(s.inh == 0.0, 1.0, s.inh * p.tau_exc)
    meet = (ratio > 0.0) & (s.inh != 0.0) & (rates != 0.0)
    t = ops.log1p(ops.select(meet, ratio, 1.0) - 1.0) / ops.select(meet, rates, 1.0)
    return ops.select(meet & (t > 0.0), t, math.inf)


def earliest(ops, s, p):
    """As in `eventsim.models.lif`, of the two currents that which is above 0."""
    exc, inh = p.r_mem * s.exc, p.r_mem * s.inh
    drive = ops.select(exc > 0.0, exc, 0.0) + ops.select(inh > 0.0, inh, 0.0)
    rate = ((p.v_leak - s.v) + drive) / p.tau_mem
    rises = rate > 0.0
    return ops.select(rises, (p.v_th - s.v) / ops.select(rises, rate, 1.0), math.inf)


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
