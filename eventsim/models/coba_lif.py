"""CobaLIF: Norse's leaky integrate-and-fire neuron with exponentially decaying excitatory and inhibitory conductances.

    c_m dv/dt = g_l (v_rest - v) + g_e (e_exc - v) + g_i (e_inh - v) + drive
    tau_exc dg_e/dt = -g_e        tau_inh dg_i/dt = -g_i
    an arriving weight w >= 0 on port "exc": g_e -> g_e + w; on port "inh": g_i -> g_i + w
    the input x of a step, of either sign, on port "signed": g_e -> g_e + max(x, 0), g_i -> g_i + max(-x, 0)
    fires where v > v_th; then v = v_reset

The conductances decay first, and v sees the decayed ones. method="euler" is the only one, stable while dt (g_l + g_e + g_i) is
below c_m; `eventsim.models.lif_cond_exp` is the same equation, integrated to fourth order. On port "signed" excitation and
inhibition that arrive in one step cancel before they are told apart; use "exc" and "inh" where they shall not.

Source: Brette et al. (2007), J. Comput. Neurosci. 23:349, appendix, benchmark 1 (COBA); the Euler form is Norse's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.models import lif
from eventsim.models.model import Model


class State(NamedTuple):
    v: Any
    g_e: Any
    g_i: Any


class Params(NamedTuple):
    tau_exc: Any = 5.0
    tau_inh: Any = 10.0
    c_m: Any = 20.0
    g_l: Any = 1.0
    e_exc: Any = 0.0
    e_inh: Any = -80.0
    v_rest: Any = -60.0
    v_th: Any = -50.0
    v_reset: Any = -60.0
    drive: Any = 0.0


class Propagator(NamedTuple):
    """v: dt/c_m; exc, inh: how much of themselves the conductances grow by."""

    v: Any
    exc: Any
    inh: Any


def euler(ops, dt, p):
    return Propagator(dt / p.c_m, -(dt / p.tau_exc), -(dt / p.tau_inh))


def advance(s, k, p):
    g_e, g_i = s.g_e + k.exc * s.g_e, s.g_i + k.inh * s.g_i
    current = p.g_l * (p.v_rest - s.v) + g_e * (p.e_exc - s.v) + g_i * (p.e_inh - s.v) + p.drive
    return State(s.v + k.v * current, g_e, g_i)


def receive_signed(ops, s, w, p):
    return State(s.v, s.g_e + ops.relu(w), s.g_i + ops.relu(-w))


def receive_exc(s, w, p):
    return State(s.v, s.g_e + w, s.g_i)


def receive_inh(s, w, p):
    return State(s.v, s.g_e, s.g_i + w)


def kick(s, w, p):
    return State(s.v + w, s.g_e, s.g_i)


def reset(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset, s.g_e, s.g_i)


def inject(p, current):
    return p._replace(drive=p.drive + current)


def initial(p):
    return State(p.v_rest, 0.0 * p.v_rest, 0.0 * p.v_rest)


CobaLIF = Model(
    name="CobaLIF",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=euler,
    euler=euler,
    methods=("euler",),
    advance=advance,
    ports={"signed": receive_signed, "exc": receive_exc, "inh": receive_inh, "v": kick},
    margin=lif.margin,
    reset=reset,
    inject=inject,
    initial=initial,
    positive=("tau_exc", "tau_inh", "c_m"),
    units={
        **dict.fromkeys(("tau_exc", "tau_inh"), "ms"),
        **dict.fromkeys(("e_exc", "e_inh", "v_rest", "v_th", "v_reset", "v"), "unit of v"),
        **dict.fromkeys(("g_l", "g_e", "g_i"), "unit of conductance"),
        "c_m": "ms * unit of conductance",
        "drive": "unit of v * unit of conductance",
    },
    doc=__doc__,
)
