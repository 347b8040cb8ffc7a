"""Kernels of windows in which most neurons of a group hear something: what arrives is folded into one change at the end of each.

In a linear model a weight that arrives in a window adds to the state at the window's end what its jump has become by then, the
same for all neurons of the group if they have the same time constants. So a spike adds a few numbers, known beforehand, to a row
of each neuron that it reaches, and at the window's end each neuron is moved once. The row also sums by how much the weights can
have lifted the margin on the way: with that of the state alone (`eventsim.ceiling`) it is a bound, and neurons that it leaves
below their threshold have not fired. The few others are *marked*: they are left where they stood, and take their input one by
one. So do those that are refractory, but where all of the state is held then (`ExactSpec.deaf`): what arrives meanwhile changes
nothing, and is left out.

A row: what is to be added to each state, and the bound.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types

from eventsim.cpu.pointers import values_at, view, view2
from eventsim.cpu.scalar import load as column
from eventsim.cpu.scalar import store as put_column
from eventsim.crossing import bind_ceiling
from eventsim.exact.exponentials import flow_ops
from eventsim.exact.firing import bind_bound, bind_firing
from eventsim.exact.foldable import row_length
from eventsim.exact.layout import (
    ARRIVED,
    BEGUN,
    BLOCK,
    CLOCK,
    CLOCK_SIZE,
    CONTEXT_SIZE,
    EVENTS,
    FOLD_COLUMNS,
    FOLD_GAINS,
    FOLD_MARKED,
    FOLD_MARKS,
    FOLD_NUMBERS,
    FOLD_PORTS,
    FOLD_ROWS,
    FOLD_WAITING,
    FREE,
    LAST,
    LIST_ENTRY,
    LIST_TIME,
    LISTED,
    LOOP,
    LOOP_SIZE,
    PLACE,
    PORT_BITS,
    PORTS,
    PREDICTED,
    RECORD,
    REPLAYED,
    RISE_COLUMNS,
    RISES,
    STRIDE,
    SYNAPSES,
    TARGET,
    WEIGHT,
    N,
)
from eventsim.exact.listed import foresee_listed, parts_of, segment_of
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import jit_borrowing as jit
from eventsim.jit import jit_inlined
from eventsim.models.model import with_ops

LIFT = 2.0**30  # a weight so large that what it does is seen beside what else happens, to rounding


@functools.cache
def _adder(count: int):
    """A function ``(row, at, values)`` that adds a tuple of so many numbers to the row from ``at`` on."""
    last = count - 1
    before = _adder(last) if last else jit_inlined(lambda row, at, values: None)

    @jit_inlined
    def add(row, at, values):
        before(row, at, values)
        row[at + np.uint64(last)] += values[last]

    return add


def _each(count: int, one: Any):
    """A function ``(a, b, c) -> tuple`` of ``one(a, b, c, i)`` for i below the count."""
    last = count - 1
    if count == 1:
        return jit_inlined(lambda a, b, c: (one(a, b, c, 0),))
    before = _each(last, one)
    return jit_inlined(lambda a, b, c: before(a, b, c) + (one(a, b, c, last),))


@jit_inlined
def _nothing(a, b, c, i):
    return 0.0


@jit_inlined
def _times(values, factor, c, i):
    return values[i] * factor


@jit_inlined
def _sum(values, row, at, i):
    return values[i] + row[at + i]


@jit_inlined
def _difference(a, b, c, i):
    return (a[i] - b[i]) * (1.0 / LIFT)


@functools.cache
def _columns(spec: ExactSpec, number: int):
    """A function ``(address, end, time, many, p)`` that writes, for the first ports up to this number, what a weight of 1 that
    arrives at each of so many times adds to each state by the end."""
    model, states = spec.model, len(spec.model.State._fields)
    ops, exact, advance = flow_ops(), jit(model.exact), with_ops(model.advance, flow_ops(), jit)
    land, State = with_ops(list(model.ports.values())[number], flow_ops(), jit), model.State
    difference, zeros, put = _each(states, _difference), _each(states, _nothing), put_column(states)
    others = _columns(spec, number - 1) if number else jit_inlined(lambda address, end, time, many, p: None)

    @jit_inlined
    def write(address, end, time, many, p):
        others(address, end, time, many, p)
        out, nothing = view2(address + 8 * BLOCK * states * number, states, BLOCK, types.float64), State(*zeros(0, 0, 0))
        for i in range(many):
            k = exact(ops, end - time[i], p)
            put(out, i, difference(advance(land(nothing, LIFT, p), k, p), advance(nothing, k, p), 0))

    return write


def fold(spec: ExactSpec):
    """``(context, end, -, -)``: the window ends: what stands on its list is folded into the rows. Counts the synapses of what has
    not arrived when the window was paused."""
    record, parameters, *_, width = bind_records(spec)
    states, ports = len(spec.model.State._fields), len(spec.model.ports)
    length, deaf, get, write = row_length(spec.model), spec.deaf, column(states, types.float64), _columns(spec, ports - 1)
    add, times = _adder(states + 1), _each(states, _times)

    def kernel(context, end, a, b):
        c = values_at(context, CONTEXT_SIZE)
        loop = view(c[LOOP], LOOP_SIZE, types.int64)
        time, entry = view(loop[LIST_TIME], loop[LISTED], types.float64), view(loop[LIST_ENTRY], loop[LISTED], types.int64)
        rows, waiting = view(c[FOLD_ROWS], c[N] * length, types.float64), view(c[FOLD_WAITING], c[N], types.uint8)
        gain, number_of = view(c[FOLD_GAINS], 2 * (states + ports), types.float64), view(c[FOLD_PORTS], ports, types.int64)
        targets, all_weights = view(loop[TARGET], loop[SYNAPSES], types.uint32), view(loop[WEIGHT], loop[SYNAPSES], types.float64)
        columns, records, own = c[FOLD_COLUMNS], c[RECORD], c[PLACE]
        listed, replayed, port_bits, port_mask = loop[LISTED], loop[REPLAYED], loop[PORT_BITS], loop[PORTS] - 1
        p, _ = parameters(c, 0)
        for first in range(0, listed, BLOCK):
            behind = min(listed, first + BLOCK)
            write(columns, end, time[first:], behind - first, p)
            for at in range(first, behind):
                foresee_listed(loop, at)
                t, (part, parts_end) = time[at], parts_of(loop, entry[at])
                for segment in range(part, parts_end):
                    reached, begin, many, step = segment_of(loop, segment)
                    if reached >> port_bits != own:
                        continue
                    if at >= replayed:
                        loop[EVENTS] += many
                        c[ARRIVED] += many
                    port = number_of[reached & port_mask]
                    high, low = gain[2 * states + port], gain[2 * states + ports + port]
                    values = get(view2(columns + 8 * BLOCK * states * port, states, BLOCK, types.float64), at - first)
                    weight = all_weights[begin]
                    added = times(values, weight, 0) + (max(high * weight, low * weight),)
                    for i in range(np.uint64(begin), np.uint64(begin + many)):
                        if step != 0:
                            weight = all_weights[i]
                            added = times(values, weight, 0) + (max(high * weight, low * weight),)
                        j = targets[i]
                        if deaf and waiting[j] != 0 and t < view(record(records, np.int64(j)), width, types.float64)[states + FREE]:
                            continue
                        add(rows, np.uint64(j) * np.uint64(length), added)
        return listed

    return kernel


def commit(spec: ExactSpec):
    """``(context, end, -, -)``: the window ends: neurons are moved there, with what was folded; those that may have fired, or were
    refractory though not deaf then, are marked instead, and stay where they were. Rows are 0 again. Returns how many are marked."""
    record, parameters, state, bring, store, _, count, width = bind_records(spec)
    deaf = spec.deaf
    model, states, length = spec.model, len(spec.model.State._fields), row_length(spec.model)
    exact, advance = jit(model.exact), with_ops(model.advance, flow_ops(), jit)
    ceiling, bound, total, ops = bind_ceiling(model), bind_bound(spec), _each(states, _sum), flow_ops()

    def kernel(context, end, a, b):
        c = values_at(context, CONTEXT_SIZE)
        begun = view(view(c[LOOP], LOOP_SIZE, types.int64)[CLOCK], CLOCK_SIZE, types.float64)[BEGUN]
        p, _ = parameters(c, 0)
        k = exact(ops, end - begun, p)
        gain = view2(c[FOLD_GAINS], 2 * states, 1, types.float64)
        rises = view2(c[RISES], 2 * states, c[RISE_COLUMNS], types.float64)
        rows = view(c[FOLD_ROWS], c[N] * length, types.float64)
        waiting = view(c[FOLD_WAITING], c[N], types.uint8)
        marks, numbers_marked = view(c[FOLD_MARKS], c[N], types.uint8), view(c[FOLD_NUMBERS], c[N], types.int32)
        own, own_rises, marked = c[STRIDE] > 0, c[RISE_COLUMNS] > 1, 0
        for j in range(c[N]):
            r = view(record(c[RECORD], j), width, types.float64)
            at = j * length
            s = state(r)
            if own:
                p, _ = parameters(c, j)
            free = r[count + FREE]
            if not ceiling(s, p, gain, 0) + rows[at + states] <= 0.0 or (free > begun and not deaf):
                marks[j], numbers_marked[marked] = 1, j
                marked += 1
                r[count + PREDICTED] = -free if free > begun else -(begun + bound(s, p, rises, j if own_rises else 0))
            else:
                if free > begun:
                    s = bring(s, begun, free, end, p)
                    waiting[j] = free > end
                else:
                    s = advance(s, k, p)
                store(r, total(s, rows, at))
                r[count + LAST], r[count + PREDICTED] = end, -end
            for f in range(states + 1):
                rows[at + f] = 0.0
        c[FOLD_MARKED] = marked
        return marked

    return kernel


def settle(spec: ExactSpec):
    """``(context, before, -, -)``: all neurons fire wherever they do before a time. 0 if there was no room for their spikes: come
    again."""
    fire_before = bind_firing(spec)

    def kernel(context, before, a, b):
        c = values_at(context, CONTEXT_SIZE)
        for j in range(c[N]):
            if not fire_before(c, j, before):
                return 0
        return 1

    return kernel


def wait(spec: ExactSpec):
    """``(context, t, address, count)``: find who is refractory at t, where a window begins: among those whose numbers, int32, are
    at the address, or among all if it is 0."""
    record, *_, states, width = bind_records(spec)

    def kernel(context, t, address, many):
        c = values_at(context, CONTEXT_SIZE)
        waiting, numbers = view(c[FOLD_WAITING], c[N], types.uint8), view(address, many, types.int32)
        for i in range(many):
            j = np.int64(numbers[i]) if address != 0 else i
            waiting[j] = view(record(c[RECORD], j), width, types.float64)[states + FREE] > t
        return many

    return kernel
