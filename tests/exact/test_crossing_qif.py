"""QIF's prediction and flow lie within what rounding of its numbers makes of them, also where next to nothing moves v.

Close to the zeros of dv/dt the time of the spike and the voltage are ill conditioned: v takes long to leave, and what is
rounded there grows with exp(t). No bound on the voltage that is found says much then, and none is needed. v(t) rises with v(0) and
falls with c, so that a neuron that starts a few roundings higher with a c that is a few roundings smaller is ahead at all times,
and one that starts lower is behind. What the engine finds has to lie between the two, which are computed in 50 digits.
"""

from __future__ import annotations

import math

import numpy as np
from exact.closed_forms import DIGITS, Quadratic
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from eventsim.exact.crossing import bind_crossing, bind_jump
from eventsim.models import QIF

EPS = np.finfo(np.float64).eps
ROUNDINGS = 8.0
INFINITY = mpf(10) ** 40
LONG = 1e6  # ms, where no spike is found
COARSE = st.floats(-2.0, 2.0).map(lambda x: x if abs(x) > 1e-12 else 0.0)  # what is smaller, 50 digits are too few for
SMALL = st.one_of(st.just(0.0), st.builds(lambda k, sign: sign * 10.0**k, st.floats(-17.0, -1.0), st.sampled_from([-1.0, 1.0])))


@st.composite
def neurons(draw):
    """``(v, p)``, with v at, or near to, whatever may matter: rest, the zeros of dv/dt, the threshold; and zeros that come together."""
    tau, curve = draw(st.floats(0.5, 100.0)), draw(st.sampled_from([1.0, 0.1, 7.0]) | st.floats(0.05, 10.0))
    v_leak, width = draw(st.sampled_from([0.0, -65.0]) | COARSE), draw(st.sampled_from([1.0, 0.0]) | COARSE.map(abs))
    v_crit = v_leak + width
    border = 0.25 * curve * width**2
    drive = draw(st.one_of(st.just(0.0), st.just(border).flatmap(lambda b: SMALL.map(lambda x: b * (1.0 + x))), COARSE))
    v_th = v_crit + draw(st.floats(0.1, 50.0))
    middle = v_leak + 0.5 * width
    half = math.sqrt(abs(0.25 * width**2 - drive / curve))
    near = draw(st.sampled_from([v_leak, v_crit, middle, middle + half, middle - half, v_th]))
    v = draw(st.one_of(SMALL.map(lambda x: near + x), st.floats(v_leak - 5.0, v_th)))
    return min(v, v_th), QIF.Params(tau_mem=tau, curve=curve, v_leak=v_leak, v_crit=v_crit, v_th=v_th, v_reset=v_leak, drive=drive)


class Bracket:
    """The neuron in 50 digits, moved by so many roundings: up (+1) it is ahead of what is found, down (-1) it is behind."""

    def __init__(self, v, p, side):
        self.p = {name: mpf(float(value)) for name, value in p._asdict().items()}
        self.size = max(1.0, *(abs(x) for x in (v, p.v_leak, p.v_crit, p.v_th)))
        self.moved = mpf(side * ROUNDINGS * EPS * self.size)
        half = 0.5 * (p.v_crit - p.v_leak)
        self.extra = -mpf(side * ROUNDINGS * EPS * (half**2 + abs(p.drive / p.curve)))
        self.neuron = Quadratic("QIF", self.p, ("v",))
        self.neuron.s = {"v": mpf(float(v)) + self.moved}

    def crossing(self):
        found = self.neuron._time_to(self.p["v_th"] - self.moved, self.extra)
        return mp.inf if found is None else found

    def at(self, t):
        """v after t ms, or inf where it has passed infinity."""
        end = self.neuron._time_to(INFINITY, self.extra)
        return mp.inf if end is not None and mpf(t) >= end else self.neuron._after(mpf(t), self.extra)[0]


@given(neurons())
@settings(max_examples=400, deadline=None)
def test_a_crossing_and_the_flow_to_it_lie_between_what_is_ahead_and_what_is_behind(drawn):
    v, p = drawn
    crossing, jump = bind_crossing(QIF), bind_jump(QIF)
    t = crossing(QIF.State(v), p)
    with mp.workdps(DIGITS):
        ahead, behind = Bracket(v, p, 1), Bracket(v, p, -1)
        assert ahead.crossing() * (1 - ROUNDINGS * EPS) <= t <= behind.crossing() * (1 + ROUNDINGS * EPS)
        for share in (1e-9, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0 - 1e-6, 1.0):
            after = share * min(t, LONG)
            found = jump(QIF.State(v), after, p).v if after > 0.0 else v
            room = ROUNDINGS * EPS * max(ahead.size, abs(found))
            low, high = (sorted(side.at(after * (1 + sign * ROUNDINGS * EPS)) for sign in (-1, 1)) for side in (behind, ahead))
            assert low[0] - room <= found <= high[1] + room
            assert t < math.inf or found <= p.v_th
