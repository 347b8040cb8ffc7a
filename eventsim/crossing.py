"""When a neuron that hears nothing will fire: the first step on the grid at which its margin is above 0.

Between inputs the margin is monotone on either side of its turning time, so that a look at few points and a bisection
find the first step without walking through them. All of it in float64, on the exact flow (of Euler's equivalent).
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from eventsim.cpu.scalar import cast, load_row, scalar_ops
from eventsim.jit import jit
from eventsim.state import NEVER, TABLE_STEPS

FAR = 2**40  # steps after which a flow has come to rest


@functools.cache
def bind_coefficients(model, own_flow):
    """A function ``(steps, table, dt, p) -> Propagator`` over that many steps: tabulated if it can be, else computed."""
    Propagator = model.Propagator
    exact = jit(model.exact)
    ops = scalar_ops(np.dtype(np.float64))
    read, widen = load_row(len(Propagator._fields)), cast(len(Propagator._fields), types.float64)
    end = TABLE_STEPS + 1

    def compute(steps, table, dt, p):
        return Propagator(*widen(exact(ops, steps * dt, p)))

    def look_up(steps, table, dt, p):
        if steps <= TABLE_STEPS:
            return Propagator(*read(table, steps))
        if steps == FAR:
            return Propagator(*read(table, end))
        return Propagator(*widen(exact(ops, steps * dt, p)))

    return jit(compute if own_flow else look_up)


@functools.cache
def bind_prediction(model, own_flow):
    """A function ``(s, p, table, dt, tolerance) -> steps`` until the neuron fires by itself, at least 1, or `NEVER`.

    A margin above ``-tolerance`` counts as a crossing: a step taken in vain costs little, a spike missed is an error.
    """
    if not model.spiking:
        return jit(lambda s, p, table, dt, tolerance: NEVER)
    coefficients = bind_coefficients(model, own_flow)
    margin, advance, turning_time = jit(model.margin), jit(model.advance), jit(model.turning_time)
    ops = scalar_ops(np.dtype(np.float64))

    @jit
    def margin_after(steps, s, p, table, dt):
        return margin(advance(s, coefficients(steps, table, dt, p), p), p)

    @jit
    def first_above(low, high, s, p, table, dt, level):
        """The first step in (low, high] above the level; the margin rises, and is above it at high."""
        while high - low > 1:
            middle = (low + high) // 2
            if margin_after(middle, s, p, table, dt) > level:
                high = middle
            else:
                low = middle
        return high

    @jit
    def predict(s, p, table, dt, tolerance):
        level = -tolerance
        if margin_after(1, s, p, table, dt) > level:
            return np.int64(1)
        low = np.int64(1)
        turn = turning_time(ops, s, p) / dt
        if turn < FAR:
            low = max(np.int64(turn), np.int64(1))
            if margin_after(low, s, p, table, dt) > level:
                return first_above(1, low, s, p, table, dt, level)
            low += 1
            if margin_after(low, s, p, table, dt) > level:
                return low
        if not margin_after(FAR, s, p, table, dt) > 0.0:
            return np.int64(NEVER)
        span = np.int64(1)
        while low + span < FAR:
            if margin_after(low + span, s, p, table, dt) > level:
                return first_above(low, low + span, s, p, table, dt, level)
            low += span
            span *= 2
        return np.int64(NEVER)

    return predict
