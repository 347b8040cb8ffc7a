"""The kernels of a group of neurons of one model: what arrives, what a spike does, when the next one comes.

A neuron's state stands at the time of its last event. `EVENT` kernels move it to the present, change it, and leave it there.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.errors import NumbaError

from eventsim.cpu.pointers import prefetch, values_at, view
from eventsim.cpu.scalar import scalar_ops
from eventsim.crossing import bind_ceiling
from eventsim.errors import ModelError
from eventsim.exact.crossing import bind_crossing, bind_earliest, bind_jump
from eventsim.exact.heap import push
from eventsim.exact.layout import (
    CONTEXT_SIZE,
    EVENT,
    FIRE,
    FIRST,
    FREE,
    KIND_SHIFT,
    LAST,
    MARK,
    MORE,
    PARAMS,
    PREDICTED,
    QUEUE,
    QUEUE_COUNT,
    QUEUE_KEY,
    QUEUE_ROOM,
    QUEUE_SIZE,
    QUEUE_TIME,
    QUEUED,
    RECORD,
    RISE_COLUMNS,
    RISES,
    STRIDE,
    TOUCHED,
    TOUCHED_COUNT,
    WEIGHTS,
    N,
)
from eventsim.jit import compile_callback, compiled_once, numba_says
from eventsim.jit import jit_borrowing as jit
from eventsim.models import BUILT_IN
from eventsim.models.model import hold_fields, with_ops

FLOAT64 = np.dtype(np.float64)
LINE = 8  # numbers of a cache line: a record takes whole ones
SOONER = 0.5  # of the time that passes at least: another input then moves it, and the entry in the queue still comes before
AHEAD = 12  # targets: the records of a million neurons lie in memory, and are asked for so long before they are needed


class ExactSpec(NamedTuple):
    """What makes two groups need different machine code.

    hold : what stands still during a refractory period; empty if there is none
    bounded : whether a bound tells most neurons that will not fire from the others
    """

    model: Any
    hold: tuple[str, ...]
    bounded: bool

    @property
    def width(self) -> int:
        """Numbers of a neuron's record."""
        return -(-(len(self.model.State._fields) + MORE) // LINE) * LINE


@functools.cache
def _load(count: int):
    """A function ``(a, at) -> tuple`` of ``a[at] ... a[at + count - 1]``."""
    last = count - 1
    one = jit(lambda a, at: (a[at + last],))
    if count == 1:
        return one
    before = _load(last)
    return jit(lambda a, at: before(a, at) + one(a, at))


@functools.cache
def _store(count: int):
    """A function ``(a, at, values)`` that writes ``a[at] = values[0]`` and so on."""
    last = count - 1

    if count == 1:

        def put(a, at, values):
            a[at + last] = values[last]

        return jit(put)
    before = _store(last)

    def put_all(a, at, values):
        before(a, at, values)
        a[at + last] = values[last]

    return jit(put_all)


def _tools(spec: ExactSpec):
    """``(parameters, state, bring)``: of a neuron j, and its state after the time until t, from its record."""
    model, width = spec.model, spec.width
    State, Params, count, numbers = model.State, model.Params, len(model.State._fields), len(model.Params._fields)
    load, load_params, jump = _load(count), _load(numbers), bind_jump(model)
    held = hold_fields(State, spec.hold, jit)

    @jit
    def parameters(c, j):
        table = view(c[PARAMS], (c[N] if c[STRIDE] else 1) * (numbers + 1), types.float64)
        at = j * c[STRIDE]
        return Params(*load_params(table, at)), table[at + numbers]

    @jit
    def state(r, at):
        return State(*load(r, at))

    if spec.hold:

        @jit
        def bring(s, last, free, t, p):
            if last < free:
                end = min(t, free)
                s = held(s, jump(s, end - last, p), 1.0)
                last = end
            return jump(s, t - last, p)

    else:

        @jit
        def bring(s, last, free, t, p):
            return jump(s, t - last, p)

    return parameters, state, bring, _store(count), held, count, width


def _receive(spec: ExactSpec, port: str):
    """``(context, t, address, count)``: weights arrive at t on a port: at the address as many targets, and at WEIGHTS weights."""
    parameters, state, bring, store, held, count, width = _tools(spec)
    land, holds = with_ops(spec.model.ports[port], scalar_ops(FLOAT64), jit), bool(spec.hold)

    def receive(context, t, address, many):
        c = values_at(context, CONTEXT_SIZE)
        r, mark = view(c[RECORD], c[N] * width, types.float64), view(c[MARK], c[N], types.uint8)
        touched = view(c[TOUCHED], c[N], types.int32)
        targets, weights = view(address, many, types.int32), view(c[WEIGHTS], many, types.float64)
        waiting = c[TOUCHED_COUNT]
        for k in range(min(many, AHEAD)):
            prefetch(r, np.int64(targets[k]) * width)
            prefetch(mark, np.int64(targets[k]))
        for k in range(many):
            if k + AHEAD < many:
                prefetch(r, np.int64(targets[k + AHEAD]) * width)
                prefetch(mark, np.int64(targets[k + AHEAD]))
            j = np.int64(targets[k])
            p, _ = parameters(c, j)
            at = j * width
            last, free = r[at + count + LAST], r[at + count + FREE]
            s = state(r, at)
            if t > last:
                s = bring(s, last, free, t, p)
                r[at + count + LAST] = t
            new = land(s, weights[k], p)
            if holds and t < free:
                new = held(s, new, 1.0)
            store(r, at, new)
            if not mark[j]:
                mark[j] = 1
                touched[waiting] = j
                waiting += 1
        c[TOUCHED_COUNT] = waiting
        return many

    return receive


def _predict(spec: ExactSpec):
    """``(context, t, -, -)``: when those in TOUCHED will fire, to the queue; how many are left, for which it has no room.

    Where the model tells cheaply how early that can be at the most, the negative of this time is the prediction, and an entry half
    way to it is put into the queue: most that arrives makes a new prediction and leaves the entry. An entry whose time has come is
    put where the prediction is now; there the crossing is looked for, from the same state.
    """
    parameters, state, bring, _, _, count, width = _tools(spec)
    crossing, earliest, bounded = bind_crossing(spec.model), bind_earliest(spec.model), spec.bounded
    ceiling = bind_ceiling(spec.model) if spec.bounded else None
    states = len(spec.model.State._fields)

    def predict(context, t, a, b):
        c = values_at(context, CONTEXT_SIZE)
        q = view(c[QUEUE], QUEUE_SIZE, types.int64)
        time, key = view(q[QUEUE_TIME], q[QUEUE_ROOM], types.float64), view(q[QUEUE_KEY], q[QUEUE_ROOM], types.int64)
        r, mark = view(c[RECORD], c[N] * width, types.float64), view(c[MARK], c[N], types.uint8)
        touched = view(c[TOUCHED], c[N], types.int32)
        flat = view(c[RISES], 2 * states * c[RISE_COLUMNS], types.float64)
        rises = flat.reshape((2 * states, c[RISE_COLUMNS]))
        waiting, entries = c[TOUCHED_COUNT], q[QUEUE_COUNT]
        while waiting > 0 and entries < q[QUEUE_ROOM]:
            waiting -= 1
            j = np.int64(touched[waiting])
            mark[j] = 0
            p, _ = parameters(c, j)
            at = j * width
            last, free, s = r[at + count + LAST], r[at + count + FREE], state(r, at)
            begin = max(last, free)
            if begin > last:
                s = bring(s, last, free, begin, p)
            found = predicted = math.inf
            if not bounded or ceiling(s, p, rises, j if c[RISE_COLUMNS] > 1 else 0) > 0.0:
                wait = earliest(s, p)
                if wait > 0.0:
                    found, predicted = begin + SOONER * wait, -(begin + wait)
                else:
                    found = predicted = begin + crossing(s, p)
            r[at + count + PREDICTED] = predicted
            if found < r[at + count + QUEUED]:
                r[at + count + QUEUED] = found
                entries = push(time, key, entries, found, (np.int64(FIRE) << KIND_SHIFT) + c[FIRST] + j)
        c[TOUCHED_COUNT], q[QUEUE_COUNT] = waiting, entries
        return waiting

    return predict


def _fire(spec: ExactSpec):
    """``(context, t, j, -)``: neuron j fires at t, if that is what is predicted for it; 1 if it does. Where it is time to look for
    its crossing, that is done; an entry that is stale is put where the prediction is now: the queue has room for it."""
    parameters, state, bring, store, _, count, width = _tools(spec)
    reset, crossing = jit(spec.model.reset), bind_crossing(spec.model)

    def fire(context, t, j, b):
        c = values_at(context, CONTEXT_SIZE)
        r = view(c[RECORD], c[N] * width, types.float64)
        at = j * width
        found = r[at + count + PREDICTED]
        if found != t:
            if r[at + count + QUEUED] == t:
                if found == -t:
                    p, _ = parameters(c, j)
                    last, free, s = r[at + count + LAST], r[at + count + FREE], state(r, at)
                    begin = max(last, free)
                    found = max(t, begin + crossing(bring(s, last, free, begin, p), p))
                    r[at + count + PREDICTED] = found
                found = abs(found)
                r[at + count + QUEUED] = found
                if found < math.inf:
                    q = view(c[QUEUE], QUEUE_SIZE, types.int64)
                    time, key = view(q[QUEUE_TIME], q[QUEUE_ROOM], types.float64), view(q[QUEUE_KEY], q[QUEUE_ROOM], types.int64)
                    q[QUEUE_COUNT] = push(time, key, q[QUEUE_COUNT], found, (np.int64(FIRE) << KIND_SHIFT) + c[FIRST] + j)
            return 0
        p, refractory = parameters(c, j)
        s = bring(state(r, at), r[at + count + LAST], r[at + count + FREE], t, p)
        store(r, at, reset(s, 1.0, p))
        r[at + count + LAST], r[at + count + FREE] = t, t + refractory
        r[at + count + PREDICTED], r[at + count + QUEUED] = math.inf, math.inf
        mark, touched = view(c[MARK], c[N], types.uint8), view(c[TOUCHED], c[N], types.int32)
        mark[j] = 1
        touched[c[TOUCHED_COUNT]] = j
        c[TOUCHED_COUNT] += 1
        return 1

    return fire


def _look(spec: ExactSpec):
    """``(context, t, address, -)``: the states at t of all neurons, (N, states) at the address; nothing else is modified."""
    parameters, state, bring, store, _, count, width = _tools(spec)

    def look(context, t, address, b):
        c = values_at(context, CONTEXT_SIZE)
        r, out = view(c[RECORD], c[N] * width, types.float64), view(address, c[N] * count, types.float64)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            at = j * width
            store(out, j * count, bring(state(r, at), r[at + count + LAST], r[at + count + FREE], t, p))
        return c[N]

    return look


def _settle(spec: ExactSpec):
    """``(context, t, -, -)``: move all neurons to t and into TOUCHED: their parameters are about to change."""
    parameters, state, bring, store, _, count, width = _tools(spec)

    def settle(context, t, a, b):
        c = values_at(context, CONTEXT_SIZE)
        r, mark = view(c[RECORD], c[N] * width, types.float64), view(c[MARK], c[N], types.uint8)
        touched = view(c[TOUCHED], c[N], types.int32)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            at = j * width
            store(r, at, bring(state(r, at), r[at + count + LAST], r[at + count + FREE], t, p))
            r[at + count + LAST] = t
            mark[j] = 1
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
    kernel = _receive(spec, name.split()[1]) if name.startswith("receive ") else MAKERS[name](spec)
    kept = BUILT_IN.get(spec.model.name) is spec.model
    try:
        return compile_callback(EVENT, kernel, f"exact {name} {tuple(map(str, spec))}" if kept else None, borrowing=True)
    except (NumbaError, TypeError) as error:
        return ModelError(f"{spec.model.name}: Numba cannot compile its functions (docs/a-neuron.md). It says: {numba_says(error)}")
