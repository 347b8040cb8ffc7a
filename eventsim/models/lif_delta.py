"""LIFDelta: leaky integrate-and-fire whose synapses kick the voltage at once.

    tau_mem dv/dt = v_leak - v        an arriving weight w: v -> v + w
    fires where v > v_th; then v = v_reset

Source: Brunel (2000), J. Comput. Neurosci. 8:183, eq. 1.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from eventsim.models.earliest import rise_to, without_current
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any


class Params(NamedTuple):
    tau_mem: Any = 10.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """The flow as an increment: v grows by v * (v_leak - v)."""

    v: Any


def exact(ops, dt, p):
    return Propagator(-ops.expm1(-dt / p.tau_mem))


def euler(ops, dt, p):
    return Propagator(dt / p.tau_mem)


def euler_flow(ops, dt, p):
    return p._replace(tau_mem=-dt / ops.log1p(-dt / p.tau_mem))


def advance(s, k, p):
    return State(s.v + k.v * (p.v_leak - s.v))


def receive(s, w, p):
    return State(s.v + w)


def margin(s, p):
    return s.v - p.v_th


def reset(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset)


def inject(p, current):
    return p._replace(v_leak=p.v_leak + p.r_mem * current)


def initial(p):
    return State(p.v_leak)


def turning_time(ops, s, p):
    """v runs monotonically to v_leak."""
    return math.inf


def crossing(ops, s, p):
    """v runs to v_leak; if that lies above v_th, t = tau_mem log((v_leak - v)/(v_leak - v_th))."""
    above = p.v_leak - p.v_th
    fires = above > 0.0
    return ops.select(fires, p.tau_mem * ops.log1p((p.v_th - s.v) / ops.select(fires, above, 1.0)), math.inf)


def earliest(ops, s, p):
    """The crossing with a quotient in the place of its logarithm (`eventsim.models.earliest`)."""
    return without_current(ops, p.tau_mem, rise_to(ops, p.v_th, s.v), p.v_leak - p.v_th)


LIFDelta = Model(
    name="LIFDelta",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    euler_flow=euler_flow,
    advance=advance,
    ports={"v": receive},
    margin=margin,
    reset=reset,
    inject=inject,
    initial=initial,
    turning_time=turning_time,
    crossing=crossing,
    earliest=earliest,
    linear=True,
    positive=("tau_mem",),
    units={
        "tau_mem": "ms",
        "v_leak": "unit of v",
        "v_th": "unit of v",
        "v_reset": "unit of v",
        "r_mem": "unit of v / unit of current",
        "v": "unit of v",
    },
    doc=__doc__,
)
