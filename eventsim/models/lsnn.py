"""LSNN: leaky integrate-and-fire with a synaptic current and a threshold that adapts.

    tau_mem dv/dt = (v_leak - v) + r_mem i        tau_syn di/dt = -i        tau_adapt db/dt = v_th - b
    an arriving weight w: i -> i + w
    fires where v > b; then v = v_reset, b -> b + beta

The threshold b is a state: it rests at v_th, and every spike lifts it by beta. The membrane is that of `eventsim.models.lif`.

Source: Bellec et al. (2018), NeurIPS 31:787, section 2 (there b counts from v_th on); the Euler form is Norse's. Three
exponentials: no closed form for the turning time, so on a grid a silent neuron sleeps only once its update no longer changes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.models import lif
from eventsim.models.earliest import rise_to, with_currents
from eventsim.models.lif_exc_inh import cancelling_time
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    i: Any
    b: Any


class Params(NamedTuple):
    tau_mem: Any = 10.0
    tau_syn: Any = 5.0
    tau_adapt: Any = 100.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    beta: Any = 1.8
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """The flow as increments: v and i as in `eventsim.models.lif`, b grows by b * (v_th - b)."""

    v: Any
    r: Any
    i: Any
    b: Any


def exact(ops, dt, p):
    k = lif.exact(ops, dt, p)
    return Propagator(k.v, k.r, k.i, -ops.expm1(-dt / p.tau_adapt))


def euler(ops, dt, p):
    return Propagator(*lif.euler(ops, dt, p), dt / p.tau_adapt)


def advance(s, k, p):
    m = lif.advance(s, k, p)
    return State(m.v, m.i, s.b + k.b * (p.v_th - s.b))


def receive(s, w, p):
    return State(s.v, s.i + w, s.b)


def kick(s, w, p):
    return State(s.v + w, s.i, s.b)


def margin(s, p):
    return s.v - s.b


def reset(s, z, p):
    m = lif.reset(s, z, p)
    return State(m.v, m.i, s.b + z * p.beta)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak, p.v_th)


def slope(s, p):
    return lif.slope(s, p) - (p.v_th - s.b) / p.tau_adapt


def bend(ops, s, p):
    """The slope is m = dv/dt - db/dt. exp(t/tau_mem) m has the derivative exp(t/tau_mem) (dm/dt + m/tau_mem), in which v is gone:

        dm/dt + m/tau_mem = -r_mem i/(tau_mem tau_syn) - (1/tau_mem - 1/tau_adapt) db/dt        i, db/dt: one exponential each

    It is 0 at one time at most. Before it and after it exp(t/tau_mem) m is monotone and so m is 0 once at most."""
    rise = (p.v_th - s.b) / p.tau_adapt
    lag = 1.0 / p.tau_mem - 1.0 / p.tau_adapt
    return cancelling_time(ops, p.r_mem * s.i / (p.tau_mem * p.tau_syn), p.tau_syn, lag * rise, p.tau_adapt)


def earliest(ops, s, p):
    """The bound of `eventsim.models.earliest`, with b as one more current.

    With h = b - v_th and q = 1 - tau_mem/tau_adapt, exp(t/tau_mem) times b - v_th at t is h (1 + x)**q = h + h q g(x), with x
    and g as there, for tau = tau_adapt: h lies on the side of the rise, h q on that of the currents."""
    lift = (s.b - p.v_th) * ((p.tau_adapt - p.tau_mem) / p.tau_adapt)
    return with_currents(ops, p.tau_mem, rise_to(ops, s.b, s.v), p.v_leak - p.v_th, p.r_mem * s.i, p.tau_syn, -lift, p.tau_adapt)


LSNN = Model(
    name="LSNN",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports={"i": receive, "v": kick},
    margin=margin,
    reset=reset,
    inject=lif.inject,
    initial=initial,
    slope=slope,
    bend=bend,
    earliest=earliest,
    positive=("tau_mem", "tau_syn", "tau_adapt"),
    units={**lif.LIF.units, "tau_adapt": "ms", "beta": "unit of v", "b": "unit of v"},
    doc=__doc__,
)
