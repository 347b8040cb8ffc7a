"""LIFAlpha: leaky integrate-and-fire with an alpha-shaped synaptic current.

    tau_mem dv/dt = (v_leak - v) + r_mem i        tau_syn di/dt = e h - i        tau_syn dh/dt = -h
    an arriving weight w: h -> h + w, which makes a current w (t/tau_syn) exp(1 - t/tau_syn): its peak is w, tau_syn later
    fires where v > v_th; then v = v_reset

e is Euler's number. Source: Rotter & Diesmann (1999), Biol. Cybern. 81:381, section 3.1 (alpha currents, exactly integrated). No
closed form for the turning time, so on a grid a silent neuron sleeps only once its update no longer changes it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba.extending import register_jitable

from eventsim.models import lif
from eventsim.models.earliest import rise_to, with_current
from eventsim.models.lif import Params
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    i: Any
    h: Any


class Propagator(NamedTuple):
    """The flow as increments: v grows by v * (v_leak - v + r * i + r_h * h), i by i * i + i_h * h, h by i * h."""

    v: Any
    r: Any
    r_h: Any
    i: Any
    i_h: Any


@register_jitable
def early_mean(ops, z):
    """``integral_0^1 u exp(-z u) du`` for z >= 0: from its series below 1, where the closed form would cancel."""
    small = z < 1.0
    y = ops.select(small, z, 0.0)
    series, factor = 0.5 + 0.0 * y, 1.0 + 0.0 * y
    for n in range(1, 20):
        factor = -factor * y / n
        series = series + factor / (n + 2)
    y = ops.select(small, 1.0, z)
    return ops.select(small, series, (ops.phi(y) - ops.exp(-y)) / y)


@register_jitable
def late_mean(ops, z):
    """``integral_0^1 (1 - u) exp(-z u) du`` for z >= 0: from its series below 1, where the closed form would cancel."""
    small = z < 1.0
    y = ops.select(small, z, 0.0)
    series, factor = 0.5 + 0.0 * y, 0.5 + 0.0 * y
    for n in range(1, 18):
        factor = -factor * y / (n + 2)
        series = series + factor
    y = ops.select(small, 1.0, z)
    return ops.select(small, series, (1.0 - ops.phi(y)) / y)


@register_jitable
def alpha_coupling(ops, x, y):
    """``r_h / r_mem`` of the exact flow over x = dt/tau_mem, y = dt/tau_syn, finite for x = y, for x = 0 and for any gap:
    e y integral_0^1 exp(-x (1 - u)) u exp(-y u) du / phi(x)."""
    z = ops.absolute(x - y)
    mean = ops.select(x < y, early_mean(ops, z), late_mean(ops, z))
    return math.e * y * ops.exp(-ops.minimum(x, y)) * mean / ops.phi(x)


def exact(ops, dt, p):
    x, y = dt / p.tau_mem, dt / p.tau_syn
    k = lif.exact(ops, dt, p)
    return Propagator(k.v, k.r, p.r_mem * alpha_coupling(ops, x, y), k.i, math.e * y * ops.exp(-y))


def euler(ops, dt, p):
    y = dt / p.tau_syn
    return Propagator(dt / p.tau_mem, p.r_mem, 0.0 * p.r_mem, -y, math.e * y)


def advance(s, k, p):
    return State(
        s.v + k.v * (((p.v_leak - s.v) + k.r * s.i) + k.r_h * s.h),
        s.i + (k.i * s.i + k.i_h * s.h),
        s.h + k.i * s.h,
    )


def receive(s, w, p):
    return State(s.v, s.i, s.h + w)


def kick(s, w, p):
    return State(s.v + w, s.i, s.h)


def reset(s, z, p):
    m = lif.reset(s, z, p)
    return State(m.v, m.i, s.h)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak, 0.0 * p.v_leak)


def bend(ops, s, p):
    """exp(t/tau_mem) dv/dt has the derivative exp(t/tau_mem) r_mem di/dt / tau_mem, and tau_syn di/dt = (e h - i - e h t/tau_syn)
    exp(-t/tau_syn), with i and h now. It is 0 at one time at most, t = tau_syn (1 - i/(e h)). Before it and after it
    exp(t/tau_mem) dv/dt is monotone and so dv/dt is 0 once at most."""
    still = s.h == 0.0
    t = p.tau_syn - p.tau_syn * s.i / ops.select(still, 1.0, math.e * s.h)
    return ops.select((t > 0.0) & (s.h != 0.0), t, math.inf)


def earliest(ops, s, p):
    """The bound of `eventsim.models.earliest`, for i alone and a constant current h: what h adds to i is
    h (t/tau_syn) exp(1 - t/tau_syn), no more than h. A negative h is left out."""
    above = (p.v_leak - p.v_th) + ops.relu(p.r_mem * s.h)
    return with_current(ops, p.tau_mem, rise_to(ops, p.v_th, s.v), above, p.r_mem * s.i, p.tau_syn)


LIFAlpha = Model(
    name="LIFAlpha",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports={"i": receive, "v": kick},
    margin=lif.margin,
    reset=reset,
    inject=lif.inject,
    initial=initial,
    slope=lif.slope,
    bend=bend,
    earliest=earliest,
    positive=lif.LIF.positive,
    units={**lif.LIF.units, "h": "unit of i"},
    doc=__doc__,
)
