"""IAF: integrate-and-fire without a leak.

    dv/dt = slope        an arriving weight w: v -> v + w
    fires where v > v_th; then v = v_reset

State, threshold and reset are those of `eventsim.models.lif_delta`. IAFSubtract: a spike takes v_th off, v = v - v_th. Integrator:
the same without a threshold, a readout.

Source: Lapicque (1907), without leak; the discrete form is Norse's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from eventsim.models import lif, lif_delta
from eventsim.models.lif_delta import State
from eventsim.models.model import Model


class Params(NamedTuple):
    v_th: Any = 1.0
    v_reset: Any = 0.0
    slope: Any = 0.0
    v_start: Any = 0.0


class ReadoutParams(NamedTuple):
    slope: Any = 0.0
    v_start: Any = 0.0


class Propagator(NamedTuple):
    """The flow as an increment: v grows by dt * slope."""

    dt: Any


def exact(ops, dt, p):
    return Propagator(dt)


def euler_flow(ops, dt, p):
    return p


def advance(s, k, p):
    return State(s.v + k.dt * p.slope)


def reset_subtract(s, z, p):
    return State(lif.reset_subtract(lif.State(s.v, s.v), z, p).v)


def inject(p, current):
    return p._replace(slope=p.slope + current)


def initial(p):
    return State(p.v_start)


def turning_time(ops, s, p):
    """v is a straight line."""
    return math.inf


def crossing(ops, s, p):
    """t = (v_th - v) / slope, if v rises."""
    rises = p.slope > 0.0
    return ops.select(rises, (p.v_th - s.v) / ops.select(rises, p.slope, 1.0), math.inf)


IAF = Model(
    name="IAF",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=exact,
    euler_flow=euler_flow,
    advance=advance,
    ports=lif_delta.LIFDelta.ports,
    margin=lif_delta.margin,
    reset=lif_delta.reset,
    inject=inject,
    initial=initial,
    turning_time=turning_time,
    crossing=crossing,
    earliest=crossing,
    linear=True,
    units={"v_th": "unit of v", "v_reset": "unit of v", "slope": "unit of v / ms", "v_start": "unit of v", "v": "unit of v"},
    doc=__doc__,
)

IAFSubtract = replace(IAF, name="IAFSubtract", reset=reset_subtract)

Integrator = replace(
    IAF,
    name="Integrator",
    Params=ReadoutParams,
    margin=None,
    reset=None,
    units={name: unit for name, unit in IAF.units.items() if name not in ("v_th", "v_reset")},
)
