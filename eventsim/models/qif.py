"""QIF: quadratic integrate-and-fire whose synapses kick the voltage at once.

    tau_mem dv/dt = curve (v - v_leak)(v - v_crit) + drive        an arriving weight w: v -> v + w
    fires where v > v_th; then v = v_reset

Without drive v returns to v_leak from below v_crit and runs to infinity, within a finite time, from above. With drive above
curve (v_crit - v_leak)^2/4 it fires by itself. Where v passes infinity within a step it fires in that step.

With w = v - (v_leak + v_crit)/2 the equation is tau_mem dw/dt = curve (w^2 - c). Its flow is a quotient of linear functions of w:

    w(t) = (C w - c S)/(C - S w)        C = cosh(k s), S = sinh(k s)/k        s = curve t/tau_mem, k = sqrt(c)

which are cos and sin for c < 0, and 1 and s at the border, c = 0. v has passed infinity where C - S w is not above 0.

Source: Latham et al. (2000), J. Neurophysiol. 83:808, eq. 2 (the equation); Gerstner et al. (2014), Neuronal Dynamics, eq. 5.16.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba.extending import register_jitable

from eventsim.models import lif_delta
from eventsim.models.earliest import TINY
from eventsim.models.lif_delta import State
from eventsim.models.model import Model

HUGE = 1e300  # no quotient above it is formed


class Params(NamedTuple):
    tau_mem: Any = 10.0
    curve: Any = 1.0
    v_leak: Any = 0.0
    v_crit: Any = 1.0
    v_th: Any = 10.0
    v_reset: Any = 0.0
    drive: Any = 0.0
    r_mem: Any = 1.0


class Propagator(NamedTuple):
    """The flow as an increment: v grows by s * force/(c - w * (v - upper)) with force = curve ((v - upper)(v - lower) + lift).

    Where that is more than is left to ``top``, which is above the threshold, or v has passed infinity, v becomes ``top``.
    """

    s: Any
    c: Any
    w: Any
    upper: Any
    lower: Any
    lift: Any
    top: Any
    one: Any


@register_jitable
def _constants(ops, p):
    """``(middle, c)``: tau_mem dv/dt = curve ((v - middle)^2 - c)."""
    half = 0.5 * (p.v_crit - p.v_leak)
    return p.v_leak + half, half * half - p.drive / p.curve


@register_jitable
def _zeros(ops, p):
    """``(upper, lower, lift)``: tau_mem dv/dt = curve ((v - upper)(v - lower) + lift), whose zeros these are where lift is 0."""
    middle, c = _constants(ops, p)
    k = ops.sqrt(ops.select(c < 0.0, 0.0, c))
    return middle + k, middle - k, ops.select(c < 0.0, -c, 0.0)


@register_jitable
def _top(ops, p):
    """A value above the threshold from which v does not return: what stands for infinity."""
    middle, c = _constants(ops, p)
    return 1.0 + 2.0 * (ops.absolute(p.v_th) + ops.absolute(middle) + ops.sqrt(ops.absolute(c)))


def exact(ops, dt, p):
    """The quotient is taken by its distance from the upper zero, C - S w = exp(-k s) - S (v - upper) where both are less the growth
    exp(k s), and the force from the same distance: after a long gap close to it, all else is rounding alone."""
    _, c = _constants(ops, p)
    upper, lower, lift = _zeros(ops, p)
    s, k = p.curve * dt / p.tau_mem, ops.sqrt(ops.absolute(c))
    turns, angle = c < 0.0, k * s
    whole = turns & (angle >= math.pi)  # from everywhere v has passed infinity
    angle = ops.select(turns & (angle < math.pi), angle, 0.0)
    tiny = angle < 1e-9
    sine = ops.select(tiny, 1.0, ops.sin(angle) / ops.select(tiny, 1.0, angle))
    z = ops.select(turns, 0.0, 2.0 * k * s)
    cosine = ops.select(turns, ops.cos(angle), ops.exp(-z))
    share = ops.select(turns, sine, ops.phi(z))
    cosine, share = ops.select(whole, -1.0, cosine), ops.select(whole, 0.0, share)
    return Propagator(dt / p.tau_mem * share, cosine, s * share, upper, lower, lift, _top(ops, p), 1.0 + 0.0 * share)


def euler(ops, dt, p):
    return Propagator(dt / p.tau_mem, 1.0, 0.0, p.v_crit, p.v_leak, p.drive / p.curve, _top(ops, p), 1.0)


def advance(ops, s, k, p):
    force = p.curve * ((s.v - k.upper) * (s.v - k.lower) + k.lift)
    below = k.c - k.w * (s.v - k.upper)
    near = (below > 0.0) & (k.s * force < (k.top - s.v) * below)
    stays = near | (force <= 0.0)  # at the upper zero itself, after a long gap, both are 0
    return State(ops.select(stays, s.v + k.s * force / ops.select(near, below, k.one), k.top))


def inject(p, current):
    return p._replace(drive=p.drive + p.r_mem * current)


def initial(p):
    return State(p.v_leak)


def turning_time(ops, s, p):
    """v runs monotonically to where dv/dt is 0, or to infinity."""
    return math.inf


def crossing(ops, s, p):
    """With w0 = v - middle, w1 = v_th - middle, the flow says tan(k s)/k = (w1 - w0)/(w0 w1 - c) for c = -k^2 < 0, and tanh for
    tan for c = k^2. The inverse of tanh, by log1p, is

        s = log1p(2 k d)/(2 k)        d = (w1 - w0)/((w0 - k)(w1 + k))

    if v rises and w1 lies on the same side of the zeros of dv/dt: if (w0 - k)(w1 + k) > 0. At the border s = d. Where d overflows v
    stands at the zero itself."""
    middle, c = _constants(ops, p)
    upper, lower, _ = _zeros(ops, p)
    start, end, k, turns = s.v - middle, p.v_th - middle, ops.sqrt(ops.absolute(c)), c < 0.0
    rise = p.v_th - s.v
    gap = (s.v - upper) * (p.v_th - lower)
    reaches = gap * HUGE > rise
    d = rise / ops.select(reaches, gap, 1.0)
    slow = ops.select(reaches, d * ops.log1p_over(2.0 * k * ops.select(reaches, d, 0.0)), math.inf)
    frequency, across = ops.select(turns, k, 1.0), start * end + k * k
    less = across > frequency * rise  # the angle is below a quarter of a half turn: arctan of what is below 1
    ratio = ops.select(less, frequency * rise / ops.select(less, across, 1.0), 0.0)
    cotangent = ops.select(less, 0.0, across / ops.select(less | (rise == 0.0), 1.0, frequency * rise))
    angle = ops.select(less, ops.arctan(ratio), 0.5 * math.pi - ops.arctan(cotangent))
    return p.tau_mem / p.curve * ops.select(turns, angle / frequency, slow)


def earliest(ops, s, p):
    """The crossing without its logarithm and its arctan. With y = k (w1 - w0), z = w0 w1 - c and r^2 = y^2 + z^2 its angle for
    c < 0 is 2 arctan(u), u = y/(r + z) = (r - z)/y, and arctan(u) >= 3 u/(1 + 2 sqrt(1 + u^2)) for u >= 0, Shafer (1966), Amer.
    Math. Monthly 73:309. For c >= 0 the logarithm is that of `eventsim.models.earliest`."""
    middle, c = _constants(ops, p)
    upper, lower, _ = _zeros(ops, p)
    k, turns, rise = ops.sqrt(ops.absolute(c)), c < 0.0, p.v_th - s.v
    across, y = (s.v - middle) * (p.v_th - middle) - c, k * rise
    r = ops.sqrt(across * across + y * y)
    total = r + ops.absolute(across)
    twice = 2.0 * ops.sqrt(2.0 * r * total)
    less = across > 0.0
    num, den = ops.select(less, 6.0 * rise, 6.0 * total), ops.select(less, total + twice, k * (y + twice))
    gap = (s.v - upper) * (p.v_th - lower)
    reaches = turns | (gap > 0.0)
    far = 2.0 * y
    num = ops.select(turns, num, 3.0 * (rise * (2.0 * gap + far)))
    den = ops.select(turns, den, 6.0 * (gap * (gap + far)) + far * far)
    t = p.tau_mem / p.curve * (num / ops.select(reaches, den + TINY, 1.0))
    return ops.select(reaches, ops.select(t >= 0.0, t, 0.0), math.inf)


QIF = Model(
    name="QIF",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports=lif_delta.LIFDelta.ports,
    margin=lif_delta.margin,
    reset=lif_delta.reset,
    inject=inject,
    initial=initial,
    turning_time=turning_time,
    crossing=crossing,
    earliest=earliest,
    positive=("tau_mem", "curve"),
    units={
        "tau_mem": "ms",
        "curve": "1 / unit of v",
        "v_leak": "unit of v",
        "v_crit": "unit of v",
        "v_th": "unit of v",
        "v_reset": "unit of v",
        "drive": "unit of v",
        "r_mem": "unit of v / unit of current",
        "v": "unit of v",
    },
    doc=__doc__,
)
