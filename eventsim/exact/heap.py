"""The event queue: a heap on two arrays, of times and of keys, in the total order (time, key).

A node has `CHILDREN` children, which stand side by side: fewer levels than in a binary heap, and those of a node are two cache
lines at most. An entry is 16 bytes.
"""

from __future__ import annotations

from eventsim.jit import jit_borrowing as jit

CHILDREN = 4


@jit
def _before(time, key, a, b):
    return time[a] < time[b] or (time[a] == time[b] and key[a] < key[b])


@jit
def push(time, key, count, t, k):
    """Put an entry into a heap of ``count`` (modifies both arrays, which have room for it); returns the new count."""
    at = count
    while at > 0:
        parent = (at - 1) // CHILDREN
        if time[parent] < t or (time[parent] == t and key[parent] <= k):
            break
        time[at], key[at] = time[parent], key[parent]
        at = parent
    time[at], key[at] = t, k
    return count + 1


@jit
def pop(time, key, count):
    """Take the first entry, element 0, out of a heap of ``count`` (modifies both arrays); returns the new count."""
    count -= 1
    t, k = time[count], key[count]
    at = 0
    while True:
        first = CHILDREN * at + 1
        if first >= count:
            break
        least = first
        for child in range(first + 1, min(first + CHILDREN, count)):
            if _before(time, key, child, least):
                least = child
        if t < time[least] or (t == time[least] and k <= key[least]):
            break
        time[at], key[at] = time[least], key[least]
        at = least
    time[at], key[at] = t, k
    return count
