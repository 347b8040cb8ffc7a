"""The models of the reference in plain Python: textbook solutions in Python's floats, written without a look at `eventsim.models`.

A state is a tuple whose first number is the voltage. Every function takes the parameters as a dict, in eventsim's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


def _filtered(tau_mem, tau, t):
    """What a current of 1 that decays with tau has added to the voltage after t ms, for tau != tau_mem."""
    return tau / (tau - tau_mem) * (math.exp(-t / tau) - math.exp(-t / tau_mem))


def _leak(p, s, t):
    return p["v_leak"] + (s[0] - p["v_leak"]) * math.exp(-t / p["tau_mem"])


def flow_line(p, s, t):
    return (s[0] + p["slope"] * t,)


def flow_delta(p, s, t):
    return (_leak(p, s, t),)


def flow_lif(p, s, t):
    v = _leak(p, s, t) + p["r_mem"] * s[1] * _filtered(p["tau_mem"], p["tau_syn"], t)
    return v, s[1] * math.exp(-t / p["tau_syn"])


def flow_exc_inh(p, s, t):
    v = _leak(p, s, t) + p["r_mem"] * s[1] * _filtered(p["tau_mem"], p["tau_exc"], t)
    v += p["r_mem"] * s[2] * _filtered(p["tau_mem"], p["tau_inh"], t)
    return v, s[1] * math.exp(-t / p["tau_exc"]), s[2] * math.exp(-t / p["tau_inh"])


def flow_alpha(p, s, t):
    """i(t) = (i + e h t/tau) exp(-t/tau); the integral of the ramp against exp(-(t - u)/tau_mem)/tau_mem is by parts."""
    tau, tau_mem, gap = p["tau_syn"], p["tau_mem"], 1.0 / p["tau_syn"] - 1.0 / p["tau_mem"]
    slow, fast = math.exp(-t / tau_mem), math.exp(-t / tau)
    ramp = ((slow - fast) / gap - t * fast) / gap / tau_mem / tau
    v = _leak(p, s, t) + p["r_mem"] * (s[1] * _filtered(tau_mem, tau, t) + math.e * s[2] * ramp)
    return v, (s[1] + math.e * s[2] * t / tau) * fast, s[2] * fast


def flow_lsnn(p, s, t):
    return *flow_lif(p, s, t), p["v_th"] + (s[2] - p["v_th"]) * math.exp(-t / p["tau_adapt"])


def flow_ada(p, s, t):
    v, i = flow_lif(p, s, t)
    return v - s[2] * _filtered(p["tau_mem"], p["tau_adapt"], t), i, s[2] * math.exp(-t / p["tau_adapt"])


def flow_quadratic(p, s, t):
    """v = m + k tan(k q + arctan((v - m)/k)), q = curve t/tau_mem, where dv/dt has no zero; 1/(v - m) falls as q where it has
    one; where it has two, m +- k, the ratio (v - m - k)/(v - m + k) grows as exp(2 k q). Infinite once v has run away."""
    m, q = 0.5 * (p["v_leak"] + p["v_crit"]), p["curve"] * t / p["tau_mem"]
    c = p["drive"] / p["curve"] - 0.25 * (p["v_crit"] - p["v_leak"]) ** 2
    k, w = math.sqrt(abs(c)), s[0] - m
    if c > 0.0:
        angle = k * q + math.atan(w / k)
        return (m + k * math.tan(angle) if angle < 0.5 * math.pi else math.inf,)
    if c == 0.0:
        return (m + w / (1.0 - q * w) if q * w < 1.0 else math.inf,)
    if w == -k:
        return s
    ratio = (w - k) / (w + k) * math.exp(2.0 * k * q)
    return (math.inf if w > k and ratio >= 1.0 else m + k * (1.0 + ratio) / (1.0 - ratio),)


def fixed_threshold(p, s):
    return p["v_th"]


def moving_threshold(p, s):
    return s[2]


def to_reset(p, s):
    return p["v_reset"], *s[1:]


def to_nothing(p, s):
    return p["v_reset"], 0.0


def less_threshold(p, s):
    return s[0] - p["v_th"], *s[1:]


def lifted(p, s):
    return p["v_reset"], s[1], s[2] + p["beta"]


def pulled(p, s):
    return s[0] - (p["v_th"] - p["v_reset"]), s[1], s[2] + p["beta"]


class Flow(NamedTuple):
    """flow : (p, s, t) -> state after t ms; ports : which number of the state each port adds to
    reset : (p, s) -> state behind a spike; threshold : (p, s) -> what v must exceed
    rest : (p) -> the numbers of the state behind v, at the start
    """

    flow: Callable
    ports: dict[str, int]
    reset: Callable = to_reset
    threshold: Callable = fixed_threshold
    rest: Callable = lambda p: ()


def one(p):
    return (0.0,)


def two(p):
    return (0.0, 0.0)


FLOWS = {
    "IAF": Flow(flow_line, {"v": 0}),
    "IAFSubtract": Flow(flow_line, {"v": 0}, less_threshold),
    "LIFDelta": Flow(flow_delta, {"v": 0}),
    "QIF": Flow(flow_quadratic, {"v": 0}),
    "LIF": Flow(flow_lif, {"i": 1, "v": 0}, rest=one),
    "LIFResetAll": Flow(flow_lif, {"i": 1, "v": 0}, to_nothing, rest=one),
    "LIFSubtract": Flow(flow_lif, {"i": 1, "v": 0}, less_threshold, rest=one),
    "LIFExcInh": Flow(flow_exc_inh, {"exc": 1, "inh": 2, "v": 0}, rest=two),
    "LIFAlpha": Flow(flow_alpha, {"i": 2, "v": 0}, rest=two),
    "LSNN": Flow(flow_lsnn, {"i": 1, "v": 0}, lifted, moving_threshold, lambda p: (0.0, p["v_th"])),
    "AdaLIF": Flow(flow_ada, {"i": 1, "v": 0}, pulled, rest=two),
}
