"""The kernels of a group of neurons of one model: visits, a look at states, and a new beginning under other parameters.

A neuron's state stands at the time of its last event (`eventsim.exact.records`). Kernels move it to its next one, change it, and
leave it there.
"""

from __future__ import annotations

import math

from numba import types
from numba.core.errors import NumbaError

from eventsim.cpu.pointers import values_at, view
from eventsim.errors import ModelError
from eventsim.exact.arrivals import receive
from eventsim.exact.firing import bind_firing, put_visit
from eventsim.exact.fold import commit, fold, settle, wait
from eventsim.exact.layout import (
    BEFORE,
    CLOCK,
    CLOCK_SIZE,
    CONTEXT_SIZE,
    EVENT,
    FREE,
    LAST,
    LOOP,
    LOOP_SIZE,
    PREDICTED,
    QUEUED,
    RECORD,
    N,
)
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import compile_callback, compiled_once, numba_says
from eventsim.models import BUILT_IN


def _visit(spec: ExactSpec):
    """``(context, t, j, -)``: neuron j, whose visit was due at t, fires wherever it does before BEFORE, and is visited again when
    it may fire next; an entry that is stale goes. 0 if there was no room for its spikes: come again."""
    record, width, count = bind_records(spec).record, spec.width, len(spec.model.State._fields)
    fire_before = bind_firing(spec)

    def visit(context, t, j, b):
        c = values_at(context, CONTEXT_SIZE)
        r = view(record(c[RECORD], j), width, types.float64)
        if r[count + QUEUED] != t:
            return 1
        clock = view(view(c[LOOP], LOOP_SIZE, types.int64)[CLOCK], CLOCK_SIZE, types.float64)
        if not fire_before(c, j, clock[BEFORE]):
            return 0
        r[count + QUEUED] = math.inf
        put_visit(c, j, r, count, clock[BEFORE], abs(r[count + PREDICTED]))
        return 1

    return visit


def _look(spec: ExactSpec):
    """``(context, t, address, -)``: the states at t of all neurons, (N, states) at the address; nothing else is modified."""
    record, parameters, state, bring, store, _, count, width = bind_records(spec)

    def look(context, t, address, b):
        c = values_at(context, CONTEXT_SIZE)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            r = view(record(c[RECORD], j), width, types.float64)
            out = view(address + 8 * count * j, count, types.float64)
            store(out, bring(state(r), r[count + LAST], r[count + FREE], t, p))
        return c[N]

    return look


def _renew(spec: ExactSpec):
    """``(context, t, dense, -)``: move all neurons to t, and visit them soon: their parameters are about to change, or the group is
    dense no more. There is room for a visit of each. A dense group is visited by nobody."""
    record, parameters, state, bring, store, _, count, width = bind_records(spec)
    spiking = spec.model.spiking

    def renew(context, t, dense, b):
        c = values_at(context, CONTEXT_SIZE)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            r = view(record(c[RECORD], j), width, types.float64)
            store(r, bring(state(r), r[count + LAST], r[count + FREE], t, p))
            soon = max(t, r[count + FREE])
            r[count + LAST], r[count + QUEUED] = t, -math.inf if dense != 0 else math.inf
            if spiking:
                r[count + PREDICTED] = -soon
                put_visit(c, j, r, count, t, soon)
        return c[N]

    return renew


MAKERS = {"visit": _visit, "look": _look, "renew": _renew, "commit": commit, "settle": settle, "wait": wait, "fold": fold}
OF_PORTS = {"receive": receive}


def compile_event(name: str, spec: ExactSpec):
    """The kernel called ``name`` (one of `MAKERS`, or one of `OF_PORTS` and a port, with a space between); it has an ``address``.

    A ModelError says why Numba cannot compile the model's functions.
    """
    made = _compiled(name, spec)
    if isinstance(made, ModelError):
        raise made
    return made


@compiled_once
def _compiled(name: str, spec: ExactSpec):
    what, *port = name.split(" ", 1)
    kernel = OF_PORTS[what](spec, *port) if port else MAKERS[what](spec)
    kept = BUILT_IN.get(spec.model.name) is spec.model
    try:
        return compile_callback(EVENT, kernel, f"exact {name} {tuple(map(str, spec))}" if kept else None, borrowing=True)
    except (NumbaError, TypeError) as error:
        return ModelError(f"{spec.model.name}: Numba cannot compile its functions (docs/a-neuron.md). It says: {numba_says(error)}")
