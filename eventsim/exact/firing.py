"""What a neuron does between its inputs: it fires where its margin crosses 0, as often as it does before a given time.

A prediction is a bound first, cheap and early (`Model.earliest`): while no input comes later than it, and nobody asks, the neuron
is left alone. When its time has come it is moved on from there, or the crossing is looked for, always from the state at the last
event: so results do not depend on when somebody asked.
"""

from __future__ import annotations

import functools
import math

from numba import types

from eventsim.cpu.pointers import view
from eventsim.crossing import bind_ceiling
from eventsim.exact.calendar import day_of, push
from eventsim.exact.crossing import bind_crossing, bind_earliest
from eventsim.exact.layout import (
    AT_ONCE,
    BY_DAY,
    CLOCK,
    CLOCK_SIZE,
    ENDS,
    ENTRY,
    FIRST,
    FOLD_MARKS,
    FREE,
    LAST,
    LOOP,
    LOOP_SIZE,
    NEURONS,
    PREDICTED,
    QUEUE_SIZE,
    QUEUED,
    RECORD,
    SPIKE_COUNT,
    SPIKE_ROOM,
    SPIKE_SOURCE,
    SPIKE_TIME,
    SPIKED,
    TOLD,
    VISITS,
    N,
)
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import jit_borrowing as jit
from eventsim.jit import jit_inlined

NEAR = 0.1  # of the time since the last event: a crossing is looked for when it may come so soon, else the bound moves on
FAR = 1.0  # ms: a visit that is so far ahead is planned for half way there
MOST_AT_ONCE = 1000  # times the neurons: spikes at one time after which they are taken to be endless


@jit
def write_spike(c, t, source):
    """Put a spike into the buffer of the loop's context c; whether there was room. source : its number, of a neuron's; -1 - its
    number, of a source's, which is on its way already. Counts those of neurons that come at one time. A neuron's that is known
    already is not written again."""
    at, clock = c[SPIKE_COUNT], view(c[CLOCK], CLOCK_SIZE, types.float64)
    if at >= c[SPIKE_ROOM] or (source >= 0 and c[AT_ONCE] > MOST_AT_ONCE * c[NEURONS]):
        return False
    if source >= 0:
        if t <= clock[TOLD]:
            return True
        c[AT_ONCE] = c[AT_ONCE] + 1 if clock[SPIKED] == t else 0
        clock[SPIKED] = t
    view(c[SPIKE_TIME], c[SPIKE_ROOM], types.float64)[at] = t
    view(c[SPIKE_SOURCE], c[SPIKE_ROOM], types.int32)[at] = source
    c[SPIKE_COUNT] = at + 1
    return True


@jit
def put_visit(c, j, r, count, now, soon):
    """Visit neuron j of the group, whose record r has ``count`` states, no later than at ``soon``, unless that is planned; there is
    room. What is not near is planned for half way there: while inputs move the bound to and fro that plan holds, and an entry that
    a new one takes the place of costs a visit, too."""
    if soon < r[count + QUEUED]:
        visits = view(c[VISITS], QUEUE_SIZE, types.int64)
        if c[BY_DAY] and day_of(visits, soon) == day_of(visits, r[count + QUEUED]):
            return
        if c[BY_DAY] or soon - now > FAR:
            soon = now + 0.5 * (soon - now)
        r[count + QUEUED] = soon
        push(visits, soon, c[ENTRY] + j)


@functools.cache
def bind_bound(spec: ExactSpec):
    """A function ``(s, p, rises, column) -> t``: a time in ms before which a neuron does not fire by itself, if it is free to."""
    earliest = bind_earliest(spec.model)
    if not spec.bounded:
        return jit_inlined(lambda s, p, rises, column: earliest(s, p))
    ceiling = bind_ceiling(spec.model)
    return jit_inlined(lambda s, p, rises, column: math.inf if ceiling(s, p, rises, column) <= 0.0 else earliest(s, p))


@functools.cache
def bind_firing(spec: ExactSpec):
    """A function ``(c, j, before) -> done``: neuron j fires wherever it does before a time; not done if there was no room for its
    spikes: then call it again. It hears nothing until then."""
    if not spec.model.spiking:
        return jit(lambda c, j, before: True)
    record, parameters, state, bring, store, _, count, width = bind_records(spec)
    reset, crossing, earliest = jit(spec.model.reset), bind_crossing(spec.model), bind_earliest(spec.model)
    closed, deaf = spec.model.crossing is not None, spec.deaf

    @jit
    def prediction(r, p):
        """What follows the bound that r has: a later one, or the crossing."""
        t, last, free, s = -r[count + PREDICTED], r[count + LAST], r[count + FREE], state(r)
        begin = max(last, free)
        wait = 0.0 if closed else earliest(bring(s, last, free, max(t, begin), p), p)
        if t + wait > t and wait > NEAR * (t - begin):  # else nothing would have changed by then
            return -(t + wait)
        return max(t, begin + crossing(bring(s, last, free, begin, p), p))

    @jit
    def fire_before(c, j, before):
        loop = view(c[LOOP], LOOP_SIZE, types.int64)
        r, clock = view(record(c[RECORD], j), width, types.float64), view(loop[CLOCK], CLOCK_SIZE, types.float64)
        p, refractory = parameters(c, j)
        while abs(r[count + PREDICTED]) < before:
            t = r[count + PREDICTED]
            if math.copysign(1.0, t) < 0.0:
                r[count + PREDICTED] = prediction(r, p)
                continue
            if not write_spike(loop, t, c[FIRST] + j):
                return False
            store(r, reset(bring(state(r), r[count + LAST], r[count + FREE], t, p), 1.0, p))
            free = t + refractory
            r[count + LAST], r[count + FREE], r[count + PREDICTED] = t, free, -free
            if deaf and c[FOLD_MARKS] != 0 and free >= clock[ENDS]:
                view(c[FOLD_MARKS], c[N], types.uint8)[j] = 0  # it hears no more in this window
        return True

    return fire_before
