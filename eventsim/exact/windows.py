"""Windows of time, the days of the queue of visits, within which no neuron can hear of another's spike.

As long as a window is shorter than every delay behind a neuron, what arrives in it is known when it begins. So neurons need not
be looked at in the order of time: each fires late, when its next input comes or the window ends, at the time that is right, and
a window costs one visit at most to those that may fire in it. (Morrison et al. 2007, Neural Comput. 19:47, take steps of the least
delay for the same reason.)

Functions take the words of the queue of visits (`eventsim.exact.layout`); QUEUE_DAY is the last day that is over.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eventsim.cpu.pointers import address_of, prefetch, view
from eventsim.exact.calendar import CHUNK, COUNT, KEY, LINE, NEXT, TIME, day_of, give_back, hang, waiting
from eventsim.exact.foresight import foresee_neuron
from eventsim.exact.layout import (
    GROUP_SHIFT,
    KIND_SHIFT,
    QUEUE_DAY,
    QUEUE_DAYS,
    QUEUE_HEADS,
    QUEUE_LATER,
    QUEUE_PER_MS,
    QUEUE_SIZE,
    QUEUE_TAKEN,
)
from eventsim.jit import jit_borrowing as jit

_INT64 = ir.IntType(64)


@intrinsic
def call_event(typingctx, kernel, context, t, a, b):
    """Call the `EVENT` kernel at an address, with a context at an address."""

    def codegen(context_, builder, signature, args):
        function = ir.FunctionType(_INT64, [_INT64.as_pointer(), ir.DoubleType(), _INT64, _INT64])
        pointer = builder.inttoptr(args[1], _INT64.as_pointer())
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), [pointer, *args[2:]])

    return types.int64(types.int64, types.int64, types.float64, types.int64, types.int64), codegen


@jit
def first_time(q, day):
    """The first time in ms of a day that is not the first one."""
    t = day / view(address_of(q, 0), QUEUE_SIZE, types.float64)[QUEUE_PER_MS]
    while day_of(q, t) < day:
        t = np.nextafter(t, math.inf)
    while day_of(q, np.nextafter(t, 0.0)) >= day:
        t = np.nextafter(t, 0.0)
    return t


@jit
def next_day(q, until):
    """Let today be over, and the days after it on which nobody is to be visited, up to that of ``until``."""
    q[QUEUE_DAY] += 1
    last, heads = day_of(q, until) - 1, view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    if q[QUEUE_LATER] == 0:
        q[QUEUE_DAY] = max(q[QUEUE_DAY], last)
    while q[QUEUE_DAY] < last and heads[(q[QUEUE_DAY] + 1) & (q[QUEUE_DAYS] - 1)] < 0:
        q[QUEUE_DAY] += 1


@jit
def visit_day(q, visits, contexts):
    """Visit all who are due today; whether there was room for their spikes: if not, call it again.

    visits, contexts : of each group, the addresses of its kernel and its words
    """
    words, numbers = waiting(q)
    heads, today = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64), q[QUEUE_DAY] + 1
    at = today & (q[QUEUE_DAYS] - 1)
    chunk, done = heads[at], True
    heads[at] = -1
    while chunk >= 0:
        following, end = words[chunk + NEXT], chunk + 2 * words[chunk + COUNT]
        if following >= 0:
            for line in range(following, following + CHUNK, LINE):
                prefetch(words, line)
        for place in range(chunk, end, 2):
            foresee_neuron(contexts, words[place + KEY])
        for place in range(chunk, end, 2):
            t, key = numbers[place + TIME], words[place + KEY]
            q[QUEUE_LATER] -= 1
            if not done or day_of(q, t) > today:
                hang(q, today, t, key)
                continue
            q[QUEUE_TAKEN] += 1
            about = key & ((np.int64(1) << KIND_SHIFT) - 1)
            g, j = about >> GROUP_SHIFT, about & ((np.int64(1) << GROUP_SHIFT) - 1)
            done = call_event(visits[g], contexts[g], t, j, 0) != 0
            if not done:
                hang(q, today, t, key)
        give_back(q, words, chunk)
        chunk = following
    return done
