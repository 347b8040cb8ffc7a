"""Izhikevich: a quadratic membrane with a recovery variable u; its input is a current that flows for one step.

    tau dv/dt = sq v^2 + mn v + bias - u + i        tau du/dt = a (b v - u)
    i: the weights that have arrived since the step before, gone after this one
    fires where v > v_th; then v = c, u -> u + d

There is no exact flow: method="euler" is the only one; a dt of 0.1 to 0.5 tau is usual. v is not clipped where it fires.
In float64 the last bits of v and u may never come to rest: then a silent neuron is stepped on and does not sleep. The input flows
for one step, as in `eventsim.models.lif_box`: a weight w moves v by w dt/tau.

Source: Izhikevich (2003), IEEE Trans. Neural Netw. 14:1569, eq. 1 to 3 (there tau = 1 ms; voltages in mV); the Euler form is
Norse's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    u: Any
    i: Any


class Params(NamedTuple):
    a: Any = 0.02
    b: Any = 0.2
    c: Any = -65.0
    d: Any = 8.0
    sq: Any = 0.04
    mn: Any = 5.0
    bias: Any = 140.0
    v_th: Any = 30.0
    tau: Any = 1.0
    v_start: Any = -70.0
    u_start: Any = -14.0


class Propagator(NamedTuple):
    """The flow as increments: v grows by v * (its right-hand side), u by u * (b v - u), i by i * i."""

    v: Any
    u: Any
    i: Any


def euler(ops, dt, p):
    return Propagator(dt / p.tau, dt / p.tau * p.a, -1.0)


def advance(s, k, p):
    return State(
        s.v + k.v * (p.sq * (s.v * s.v) + p.mn * s.v + p.bias - s.u + s.i),
        s.u + k.u * (p.b * s.v - s.u),
        s.i + k.i * s.i,
    )


def receive(s, w, p):
    return State(s.v, s.u, s.i + w)


def kick(s, w, p):
    return State(s.v + w, s.u, s.i)


def margin(s, p):
    return s.v - p.v_th


def reset(s, z, p):
    return State(s.v - z * s.v + z * p.c, s.u + z * p.d, s.i)


def inject(p, current):
    return p._replace(bias=p.bias + current)


def initial(p):
    return State(p.v_start, p.u_start, 0.0 * p.v_start)


Izhikevich = Model(
    name="Izhikevich",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=euler,
    euler=euler,
    methods=("euler",),
    advance=advance,
    ports={"i": receive, "v": kick},
    margin=margin,
    reset=reset,
    inject=inject,
    initial=initial,
    positive=("tau",),
    units={
        **dict.fromkeys(("c", "d", "bias", "v_th", "v_start", "u_start", "v", "u", "i"), "unit of v"),
        **{"a": "1", "b": "1", "mn": "1", "sq": "1 / unit of v", "tau": "ms"},
    },
    doc=__doc__,
)
