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
    BLOCK_ROWS,
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
    TIMES,
    VISITS,
    WEIGHTS,
)
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import jit_borrowing as jit
from eventsim.jit import jit_inlined
from eventsim.models.model import with_ops

FEW = 4  # targets of a block are moved one by one, more of them with what stands behind the last, to a multiple of
LANES = 16


def receive(spec: ExactSpec, port: str):
    """``(context, t, address, count)``: weights arrive on a port, at t or each at its time in TIMES: at the address as many
    targets, and at WEIGHTS weights.

    Targets come a block at a time. Those that would have fired before t do so, and those that were refractory are moved to its end;
    then, in a loop without branches or calls, which the compiler does several at a time, all are moved to t, the weights land, and
    it is found how early each may fire now. A target that comes twice begins another block. Returns how many synapses have been
    reached: fewer than all if there was no room for spikes or visits; go on from there.
    """
    record, parameters, state, bring, store, held, count, width = bind_records(spec)
    land, holds, State = with_ops(spec.model.ports[port], flow_ops(), jit), bool(spec.hold), spec.model.State
    Params, numbers, spiking = spec.model.Params, len(spec.model.Params._fields), spec.model.spiking
    get_own, put_own = column(numbers, types.float64), put_column(numbers)
    jump, get, put = bind_jump(spec.model, jit_inlined), column(count, types.float64), put_column(count)
    bound, fire_before = bind_bound(spec), bind_firing(spec)
    time, free_row, weight_row, now_row = count, count + 1, count + 2, count + 3  # of a block

    @jit_inlined
    def step(block, k, p, rises, row):
        """Move target k of the block to the present, where its weight lands; in the place of the time behind it comes that before
        which it does not fire."""
        t, free, s = block[now_row, k], block[free_row, k], jump(State(*get(block, k)), block[time, k], p)
        new = land(s, block[weight_row, k], p)
        if holds:
            new = held(s, new, 1.0) if t < free else new
        put(block, k, new)
        if spiking:
            wait = bound(new, p, rises, row)
            block[time, k] = free if t < free else t + wait

    def kernel(context, t, address, many):
        c = values_at(context, CONTEXT_SIZE)
        visits, rises = view(c[VISITS], QUEUE_SIZE, types.int64), view2(c[RISES], 2 * count, c[RISE_COLUMNS], types.float64)
        block = view2(c[BLOCK_STATES], count + BLOCK_ROWS, BLOCK, types.float64)
        each = view2(c[BLOCK_STATES] + 8 * BLOCK * (count + BLOCK_ROWS), numbers, BLOCK, types.float64)
        own, own_rises, records = c[STRIDE] > 0, c[RISE_COLUMNS] > 1, c[RECORD]
        common, _ = parameters(c, 0)
        targets, weights = view(address, many, types.int32), view(c[WEIGHTS], many, types.float64)
        each_its_own = c[TIMES] != 0
        times = view(c[TIMES] if each_its_own else c[WEIGHTS], many, types.float64)
        begin = 0
        while begin < many:
            if room_left(visits) < BLOCK:
                return begin
            for i in range(max(begin + BLOCK, MOST_FORESEEN), min(many, begin + 2 * BLOCK)):
                prefetch(view(record(records, np.int64(targets[i])), width, types.float64), 0)
            size, most, before = 0, min(BLOCK, many - begin), np.int64(-1)
            while size < most:
                j = np.int64(targets[begin + size])
                if j == before:
                    break
                now = times[begin + size] if each_its_own else t
                r = view(record(records, j), width, types.float64)
                if spiking and abs(r[count + PREDICTED]) < now and not fire_before(c, j, now):
                    return begin
                last, free, s = r[count + LAST], r[count + FREE], state(r)
                if holds and last < free:
                    p, _ = parameters(c, j)
                    end = min(now, free)
                    s = bring(s, last, free, end, p)
                    last = end
                put(block, size, s)
                block[time, size], block[free_row, size], block[weight_row, size] = now - last, free, weights[begin + size]
                block[now_row, size] = now
                before = j
                size += 1
            lanes = size if size < FEW else (size + LANES - 1) & -LANES
            if not own:
                for k in range(lanes):
                    step(block, k, common, rises, 0)
            else:
                for k in range(size):
                    p, _ = parameters(c, np.int64(targets[begin + k]))
                    put_own(each, k, p)
                if not own_rises:
                    for k in range(lanes):
                        step(block, k, Params(*get_own(each, k)), rises, 0)
                else:
                    for k in range(size):
                        step(block, k, Params(*get_own(each, k)), rises, np.int64(targets[begin + k]))
            for k in range(size):
                j = np.int64(targets[begin + k])
                r = view(record(records, j), width, types.float64)
                store(r, get(block, k))
                r[count + LAST] = block[now_row, k]
                if spiking:
                    soon = block[time, k]
                    r[count + PREDICTED] = -soon
                    if soon < r[count + QUEUED]:
                        put_visit(c, j, r, count, block[now_row, k], soon)
            begin += size
        return many

    return kernel
