"""LIFAdEx: adaptive exponential integrate-and-fire with an exponentially decaying synaptic current.

    tau_mem dv/dt = (v_leak - v) + delta_t exp((v - v_th)/delta_t) + r_mem i - a + drive        tau_syn di/dt = -i
    tau_ada da/dt = adaptation_current (v - v_leak) - a
    an arriving weight w: i -> i + w
    fires where v > v_th; then v = v_reset, a -> a + adaptation_spike

The adaptation a counts in the unit of v (the source's w over the leak conductance), and so does drive, where constant currents
act: a does not follow them, as it would a v_leak. Membrane and exponential term are those of
`eventsim.models.lif_ex`, and what is said there of method="exact" and of delta_t = 0 holds here, too: v and a each relax exactly
towards what the other one was at the beginning of the step, an error of first order in dt.

Source: Brette & Gerstner (2005), J. Neurophysiol. 94:3637; the Euler form, with the threshold at v_th and no peak above
it, is Norse's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.models import lif, lif_ex
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    i: Any
    a: Any


class Params(NamedTuple):
    tau_mem: Any = 10.0
    tau_syn: Any = 5.0
    tau_ada: Any = 500.0
    delta_t: Any = 0.5
    adaptation_current: Any = 4.0
    adaptation_spike: Any = 0.02
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    r_mem: Any = 1.0
    drive: Any = 0.0


class Propagator(NamedTuple):
    """The flow as increments: as in `eventsim.models.lif_ex`; a grows by a * (adaptation_current (v - v_leak) - a)."""

    v: Any
    r: Any
    i: Any
    steep: Any
    a: Any


def exact(ops, dt, p):
    return Propagator(*lif_ex.exact(ops, dt, p), -ops.expm1(-dt / p.tau_ada))


def euler(ops, dt, p):
    return Propagator(*lif_ex.euler(ops, dt, p), dt / p.tau_ada)


def advance(ops, s, k, p):
    return State(
        s.v + k.v * ((((p.v_leak - s.v) + lif_ex.upswing(ops, s.v, k, p)) + k.r * s.i) - s.a + p.drive),
        s.i + k.i * s.i,
        s.a + k.a * (p.adaptation_current * (s.v - p.v_leak) - s.a),
    )


def receive(s, w, p):
    return State(s.v, s.i + w, s.a)


def kick(s, w, p):
    return State(s.v + w, s.i, s.a)


def reset(s, z, p):
    m = lif.reset(s, z, p)
    return State(m.v, m.i, s.a + z * p.adaptation_spike)


def inject(p, current):
    return p._replace(drive=p.drive + p.r_mem * current)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak, 0.0 * p.v_leak)


LIFAdEx = Model(
    name="LIFAdEx",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports={"i": receive, "v": kick},
    margin=lif.margin,
    reset=reset,
    inject=inject,
    initial=initial,
    positive=("tau_mem", "tau_syn", "tau_ada"),
    units={
        **lif_ex.LIFEx.units,
        "tau_ada": "ms",
        "adaptation_current": "1",
        "adaptation_spike": "unit of v",
        "drive": "unit of v",
        "a": "unit of v",
    },
    doc=__doc__,
)
