"""Putting entries into the order of (time, key): quick where they are in order already, or times are spread evenly.

Spikes of a window come neuron by neuron, but their arrivals come in the order in which they were sent, for each delay: then sorting
is a look at each. Whatever comes, it takes n log n steps.
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.jit import jit_borrowing as jit

FEW = 16  # entries that are put into order by insertion


@jit
def _insert(time, key, begin, end):
    """Sort the entries begin .. end - 1."""
    for i in range(begin + 1, end):
        t, k, at = time[i], key[i], i
        while at > begin and (time[at - 1] > t or (time[at - 1] == t and key[at - 1] > k)):
            time[at], key[at] = time[at - 1], key[at - 1]
            at -= 1
        time[at], key[at] = t, k


@jit
def _merge(time, key, left, middle, right, out_time, out_key):
    """Merge the runs left .. middle - 1 and middle .. right - 1: no processor foresees from which the next one comes."""
    a, b = left, middle
    for i in range(left, right):
        if a == middle or b == right:
            for rest in range(i, right):
                at = a + (rest - i) if b == right else b + (rest - i)
                out_time[rest], out_key[rest] = time[at], key[at]
            return
        ta, tb = time[a], time[b]
        second = np.int64(tb < ta)
        if ta == tb:
            second = np.int64(key[b] < key[a])
        at = a + second * (b - a)
        out_time[i], out_key[i] = time[at], key[at]
        a, b = a + 1 - second, b + second


@jit
def _spread(time, key, count, other_time, other_key, counts):
    """Put entries nearly into order: each in that one of as many equal stretches of time, from the first entry to the last, into
    which it falls; whether that was done: not where many fall into one."""
    first, last = math.inf, -math.inf
    for i in range(count):
        first, last, counts[i] = min(first, time[i]), max(last, time[i]), 0
    scale = (count - 1) / (last - first) if last > first else 0.0
    if not 0.0 < scale < math.inf:
        return False
    for i in range(count):
        other_time[i], other_key[i] = time[i], key[i]
        counts[np.uint64((time[i] - first) * scale)] += 1
    before, most = 0, 0
    for i in range(count):
        here = counts[i]
        before, most, counts[i] = before + here, max(most, here), before
    if most > FEW:
        return False
    for i in range(count):
        at = np.uint64((other_time[i] - first) * scale)
        place = counts[at]
        counts[at] = place + 1
        time[place], key[place] = other_time[i], other_key[i]
    return True


@jit
def sort_entries(time, key, count, other_time, other_key, counts):
    """Sort the first entries of two arrays of times and keys (modifies both, two others of as many, and an int64 one).

    What has no order is spread over stretches of time first, and then put into order by insertion. Where times come in crowds, for
    which that would take long, and where ``counts`` is shorter than the others, runs are merged.
    """
    ordered = True
    for i in range(1, count):
        ordered = ordered and (time[i - 1] < time[i] or (time[i - 1] == time[i] and key[i - 1] <= key[i]))
    if ordered:
        return
    if FEW < count <= counts.size and _spread(time, key, count, other_time, other_key, counts):
        _insert(time, key, 0, count)
        return
    for begin in range(0, count, FEW):
        _insert(time, key, begin, min(begin + FEW, count))
    width, here = FEW, True
    while width < count:
        for left in range(0, count, 2 * width):
            middle, right = min(left + width, count), min(left + 2 * width, count)
            if here:
                _merge(time, key, left, middle, right, other_time, other_key)
            else:
                _merge(other_time, other_key, left, middle, right, time, key)
        width, here = 2 * width, not here
    if not here:
        for i in range(count):
            time[i], key[i] = other_time[i], other_key[i]
