"""The event queue: a heap on two arrays, of times and of keys, in the total order (time, key).

A node has `CHILDREN` children, which stand side by side: fewer levels than in a binary heap, and those of a node are two cache
lines at most. An entry is 16 bytes.
"""

from __future__ import annotations

import numpy as np

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
def _least_child(time, key, first, count):
    """The least of the children that begin at ``first``, which is below ``count``."""
    if first + CHILDREN > count:
        least = first
        for child in range(first + 1, count):
            if _before(time, key, child, least):
                least = child
        return least
    # No processor foresees which of four is the least: times are compared without a branch, and keys in ties only.
    t0, t1, t2, t3 = time[first], time[first + 1], time[first + 2], time[first + 3]
    low, high = min(t0, t1), min(t2, t3)
    best = min(low, high)
    ties = np.int64(t0 == best) + np.int64(t1 == best) + np.int64(t2 == best) + np.int64(t3 == best)
    if ties == 1:
        return first + np.int64(t1 == best) + 2 * np.int64(t2 == best) + 3 * np.int64(t3 == best)
    least = first
    for child in range(first + 1, first + CHILDREN):
        if _before(time, key, child, least):
            least = child
    return least


@jit
def replace_first(time, key, count, t, k):
    """Put an entry into a heap of ``count`` in the place of the first one (modifies both arrays); nothing if count is 0."""
    at = 0
    while CHILDREN * at + 1 < count:
        least = _least_child(time, key, CHILDREN * at + 1, count)
        if t < time[least] or (t == time[least] and k <= key[least]):
            break
        time[at], key[at] = time[least], key[least]
        at = least
    if count > 0:
        time[at], key[at] = t, k


@jit
def pop(time, key, count):
    """Take the first entry, element 0, out of a heap of ``count`` (modifies both arrays); returns the new count."""
    replace_first(time, key, count - 1, time[count - 1], key[count - 1])
    return count - 1
