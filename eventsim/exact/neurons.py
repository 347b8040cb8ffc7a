"""The kernels of a group of neurons of one model: when the next spike comes, and what it does.

A neuron's state stands at the time of its last event (`eventsim.exact.records`). `EVENT` kernels move it to the present, change it,
and leave it there.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.core.errors import NumbaError

from eventsim.cpu.pointers import values_at, view, view2
from eventsim.crossing import bind_ceiling
from eventsim.errors import ModelError
from eventsim.exact.arrivals import receive
from eventsim.exact.calendar import push, room_left
from eventsim.exact.crossing import bind_crossing, bind_earliest
from eventsim.exact.layout import (
    CONTEXT_SIZE,
    ENTRY,
    EVENT,
    FREE,
    LAST,
    PREDICTED,
    QUEUE,
    QUEUE_SIZE,
    QUEUED,
    RISE_COLUMNS,
    RISES,
    TOUCHED,
    TOUCHED_COUNT,
    N,
)
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import compile_callback, compiled_once, numba_says
from eventsim.jit import jit_borrowing as jit
from eventsim.models import BUILT_IN

NEAR = 0.1  # of the time since the last event: a crossing is looked for when it may come so soon, else the entry waits once more


def _predict(spec: ExactSpec):
    """``(context, t, -, -)``: when those in TOUCHED will fire, to the queue; how many are left, for which it has no room.

    Where the model tells cheaply how early that can be at the most, the negative of this time is the prediction. An entry that is
    in the queue stays there if the new prediction is later; when its time has come it is put where the prediction is then, and
    where they agree the crossing is looked for, from the same state.
    """
    record, parameters, state, bring, _, _, count, width = bind_records(spec)
    crossing, earliest, bounded = bind_crossing(spec.model), bind_earliest(spec.model), spec.bounded
    ceiling = bind_ceiling(spec.model) if spec.bounded else None

    def predict(context, t, a, b):
        c = values_at(context, CONTEXT_SIZE)
        q = view(c[QUEUE], QUEUE_SIZE, types.int64)
        touched, rises = view(c[TOUCHED], c[N], types.int32), view2(c[RISES], 2 * count, c[RISE_COLUMNS], types.float64)
        waiting = c[TOUCHED_COUNT]
        while waiting > 0 and room_left(q) > 0:
            waiting -= 1
            j = np.int64(touched[waiting])
            p, _ = parameters(c, j)
            r = view(record(c, j), width, types.float64)
            last, free, s = r[count + LAST], r[count + FREE], state(r)
            begin = max(last, free)
            if begin > last:
                s = bring(s, last, free, begin, p)
            found = predicted = math.inf
            if not bounded or ceiling(s, p, rises, j if c[RISE_COLUMNS] > 1 else 0) > 0.0:
                wait = earliest(s, p)
                if wait > 0.0:
                    found, predicted = begin + wait, -(begin + wait)
                else:
                    found = predicted = begin + crossing(s, p)
            r[count + PREDICTED] = predicted
            if found < r[count + QUEUED]:
                r[count + QUEUED] = found
                push(q, found, c[ENTRY] + j)
        c[TOUCHED_COUNT] = waiting
        return waiting

    return predict


def _fire(spec: ExactSpec):
    """``(context, t, j, -)``: neuron j fires at t, if that is what is predicted for it; 1 if it does. Where it is time to look for
    its crossing, that is done; an entry that is stale is put where the prediction is now: the queue has room for it."""
    record, parameters, state, bring, store, _, count, width = bind_records(spec)
    reset, crossing, earliest = jit(spec.model.reset), bind_crossing(spec.model), bind_earliest(spec.model)
    closed = spec.model.crossing is not None

    def fire(context, t, j, b):
        c = values_at(context, CONTEXT_SIZE)
        r = view(record(c, j), width, types.float64)
        found = r[count + PREDICTED]
        if found != t:
            if r[count + QUEUED] == t:
                if found == -t:
                    p, _ = parameters(c, j)
                    last, free, s = r[count + LAST], r[count + FREE], state(r)
                    begin = max(last, free)
                    wait = 0.0 if closed else earliest(bring(s, last, free, t, p), p)
                    if t + wait > t and wait > NEAR * (t - begin):  # else nothing would have changed by then
                        found = -(t + wait)
                    else:
                        found = max(t, begin + crossing(bring(s, last, free, begin, p), p))
                    r[count + PREDICTED] = found
                found = abs(found)
                r[count + QUEUED] = found
                if found < math.inf:
                    q = view(c[QUEUE], QUEUE_SIZE, types.int64)
                    push(q, found, c[ENTRY] + j)
            return 0
        p, refractory = parameters(c, j)
        s = bring(state(r), r[count + LAST], r[count + FREE], t, p)
        store(r, reset(s, 1.0, p))
        r[count + LAST], r[count + FREE] = t, t + refractory
        r[count + PREDICTED], r[count + QUEUED] = math.nan, math.inf
        touched = view(c[TOUCHED], c[N], types.int32)
        touched[c[TOUCHED_COUNT]] = j
        c[TOUCHED_COUNT] += 1
        return 1

    return fire


def _look(spec: ExactSpec):
    """``(context, t, address, -)``: the states at t of all neurons, (N, states) at the address; nothing else is modified."""
    record, parameters, state, bring, store, _, count, width = bind_records(spec)

    def look(context, t, address, b):
        c = values_at(context, CONTEXT_SIZE)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            r = view(record(c, j), width, types.float64)
            out = view(address + 8 * count * j, count, types.float64)
            store(out, bring(state(r), r[count + LAST], r[count + FREE], t, p))
        return c[N]

    return look


def _settle(spec: ExactSpec):
    """``(context, t, -, -)``: move all neurons to t and into TOUCHED: their parameters are about to change."""
    record, parameters, state, bring, store, _, count, width = bind_records(spec)

    def settle(context, t, a, b):
        c = values_at(context, CONTEXT_SIZE)
        touched = view(c[TOUCHED], c[N], types.int32)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            r = view(record(c, j), width, types.float64)
            store(r, bring(state(r), r[count + LAST], r[count + FREE], t, p))
            r[count + LAST], r[count + PREDICTED] = t, math.nan
            touched[j] = j
        c[TOUCHED_COUNT] = c[N]
        return c[N]

    return settle


MAKERS = {"predict": _predict, "fire": _fire, "look": _look, "settle": _settle}


def compile_event(name: str, spec: ExactSpec):
    """The kernel called ``name`` (one of `MAKERS`, or "receive PORT"); it has an ``address``.

    A ModelError says why Numba cannot compile the model's functions.
    """
    made = _compiled(name, spec)
    if isinstance(made, ModelError):
        raise made
    return made


@compiled_once
def _compiled(name: str, spec: ExactSpec):
    kernel = receive(spec, name.split()[1]) if name.startswith("receive ") else MAKERS[name](spec)
    kept = BUILT_IN.get(spec.model.name) is spec.model
    try:
        return compile_callback(EVENT, kernel, f"exact {name} {tuple(map(str, spec))}" if kept else None, borrowing=True)
    except (NumbaError, TypeError) as error:
        return ModelError(f"{spec.model.name}: Numba cannot compile its functions (docs/a-neuron.md). It says: {numba_says(error)}")
