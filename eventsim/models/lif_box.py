"""LIFBox and LIBox: a leaky membrane whose input is a current that flows for one step.

    tau_mem dv/dt = (v_leak - v) + r_mem i        i: the weights that have arrived since the step before, gone after this one
    LIFBox fires where v > v_th; then v = v_reset (LIFBoxSubtract: v = v - v_th). LIBox never fires: a readout.

A weight so moves v by r_mem (1 - exp(-dt/tau_mem)) of itself: it depends on dt, as a sampled current does. Without a current that
outlasts the step these are the LIF and LI of the Neuromorphic Intermediate Representation (NIR).

Source: Pedersen et al. (2024), Nat. Commun. 15:8122, table 1; the Euler forms are Norse's, which add up in different orders.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from eventsim.models import lif
from eventsim.models.lif import Propagator, State
from eventsim.models.model import Model


class Params(NamedTuple):
    tau_mem: Any = 10.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    r_mem: Any = 1.0


class ReadoutParams(NamedTuple):
    tau_mem: Any = 10.0
    v_leak: Any = 0.0
    r_mem: Any = 1.0


def exact(ops, dt, p):
    return Propagator(-ops.expm1(-dt / p.tau_mem), p.r_mem, -1.0)


def euler(ops, dt, p):
    return Propagator(dt / p.tau_mem, p.r_mem, -1.0)


def advance(s, k, p):
    return State(s.v + k.v * ((k.r * s.i + p.v_leak) - s.v), s.i + k.i * s.i)


LIFBox = Model(
    name="LIFBox",
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
    positive=("tau_mem",),
    units={name: unit for name, unit in lif.LIF.units.items() if name != "tau_syn"},
    doc=__doc__,
)

LIFBoxSubtract = replace(LIFBox, name="LIFBoxSubtract", reset=lif.reset_subtract)

LIBox = replace(
    LIFBox,
    name="LIBox",
    Params=ReadoutParams,
    advance=lif.advance,
    margin=None,
    reset=None,
    units={name: unit for name, unit in LIFBox.units.items() if name not in ("v_th", "v_reset")},
)
