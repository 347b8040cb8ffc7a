"""What arrives at the neurons of a group: their states are moved to the present, and the weights land."""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.pointers import prefetch, values_at, view, view2
from eventsim.cpu.scalar import load as column
from eventsim.cpu.scalar import store as put_column
from eventsim.exact.calendar import room_left
from eventsim.exact.crossing import bind_jump
from eventsim.exact.exponentials import flow_ops
from eventsim.exact.firing import bind_bound, bind_firing, put_visit
from eventsim.exact.layout import (
    BLOCK,
    BLOCK_STATES,
    CONTEXT_SIZE,
    FREE,
    LAST,
    MOST_FORESEEN,
    PREDICTED,
    QUEUE_SIZE,
    QUEUED,
    RECORD,
    RISE_COLUMNS,
    RISES,
    STRIDE,
    VISITS,
    WEIGHTS,
)
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import jit_borrowing as jit
from eventsim.jit import jit_inlined
from eventsim.models.model import with_ops

LANES = (
    16  # targets that are surely moved together: a block is a multiple of it, and what stands behind the last target is moved, too
)


def receive(spec: ExactSpec, port: str):
    """``(context, t, address, count)``: weights arrive at t on a port: at the address as many targets, and at WEIGHTS weights.

    Those that would have fired before t do so first. Targets are moved to the present a block at a time, in a loop without branches
    or calls, which the compiler does several at a time; then weights land one by one, in the order of targets, some of which may be
    the same; then all are told how early they may fire now. Few are refractory: these are moved alone. Returns how many synapses
    have been reached: less than all if there was no room for spikes or visits; go on from there.
    """
    record, parameters, state, bring, store, held, count, width = bind_records(spec)
    land, holds, State = with_ops(spec.model.ports[port], flow_ops(), jit), bool(spec.hold), spec.model.State
    Params, numbers, spiking = spec.model.Params, len(spec.model.Params._fields), spec.model.spiking
    get_own, put_own = column(numbers, types.float64), put_column(numbers)
    jump, get, put = bind_jump(spec.model, jit_inlined), column(count, types.float64), put_column(count)
    bound, fire_before = bind_bound(spec), bind_firing(spec)

    def kernel(context, t, address, many):
        c = values_at(context, CONTEXT_SIZE)
        visits, rises = view(c[VISITS], QUEUE_SIZE, types.int64), view2(c[RISES], 2 * count, c[RISE_COLUMNS], types.float64)
        block = view2(c[BLOCK_STATES], count + 1, BLOCK, types.float64)
        each = view2(c[BLOCK_STATES] + 8 * BLOCK * (count + 1), numbers, BLOCK, types.float64)
        own, own_rises, records, weight = c[STRIDE] > 0, c[RISE_COLUMNS] > 1, c[RECORD], c[WEIGHTS]
        common, _ = parameters(c, 0)
        ahead = view(address, many, types.int32)
        for begin in range(0, many, BLOCK):
            if room_left(visits) < BLOCK:
                return begin
            size = min(BLOCK, many - begin)
            lanes = (size + LANES - 1) & -LANES
            targets, weights = view(address + 4 * begin, size, types.int32), view(weight + 8 * begin, size, types.float64)
            for k in range(max(begin + BLOCK, MOST_FORESEEN), min(many, begin + 2 * BLOCK)):
                prefetch(view(record(records, np.int64(ahead[k])), width, types.float64), 0)
            for k in range(size):
                j = np.int64(targets[k])
                r = view(record(records, j), width, types.float64)
                if spiking and abs(r[count + PREDICTED]) < t and not fire_before(c, j, t):
                    return begin
                put(block, k, state(r))
                block[count, k] = t - r[count + LAST]
            if own:
                for k in range(size):
                    p, _ = parameters(c, np.int64(targets[k]))
                    put_own(each, k, p)
                for k in range(lanes):
                    put(block, k, jump(State(*get(block, k)), block[count, k], Params(*get_own(each, k))))
            else:
                for k in range(lanes):
                    put(block, k, jump(State(*get(block, k)), block[count, k], common))
            for k in range(size):
                j = np.int64(targets[k])
                p = Params(*get_own(each, k)) if own else common
                r = view(record(records, j), width, types.float64)
                last, free = r[count + LAST], r[count + FREE]
                if last < t:
                    r[count + LAST] = t
                    s = bring(state(r), last, free, t, p) if holds and last < free else State(*get(block, k))
                else:  # it was the target before this one, too
                    s = state(r)
                new = land(s, weights[k], p)
                if holds and t < free:
                    new = held(s, new, 1.0)
                store(r, new)
                put(block, k, new)
                block[count, k] = free
            if spiking:
                if not own:
                    for k in range(lanes):
                        free, wait = block[count, k], bound(State(*get(block, k)), common, rises, 0)
                        block[count, k] = free if t < free else t + wait
                elif not own_rises:
                    for k in range(lanes):
                        free, wait = block[count, k], bound(State(*get(block, k)), Params(*get_own(each, k)), rises, 0)
                        block[count, k] = free if t < free else t + wait
                else:
                    for k in range(size):
                        p, row = Params(*get_own(each, k)), np.int64(targets[k])
                        free, wait = block[count, k], bound(State(*get(block, k)), p, rises, row)
                        block[count, k] = free if t < free else t + wait
                for k in range(size):
                    j, soon = np.int64(targets[k]), block[count, k]
                    r = view(record(records, j), width, types.float64)
                    r[count + PREDICTED] = -soon
                    if soon < r[count + QUEUED]:
                        put_visit(c, j, r, count, t, soon)
        return many

    return kernel
