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

from eventsim.cpu.pointers import prefetch, values_at, view, view2
from eventsim.cpu.scalar import load as columns
from eventsim.cpu.scalar import store as put_columns
from eventsim.crossing import bind_ceiling
from eventsim.errors import ModelError
from eventsim.exact.calendar import push, room_left
from eventsim.exact.crossing import bind_crossing, bind_earliest, bind_jump
from eventsim.exact.exponentials import flow_ops
from eventsim.exact.layout import (
    BLOCK,
    BLOCK_STATES,
    CONTEXT_SIZE,
    EVENT,
    FIRE,
    FIRST,
    FREE,
    KIND_SHIFT,
    LAST,
    MORE,
    PARAMS,
    PREDICTED,
    QUEUE,
    QUEUE_SIZE,
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
from eventsim.jit import compile_callback, compiled_once, jit_inlined, numba_says
from eventsim.jit import jit_borrowing as jit
from eventsim.models import BUILT_IN
from eventsim.models.model import hold_fields, with_ops

LINE = 8  # numbers of a cache line: a record takes whole ones
NEAR = 0.1  # of the time since the last event: a crossing is looked for when it may come so soon, else the entry waits once more


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
    land, holds, State = with_ops(spec.model.ports[port], flow_ops(), jit), bool(spec.hold), spec.model.State
    load, jump, get, put = _load(count), bind_jump(spec.model, jit_inlined), columns(count, types.float64), put_columns(count)

    def receive(context, t, address, many):
        c = values_at(context, CONTEXT_SIZE)
        r, touched = view(c[RECORD], c[N] * width, types.float64), view(c[TOUCHED], c[N], types.int32)
        targets, weights = view(address, many, types.int32), view(c[WEIGHTS], many, types.float64)
        block = view2(c[BLOCK_STATES], count + 1, BLOCK, types.float64)
        waiting = c[TOUCHED_COUNT]
        for k in range(min(many, BLOCK)):
            prefetch(r, np.int64(targets[k]) * width)
        for begin in range(0, many, BLOCK):
            size = min(BLOCK, many - begin)
            for k in range(begin + BLOCK, min(many, begin + 2 * BLOCK)):
                prefetch(r, np.int64(targets[k]) * width)
            for k in range(size):
                at = np.int64(targets[begin + k]) * width
                put(block, k, load(r, at))
                block[count, k] = t - r[at + count + LAST]
            if c[STRIDE]:
                for k in range(size):
                    p, _ = parameters(c, np.int64(targets[begin + k]))
                    put(block, k, jump(State(*get(block, k)), block[count, k], p))
            else:
                p, _ = parameters(c, 0)
                for k in range(size):
                    put(block, k, jump(State(*get(block, k)), block[count, k], p))
            for k in range(size):
                j = np.int64(targets[begin + k])
                p, _ = parameters(c, j)
                at = j * width
                last, free = r[at + count + LAST], r[at + count + FREE]
                if last < t:
                    r[at + count + LAST] = t
                    s = bring(state(r, at), last, free, t, p) if holds and last < free else State(*get(block, k))
                else:  # it was the target before this one, too
                    s = state(r, at)
                new = land(s, weights[begin + k], p)
                if holds and t < free:
                    new = held(s, new, 1.0)
                store(r, at, new)
                if r[at + count + PREDICTED] == r[at + count + PREDICTED]:
                    r[at + count + PREDICTED] = math.nan
                    touched[waiting] = j
                    waiting += 1
        c[TOUCHED_COUNT] = waiting
        return many

    return receive


def _predict(spec: ExactSpec):
    """``(context, t, -, -)``: when those in TOUCHED will fire, to the queue; how many are left, for which it has no room.

    Where the model tells cheaply how early that can be at the most, the negative of this time is the prediction. An entry that is
    in the queue stays there if the new prediction is later; when its time has come it is put where the prediction is then, and
    where they agree the crossing is looked for, from the same state.
    """
    parameters, state, bring, _, _, count, width = _tools(spec)
    crossing, earliest, bounded = bind_crossing(spec.model), bind_earliest(spec.model), spec.bounded
    ceiling = bind_ceiling(spec.model) if spec.bounded else None
    states = len(spec.model.State._fields)

    def predict(context, t, a, b):
        c = values_at(context, CONTEXT_SIZE)
        q = view(c[QUEUE], QUEUE_SIZE, types.int64)
        r, touched = view(c[RECORD], c[N] * width, types.float64), view(c[TOUCHED], c[N], types.int32)
        flat = view(c[RISES], 2 * states * c[RISE_COLUMNS], types.float64)
        rises = flat.reshape((2 * states, c[RISE_COLUMNS]))
        waiting = c[TOUCHED_COUNT]
        while waiting > 0 and room_left(q) > 0:
            waiting -= 1
            j = np.int64(touched[waiting])
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
                    found, predicted = begin + wait, -(begin + wait)
                else:
                    found = predicted = begin + crossing(s, p)
            r[at + count + PREDICTED] = predicted
            if found < r[at + count + QUEUED]:
                r[at + count + QUEUED] = found
                push(q, found, (np.int64(FIRE) << KIND_SHIFT) + c[FIRST] + j)
        c[TOUCHED_COUNT] = waiting
        return waiting

    return predict


def _fire(spec: ExactSpec):
    """``(context, t, j, -)``: neuron j fires at t, if that is what is predicted for it; 1 if it does. Where it is time to look for
    its crossing, that is done; an entry that is stale is put where the prediction is now: the queue has room for it."""
    parameters, state, bring, store, _, count, width = _tools(spec)
    reset, crossing, earliest = jit(spec.model.reset), bind_crossing(spec.model), bind_earliest(spec.model)
    closed = spec.model.crossing is not None

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
                    wait = 0.0 if closed else earliest(bring(s, last, free, t, p), p)
                    if wait > NEAR * (t - begin):
                        found = -(t + wait)
                    else:
                        found = max(t, begin + crossing(bring(s, last, free, begin, p), p))
                    r[at + count + PREDICTED] = found
                found = abs(found)
                r[at + count + QUEUED] = found
                if found < math.inf:
                    q = view(c[QUEUE], QUEUE_SIZE, types.int64)
                    push(q, found, (np.int64(FIRE) << KIND_SHIFT) + c[FIRST] + j)
            return 0
        p, refractory = parameters(c, j)
        s = bring(state(r, at), r[at + count + LAST], r[at + count + FREE], t, p)
        store(r, at, reset(s, 1.0, p))
        r[at + count + LAST], r[at + count + FREE] = t, t + refractory
        r[at + count + PREDICTED], r[at + count + QUEUED] = math.nan, math.inf
        touched = view(c[TOUCHED], c[N], types.int32)
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
        r, touched = view(c[RECORD], c[N] * width, types.float64), view(c[TOUCHED], c[N], types.int32)
        for j in range(c[N]):
            p, _ = parameters(c, j)
            at = j * width
            store(r, at, bring(state(r, at), r[at + count + LAST], r[at + count + FREE], t, p))
            r[at + count + LAST], r[at + count + PREDICTED] = t, math.nan
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
