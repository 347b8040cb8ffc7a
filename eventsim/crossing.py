"""When a neuron that hears nothing will fire: the first step on the grid at which its margin is above 0.

Most neurons never will: where the margin cannot rise to 0 from where the state is (`eventsim.ceiling`), nothing else is
asked. For the others: between inputs the margin is monotone on either side of its turning time, so that a look at few points
and secants and bisections find the first step without walking through them. All of it in float64, on the exact flow (of
Euler's equivalent).
"""

from __future__ import annotations

import functools

import numpy as np

from eventsim.cpu.scalar import REALS, cast, load_row, scalar_ops
from eventsim.jit import jit_borrowing as jit
from eventsim.models.model import with_ops
from eventsim.state import DIGIT, FAR, NEVER, TABLE_ROWS


@functools.cache
def bind_flow(model, tabulated, dtype):
    """A function ``(s, steps, p, q, table, dt) -> s`` after that many steps without input, in the type of s.

    p : Params in the type of s; q : Params of the exact flow, float64. Where propagators are tabulated, a long gap is one jump for
    each digit of its length (`eventsim.state`); else they are computed.
    """
    Propagator = model.Propagator
    exact, ops, fields = jit(model.exact), scalar_ops(np.dtype(np.float64)), len(Propagator._fields)
    advance = with_ops(model.advance, scalar_ops(dtype), jit)
    read, narrow = load_row(fields), cast(fields, REALS[dtype])
    base, end = 2**DIGIT, TABLE_ROWS - 1

    @jit
    def compute(s, steps, p, q, table, dt):
        return advance(s, Propagator(*narrow(exact(ops, steps * dt, q))), p)

    @jit
    def jump(s, row, p, table):
        return advance(s, Propagator(*narrow(read(table, row))), p)

    @jit
    def look_up(s, steps, p, q, table, dt):
        if steps >= FAR:
            return jump(s, end, p, table)
        level = 0
        while steps > 0:
            digit = steps % base
            if digit:
                s = jump(s, level + digit, p, table)
            level += base
            steps //= base
        return s

    return look_up if tabulated else compute


@functools.cache
def _reach(count):
    """A function ``(values, rest, rises, j) -> `` how far these states can lift the margin above that of a neuron at rest."""
    last = count - 1

    @jit
    def one(values, rest, rises, j):
        distance = values[last] - rest[last]
        up, down = rises[last, j] * distance, rises[last + rises.shape[0] // 2, j] * distance
        return up if up > down else down

    if count == 1:
        return one
    before = _reach(last)
    return jit(lambda values, rest, rises, j: before(values, rest, rises, j) + one(values, rest, rises, j))


@functools.cache
def bind_ceiling(model):
    """A function ``(s, p, rises, j) -> value`` that the margin does not exceed from one step after now on; nan if unknown."""
    margin, initial, reach = jit(model.margin), jit(model.initial), _reach(len(model.State._fields))

    @jit
    def ceiling(s, p, rises, j):
        rest = initial(p)
        return margin(rest, p) + reach(s, rest, rises, j)

    return ceiling


@functools.cache
def bind_prediction(model, tabulated):
    """A function ``(s, p, table, dt, tolerance) -> steps`` until the neuron fires by itself, at least 1, or `NEVER`.

    A margin above ``-tolerance`` counts as a crossing: a step taken in vain costs little, a spike missed is an error.
    """
    if not model.spiking:
        return jit(lambda s, p, table, dt, tolerance: NEVER)
    flow = bind_flow(model, tabulated, np.dtype(np.float64))
    margin, turning_time = jit(model.margin), jit(model.turning_time)
    ops = scalar_ops(np.dtype(np.float64))

    @jit
    def margin_after(steps, s, p, table, dt):
        return margin(flow(s, steps, p, p, table, dt), p)

    @jit
    def first_above(low, high, below, above, s, p, table, dt, tolerance):
        """The first step in (low, high] with margin + tolerance > 0; it rises from ``below`` 0 at low to ``above`` 0 at high.

        It looks where a straight line between the two crosses 0, every third time in the middle.
        """
        tries = 0
        while high - low > 1:
            tries += 1
            at = (low + high) // 2
            if tries % 3:
                at = min(max(low + np.int64((high - low) * (below / (below - above))), low + 1), high - 1)
            found = margin_after(at, s, p, table, dt) + tolerance
            if found > 0.0:
                high, above = at, found
            else:
                low, below = at, found
        return high

    @jit
    def predict(s, p, table, dt, tolerance):
        below = margin_after(1, s, p, table, dt) + tolerance
        if below > 0.0:
            return np.int64(1)
        low = np.int64(1)
        turn = turning_time(ops, s, p) / dt
        if turn < FAR:
            low = max(np.int64(turn), np.int64(1))
            found = margin_after(low, s, p, table, dt) + tolerance
            if found > 0.0:
                return first_above(1, low, below, found, s, p, table, dt, tolerance)
            low += 1
            below = margin_after(low, s, p, table, dt) + tolerance
            if below > 0.0:
                return low
        if not margin_after(FAR, s, p, table, dt) > 0.0:
            return np.int64(NEVER)
        span = np.int64(1)
        while low + span < FAR:
            found = margin_after(low + span, s, p, table, dt) + tolerance
            if found > 0.0:
                return first_above(low, low + span, below, found, s, p, table, dt, tolerance)
            low, below = low + span, found
            span *= 2
        return np.int64(NEVER)

    return predict
