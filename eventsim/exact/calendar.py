"""The event queue: a calendar of days without order, and a heap for the present one.

Entries are taken out in the total order (time, key). What is due today, or was before, stands in a heap (`eventsim.exact.heap`);
what is due later hangs in a list of its day, as it came: to wait costs a few stores. When the heap is empty the next day
begins, and its list goes into the heap. A year has so many days; the lists of a day also hold what is due in later years, which
is put back.

After Brown (1988), Commun. ACM 31:1220, whose days are sorted lists and who has no heap. While ``per_ms`` is 0 everything is due
today: the queue is a heap.

Its words (`eventsim.exact.layout`) are int64. All functions modify them and what they point to.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.pointers import address_of, prefetch, view
from eventsim.exact import heap
from eventsim.exact.layout import (
    QUEUE_AHEAD,
    QUEUE_DAY,
    QUEUE_DAYS,
    QUEUE_FREE,
    QUEUE_HEADS,
    QUEUE_KEY,
    QUEUE_LATER,
    QUEUE_NEAR,
    QUEUE_PER_MS,
    QUEUE_ROOM,
    QUEUE_SIZE,
    QUEUE_TAKEN,
    QUEUE_TIME,
    QUEUE_WAITING,
    QUEUE_YEARS,
)
from eventsim.jit import jit_borrowing as jit

NEXT, KEY, TIME, WAITS = 0, 1, 2, 4  # words of an entry that waits; the fourth is empty: two fill a cache line
FARTHEST = 2.0**62  # the last day


@jit
def _heap(q):
    return view(q[QUEUE_TIME], q[QUEUE_ROOM], types.float64), view(q[QUEUE_KEY], q[QUEUE_ROOM], types.int64)


@jit
def waiting(q):
    """The entries that wait, as words, and as numbers."""
    size = WAITS * q[QUEUE_ROOM]
    return view(q[QUEUE_WAITING], size, types.int64), view(q[QUEUE_WAITING], size, types.float64)


@jit
def day_of(q, t):
    """The day of a time in ms: it does not fall as t grows."""
    return np.int64(min(t * view(address_of(q, 0), QUEUE_SIZE, types.float64)[QUEUE_PER_MS], FARTHEST))


@jit
def room_left(q):
    """For how many more entries."""
    return q[QUEUE_ROOM] - q[QUEUE_NEAR] - q[QUEUE_LATER]


@jit
def push(q, t, k):
    """Put an entry in, for which there is room."""
    day = day_of(q, t)
    if day <= q[QUEUE_DAY]:
        time, key = _heap(q)
        q[QUEUE_NEAR] = heap.push(time, key, q[QUEUE_NEAR], t, k)
        return
    words, numbers = waiting(q)
    place = q[QUEUE_FREE]
    q[QUEUE_FREE] = words[place + NEXT]
    q[QUEUE_LATER] += 1
    words[place + KEY], numbers[place + TIME] = k, t
    hang(q, words, place, day)


@jit
def give_back(q, words, place):
    """The entry at a place waits no longer."""
    words[place + NEXT] = q[QUEUE_FREE]
    q[QUEUE_FREE] = place
    q[QUEUE_LATER] -= 1


@jit
def hang(q, words, place, day):
    """Put the entry at a place into the list of a day."""
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    at = day & (q[QUEUE_DAYS] - 1)
    words[place + NEXT] = heads[at]
    heads[at] = place


@jit
def begin_day(q):
    """Let days pass until something is in the heap, if anything is left."""
    words, numbers = waiting(q)
    time, key = _heap(q)
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    passed = 0
    while q[QUEUE_NEAR] == 0 and q[QUEUE_LATER] > 0:
        q[QUEUE_DAY] += 1
        if passed > q[QUEUE_DAYS]:
            q[QUEUE_DAY] = _first_day(q)
            q[QUEUE_YEARS] += 1
        passed += 1
        today = q[QUEUE_DAY]
        at = today & (q[QUEUE_DAYS] - 1)
        place = heads[at]
        heads[at] = -1
        while place >= 0:
            following = words[place + NEXT]
            if day_of(q, numbers[place + TIME]) > today:
                hang(q, words, place, at)
            else:
                q[QUEUE_NEAR] = heap.push(time, key, q[QUEUE_NEAR], numbers[place + TIME], words[place + KEY])
                give_back(q, words, place)
            place = following
        q[QUEUE_AHEAD] = heads[(today + 1) & (q[QUEUE_DAYS] - 1)]
        prefetch(words, q[QUEUE_AHEAD])


@jit
def look_ahead(q):
    """The key of one more entry of tomorrow's list, or -1, and ask for the one behind it: when its day begins the list is near."""
    place = q[QUEUE_AHEAD]
    if place < 0:
        return place
    words, _ = waiting(q)
    q[QUEUE_AHEAD] = words[place + NEXT]
    prefetch(words, q[QUEUE_AHEAD])
    return words[place + KEY]


@jit
def _first_day(q):
    """The day of the first entry that waits: there is one, but none within a year."""
    words, numbers = waiting(q)
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    first = math.inf
    for head in heads:
        place = head
        while place >= 0:
            first = min(first, numbers[place + TIME])
            place = words[place + NEXT]
    return day_of(q, first)


@jit
def pop(q):
    """Take the first entry out, which stands first in the heap."""
    time, key = _heap(q)
    q[QUEUE_NEAR] = heap.pop(time, key, q[QUEUE_NEAR])
    q[QUEUE_TAKEN] += 1


@jit
def move(q, out_times, out_keys):
    """Take all entries out, in any order."""
    words, numbers = waiting(q)
    time, key = _heap(q)
    at = q[QUEUE_NEAR]
    for i in range(at):
        out_times[i], out_keys[i] = time[i], key[i]
    for head in view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64):
        place = head
        while place >= 0:
            out_times[at], out_keys[at] = numbers[place + TIME], words[place + KEY]
            at += 1
            place = words[place + NEXT]
    clear(q)


@jit
def clear(q):
    """Let it be empty."""
    words, _ = waiting(q)
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    heads[:] = -1
    for place in range(q[QUEUE_ROOM]):
        words[WAITS * place + NEXT] = WAITS * (place + 1)
    q[QUEUE_FREE] = q[QUEUE_NEAR] = q[QUEUE_LATER] = 0
    q[QUEUE_AHEAD] = -1


@jit
def push_all(q, times, keys):
    """Put entries in, for which there is room."""
    for i in range(times.size):
        push(q, times[i], keys[i])
