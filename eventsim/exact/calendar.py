"""The event queue: a calendar of days without order; the present one is sorted, with a heap for what comes while it lasts.

Entries are taken out in the total order (time, key). What is due later than today stands in the chunks of its day, as it came: to
wait costs a few stores. When nothing is due any more the next day begins: its entries are sorted (`eventsim.exact.sorting`), and
are taken one after the other. What comes for the same day, or was due before, goes into a heap (`eventsim.exact.heap`). A year has
so many days; the chunks of a day also hold what is due in later years, which is put back. Memory is asked for chunks, not entries:
lists of single entries cost a miss of the caches for each.

After Brown (1988), Commun. ACM 31:1220, whose days are sorted lists and who has no heap. While ``per_ms`` is 0 everything is due
today: the queue is a heap.

The two arrays of what is due today hold the sorted entries, then the heap: there is room for both, as there is for all entries,
once the places of those that were taken are used again.

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
    QUEUE_AHEAD_AT,
    QUEUE_DAY,
    QUEUE_DAYS,
    QUEUE_FREE,
    QUEUE_HEADS,
    QUEUE_KEY,
    QUEUE_LATER,
    QUEUE_NEAR,
    QUEUE_PER_MS,
    QUEUE_ROOM,
    QUEUE_RUN,
    QUEUE_RUN_END,
    QUEUE_SIZE,
    QUEUE_TAKEN,
    QUEUE_TIME,
    QUEUE_WAITING,
    QUEUE_YEARS,
)
from eventsim.exact.sorting import sort_entries
from eventsim.jit import jit_borrowing as jit

HELD = 7  # entries of a chunk
# Words of a chunk, two cache lines: the chunk that follows, or -1; entries in it; the time and key of each
NEXT, COUNT, TIME, KEY, CHUNK = 0, 1, 2, 3, 2 + 2 * HELD
LINE = 8  # words of a cache line
FARTHEST = 2.0**62  # the last day


@jit
def _near(q, begin):
    """The times and keys of what is due today, from this place on."""
    time, key, room = q[QUEUE_TIME] + 8 * begin, q[QUEUE_KEY] + 8 * begin, q[QUEUE_ROOM] - begin
    return view(time, room, types.float64), view(key, room, types.int64)


@jit
def _in_heap(q):
    """How many entries stand in the heap."""
    return q[QUEUE_NEAR] - (q[QUEUE_RUN_END] - q[QUEUE_RUN])


@jit
def _heap_first(q):
    """Whether the first of the entries that are due today, of which there are some, stands in the heap."""
    at, end = q[QUEUE_RUN], q[QUEUE_RUN_END]
    if at == end or q[QUEUE_NEAR] == end - at:
        return at == end
    time, key = _near(q, 0)
    return time[end] < time[at] or (time[end] == time[at] and key[end] < key[at])


@jit
def first(q):
    """The time and key of the first entry: something is due today."""
    time, key = _near(q, 0)
    at = q[QUEUE_RUN_END] if _heap_first(q) else q[QUEUE_RUN]
    return time[at], key[at]


@jit
def chunks_for(room, days):
    """Chunks for so many entries on so many days, each of which has one that is not full, and for two that are being emptied."""
    return room // HELD + days + 2


@jit
def waiting(q):
    """The chunks, as words and as numbers."""
    size = CHUNK * chunks_for(q[QUEUE_ROOM], q[QUEUE_DAYS])
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
        if q[QUEUE_RUN] + q[QUEUE_NEAR] >= q[QUEUE_ROOM]:
            _close_up(q)
        time, key = _near(q, q[QUEUE_RUN_END])
        heap.push(time, key, _in_heap(q), t, k)
        q[QUEUE_NEAR] += 1
        return
    hang(q, day, t, k)


@jit
def _close_up(q):
    """Move what is due today to the front of the arrays, over the sorted entries that were taken."""
    time, key = _near(q, 0)
    taken = q[QUEUE_RUN]
    for i in range(q[QUEUE_NEAR]):
        time[i], key[i] = time[taken + i], key[taken + i]
    q[QUEUE_RUN], q[QUEUE_RUN_END] = 0, q[QUEUE_RUN_END] - taken


@jit
def give_back(q, words, chunk):
    """A chunk is empty."""
    words[chunk + NEXT] = q[QUEUE_FREE]
    q[QUEUE_FREE] = chunk


@jit
def hang(q, day, t, k):
    """Let an entry wait for a day."""
    words, numbers = waiting(q)
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    at = day & (q[QUEUE_DAYS] - 1)
    chunk = heads[at]
    if chunk < 0 or words[chunk + COUNT] == HELD:
        fresh = q[QUEUE_FREE]
        q[QUEUE_FREE] = words[fresh + NEXT]
        words[fresh + NEXT], words[fresh + COUNT] = chunk, 0
        heads[at] = chunk = fresh
    place = chunk + 2 * words[chunk + COUNT]
    numbers[place + TIME], words[place + KEY] = t, k
    words[chunk + COUNT] += 1
    q[QUEUE_LATER] += 1


@jit
def _turned(words, chunk):
    """Turn the chunks of a day, of which this one was hung last, and return the first one: what has come in order is so then."""
    before = np.int64(-1)
    while chunk >= 0:
        following = words[chunk + NEXT]
        words[chunk + NEXT] = before
        before, chunk = chunk, following
    return before


@jit
def begin_day(q):
    """Nothing is due any more: let days pass until something is, if anything is left."""
    words, numbers = waiting(q)
    time, key = _near(q, 0)
    q[QUEUE_RUN], q[QUEUE_RUN_END] = 0, 0
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
        chunk = _turned(words, heads[at])
        heads[at] = -1
        while chunk >= 0:
            for place in range(chunk, chunk + 2 * words[chunk + COUNT], 2):
                t, k = numbers[place + TIME], words[place + KEY]
                q[QUEUE_LATER] -= 1
                if day_of(q, t) > today:
                    hang(q, today, t, k)
                else:
                    time[q[QUEUE_NEAR]], key[q[QUEUE_NEAR]] = t, k
                    q[QUEUE_NEAR] += 1
            following = words[chunk + NEXT]
            give_back(q, words, chunk)
            chunk = following
        _sort_near(q)
        _look_at(q, words, heads[(today + 1) & (q[QUEUE_DAYS] - 1)])


@jit
def _sort_near(q):
    """Put what is due today into order; into a heap where there is no room to sort it."""
    count = q[QUEUE_NEAR]
    time, key = _near(q, 0)
    if 2 * count <= q[QUEUE_ROOM]:
        other_time, other_key = _near(q, count)
        _, counts = _near(q, 2 * count)
        sort_entries(time, key, count, other_time, other_key, counts)
        q[QUEUE_RUN_END] = count
        return
    for i in range(count):
        heap.push(time, key, i, time[i], key[i])


@jit
def _look_at(q, words, chunk):
    """Let this chunk, or none, be what `look_ahead` takes from, and ask for it."""
    q[QUEUE_AHEAD], q[QUEUE_AHEAD_AT] = chunk, 0
    if chunk >= 0:
        for line in range(chunk, chunk + CHUNK, LINE):
            prefetch(words, line)


@jit
def look_ahead(q):
    """The key of one more of tomorrow's entries, or -1: when its day begins they are near."""
    chunk = q[QUEUE_AHEAD]
    if chunk < 0:
        return chunk
    words, _ = waiting(q)
    key = words[chunk + 2 * q[QUEUE_AHEAD_AT] + KEY]
    q[QUEUE_AHEAD_AT] += 1
    if q[QUEUE_AHEAD_AT] >= words[chunk + COUNT]:
        _look_at(q, words, words[chunk + NEXT])
    return key


@jit
def _first_day(q):
    """The day of the first entry that waits: there is one, but none within a year."""
    words, numbers = waiting(q)
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    first = math.inf
    for head in heads:
        chunk = head
        while chunk >= 0:
            for place in range(chunk, chunk + 2 * words[chunk + COUNT], 2):
                first = min(first, numbers[place + TIME])
            chunk = words[chunk + NEXT]
    return day_of(q, first)


@jit
def pop(q):
    """Take the first entry out: something is due today."""
    if _heap_first(q):
        time, key = _near(q, q[QUEUE_RUN_END])
        heap.pop(time, key, _in_heap(q))
    else:
        q[QUEUE_RUN] += 1
    q[QUEUE_NEAR] -= 1
    q[QUEUE_TAKEN] += 1


@jit
def sorted_run(q):
    """The times and keys of the first entries, in order, and how many: what is sorted, if nothing stands in the heap."""
    time, key = _near(q, q[QUEUE_RUN])
    return time, key, q[QUEUE_NEAR] if _in_heap(q) == 0 else 0


@jit
def take_run(q, many):
    """As `pop`, so many of the sorted ones."""
    q[QUEUE_RUN] += many
    q[QUEUE_NEAR] -= many
    q[QUEUE_TAKEN] += many


@jit
def replace(q, t, k):
    """As `pop`, and put an entry in instead, but none for t = inf."""
    if t < math.inf and _heap_first(q) and day_of(q, t) <= q[QUEUE_DAY]:
        time, key = _near(q, q[QUEUE_RUN_END])
        heap.replace_first(time, key, _in_heap(q), t, k)
        return
    pop(q)
    if t < math.inf:
        push(q, t, k)


@jit
def copy(q, out_times, out_keys):
    """Write all entries, in any order, to the last two; they stay."""
    words, numbers = waiting(q)
    time, key = _near(q, q[QUEUE_RUN])
    at = q[QUEUE_NEAR]
    for i in range(at):
        out_times[i], out_keys[i] = time[i], key[i]
    for head in view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64):
        chunk = head
        while chunk >= 0:
            for place in range(chunk, chunk + 2 * words[chunk + COUNT], 2):
                out_times[at], out_keys[at] = numbers[place + TIME], words[place + KEY]
                at += 1
            chunk = words[chunk + NEXT]


@jit
def move(q, out_times, out_keys):
    """Take all entries out, in any order."""
    copy(q, out_times, out_keys)
    clear(q)


@jit
def clear(q):
    """Let it be empty."""
    words, _ = waiting(q)
    heads = view(q[QUEUE_HEADS], q[QUEUE_DAYS], types.int64)
    heads[:] = -1
    for chunk in range(0, CHUNK * chunks_for(q[QUEUE_ROOM], q[QUEUE_DAYS]), CHUNK):
        words[chunk + NEXT] = chunk + CHUNK
    q[QUEUE_FREE] = q[QUEUE_NEAR] = q[QUEUE_LATER] = q[QUEUE_RUN] = q[QUEUE_RUN_END] = 0
    q[QUEUE_AHEAD] = -1


@jit
def push_all(q, times, keys):
    """Put entries in, for which there is room."""
    for i in range(times.size):
        push(q, times[i], keys[i])
