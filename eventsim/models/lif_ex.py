"""LIFEx: exponential integrate-and-fire with an exponentially decaying synaptic current.

    tau_mem dv/dt = (v_leak - v) + delta_t exp((v - v_th)/delta_t) + r_mem i        tau_syn di/dt = -i
    an arriving weight w: i -> i + w
    fires where v > v_th; then v = v_reset

With delta_t = 0 there is no exponential term, the limit for v < v_th: the equation is that of `eventsim.models.lif`, whose ports,
threshold and reset these are.

There is no closed form. method="exact" is the exponential Euler scheme: everything linear as in the exact flow of LIF, the
exponential term as it was at the beginning of the step. Its error is of first order in dt, and 0 for delta_t = 0. The step
takes exp from its backend, so that backends agree to rounding, and not to the last bit.

Source: Fourcaud-Trocmé, Hansel, van Vreeswijk & Brunel (2003), J. Neurosci. 23:11628; the Euler form, with the
threshold at v_th and no peak above it, is Norse's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.extending import register_jitable

from eventsim.models import lif
from eventsim.models.lif import State
from eventsim.models.model import Model


class Params(NamedTuple):
    tau_mem: Any = 10.0
    tau_syn: Any = 5.0
    delta_t: Any = 0.5
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """The flow as increments: v, r and i as in `eventsim.models.lif`; steep is 1/delta_t, or 0 for delta_t = 0."""

    v: Any
    r: Any
    i: Any
    steep: Any


@register_jitable
def steepness(ops, delta_t):
    """1/delta_t, and 0 where delta_t is 0: then the exponential term, delta_t exp(0), is 0."""
    without = delta_t == 0.0
    return ops.select(without, 0.0, 1.0 / ops.select(without, 1.0, delta_t))


def exact(ops, dt, p):
    return Propagator(*lif.exact(ops, dt, p), steepness(ops, p.delta_t))


def euler(ops, dt, p):
    return Propagator(*lif.euler(ops, dt, p), steepness(ops, p.delta_t))


@register_jitable
def upswing(ops, v, k, p):
    """delta_t exp((v - v_th)/delta_t)."""
    return p.delta_t * ops.exp((v - p.v_th) * k.steep)


def advance(ops, s, k, p):
    return State(s.v + k.v * (((p.v_leak - s.v) + upswing(ops, s.v, k, p)) + k.r * s.i), s.i + k.i * s.i)


LIFEx = Model(
    name="LIFEx",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports=lif.LIF.ports,
    margin=lif.margin,
    reset=lif.reset,
    inject=lif.inject,
    initial=lif.initial,
    positive=("tau_mem", "tau_syn"),
    units={**lif.LIF.units, "delta_t": "unit of v"},
    doc=__doc__,
)
