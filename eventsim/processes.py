"""Point processes in continuous time: what happens next is a function of (stream, member, index, attempt) and of what was last.

Poisson       intervals -ln(u) / rate
varying       candidates with a bound of the rate, kept with the chance rate / bound (`eventsim.rate_curve`)
gamma         intervals G / (shape rate), where G has the gamma law with this shape
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.jit import jit_borrowing
from eventsim.random import draw4, log, normal, uniform53
from eventsim.rate_curve import BOUND, PIECES, STOP, after_turns, piece_of, rate_at, turns_until, window_end

_MEMBER = np.uint64(32)  # an attempt has the bits below


@jit_borrowing
def draw_attempt(key, member, index, attempt):
    """Four random uint32 for an attempt at an event of a member; modifies nothing. Attempts: 0 .. 2**32 - 1."""
    return draw4(key, np.uint64(index), (np.uint64(member) << _MEMBER) + np.uint64(attempt))


@jit_borrowing
def poisson_interval(key, member, index, rate):
    """The time in ms to event ``index``; rate: spikes/ms, above 0."""
    r0, r1, _, _ = draw_attempt(key, member, index, 0)
    return -log(1.0 - uniform53(r0, r1)) / rate


@jit_borrowing
def next_varying(key, member, index, t, curve, at, columns):
    """The time in ms of event ``index`` of an inhomogeneous Poisson process after t, or inf; modifies nothing."""
    count = np.int64(curve[at + PIECES])
    turns = turns_until(curve, at, t)
    x = after_turns(curve, at, t, turns)
    piece, attempt = piece_of(curve, at, x), 0
    while True:
        bound, stop = curve[columns + BOUND * count + piece], np.int64(curve[columns + STOP * count + piece])
        end = window_end(curve, at, stop)
        after = end
        if bound > 0.0:
            r0, r1, r2, r3 = draw_attempt(key, member, index, attempt)
            attempt += 1
            after = x - log(1.0 - uniform53(r0, r1)) / bound
        if after == math.inf:
            return after
        if after >= end:
            turns, piece = (turns, stop) if stop < count else (turns + 1.0, 0)
            x = end if stop < count else 0.0
            continue
        more = turns_until(curve, at, after)  # where one bound holds for all periods
        x, turns = after_turns(curve, at, after, more), turns + more
        piece = piece_of(curve, at, x)
        if uniform53(r2, r3) * bound < rate_at(curve, at, columns, piece, x):
            return max(t, turns * curve[at] + x) if turns > 0.0 else max(t, x)


@jit_borrowing
def gamma_number(key, member, index, shape):
    """A number with the gamma law of a shape, mean shape, and an independent uniform one in [0, 1); modifies nothing.

    Marsaglia and Tsang: "A simple method for generating gamma variables", ACM TOMS 26 (2000), section 4; for a shape below 1 the
    number of shape + 1, times u**(1 / shape) (section 6).
    """
    above = shape if shape >= 1.0 else shape + 1.0
    d = above - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    attempt = 0
    while True:
        r0, r1, r2, r3 = draw_attempt(key, member, index, 2 * attempt)
        u0, u1, u2, u3 = draw_attempt(key, member, index, 2 * attempt + 1)
        attempt += 1
        x = normal(r0, r1, r2, r3)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        if log(1.0 - uniform53(u0, u1)) < 0.5 * x * x + d - d * v + d * log(v):
            break
    free = 1.0 - uniform53(u2, u3)
    if shape >= 1.0:
        return d * v, free
    return d * v * math.exp(log(free) / shape), free


@jit_borrowing
def gamma_interval(key, member, index, rate, shape, equilibrium):
    """The time in ms to event ``index``; rate: spikes/ms, above 0. equilibrium: whether it is what is left of an interval.

    The interval that a given time falls into has its length for a weight, which makes shape + 1 of the shape; what is left of it is
    a uniform share.
    """
    if equilibrium and index == 0:
        number, share = gamma_number(key, member, index, shape + 1.0)
        return number * share / (shape * rate)
    return gamma_number(key, member, index, shape)[0] / (shape * rate)
