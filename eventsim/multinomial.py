"""Exact binomial and multinomial counts from counters: how many of some things fall to each of some places.

Of + - * / sqrt and `eventsim.random.log` only, so that the counts are the same on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.jit import jit
from eventsim.random import draw4, log, uniform53

TOSSES = 512
"""Fair trials up to which heads are counted; each takes a bit."""
FEW = 10.0
"""Expected successes below which the gaps between them are drawn, one by one."""
DEPTH = 64
"""Nested halves of a range of places."""
_EVEN, _PAIRS, _NIBBLES, _BYTES = (
    np.uint64(word) for word in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F, 0x0101010101010101)
)
_ONE, _TWO, _FOUR, _TOP = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
# What Stirling's formula for log k! lacks, k = 0 .. 9.
_LACKS = tuple(math.lgamma(k + 1.0) - (k + 0.5) * math.log(k + 1.0) + (k + 1.0) - 0.5 * math.log(2.0 * math.pi) for k in range(10))


@jit
def _ones(word):
    """How many bits of a uint64 are 1, int64; modifies nothing."""
    word = word - ((word >> _ONE) & _EVEN)
    word = (word & _PAIRS) + ((word >> _TWO) & _PAIRS)
    word = (word + (word >> _FOUR)) & _NIBBLES
    return np.int64((word * _BYTES) >> _TOP)


@jit
def _heads(n, key, node):
    """Heads among n fair tosses, of which every bit of `draw4` is one; modifies nothing."""
    count = 0
    for first in range(0, n, 128):
        r0, r1, r2, r3 = draw4(key, np.uint64(first), node)
        low = (np.uint64(r1) << np.uint64(32)) | np.uint64(r0)
        high = (np.uint64(r3) << np.uint64(32)) | np.uint64(r2)
        left = n - first
        if left <= 64:
            low, high = low >> np.uint64(64 - left), np.uint64(0)
        elif left < 128:
            high = high >> np.uint64(128 - left)
        count += _ones(low) + _ones(high)
    return count


@jit
def _rare(n, p, key, node):
    """Successes among n trials of a small chance p, from the geometric gaps between them; modifies nothing."""
    q = 1.0 - p
    scale = (q - 1.0) / (log(q) * -p)  # 1 / log(1 - p), also where 1 - p is rounded
    count, left, step = 0, float(n), np.uint64(0)
    while True:
        r0, r1, r2, r3 = draw4(key, step, node)
        step += np.uint64(1)
        left -= 1.0 + math.floor(log(1.0 - uniform53(r0, r1)) * scale)
        if left < 0.0:
            return count
        left -= 1.0 + math.floor(log(1.0 - uniform53(r2, r3)) * scale)
        count += 1
        if left < 0.0:
            return count
        count += 1


@jit
def _lacks(k):
    """log k! less Stirling's (k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2; modifies nothing."""
    if k < 10.0:
        return _LACKS[np.int64(k)]
    one = k + 1.0
    square = one * one
    return (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / one


@jit
def _common(n, p, key, node):
    """Successes among n trials of chance p <= 1/2, n p >= 10; modifies nothing.

    Transformed rejection with squeeze: Hoermann (1993), "The generation of binomial random variates", J. Stat. Comput. Simul.
    46:101, algorithm BTRS.
    """
    trials, odds = float(n), p / (1.0 - p)
    deviation = math.sqrt(trials * p * (1.0 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    centre, squeeze, alpha = trials * p + 0.5, 0.92 - 4.2 / b, (2.83 + 5.1 / b) * deviation
    mode = math.floor((trials + 1.0) * p)
    step = np.uint64(0)
    while True:
        r0, r1, r2, r3 = draw4(key, step, node)
        step += np.uint64(1)
        u, v = uniform53(r0, r1) - 0.5, 1.0 - uniform53(r2, r3)
        middle = 0.5 - abs(u)
        k = math.floor((2.0 * a / middle + b) * u + centre)
        if middle >= 0.07 and v <= squeeze:
            return np.int64(k)
        if not 0.0 <= k <= trials:
            continue
        bound = (mode + 0.5) * log((mode + 1.0) / (odds * (trials - mode + 1.0)))
        bound += (trials + 1.0) * log((trials - mode + 1.0) / (trials - k + 1.0))
        bound += (k + 0.5) * log(odds * (trials - k + 1.0) / (k + 1.0))
        bound += _lacks(mode) + _lacks(trials - mode) - _lacks(k) - _lacks(trials - k)
        if log(v * alpha / (a / (middle * middle) + b)) <= bound:
            return np.int64(k)


@jit
def binomial(n, part, whole, key, node):
    """Successes among n trials of chance part / whole, int64, from the counters (0, 1, 2 ..., node); modifies nothing.

    n : 0 .. 2**40; 0 <= part <= whole, whole from 1 to 2**31; node : uint64
    """
    if n == 0 or part == 0:
        return np.int64(0)
    if 2 * part == whole and n <= TOSSES:
        return _heads(n, key, node)
    rare = min(part, whole - part)
    p = rare / whole
    count = np.int64(0)
    if rare > 0:
        count = _rare(n, p, key, node) if n * p < FEW else _common(n, p, key, node)
    return count if rare == part else n - count


@jit
def spread(n, places, key, first, out_offsets):
    """Writes where each place's part of n things begins, and behind the last n, to ``out_offsets[: places + 1]``.

    Each thing falls to one of the places, all equally likely: the counts are multinomial. A range of places is cut where its first
    part is the largest power of two, so that nearly all of the binomial draws are fair; the draw of a cut at place c has the
    counter ``first`` (uint64) + c, of which none is 0.
    """
    begins, sizes, counts = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.int64), np.empty(DEPTH, np.int64)
    begins[0], sizes[0], counts[0] = 0, places, n
    depth, at = 1, 0
    out_offsets[0] = 0
    while depth:
        depth -= 1
        begin, size, count = begins[depth], sizes[depth], counts[depth]
        if count == 0 or size == 1:
            at += count
            for place in range(begin + 1, begin + size + 1):
                out_offsets[place] = at
            continue
        left = np.int64(1)
        while 2 * left < size:
            left *= 2
        mine = binomial(count, left, size, key, first + np.uint64(begin + left))
        begins[depth], sizes[depth], counts[depth] = begin + left, size - left, count - mine
        begins[depth + 1], sizes[depth + 1], counts[depth + 1] = begin, left, mine
        depth += 2
