"""LIFCondExp: leaky integrate-and-fire with exponentially decaying excitatory and inhibitory conductances (NEST: iaf_cond_exp).

    tau_mem dv/dt = (v_leak - v) + r_mem (exc (e_exc - v) + inh (e_inh - v))
    tau_exc dexc/dt = -exc        tau_inh dinh/dt = -inh
    an arriving weight w on port "exc": exc -> exc + w; on port "inh": inh -> inh + w (w >= 0 on both)
    fires where v > v_th; then v = v_reset

State, ports, threshold and reset are those of `eventsim.models.lif_exc_inh`.

r_mem is the inverse of the leak conductance g: with the default 1, conductances are relative to it; with g in nS give r_mem = 1/g,
weights in nS and currents in pA (potentials in mV, tau_mem = capacity in pF / g). The default potentials are those of the source in
units of the 10 mV from rest to threshold.

The equation is linear with coefficients that change in time: no closed form. method="exact" has the conductances exact, and v to
*fourth order* in dt (Magnus): v relaxes with the exact integral of the total conductance over the step, towards the averages of
the drive, and one commutator accounts for the order in which they came. At dt = 0.1 ms and the source's parameters a step is off
by less than float32's rounding; in float64 the order shows. Neither jumps nor predictions: a silent neuron sleeps once its update
no longer changes it. Its exponential is a polynomial, so that the step has the bits of every backend and vectorises; it holds while
(dt/tau_mem) (1 + r_mem (exc + inh)) is below 55, beyond which v diverges (Euler: below 2).

Source: Brette et al. (2007), J. Comput. Neurosci. 23:349, appendix, benchmark 1 (COBA). The scheme: Blanes, Casas, Oteo & Ros
(2009), Phys. Rep. 470:151, the Magnus integrator of order 4 in averages and first moments of the coefficients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.extending import register_jitable

from eventsim.models import lif_exc_inh
from eventsim.models.lif_exc_inh import State
from eventsim.models.model import Model


class Params(NamedTuple):
    tau_mem: Any = 20.0
    tau_exc: Any = 5.0
    tau_inh: Any = 10.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    e_exc: Any = 6.0
    e_inh: Any = -2.0
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """Integrals over the step of a conductance of 1, the decay of conductances as increments, and the constants of `relaxation`."""

    leak: Any  # dt/tau_mem
    exc: Any  # integral of r_mem exc/tau_mem
    inh: Any
    exc_slope: Any  # first moment of the same about the middle of the step, over dt: how much more came late than early
    inh_slope: Any
    exc_decay: Any
    inh_decay: Any
    c0: Any
    c1: Any
    c2: Any
    c3: Any
    c4: Any
    c5: Any
    c6: Any
    c7: Any
    half: Any


@register_jitable
def slope(ops, y):
    """``integral_0^1 (t - 1/2) exp(-y t) dt``, -y/12 for small y: from its series where the closed form would cancel."""
    small = y < 0.25
    u = 0.5 * ops.select(small, y, 0.0)
    q = u * u
    series = 1 / 3 + q * (1 / 30 + q * (1 / 840 + q * (1 / 45_360 + q * (1 / 3_991_680 + q / 518_918_400))))
    z = ops.select(small, 1.0, y)
    return ops.select(small, -0.5 * u * ops.exp(-u) * series, (ops.phi(z) - 0.5 * (1.0 + ops.exp(-z))) / z)


def exact(ops, dt, p):
    x, e, i = dt / p.tau_mem, dt / p.tau_exc, dt / p.tau_inh
    # phi(a/16) = 1 - (a/16)/2! + (a/16)^2/3! - ..., which four doublings make phi(a)
    return Propagator(
        x,
        x * p.r_mem * ops.phi(e),
        x * p.r_mem * ops.phi(i),
        x * p.r_mem * slope(ops, e),
        x * p.r_mem * slope(ops, i),
        ops.expm1(-e),
        ops.expm1(-i),
        1.0,
        -1.0 / (16.0 * 2.0),
        1.0 / (16.0**2 * 6.0),
        -1.0 / (16.0**3 * 24.0),
        1.0 / (16.0**4 * 120.0),
        -1.0 / (16.0**5 * 720.0),
        1.0 / (16.0**6 * 5040.0),
        -1.0 / (16.0**7 * 40320.0),
        0.5 / 16.0,
    )


def euler(ops, dt, p):
    x = dt / p.tau_mem
    g = x * p.r_mem
    return Propagator(x, g, g, 0.0, 0.0, -(dt / p.tau_exc), -(dt / p.tau_inh), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@register_jitable
def relaxation(a, k):
    """``phi(a) = (1 - exp(-a))/a`` of + - * only: its Taylor polynomial at a/16, doubled four times.

    phi(2b) = phi(b) - (b/2) phi(b)^2. The relative error is below 2e-15 up to a = 1 and below 6e-11 up to 55.
    """
    f = k.c0 + a * (k.c1 + a * (k.c2 + a * (k.c3 + a * (k.c4 + a * (k.c5 + a * (k.c6 + a * k.c7))))))
    h = k.half * a
    f = f - h * f * f
    h = h + h
    f = f - h * f * f
    h = h + h
    f = f - h * f * f
    h = h + h
    return f - h * f * f


def advance(s, k, p):
    exc, inh = k.exc * s.exc, k.inh * s.inh
    exc_slope, inh_slope = k.exc_slope * s.exc, k.inh_slope * s.inh
    to_exc, to_inh = p.e_exc - s.v, p.e_inh - s.v
    a = k.leak + (exc + inh)
    drive = k.leak * (p.v_leak - s.v) + (exc * to_exc + inh * to_inh)
    commutator = a * (exc_slope * to_exc + inh_slope * to_inh) - (exc_slope + inh_slope) * drive
    return State(
        s.v + relaxation(a, k) * (drive + commutator),
        s.exc + k.exc_decay * s.exc,
        s.inh + k.inh_decay * s.inh,
    )


LIFCondExp = Model(
    name="LIFCondExp",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports=lif_exc_inh.LIFExcInh.ports,
    margin=lif_exc_inh.margin,
    reset=lif_exc_inh.reset,
    inject=lif_exc_inh.inject,
    initial=lif_exc_inh.initial,
    positive=("tau_mem", "tau_exc", "tau_inh"),
    units={
        "tau_mem": "ms",
        "tau_exc": "ms",
        "tau_inh": "ms",
        "v_leak": "unit of v",
        "v_th": "unit of v",
        "v_reset": "unit of v",
        "e_exc": "unit of v",
        "e_inh": "unit of v",
        "r_mem": "1 / unit of conductance",
        "v": "unit of v",
        "exc": "unit of conductance",
        "inh": "unit of conductance",
    },
    doc=__doc__,
)
