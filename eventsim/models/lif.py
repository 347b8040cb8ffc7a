"""LIF: leaky integrate-and-fire with an exponentially decaying synaptic current.

    tau_mem dv/dt = (v_leak - v) + r_mem i        tau_syn di/dt = -i        an arriving weight w: i -> i + w
    fires where v > v_th; then v = v_reset

Source: Rotter & Diesmann (1999), Biol. Cybern. 81:381, eq. 3 (exact integration); the Euler form is Norse's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from numba.extending import register_jitable

from eventsim.models.earliest import rise_to, with_current
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    i: Any


class Params(NamedTuple):
    tau_mem: Any = 10.0
    tau_syn: Any = 5.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """The flow as increments: v grows by v * (v_leak - v + r * i), i by i * i. Norse's Euler has exactly this form."""

    v: Any
    r: Any
    i: Any


@register_jitable
def coupling(ops, x, y):
    """``r / r_mem`` of the exact flow over x = dt/tau_mem, y = dt/tau_syn: finite for x = y, for x = 0 and for any gap."""
    return ops.exp(-ops.minimum(x, y)) * ops.phi(ops.absolute(x - y)) / ops.phi(x)


@register_jitable
def exact(ops, dt, p):
    x = dt / p.tau_mem
    y = dt / p.tau_syn
    return Propagator(-ops.expm1(-x), p.r_mem * coupling(ops, x, y), ops.expm1(-y))


def euler(ops, dt, p):
    return Propagator(dt / p.tau_mem, p.r_mem, -(dt / p.tau_syn))


def euler_flow(ops, dt, p):
    x = -ops.log1p(-dt / p.tau_mem)
    y = -ops.log1p(-dt / p.tau_syn)
    return p._replace(tau_mem=dt / x, tau_syn=dt / y, r_mem=p.r_mem / coupling(ops, x, y))


@register_jitable
def advance(s, k, p):
    return State(s.v + k.v * ((p.v_leak - s.v) + k.r * s.i), s.i + k.i * s.i)


def receive(s, w, p):
    return State(s.v, s.i + w)


def kick(s, w, p):
    return State(s.v + w, s.i)


def margin(s, p):
    return s.v - p.v_th


@register_jitable
def reset(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset, s.i)


@register_jitable
def reset_subtract(s, z, p):
    return State(s.v - z * s.v + z * (s.v - p.v_th), s.i)


def reset_all(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset, s.i - z * s.i)


def inject(p, current):
    return p._replace(v_leak=p.v_leak + p.r_mem * current)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak)


def turning_time(ops, s, p):
    """dv/dt = 0 where r_mem i(t) = v(t) - v_leak. With q = tau_syn (1 - (v - v_leak)/(r_mem i)) and delta = 1/tau_mem - 1/tau_syn
    that is t = log(1 + delta q)/delta, which is q for tau_mem = tau_syn."""
    drive = p.r_mem * s.i
    still = drive == 0.0
    q = p.tau_syn - p.tau_syn * (s.v - p.v_leak) / ops.select(still, 1.0, drive)
    x = q / p.tau_mem - q / p.tau_syn
    turns = (q > 0.0) & (x > -1.0) & (drive != 0.0)
    return ops.select(turns, q * ops.log1p_over(ops.select(turns, x, 0.0)), math.inf)


@register_jitable
def slope(s, p):
    return ((p.v_leak - s.v) + p.r_mem * s.i) / p.tau_mem


def bend(ops, s, p):
    """None: exp(t/tau_mem) dv/dt has the derivative exp(t/tau_mem) r_mem di/dt / tau_mem, which never changes its sign. So it is
    monotone for all t > 0, and dv/dt is 0 once at most."""
    return math.inf


def earliest(ops, s, p):
    """The bound of `eventsim.models.earliest`, for one current."""
    return with_current(ops, p.tau_mem, rise_to(ops, p.v_th, s.v), p.v_leak - p.v_th, p.r_mem * s.i, p.tau_syn)


LIF = Model(
    name="LIF",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    euler_flow=euler_flow,
    advance=advance,
    ports={"i": receive, "v": kick},
    margin=margin,
    reset=reset,
    inject=inject,
    initial=initial,
    turning_time=turning_time,
    slope=slope,
    bend=bend,
    earliest=earliest,
    linear=True,
    positive=("tau_mem", "tau_syn"),
    units={
        "tau_mem": "ms",
        "tau_syn": "ms",
        "v_leak": "unit of v",
        "v_th": "unit of v",
        "v_reset": "unit of v",
        "r_mem": "unit of v / unit of i",
        "v": "unit of v",
        "i": "unit of i",
    },
    doc=__doc__,
)

LIFResetAll = replace(
    LIF,
    name="LIFResetAll",
    reset=reset_all,
    doc="""LIF whose spike also clears the synaptic current: v = v_reset, i = 0. Everything else as `LIF`.

    Source: Shiu et al. (2024), Nature 634:210, Methods (the whole-brain model of the fly).
    """,
)

LIFSubtract = replace(
    LIF,
    name="LIFSubtract",
    reset=reset_subtract,
    doc="""LIF whose spike takes v_th off the voltage: v = v - v_th ("soft reset"). v_reset is not used. Everything else as `LIF`.

    Source: Rueckauer et al. (2017), Front. Neurosci. 11:682, eq. 5 (reset by subtraction).
    """,
)
