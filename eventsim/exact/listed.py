"""The list of a dense window (`eventsim.exact.dense`): what arrives in it, in the order of the queue, and where its synapses are.

Functions take the words of the loop (`eventsim.exact.layout`).
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.pointers import view
from eventsim.exact.calendar import sorted_run, take_run
from eventsim.exact.foresight import foresee, foresee_synapses
from eventsim.exact.layout import (
    ARRIVE,
    CLOCK,
    CLOCK_SIZE,
    KIND_SHIFT,
    LIST_ENTRY,
    LIST_ROOM,
    LIST_TIME,
    LISTED,
    NOW,
    PARCELS,
    SEGMENT,
    SEGMENTS,
    SEGMENTS_OF,
    UNIFORM,
)
from eventsim.jit import jit_borrowing as jit


@jit
def put_on_list(c, t, entry):
    """List what arrives at t, for which there is room: a parcel, or -1 - a segment."""
    at = c[LISTED]
    view(c[LIST_TIME], c[LIST_ROOM], types.float64)[at] = t
    view(c[LIST_ENTRY], c[LIST_ROOM], types.int64)[at] = entry
    c[LISTED] = at + 1


@jit
def list_arrivals(c, q, end):
    """List what arrives next before ``end``, up to the first entry of another kind, out of the queue q; how many did."""
    times, entries = view(c[LIST_TIME], c[LIST_ROOM], types.float64), view(c[LIST_ENTRY], c[LIST_ROOM], types.int64)
    time, key, many = sorted_run(q)
    begin, low = c[LISTED], (np.int64(1) << KIND_SHIFT) - 1
    many, found = min(many, c[LIST_ROOM] - begin), 0
    while found < many and time[found] < end and key[found] >> KIND_SHIFT == ARRIVE:
        times[begin + found], entries[begin + found] = time[found], key[found] & low
        found += 1
    c[LISTED] = begin + found
    if found > 0:
        take_run(q, found)
        view(c[CLOCK], CLOCK_SIZE, types.float64)[NOW] = times[begin + found - 1]
    return found


@jit
def parts_of(c, entry):
    """The first segment of an entry of the list, and the one behind its last."""
    if entry < 0:
        return -1 - entry, -entry
    segments = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64)
    return segments[entry], segments[entry + 1]


@jit
def segment_of(c, number):
    """(number of its kernel, first synapse, synapses, 0 if they have one weight and else 1)"""
    words = view(c[SEGMENT], 3 * c[SEGMENTS], types.int64)
    kernel = words[3 * number]
    return kernel & (UNIFORM - 1), words[3 * number + 1], words[3 * number + 2], np.int64(kernel < UNIFORM)


@jit
def foresee_listed(c, at):
    """Ask memory for the synapses of what stands on the list behind a place."""
    entry, key = view(c[LIST_ENTRY], c[LIST_ROOM], types.int64), np.int64(ARRIVE) << KIND_SHIFT
    if at + 2 < c[LISTED] and entry[at + 2] >= 0:
        foresee(c, key + entry[at + 2])
    if at + 1 < c[LISTED] and entry[at + 1] >= 0:
        foresee_synapses(c, key + entry[at + 1])
