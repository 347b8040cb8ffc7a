"""Candidates for the queue of the exact engine: entries (time, key) in that order, on arrays, in compiled code.

Each is a `Queue`: ``make(times, keys, neurons, room)`` gives its arrays, ``push(arrays, t, k)`` puts an entry in,
``pop(arrays) -> (t, k)`` takes the first one out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from eventsim.exact import calendar, heap
from eventsim.exact.layout import FIRE, KIND_SHIFT, QUEUE_NEAR
from eventsim.exact.queue import PER_DAY, EventQueue
from eventsim.jit import jit_borrowing as jit

LOW = (1 << KIND_SHIFT) - 1
PER_BUCKET = 3.0  # times the distance of two entries: the width of a bucket (Brown 1988)
NEAR = 1000  # first entries, whose distances count


class Queue(NamedTuple):
    """renews : a neuron has one entry at most: a new one takes the place of that which is there"""

    name: str
    make: Callable[..., tuple[np.ndarray, ...]]
    push: Any
    pop: Any
    renews: bool = False


def make_heap(times: np.ndarray, keys: np.ndarray, neurons: int, room: int) -> tuple[np.ndarray, ...]:
    """Two arrays, sorted at first: that is a heap of any number of children."""
    order = np.lexsort((keys, times))
    time, key = np.zeros(room), np.zeros(room, np.int64)
    time[: len(order)], key[: len(order)] = times[order], keys[order]
    return np.array([len(order)]), time, key


@jit
def push_four(q, t, k):
    """The heap of `eventsim.exact.heap`."""
    count, time, key = q
    count[0] = heap.push(time, key, count[0], t, k)


@jit
def pop_four(q):
    """The heap of `eventsim.exact.heap`."""
    count, time, key = q
    t, k = time[0], key[0]
    count[0] = heap.pop(time, key, count[0])
    return t, k


@jit
def push_two(q, t, k):
    """A binary heap."""
    count, time, key = q
    at = count[0]
    count[0] = at + 1
    while at > 0:
        parent = (at - 1) >> 1
        if time[parent] < t or (time[parent] == t and key[parent] <= k):
            break
        time[at], key[at] = time[parent], key[parent]
        at = parent
    time[at], key[at] = t, k


@jit
def pop_two(q):
    """A binary heap: the hole goes down to a leaf without a comparison to the last entry, which then rises (Floyd)."""
    count, time, key = q
    first = time[0], key[0]
    last = count[0] - 1
    count[0] = last
    at = 0
    while 2 * at + 2 <= last:
        child = 2 * at + 1
        a, b = time[child], time[child + 1]
        child += np.int64(b < a or (b == a and key[child + 1] < key[child]))
        time[at], key[at] = time[child], key[child]
        at = child
    t, k = time[last], key[last]
    while at > 0:
        parent = (at - 1) >> 1
        if time[parent] < t or (time[parent] == t and key[parent] <= k):
            break
        time[at], key[at] = time[parent], key[parent]
        at = parent
    time[at], key[at] = t, k
    return first


def make_indexed(times: np.ndarray, keys: np.ndarray, neurons: int, room: int) -> tuple[np.ndarray, ...]:
    """A heap, and where the entry of each neuron stands in it: -1 if it has none."""
    arrays = make_heap(times, keys, neurons, room)
    place = np.full(neurons, -1, np.int32)
    key = arrays[2][: arrays[0][0]]
    fires = key >> KIND_SHIFT == FIRE
    place[key[fires] & LOW] = np.flatnonzero(fires)
    return *arrays, place


@jit
def _put(time, key, place, at, t, k):
    time[at], key[at] = t, k
    if k >> KIND_SHIFT == FIRE:
        place[k & LOW] = at


@jit
def _rise(time, key, place, at, t, k):
    """Put an entry at ``at`` or above."""
    while at > 0:
        parent = (at - 1) >> 2
        if time[parent] < t or (time[parent] == t and key[parent] <= k):
            break
        _put(time, key, place, at, time[parent], key[parent])
        at = parent
    _put(time, key, place, at, t, k)


@jit
def _sink(time, key, place, count, at, t, k):
    """Put an entry at ``at`` or below, in a heap of ``count``."""
    while 4 * at + 1 < count:
        least = heap._least_child(time, key, 4 * at + 1, count)
        if t < time[least] or (t == time[least] and k <= key[least]):
            break
        _put(time, key, place, at, time[least], key[least])
        at = least
    _put(time, key, place, at, t, k)


@jit
def push_indexed(q, t, k):
    """A heap of four children; the entry of a neuron moves to its new time."""
    count, time, key, place = q
    at = count[0]
    if k >> KIND_SHIFT == FIRE and place[k & LOW] >= 0:
        at = np.int64(place[k & LOW])
        if t > time[at]:
            _sink(time, key, place, count[0], at, t, k)
            return
    else:
        count[0] = at + 1
    _rise(time, key, place, at, t, k)


@jit
def pop_indexed(q):
    """A heap of four children."""
    count, time, key, place = q
    t, k = time[0], key[0]
    if k >> KIND_SHIFT == FIRE:
        place[k & LOW] = -1
    last = count[0] - 1
    count[0] = last
    if last > 0:
        _sink(time, key, place, last, 0, time[last], key[last])
    return t, k


def make_calendar(times: np.ndarray, keys: np.ndarray, neurons: int, room: int) -> tuple[np.ndarray, ...]:
    """Days of one width, twice as many as entries, each a sorted list; years follow each other on the same days.

    Width and number are chosen once, from the entries that are there: the networks of the study do not change.
    """
    order = np.lexsort((keys, times))[:NEAR]
    width = PER_BUCKET * max((times[order[-1]] - times[order[0]]) / len(order), 1e-9)
    days = 1 << max(4, math.ceil(math.log2(2 * len(times))))
    heads = np.full(days, -1, np.int32)
    following = np.arange(1, room + 1, dtype=np.int32)  # of a list of free places, at first
    q = np.zeros(3, np.int64), np.array([width]), heads, following, np.zeros(room), np.zeros(room, np.int64)
    q[0][2] = int(times[order[0]] / width)
    for t, k in zip(times, keys, strict=True):
        push_calendar(q, t, k)
    return q


@jit
def push_calendar(q, t, k):
    """A calendar queue (Brown 1988, Commun. ACM 31:1220). Its numbers: entries, first free place, present day."""
    number, width, heads, following, time, key = q
    place = number[1]
    number[1] = following[place]
    number[0] += 1
    time[place], key[place] = t, k
    day = np.int64(t / width[0])
    number[2] = min(number[2], day)
    day &= heads.size - 1
    at, before = np.int64(heads[day]), np.int64(-1)
    while at >= 0 and (time[at] < t or (time[at] == t and key[at] < k)):
        at, before = np.int64(following[at]), at
    following[place] = at
    if before < 0:
        heads[day] = place
    else:
        following[before] = place


@jit
def pop_calendar(q):
    """A calendar queue. After a year without an entry the first one of all days is looked for."""
    number, width, heads, following, time, key = q
    day, mask = number[2], heads.size - 1
    at = np.int64(heads[day & mask])
    looked = 0
    while at < 0 or np.int64(time[at] / width[0]) > day:
        day, looked = day + 1, looked + 1
        if looked > mask:
            least = -1
            for head in heads:
                if head >= 0 and (least < 0 or time[head] < time[least]):
                    least = head
            day = np.int64(time[least] / width[0])
        at = np.int64(heads[day & mask])
    number[2] = day
    heads[day & mask] = following[at]
    following[at], number[1] = number[1], at
    number[0] -= 1
    return time[at], key[at]


def make_engine(times: np.ndarray, keys: np.ndarray, neurons: int, room: int) -> tuple[np.ndarray, ...]:
    """The engine's own calendar, whose present day is sorted, with days as long as `EventQueue.fit` finds them."""
    made = EventQueue(room)
    made.put(times, keys)
    near = np.sort(times)[:NEAR]
    made.set_days(near[0], len(near) / max(near[-1] - near[0], 1e-9) / PER_DAY)
    return made.words, *made.arrays.values()


@jit
def push_engine(q, t, k):
    """The engine's own queue."""
    calendar.push(q[0], t, k)


@jit
def pop_engine(q):
    """The engine's own queue."""
    words = q[0]
    if words[QUEUE_NEAR] == 0:
        calendar.begin_day(words)
    t, k = calendar.first(words)
    calendar.pop(words)
    calendar.look_ahead(words)
    return t, k


QUEUES = (
    Queue("binary heap", make_heap, push_two, pop_two),
    Queue("heap of four", make_heap, push_four, pop_four),
    Queue("indexed heap", make_indexed, push_indexed, pop_indexed, renews=True),
    Queue("calendar, sorted days", make_calendar, push_calendar, pop_calendar),
    Queue("calendar, today sorted, and a heap", make_engine, push_engine, pop_engine),
)
