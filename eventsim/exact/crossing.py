"""When a neuron that hears nothing will fire, in continuous time: the first t at which its margin rises above 0.

Between inputs the margin m(t) is a sum of exponentials. Its derivative, the model's ``slope``, has few zeros: multiplied by one of
the exponentials it is monotone on either side of the model's ``bend``, so that on each of these two pieces m has one extremum at
most. A piece on which m ends above 0 holds one crossing; one on which it rises, falls and ends below 0 holds one if its peak is
above 0. Crossings are found there by Newton's method, kept within the bracket. A model may give its crossing in closed form
instead.

All of it in float64, on the exact flow. That a sum of n exponentials has at most n - 1 zeros: Polya & Szego (1925), Aufgaben und
Lehrsaetze II, part V, problem 75.
"""

from __future__ import annotations

import functools
import math

from eventsim.exact.exponentials import flow_ops
from eventsim.jit import jit_borrowing as jit
from eventsim.jit import jit_inlined
from eventsim.models.model import with_ops

END = 1e12  # ms, where every exponential has died away
EARLY = 1.0 - 1e-9  # times the model's `earliest`: a crossing that is found never lies before it, whatever was rounded
FIRST_STEP, LEAST_STEP = 1.0, 1e-9  # ms, of the search for a time behind a crossing; it doubles
TRIES = 200  # of Newton's method: halving alone needs no more than 60
FAINT = 1e-9  # of the slope at first: a later one below it may have any sign, after long gaps it is rounding alone
ROUNDING = 2.0**-50  # of v: by so much a state that comes near to where it ends may miss it
FLAT = 1e-9  # of the bracket, how well the place of a peak has to be known: its height then is, to 1e-18


@functools.cache
def bind_jump(model, compiled=jit):
    """A function ``(s, t, p) -> s`` after t ms without input. float64"""
    ops = flow_ops()
    exact, advance = compiled(model.exact), with_ops(model.advance, ops, compiled)
    return compiled(lambda s, t, p: advance(s, exact(ops, t, p), p) if t > 0.0 else s)


@functools.cache
def bind_earliest(model):
    """A function ``(s, p) -> t``: a time in ms before which the neuron does not fire by itself; 0 if nothing is known. float64"""
    if not model.spiking or model.earliest is None:
        return jit(lambda s, p: 0.0)
    ops, margin, earliest = flow_ops(), jit(model.margin), jit_inlined(model.earliest)
    return jit_inlined(lambda s, p: 0.0 if margin(s, p) > 0.0 else EARLY * earliest(ops, s, p))


@functools.cache
def bind_crossing(model):
    """A function ``(s, p) -> t``: the time in ms until the neuron fires by itself, 0 if it does so now, or inf. float64"""
    if not model.spiking:
        return jit(lambda s, p: math.inf)
    ops, margin = flow_ops(), jit(model.margin)
    if model.crossing is not None:
        closed = jit(model.crossing)
        return jit(lambda s, p: 0.0 if margin(s, p) > 0.0 else closed(ops, s, p))
    jump, slope, bend = bind_jump(model), jit(model.slope), jit(model.bend)
    exact, advance = jit(model.exact), with_ops(model.advance, ops, jit)

    @jit
    def rest(s, p):
        """Where the flow ends. Advanced twice: the first time v misses its rest by a rounding of how far it was away."""
        k = exact(ops, END, p)
        return advance(advance(s, k, p), k, p)

    @jit
    def root(s, p, low, high):
        """The crossing in (low, high]: m is at most 0 at low and above 0 at high, and crosses 0 once."""
        t = low
        for _ in range(TRIES):
            at = jump(s, t, p)
            m = margin(at, p)
            if m > 0.0:
                high = t
            else:
                low = t
            rate = slope(at, p)
            found = t - m / rate
            if found == t and rate > 0.0:
                break  # nearer than two numbers can be; it may also begin at the threshold, and fall from there
            if not (low < found < high):  # also where the slope is 0
                found = low + 0.5 * (high - low)
            if found == t or not (low < found < high):
                break
            t = found
        return t

    @jit
    def peak(s, p, low, high):
        """Where m is greatest in [low, high]: its slope is above 0 at low, below 0 at high, and 0 once."""
        accuracy = FLAT * (high - low)
        before, after = slope(jump(s, low, p), p), slope(jump(s, high, p), p)
        tries = 0
        while high - low > accuracy and tries < TRIES:
            tries += 1
            t = low + (high - low) * (before / (before - after))
            if tries % 3 == 0 or not (low < t < high):
                t = low + 0.5 * (high - low)
            if not (low < t < high):
                break
            found = slope(jump(s, t, p), p)
            if found > 0.0:
                low, before = t, found
            else:
                high, after = t, found
        return low

    @jit
    def behind(s, p, low, falling):
        """A time after low at which m is above 0, or, if asked for, its slope is not above 0; inf if there is none.

        Where m rises from low to a peak its slope falls on the way, so that m is nowhere before where its tangent at low is 0, and
        a peak before that is below 0: the search begins there. A fixed first step might pass over peak and fall to where
        everything has died away and the sign of the slope is rounding.
        """
        at = jump(s, low, p)
        rate = slope(at, p)
        step = min(max(-margin(at, p) / rate, LEAST_STEP), END) if rate > 0.0 else FIRST_STEP
        while step < END:
            at = jump(s, low + step, p)
            if margin(at, p) > 0.0 or (falling and slope(at, p) <= 0.0):
                return low + step
            step *= 2.0
        return math.inf

    turning = jit(model.turning_time) if model.turning_time is not None else None
    if turning is not None:
        highest = jit(lambda s, p, low: low + turning(ops, jump(s, low, p), p))
    else:

        @jit
        def highest(s, p, low):
            high = behind(s, p, low, True)
            if high < math.inf and not margin(jump(s, high, p), p) > 0.0:
                return peak(s, p, low, high)
            return high

    @jit
    def highest_before(s, p, end):
        """A time in (0, end] at which m is above 0, or else where it is greatest."""
        high = behind(s, p, 0.0, True)
        if high >= end:
            return peak(s, p, 0.0, end)
        return high if margin(jump(s, high, p), p) > 0.0 else peak(s, p, 0.0, high)

    @jit
    def crossing(s, p):
        if margin(s, p) > 0.0:
            return 0.0
        low, rising, turn = 0.0, slope(s, p), bend(ops, s, p)
        end = rest(s, p)
        ends = margin(end, p)
        # Where it ends at the threshold itself it comes near from below, and what is above is rounding.
        rounding = ROUNDING * (abs(s.v) + abs(end.v))
        least = rounding if abs(ends) <= rounding else 0.0
        if turn < END:
            at = jump(s, turn, p)
            if margin(at, p) > least:
                return root(s, p, 0.0, turn)
            later = slope(at, p)
            if rising > 0.0 and later < FAINT * rising:
                top = highest_before(s, p, turn)
                if margin(jump(s, top, p), p) > least:
                    return root(s, p, 0.0, top)
            low, rising = turn, later
        if ends > least:
            high = behind(s, p, low, False)
            return root(s, p, low, high) if high < math.inf else math.inf
        if not rising > 0.0:
            return math.inf  # it falls, and comes back to where it ends at most
        top = highest(s, p, low)
        if top < math.inf and margin(jump(s, top, p), p) > least:
            return root(s, p, low, top)
        return math.inf

    return crossing
