"""The sparse update: only neurons that receive something or are predicted to fire are touched.

Each is advanced over its whole silent gap in one closed-form jump, takes the very step that the dense update takes, and
has its next crossing predicted. Models without a closed form are stepped until their update no longer changes them.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from eventsim.cpu.dense import any_input, bind_neuron
from eventsim.cpu.pointers import prefetch, values_at, view, view2
from eventsim.cpu.scalar import REALS, cast, load, store_row
from eventsim.crossing import bind_ceiling, bind_flow, bind_prediction
from eventsim.jit import jit_borrowing as jit
from eventsim.models.model import hold_fields
from eventsim.queue import pop_due, schedule
from eventsim.state import (
    ACTIVE,
    COMMON,
    DT,
    DUE,
    FLOW,
    HEAD,
    INPUT,
    LAST,
    MARK,
    NEVER,
    NEXT,
    OUT,
    OWN,
    PREVIOUS,
    RHO,
    RISES,
    SIZE,
    SLOTS,
    SPARSE,
    STATE,
    STEP_COMMON,
    STEP_OWN,
    TABLE,
    TABLE_ROWS,
    TOUCHED,
    UPDATES,
    WAKE,
    N,
)

AHEAD = 8  # touched neurons whose state is on its way from memory


@jit
def sift(values, root, count):
    """Let the value at ``root`` sink to its place in the heap of the first ``count`` values (modified)."""
    value = values[root]
    while 2 * root + 1 < count:
        child = 2 * root + 1
        if child + 1 < count and values[child] < values[child + 1]:
            child += 1
        if values[child] <= value:
            break
        values[root] = values[child]
        root = child
    values[root] = value


@jit
def sort_first(values, count):
    """Sort the first ``count`` values (modified), by a heap: Numba's own sort needs an array of its own."""
    for root in range(count // 2 - 1, -1, -1):
        sift(values, root, count)
    for last in range(count - 1, 0, -1):
        values[0], values[last] = values[last], values[0]
        sift(values, 0, last)


@functools.cache
def bind_views(spec):
    """Functions that turn a context into arrays: those of the neurons, those of the flow, those of the ring."""
    real, holds = REALS[spec.dtype], spec.holds
    states, ports = len(spec.model.State._fields), len(spec.ports)
    params, coefficients = len(spec.model.Params._fields), len(spec.model.Propagator._fields)
    own, own_step, own_flow = any(spec.own), any(spec.own_step), spec.own_flow

    @jit
    def neurons(c):
        n = c[N]
        return (
            view2(c[STATE], states, n, real),
            view(c[RHO], n if holds else 0, real),
            view2(c[INPUT], ports, n, real),
            view2(c[COMMON], params + 1, 1, real),
            view2(c[OWN], params + 1, n if own else 0, real),
            view2(c[STEP_COMMON], coefficients, 1, real),
            view2(c[STEP_OWN], coefficients, n if own_step else 0, real),
            view(c[LAST], n, types.int64),
        )

    @jit
    def flow(c):
        return (
            view2(c[FLOW], params, c[N] if own_flow else 1, types.float64),
            view2(c[RISES], 2 * states, c[N] if own_flow else 1, types.float64),
            view2(c[TABLE], TABLE_ROWS, coefficients, types.float64),
            view(c[DT], 1, types.float64)[0],
        )

    @jit
    def ring(c):
        n = c[N]
        return (
            view(c[DUE], n, types.int64),
            view(c[HEAD], SLOTS, types.int32),
            view(c[NEXT], n, types.int32),
            view(c[PREVIOUS], n, types.int32),
        )

    return neurons, flow, ring


@functools.cache
def prefetch_rows(count):
    """A function ``(a, j)`` that asks for ``a[0, j] ... a[count - 1, j]``."""
    last = count - 1

    def one(a, j):
        prefetch(a[last], j)

    if count == 1:
        return jit(one)
    before = prefetch_rows(last)

    def all_of_them(a, j):
        before(a, j)
        prefetch(a[last], j)

    return jit(all_of_them)


@functools.cache
def bind_flow_params(spec):
    """A function ``(flow_params, j) -> Params`` in float64."""
    Params = spec.model.Params
    read = load(len(Params._fields), types.float64)
    if spec.own_flow:
        return jit(lambda flow_params, j: Params(*read(flow_params, j)))
    return jit(lambda flow_params, j: Params(*read(flow_params, 0)))


@functools.cache
def bind_jump(spec):
    """A function ``(s, r, gap, p, q, table, dt) -> (s, r)``: the state after ``gap`` steps without input, in the state's type."""
    model, real = spec.model, REALS[spec.dtype]
    if not spec.closed:
        return jit(lambda s, r, gap, p, q, table, dt: (s, r))  # awake neurons have no gap, sleeping ones do not change
    free, one = bind_flow(model, spec.tabulated, spec.dtype), real(1)
    if not spec.holds:
        return jit(lambda s, r, gap, p, q, table, dt: (free(s, gap, p, q, table, dt), r))
    held = hold_fields(model.State, spec.hold, jit)

    @jit
    def jump(s, r, gap, p, q, table, dt):
        waits = min(np.int64(r), gap)
        if waits > 0:
            s = held(s, free(s, waits, p, q, table, dt), one)
            r = real(r - waits)
            gap -= waits
        if gap > 0:
            s = free(s, gap, p, q, table, dt)
        return s, r

    return jump


@functools.cache
def magnitude(count):
    """A function ``values -> sum of |value|``."""
    last = count - 1
    if count == 1:
        return jit(lambda values: abs(values[last]))
    before = magnitude(last)
    return jit(lambda values: before(values) + abs(values[last]))


@functools.cache
def bind_next(spec):
    """A function ``(t, s, r, q, rises, j, table, dt) -> step`` of the next spike without input, or NEVER; s: after step t."""
    model = spec.model
    if not model.spiking:
        return jit(lambda t, s, r, q, rises, j, table, dt: NEVER)
    flow = bind_flow(model, spec.tabulated, np.dtype(np.float64))
    ceiling = bind_ceiling(model)
    own_flow, linear = spec.own_flow, model.linear
    predict = bind_prediction(model, spec.tabulated)
    fields = len(model.State._fields)
    State = model.State
    widen, size = cast(fields, types.float64), magnitude(fields)
    rounding = 64.0 * float(np.finfo(spec.dtype).eps)
    held, initial = hold_fields(State, spec.hold, jit), jit(model.initial)

    @jit
    def next_spike(t, s, r, q, rises, j, table, dt):
        s = State(*widen(s))
        if np.int64(r) > 0:
            s = held(s, flow(s, np.int64(r), q, q, table, dt), 1.0)
            t += np.int64(r)
        tolerance = rounding * (size(s) + size(initial(q)))
        if linear and ceiling(s, q, rises, j if own_flow else 0) < -2.0 * tolerance:
            return NEVER
        steps = predict(s, q, table, dt, tolerance)
        return steps if steps == NEVER else t + steps

    return next_spike


@functools.cache
def bind_changed(count):
    """A function ``(a, b) -> bool``: whether two states differ in any of their values."""
    last = count - 1
    if count == 1:
        return jit(lambda a, b: a[last] != b[last])
    before = bind_changed(last)
    return jit(lambda a, b: before(a, b) or a[last] != b[last])


@functools.cache
def bind_reschedule(spec):
    """A function ``(t, old, s, r, busy, q, rises, j, table, dt) -> step`` in which the neuron must be touched next without input.

    A neuron without a closed form sleeps after a step that changed nothing, unless it was `busy`: it fired, was held or received
    something, so that the next step, which will be free, may still change it.
    """
    if spec.closed:
        next_spike = bind_next(spec)
        return jit(lambda t, old, s, r, busy, q, rises, j, table, dt: next_spike(t, s, r, q, rises, j, table, dt))
    changed = bind_changed(len(spec.model.State._fields))
    return jit(lambda t, old, s, r, busy, q, rises, j, table, dt: t + 1 if busy or changed(old, s) else NEVER)


def make_sparse(spec):
    """The kernel ``(context, t, count) -> spikes``: steps the ``count`` touched neurons and those that are due."""
    read_params, read_step, read_state, read_input, clear_input, write_state, step = bind_neuron(spec)
    State, Params, Propagator = spec.model.State, spec.model.Params, spec.model.Propagator
    real, holds, spiking, closed = REALS[spec.dtype], spec.holds, spec.model.spiking, spec.closed
    neurons, flow, ring = bind_views(spec)
    jump, reschedule, flow_params = bind_jump(spec), bind_reschedule(spec), bind_flow_params(spec)
    common_params, common_step = load(len(Params._fields) + 1, real), load(len(Propagator._fields), real)
    received = any_input(len(spec.ports))
    nothing = real(0)
    ask_states, ask_inputs = prefetch_rows(len(State._fields)), prefetch_rows(len(spec.ports))

    @jit
    def ask(j, state, rho, inputs, last, due):
        """Have what is known of neuron j brought into the cache: it will be stepped soon."""
        ask_states(state, j)
        ask_inputs(inputs, j)
        if holds:
            prefetch(rho, j)
        prefetch(last, j)
        prefetch(due, j)

    def sparse(context, t, count):
        c = values_at(context, SIZE)
        n = c[N]
        state, rho, inputs, common, own, step_common, step_own, last = neurons(c)
        flows, rises, table, dt = flow(c)
        due, head, following, previous = ring(c)
        mark, touched = view(c[MARK], n, types.uint8), view(c[TOUCHED], n, types.int32)
        out = view(c[OUT], n, types.int32)
        base, base_step = common_params(common, 0), common_step(step_common, 0)
        count = pop_due(t, due, head, following, previous, mark, touched, count)
        for index in range(min(count, AHEAD)):
            ask(touched[index], state, rho, inputs, last, due)
        spikes = woken = 0
        for index in range(count):
            if index + AHEAD < count:
                ask(touched[index + AHEAD], state, rho, inputs, last, due)
            j = touched[index]
            mark[j] = 0
            values = read_params(base, own, j)
            p, q = Params(*values[:-1]), flow_params(flows, j)
            k = Propagator(*read_step(base_step, step_own, j))
            old, r = State(*read_state(state, j)), rho[j] if holds else nothing
            gap = t - 1 - last[j]
            if gap > 0:
                old, r = jump(old, r, gap, p, q, table, dt)
            x, held = read_input(inputs, j), r > 0
            s, r, z = step(old, r, x, k, p, values[-1])
            write_state(state, j, s)
            if holds:
                rho[j] = r
            clear_input(inputs, j)
            last[j] = t
            if spiking and z > 0:
                out[spikes] = j
                spikes += 1
            busy = held or r > 0 or z > 0 or received(x)
            step_due = reschedule(t, old, s, r, busy, q, rises, j, table, dt)
            schedule(j, step_due, due, head, following, previous)
            woken += step_due != NEVER
        if spikes > 1:
            sort_first(out, spikes)
        c[UPDATES] += count
        c[ACTIVE] += count + (WAKE * woken if closed else 0)
        return spikes

    return sparse


def make_jump_all(spec):
    """The kernel ``(context, t, count)``: brings the state of every neuron to the end of step t; forgets all predictions."""
    read_params, _, read_state, _, _, write_state, _ = bind_neuron(spec)
    State, Params = spec.model.State, spec.model.Params
    real, holds = REALS[spec.dtype], spec.holds
    neurons, flow, ring = bind_views(spec)
    jump, flow_params = bind_jump(spec), bind_flow_params(spec)
    common_params = load(len(Params._fields) + 1, real)
    nothing = real(0)

    def jump_all(context, t, count):
        c = values_at(context, SIZE)
        state, rho, _, common, own, _, _, last = neurons(c)
        flows, _, table, dt = flow(c)
        due, head, _, _ = ring(c)
        base = common_params(common, 0)
        for j in range(c[N]):
            gap = t - last[j]
            if gap > 0:
                p = Params(*read_params(base, own, j)[:-1])
                r = rho[j] if holds else nothing
                s, r = jump(State(*read_state(state, j)), r, gap, p, flow_params(flows, j), table, dt)
                write_state(state, j, s)
                if holds:
                    rho[j] = r
                last[j] = t
            due[j] = NEVER
        head[:] = -1
        return 0

    return jump_all


def make_predict_all(spec):
    """The kernel ``(context, t, count)``: every neuron's state is that at the end of step t; predicts when each fires next."""
    _, _, read_state, _, _, _, _ = bind_neuron(spec)
    State, holds, closed = spec.model.State, spec.holds, spec.closed
    neurons, flow, ring = bind_views(spec)
    flow_params = bind_flow_params(spec)
    next_spike = bind_next(spec) if closed else jit(lambda t, s, r, q, rises, j, table, dt: t + 1)
    nothing = REALS[spec.dtype](0)

    def predict_all(context, t, count):
        c = values_at(context, SIZE)
        state, rho, _, _, _, _, _, last = neurons(c)
        flows, rises, table, dt = flow(c)
        due, head, following, previous = ring(c)
        for j in range(c[N]):
            last[j] = t
            r = rho[j] if holds else nothing
            step = next_spike(t, State(*read_state(state, j)), r, flow_params(flows, j), rises, j, table, dt)
            schedule(j, step, due, head, following, previous)
        return 0

    return predict_all


def make_sample(spec):
    """The kernel ``(context, t, address)``: writes the states at the end of step t of chosen neurons; modifies only what it writes.

    At the address stand five int64: how many neurons, the address of their int32 numbers, the address of a real array
    (samples, neurons, states), the samples written so far, and the samples there is room for.
    """
    read_params, _, read_state, _, _, _, _ = bind_neuron(spec)
    State, Params = spec.model.State, spec.model.Params
    real, holds, states = REALS[spec.dtype], spec.holds, len(spec.model.State._fields)
    neurons, flow, _ = bind_views(spec)
    jump, flow_params = bind_jump(spec), bind_flow_params(spec)
    common_params, write = load(len(Params._fields) + 1, real), store_row(states)
    nothing = real(0)

    def sample(context, t, address):
        c = values_at(context, SIZE)
        request = view(address, 5, types.int64)
        chosen = view(request[1], request[0], types.int32)
        out = view2(request[2], request[4] * request[0], states, real)
        state, rho, _, common, own, _, _, last = neurons(c)
        flows, _, table, dt = flow(c)
        base = common_params(common, 0)
        row = request[3] * request[0]
        for index in range(request[0]):
            j = chosen[index]
            s = State(*read_state(state, j))
            gap = t - last[j] if c[SPARSE] else 0
            if gap > 0:
                p = Params(*read_params(base, own, j)[:-1])
                s, _ = jump(s, rho[j] if holds else nothing, gap, p, flow_params(flows, j), table, dt)
            write(out, row + index, s)
        request[3] += 1
        return 0

    return sample
