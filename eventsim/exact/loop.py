"""The loop over events: it takes the first entry of the queue, does what it says, and puts in what follows from it.

All that arrives at one time is summed before anybody is asked whether it fires: kinds of entries come in the order of
`eventsim.exact.layout`. What arrives at one time is summed in the order of its source and delay, so that results do not depend on
the order in which inputs were named.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eventsim.cpu.pointers import prefetch, values_at, view
from eventsim.exact.calendar import begin_day, day_of, look_ahead, pop, push, room_left
from eventsim.exact.heap import replace_first
from eventsim.exact.layout import (
    ARRIVE,
    AT_ONCE,
    BUDGET,
    CONTEXT_SIZE,
    CONTEXTS,
    CURVES,
    CURVES_SIZE,
    DELAY,
    DIRTY,
    DIRTY_COUNT,
    DONE,
    ENDLESS,
    EVENTS,
    FIRE,
    FIRED,
    FIRES,
    FIRST,
    FULL,
    GIVEN,
    GIVEN_COUNT,
    GIVEN_SOURCE,
    GIVEN_TIME,
    GROUP_SHIFT,
    GROUPS,
    GROW,
    KIND_SHIFT,
    LOOP_SIZE,
    MOST_PARCELS,
    NEURONS,
    NOW,
    PARCELS,
    PARCELS_OF,
    PAUSED,
    PORTS,
    PREDICTS,
    PROCESS,
    PROCESS_STATE,
    PROCESS_TABLE,
    PROCESSES,
    QUEUE_DAY,
    QUEUE_KEY,
    QUEUE_LATER,
    QUEUE_NEAR,
    QUEUE_ROOM,
    QUEUE_SIZE,
    QUEUE_TIME,
    QUEUE_WORDS,
    QUEUE_YEARS,
    RECEIVES,
    RECORD,
    SEGMENT,
    SEGMENTS,
    SEGMENTS_OF,
    SPIKE_COUNT,
    SPIKE_ROOM,
    SPIKE_SOURCE,
    SPIKE_TIME,
    TARGET,
    TOUCHED_COUNT,
    WEIGHT,
    WEIGHTS,
    WIDTH,
)
from eventsim.exact.sources import EFFECT, PROCESS_NUMBERS, PROCESS_WORDS, next_event
from eventsim.jit import compile_callback, compiled_once, jit_borrowing

DRIVE = types.int64(types.CPointer(types.int64), types.float64)
MOST_AT_ONCE = 1000  # times the neurons: spikes at one time after which they are taken to be endless

_INT64 = ir.IntType(64)


@intrinsic
def call_event(typingctx, kernel, context, t, a, b):
    """Call the `EVENT` kernel at an address, with a context at an address."""

    def codegen(context_, builder, signature, args):
        function = ir.FunctionType(_INT64, [_INT64.as_pointer(), ir.DoubleType(), _INT64, _INT64])
        pointer = builder.inttoptr(args[1], _INT64.as_pointer())
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), [pointer, *args[2:]])

    return types.int64(types.int64, types.int64, types.float64, types.int64, types.int64), codegen


@jit_borrowing
def _arrive(c, t, segment):
    """What a segment carries arrives at t."""
    words = view(c[SEGMENT], 3 * c[SEGMENTS], types.int64)
    kernel, begin, many = words[3 * segment], words[3 * segment + 1], words[3 * segment + 2]
    g = kernel // c[PORTS]
    group = view(view(c[CONTEXTS], c[GROUPS], types.int64)[g], CONTEXT_SIZE, types.int64)
    if group[TOUCHED_COUNT] == 0:
        view(c[DIRTY], c[GROUPS], types.int32)[c[DIRTY_COUNT]] = g
        c[DIRTY_COUNT] += 1
    group[WEIGHTS] = c[WEIGHT] + 8 * begin
    address = view(c[RECEIVES], c[GROUPS] * c[PORTS], types.int64)[kernel]
    c[EVENTS] += many
    return call_event(address, view(c[CONTEXTS], c[GROUPS], types.int64)[g], t, c[TARGET] + 4 * begin, many)


@jit_borrowing
def _foresee(c, key):
    """Ask for what an entry will need: in large networks it lies in memory."""
    kind, about = key >> KIND_SHIFT, key & ((np.int64(1) << KIND_SHIFT) - 1)
    if kind == FIRE:
        group = view(view(c[CONTEXTS], c[GROUPS], types.int64)[about >> GROUP_SHIFT], CONTEXT_SIZE, types.int64)
        j = about & ((np.int64(1) << GROUP_SHIFT) - 1)
        prefetch(view(group[RECORD] + group[WIDTH] * j, 1, types.float64), 0)
    elif kind == ARRIVE:
        segments = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64)
        prefetch(view(c[SEGMENT], 3 * c[SEGMENTS], types.int64), 3 * segments[about])


@jit_borrowing
def _emit(c, q, t, source):
    """A source or neuron fires at t: its spike to the buffer, and one entry for each of its delays to the queue."""
    at = c[SPIKE_COUNT]
    view(c[SPIKE_TIME], c[SPIKE_ROOM], types.float64)[at] = t
    view(c[SPIKE_SOURCE], c[SPIKE_ROOM], types.int32)[at] = source
    c[SPIKE_COUNT] = at + 1
    c[FIRED] += 1
    parcels, delay = view(c[PARCELS_OF], c[NEURONS] + 1, types.int64), view(c[DELAY], c[PARCELS], types.float64)
    for parcel in range(parcels[source], parcels[source + 1]):
        push(q, t + delay[parcel], (np.int64(ARRIVE) << KIND_SHIFT) + parcel)


@jit_borrowing
def _predict(c, t):
    """Ask all who were touched when they will fire; whether the queue had room for all answers."""
    dirty, contexts = view(c[DIRTY], c[GROUPS], types.int32), view(c[CONTEXTS], c[GROUPS], types.int64)
    predicts = view(c[PREDICTS], c[GROUPS], types.int64)
    while c[DIRTY_COUNT] > 0:
        g = dirty[c[DIRTY_COUNT] - 1]
        if call_event(predicts[g], contexts[g], t, 0, 0) > 0:
            return False
        c[DIRTY_COUNT] -= 1
    return True


@compiled_once
def compile_drive():
    """The loop; it has an ``address``. ``(context, until) -> status``: handles all entries until then, in ms, itself included.

    Call it again when there is room. Modifies everything but synapses and parameters.
    """

    def drive(context, until):
        c = values_at(context, LOOP_SIZE)
        q = view(c[QUEUE_WORDS], QUEUE_SIZE, types.int64)
        time, key = view(q[QUEUE_TIME], q[QUEUE_ROOM], types.float64), view(q[QUEUE_KEY], q[QUEUE_ROOM], types.int64)
        now, contexts = view(c[NOW], 1, types.float64), view(c[CONTEXTS], c[GROUPS], types.int64)
        fires = view(c[FIRES], c[GROUPS], types.int64)
        segments = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64)
        numbers = view(c[PROCESS_TABLE], c[PROCESSES] * PROCESS_NUMBERS, types.float64)
        words = view(c[PROCESS_STATE], c[PROCESSES] * PROCESS_WORDS, types.int64)
        curves = view(c[CURVES], c[CURVES_SIZE], types.float64)
        given_time = view(c[GIVEN_TIME], c[GIVEN_COUNT], types.float64)
        given_source = view(c[GIVEN_SOURCE], c[GIVEN_COUNT], types.int32)
        low = (np.int64(1) << KIND_SHIFT) - 1
        spent = 0
        while True:
            if q[QUEUE_NEAR] == 0 and q[QUEUE_LATER] > 0:
                begin_day(q)
                if q[QUEUE_YEARS] > 0:  # the queue has to choose other days
                    return PAUSED
            count = q[QUEUE_NEAR]
            same = count > 0 and time[0] == now[0] and key[0] >> KIND_SHIFT < FIRE
            if c[DIRTY_COUNT] > 0 and not same:
                if not _predict(c, now[0]):
                    return GROW
                continue
            if count == 0 or time[0] > until:
                return DONE
            if spent > c[BUDGET]:
                return PAUSED
            if room_left(q) < c[MOST_PARCELS] + 2:
                return GROW
            if c[SPIKE_COUNT] >= c[SPIKE_ROOM]:
                return FULL
            t, kind, about = time[0], key[0] >> KIND_SHIFT, key[0] & low
            if t > now[0]:
                now[0], c[AT_ONCE] = t, 0
            if kind == PROCESS:  # its next event takes its place
                following = next_event(numbers, words, curves, about, t)
                if day_of(q, following) <= q[QUEUE_DAY]:
                    replace_first(time, key, count, following, key[0])
                else:
                    again = key[0]
                    pop(q)
                    if following < math.inf:
                        push(q, following, again)
            else:
                pop(q)
            ahead = look_ahead(q)
            if ahead >= 0:
                _foresee(c, ahead)
            spent += 1
            if kind == ARRIVE:
                for segment in range(segments[about], segments[about + 1]):
                    spent += _arrive(c, t, segment)
            elif kind == FIRE:
                g, j = about >> GROUP_SHIFT, about & ((np.int64(1) << GROUP_SHIFT) - 1)
                if call_event(fires[g], contexts[g], t, j, 0):
                    view(c[DIRTY], c[GROUPS], types.int32)[c[DIRTY_COUNT]] = g
                    c[DIRTY_COUNT] += 1
                    _emit(c, q, t, view(contexts[g], CONTEXT_SIZE, types.int64)[FIRST] + j)
                    c[AT_ONCE] += 1
                    if c[AT_ONCE] > MOST_AT_ONCE * c[NEURONS]:
                        return ENDLESS
            elif kind == PROCESS:
                effect = words[about * PROCESS_WORDS + EFFECT]
                if effect >= 0:
                    _emit(c, q, t, effect)
                else:
                    spent += _arrive(c, t, -1 - effect)
            else:
                _emit(c, q, t, given_source[about])
                if about + 1 < c[GIVEN_COUNT]:
                    following = (np.int64(GIVEN) << KIND_SHIFT) + about + 1
                    push(q, given_time[about + 1], following)

    return compile_callback(DRIVE, drive, "exact drive", borrowing=True)
