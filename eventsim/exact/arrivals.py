"""What arrives at the neurons of a group: their states are moved to the present, and the weights land."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.pointers import prefetch, values_at, view, view2
from eventsim.cpu.scalar import load as column
from eventsim.cpu.scalar import store as put_column
from eventsim.exact.crossing import bind_jump
from eventsim.exact.exponentials import flow_ops
from eventsim.exact.layout import (
    BLOCK,
    BLOCK_STATES,
    CONTEXT_SIZE,
    FREE,
    LAST,
    PREDICTED,
    STRIDE,
    TOUCHED,
    TOUCHED_COUNT,
    WEIGHTS,
    N,
)
from eventsim.exact.records import ExactSpec, bind_records
from eventsim.jit import jit_borrowing as jit
from eventsim.jit import jit_inlined
from eventsim.models.model import with_ops


def receive(spec: ExactSpec, port: str):
    """``(context, t, address, count)``: weights arrive at t on a port: at the address as many targets, and at WEIGHTS weights.

    Targets are moved to the present a block at a time, in a loop without branches or calls, which the compiler does several at a
    time; then weights land one by one, in the order of targets, some of which may be the same. Few are refractory: these are moved
    alone.
    """
    record, parameters, state, bring, store, held, count, width = bind_records(spec)
    land, holds, State = with_ops(spec.model.ports[port], flow_ops(), jit), bool(spec.hold), spec.model.State
    Params, numbers = spec.model.Params, len(spec.model.Params._fields)
    get_own, put_own = column(numbers, types.float64), put_column(numbers)
    jump, get, put = bind_jump(spec.model, jit_inlined), column(count, types.float64), put_column(count)

    def kernel(context, t, address, many):
        c = values_at(context, CONTEXT_SIZE)
        touched = view(c[TOUCHED], c[N], types.int32)
        block = view2(c[BLOCK_STATES], count + 1, BLOCK, types.float64)
        each = view2(c[BLOCK_STATES] + 8 * BLOCK * (count + 1), numbers, BLOCK, types.float64)
        own, waiting = c[STRIDE] > 0, c[TOUCHED_COUNT]
        ahead = view(address, many, types.int32)
        for k in range(min(many, BLOCK)):
            prefetch(view(record(c, np.int64(ahead[k])), width, types.float64), 0)
        for begin in range(0, many, BLOCK):
            size = min(BLOCK, many - begin)
            targets, weights = view(address + 4 * begin, size, types.int32), view(c[WEIGHTS] + 8 * begin, size, types.float64)
            for k in range(begin + BLOCK, min(many, begin + 2 * BLOCK)):
                prefetch(view(record(c, np.int64(ahead[k])), width, types.float64), 0)
            for k in range(size):
                r = view(record(c, np.int64(targets[k])), width, types.float64)
                put(block, k, state(r))
                block[count, k] = t - r[count + LAST]
            if own:
                for k in range(size):
                    p, _ = parameters(c, np.int64(targets[k]))
                    put_own(each, k, p)
                for k in range(size):
                    put(block, k, jump(State(*get(block, k)), block[count, k], Params(*get_own(each, k))))
            else:
                p, _ = parameters(c, 0)
                for k in range(size):
                    put(block, k, jump(State(*get(block, k)), block[count, k], p))
            for k in range(size):
                j = np.int64(targets[k])
                r = view(record(c, j), width, types.float64)
                p, _ = parameters(c, j)
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
                if r[count + PREDICTED] == r[count + PREDICTED]:
                    r[count + PREDICTED] = math.nan
                    touched[waiting] = j
                    waiting += 1
        c[TOUCHED_COUNT] = waiting
        return many

    return kernel
