"""The loop over events: it takes the first entry of the queue, does what it says, and puts in what follows from it.

All that arrives at one time is summed before anybody is asked whether it fires: kinds of entries come in the order of
`eventsim.exact.layout`. What arrives at one time is summed in the order of its source and delay, so that results do not depend on
the order in which inputs were named.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.pointers import values_at, view
from eventsim.exact.calendar import begin_day, first, look_ahead, pop, push, replace, room_left
from eventsim.exact.dense import arrive, choose_groups, end_window, pause_window
from eventsim.exact.firing import MOST_AT_ONCE, write_spike
from eventsim.exact.foresight import foresee, foresee_synapses, foresee_targets
from eventsim.exact.layout import (
    ARRIVE,
    AT_ONCE,
    BEFORE,
    BEGUN,
    BUDGET,
    CLOCK,
    CLOCK_SIZE,
    CONTEXTS,
    CURVES,
    CURVES_SIZE,
    DAYS,
    DELAY,
    DENSE_GROUPS,
    DONE,
    ENDLESS,
    ENDS,
    EVENTS,
    FIRE,
    FIRED,
    FULL,
    GIVEN,
    GIVEN_COUNT,
    GIVEN_SOURCE,
    GIVEN_TIME,
    GROUP_SHIFT,
    GROUPS,
    GROW,
    KIND_SHIFT,
    LIST_ROOM,
    LISTED,
    LOOP_SIZE,
    MOST_PARCELS,
    NEURONS,
    NOW,
    PARCELS,
    PARCELS_OF,
    PART,
    PARTS_END,
    PAUSED,
    PROCESS,
    PROCESS_STATE,
    PROCESS_TABLE,
    PROCESSES,
    QUEUE_DAY,
    QUEUE_LATER,
    QUEUE_NEAR,
    QUEUE_SIZE,
    QUEUE_TAKEN,
    QUEUE_WORDS,
    QUEUE_YEARS,
    SEGMENTS_OF,
    SORT_KEY,
    SORT_TIME,
    SPIKE_COUNT,
    SPIKE_ROOM,
    SPIKE_SENT,
    SPIKE_SOURCE,
    SPIKE_TIME,
    SWITCH,
    TOLD,
    VISIT_KERNELS,
)
from eventsim.exact.listed import list_arrivals, put_on_list
from eventsim.exact.sorting import sort_entries
from eventsim.exact.sources import EFFECT, PROCESS_NUMBERS, PROCESS_WORDS, next_event
from eventsim.exact.stage import clear_stages
from eventsim.exact.windows import call_event, first_time, next_day, visit_day
from eventsim.jit import compile_callback, compiled_once, jit_borrowing

DRIVE = types.int64(types.CPointer(types.int64), types.float64)


@jit_borrowing
def _send(c, q, t, source):
    """A source or neuron has fired at t: one entry for each of its delays to the queue."""
    c[FIRED] += 1
    parcels, delay = view(c[PARCELS_OF], c[NEURONS] + 1, types.int64), view(c[DELAY], c[PARCELS], types.float64)
    for parcel in range(parcels[source], parcels[source + 1]):
        push(q, t + delay[parcel], (np.int64(ARRIVE) << KIND_SHIFT) + parcel)


@jit_borrowing
def _send_all(c, q):
    """Put the spikes found since the last time into the order of (time, source), and send those of neurons; whether the queue had
    room for all."""
    begin, end = c[SPIKE_SENT], c[SPIKE_COUNT]
    times, sources = view(c[SPIKE_TIME], c[SPIKE_ROOM], types.float64), view(c[SPIKE_SOURCE], c[SPIKE_ROOM], types.int32)
    ordered = True
    for i in range(begin + 1, end):
        ordered = ordered and times[i - 1] < times[i]
    if not ordered:
        many, room = end - begin, c[SPIKE_ROOM]
        key, other = view(c[SORT_KEY], room, types.int64), view(c[SORT_KEY] + 8 * room, room, types.int64)
        counts = view(c[SORT_KEY] + 16 * room, room, types.int64)
        for i in range(many):
            source = np.int64(sources[begin + i])
            key[i] = 2 * max(source, -1 - source) + (source < 0)
        sort_entries(times[begin:], key, many, view(c[SORT_TIME], room, types.float64), other, counts)
        for i in range(many):
            sources[begin + i] = -1 - (key[i] >> 1) if key[i] & 1 else key[i] >> 1
    for i in range(begin, end):
        if sources[i] < 0:  # of a source, sent at once
            sources[i] = -1 - sources[i]
        elif room_left(q) < c[MOST_PARCELS]:
            return False
        else:
            _send(c, q, times[i], sources[i])
        c[SPIKE_SENT] = i + 1
    return True


@jit_borrowing
def _wanting(c):
    """What there was no room for."""
    if c[AT_ONCE] > MOST_AT_ONCE * c[NEURONS]:
        return ENDLESS
    return FULL if c[SPIKE_COUNT] >= c[SPIKE_ROOM] else GROW


@compiled_once
def compile_drive():
    """The loop; it has an ``address``. ``(context, until) -> status``: handles all that happens until then, in ms, itself included:
    the entries of a window one after the other, then its visits and the spikes that were found in it; or, without windows, entries
    alone.

    Call it again when there is room. Modifies everything but synapses and parameters.
    """

    def drive(context, until):
        c = values_at(context, LOOP_SIZE)
        q = view(c[QUEUE_WORDS], QUEUE_SIZE, types.int64)
        clock, contexts = view(c[CLOCK], CLOCK_SIZE, types.float64), view(c[CONTEXTS], c[GROUPS], types.int64)
        visits = view(c[VISIT_KERNELS], c[GROUPS], types.int64)
        segments = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64)
        numbers = view(c[PROCESS_TABLE], c[PROCESSES] * PROCESS_NUMBERS, types.float64)
        words = view(c[PROCESS_STATE], c[PROCESSES] * PROCESS_WORDS, types.int64)
        curves = view(c[CURVES], c[CURVES_SIZE], types.float64)
        given_time = view(c[GIVEN_TIME], c[GIVEN_COUNT], types.float64)
        given_source = view(c[GIVEN_SOURCE], c[GIVEN_COUNT], types.int32)
        low, by_day = (np.int64(1) << KIND_SHIFT) - 1, c[DAYS] != 0
        days = view(c[DAYS] if by_day else c[QUEUE_WORDS], QUEUE_SIZE, types.int64)
        after = np.nextafter(until, math.inf)
        clock[ENDS] = first_time(days, days[QUEUE_DAY] + 2) if by_day else math.inf
        end = min(clock[ENDS], after)
        spent, foreseen = 0, np.int64(FIRE) << KIND_SHIFT
        while True:
            if c[PART] < c[PARTS_END] and c[DENSE_GROUPS] == 0:
                spent += arrive(c, clock[NOW], False)
                if c[PART] < c[PARTS_END]:
                    return _wanting(c)
            if not by_day and c[SPIKE_SENT] < c[SPIKE_COUNT] and not _send_all(c, q):
                return GROW
            if q[QUEUE_NEAR] == 0 and q[QUEUE_LATER] > 0:
                begin_day(q)
                if q[QUEUE_YEARS] > 0:  # the queue has to choose other days
                    return PAUSED
            if c[DENSE_GROUPS] != 0 and q[QUEUE_NEAR] > 0:
                listed = list_arrivals(c, q, end)
                spent += listed
                if listed > 0:
                    continue
            t, entry = first(q) if q[QUEUE_NEAR] > 0 else (math.inf, np.int64(0))
            if not t < end:  # nothing more arrives before the end
                if by_day:
                    clock[BEFORE], taken = end, days[QUEUE_TAKEN]
                    if c[DENSE_GROUPS] != 0:
                        spent, counted = spent + c[NEURONS], c[EVENTS]
                        if not (pause_window(c, until) if end == after else end_window(c, end)):
                            return _wanting(c)
                        spent += c[EVENTS] - counted
                    if not clear_stages(c) or not visit_day(days, visits, contexts):
                        return _wanting(c)
                    spent += 1 + days[QUEUE_TAKEN] - taken
                if not _send_all(c, q):
                    return GROW
                if end == after:
                    clock[TOLD] = until if c[DENSE_GROUPS] != 0 else -math.inf
                    return DONE
                today = days[QUEUE_DAY] + 2
                if by_day and choose_groups(c, today, first_time(days, today + 1)):
                    days[QUEUE_DAY] += 1
                    clock[NOW] = first_time(days, today)
                    return SWITCH
                if c[DENSE_GROUPS] != 0:
                    days[QUEUE_DAY] += 1
                elif q[QUEUE_NEAR] > 0:
                    next_day(days, min(until, first(q)[0]))  # which may have been sent just now
                else:
                    next_day(days, until if q[QUEUE_LATER] == 0 else 0.0)
                today = days[QUEUE_DAY] + 1
                begun, clock[ENDS] = first_time(days, today), first_time(days, today + 1)
                end = min(clock[ENDS], after)
                clock[BEGUN], clock[NOW] = begun, begun if c[DENSE_GROUPS] != 0 else np.nextafter(begun, 0.0)
                if spent > c[BUDGET]:
                    return PAUSED
                continue
            if spent > c[BUDGET]:
                return PAUSED
            if room_left(q) < c[MOST_PARCELS] + 2 or (c[DENSE_GROUPS] != 0 and c[LISTED] >= c[LIST_ROOM]):
                return GROW
            if c[SPIKE_COUNT] >= c[SPIKE_ROOM]:
                return FULL
            kind, about = entry >> KIND_SHIFT, entry & low
            clock[NOW] = t
            if kind == PROCESS:  # its next event takes its place
                replace(q, next_event(numbers, words, curves, about, t), entry)
            else:
                pop(q)
            tomorrow = look_ahead(q) if c[DENSE_GROUPS] == 0 else -1
            if tomorrow >= 0:
                foresee(c, tomorrow)
                foresee_synapses(c, foreseen)
                foreseen = tomorrow
            if q[QUEUE_NEAR] > 0 and c[DENSE_GROUPS] == 0:
                foresee_targets(c, first(q)[1])
            spent += 1
            if kind == ARRIVE and c[DENSE_GROUPS] != 0:
                put_on_list(c, t, about)
            elif kind == ARRIVE:
                c[PART], c[PARTS_END] = segments[about], segments[about + 1]
            elif kind == FIRE:
                clock[BEFORE] = np.nextafter(t, math.inf)
                g = about >> GROUP_SHIFT
                if call_event(visits[g], contexts[g], t, about & ((np.int64(1) << GROUP_SHIFT) - 1), 0) == 0:
                    push(q, t, (np.int64(FIRE) << KIND_SHIFT) + about)
                    return _wanting(c)
            elif kind == PROCESS:
                effect = words[about * PROCESS_WORDS + EFFECT]
                if effect >= 0:
                    _send(c, q, t, effect)
                    if not write_spike(c, t, -1 - effect):
                        return _wanting(c)
                elif c[DENSE_GROUPS] != 0:
                    put_on_list(c, t, effect)
                else:
                    c[PART], c[PARTS_END] = -1 - effect, -effect
            else:
                _send(c, q, t, given_source[about])
                if not write_spike(c, t, -1 - given_source[about]):
                    return _wanting(c)
                if about + 1 < c[GIVEN_COUNT]:
                    following = (np.int64(GIVEN) << KIND_SHIFT) + about + 1
                    push(q, given_time[about + 1], following)

    return compile_callback(DRIVE, drive, "exact drive", borrowing=True)
