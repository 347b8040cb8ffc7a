"""AdaLIF: leaky integrate-and-fire with a synaptic current and an adaptation current that every spike lifts.

    tau_mem dv/dt = (v_leak - v) + r_mem i - b        tau_syn di/dt = -i        tau_adapt db/dt = -b
    an arriving weight w: i -> i + w
    fires where v > v_th; then v -> v - (v_th - v_reset), b -> b + beta

Where `eventsim.models.lsnn` lifts the threshold, this one pulls the membrane. Its reset is soft: what is above the threshold stays.

Source: Benda & Herz (2003), Neural Comput. 15:2523 (an adaptation current); the Euler form is Norse's. Three
exponentials: no closed form for the turning time, so on a grid a silent neuron sleeps only once its update no longer changes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.models import lif, lsnn
from eventsim.models.earliest import rise_to, with_currents
from eventsim.models.lif_exc_inh import cancelling_time
from eventsim.models.lsnn import Params, State
from eventsim.models.model import Model


class Propagator(NamedTuple):
    """The flow as increments: v grows by v * (v_leak - v + r * i - pull * b), i by i * i, b by b * b."""

    v: Any
    r: Any
    i: Any
    pull: Any
    b: Any


def exact(ops, dt, p):
    y = dt / p.tau_adapt
    k = lif.exact(ops, dt, p)
    return Propagator(k.v, k.r, k.i, lif.coupling(ops, dt / p.tau_mem, y), ops.expm1(-y))


def euler(ops, dt, p):
    return Propagator(*lif.euler(ops, dt, p), 1.0, -(dt / p.tau_adapt))


def advance(s, k, p):
    return State(
        s.v + k.v * (((p.v_leak - s.v) + k.r * s.i) - k.pull * s.b),
        s.i + k.i * s.i,
        s.b + k.b * s.b,
    )


def reset(s, z, p):
    return State(s.v - z * (p.v_th - p.v_reset), s.i, s.b + z * p.beta)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak, 0.0 * p.v_leak)


def slope(s, p):
    return ((p.v_leak - s.v) + p.r_mem * s.i - s.b) / p.tau_mem


def bend(ops, s, p):
    """exp(t/tau_mem) dv/dt has the derivative exp(t/tau_mem) (r_mem di/dt - db/dt) / tau_mem. It is 0 where
    r_mem i/tau_syn exp(-t/tau_syn) = b/tau_adapt exp(-t/tau_adapt): at one time at most. Before it and after it
    exp(t/tau_mem) dv/dt is monotone and so dv/dt is 0 once at most."""
    return cancelling_time(ops, p.r_mem * s.i / p.tau_syn, p.tau_syn, -s.b / p.tau_adapt, p.tau_adapt)


def earliest(ops, s, p):
    """The bound of `eventsim.models.earliest`, with -b as one more current."""
    return with_currents(ops, p.tau_mem, rise_to(ops, p.v_th, s.v), p.v_leak - p.v_th, p.r_mem * s.i, p.tau_syn, -s.b, p.tau_adapt)


AdaLIF = Model(
    name="AdaLIF",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports=lsnn.LSNN.ports,
    margin=lif.margin,
    reset=reset,
    inject=lif.inject,
    initial=initial,
    slope=slope,
    bend=bend,
    earliest=earliest,
    positive=lsnn.LSNN.positive,
    units=lsnn.LSNN.units,
    doc=__doc__,
)
