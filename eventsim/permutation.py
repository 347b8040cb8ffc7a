"""A keyed random order of 0 .. n-1 of which every element can be computed alone: a Feistel network on a rectangle.

Numbers are places (row, column) of a rectangle of about as many rows as columns, hardly larger than n. A round moves the row by
a random function of the column, modulo the rows, or the column by one of the row: whatever the functions are, that can be undone,
and so it is a permutation. Who is moved to a place beyond n goes on until he is inside (cycle walking).

Black and Rogaway (2002), "Ciphers with arbitrary finite domains", CT-RSA.
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.jit import jit, jit_borrowing
from eventsim.random import draw4

ROUNDS = 6
SMALL, PASSES = 4096, 3
"""Up to so many numbers all rounds are made so often, with other keys: random functions of a few values have little to choose."""
KEYS = ROUNDS * PASSES
_FIRST, _SECOND, _HALF = np.uint64(0x7FEB352D), np.uint64(0x846CA68B), np.uint64(15)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@jit
def rectangle(n):
    """(rows, columns) of the least rectangle with as many rows as the root of n, rounded up; n from 1 to 2**31 - 1."""
    rows = np.int64(math.sqrt(float(n)))
    while rows * rows < n:
        rows += 1
    return rows, (n + rows - 1) // rows


@jit
def write_keys(key, node, out_keys):
    """Writes the keys of all rounds of one permutation to ``out_keys``, uint32 (KEYS,), from the counters (0, 1 ..., node)."""
    for first in range(0, KEYS, 4):
        words = draw4(key, np.uint64(first), node)
        for j in range(min(4, KEYS - first)):
            out_keys[first + j] = words[j]


@jit
def _random(x, key, n):
    """A number below n, uint64, that is a random function of x; modifies nothing."""
    h = ((x ^ key) * _FIRST) & _LOW
    h = ((h ^ (h >> _HALF)) * _SECOND) & _LOW
    return (h * n) >> _32


@jit
def _moved(x, by, n):
    """x + by modulo n, of numbers below n, uint64; modifies nothing."""
    x = x + by
    return x - n if x >= n else x


@jit
def _turn(row, column, rows, columns, keys, at):
    """(row, column) after `ROUNDS` rounds with the keys from ``at`` on, all uint64; modifies nothing."""
    for r in range(at, at + ROUNDS, 2):
        row = _moved(row, _random(column, np.uint64(keys[r]), rows), rows)
        column = _moved(column, _random(row, np.uint64(keys[r + 1]), columns), columns)
    return row, column


@jit
def permuted(i, n, rows, columns, keys):
    """The place of i among 0 .. n-1, int64; modifies nothing. rows, columns : `rectangle` of n; keys : of `write_keys`"""
    wide, high = np.uint64(columns), np.uint64(rows)
    place = np.uint64(i)
    while True:
        row, column = place // wide, place % wide
        for p in range(PASSES if n <= SMALL else 1):
            row, column = _turn(row, column, high, wide, keys, p * ROUNDS)
        place = row * wide + column
        if place < np.uint64(n):
            return np.int64(place)


@jit_borrowing
def permuted_each(first, count, n, rows, columns, keys, scratch, out_places):
    """Writes `permuted` of first .. first + count - 1 to ``out_places[:count]``, uint64; scratch : uint64 (at least count,)"""
    wide, high = np.uint64(columns), np.uint64(rows)
    row, column, j = np.uint64(first // columns), np.uint64(first % columns), 0
    while j < count:  # a stretch of one row, or all that is left
        some = min(count - j, np.int64(wide - column))
        for i in range(some):
            out_places[j + i] = row
            scratch[j + i] = column + np.uint64(i)
        row, column, j = row + np.uint64(1), np.uint64(0), j + some
    for p in range(PASSES if n <= SMALL else 1):
        k0, k1, k2 = np.uint64(keys[p * ROUNDS]), np.uint64(keys[p * ROUNDS + 1]), np.uint64(keys[p * ROUNDS + 2])
        k3, k4, k5 = np.uint64(keys[p * ROUNDS + 3]), np.uint64(keys[p * ROUNDS + 4]), np.uint64(keys[p * ROUNDS + 5])
        for i in range(count):
            a, b = out_places[i], scratch[i]
            a = _moved(a, _random(b, k0, high), high)
            b = _moved(b, _random(a, k1, wide), wide)
            a = _moved(a, _random(b, k2, high), high)
            b = _moved(b, _random(a, k3, wide), wide)
            a = _moved(a, _random(b, k4, high), high)
            b = _moved(b, _random(a, k5, wide), wide)
            out_places[i], scratch[i] = a, b
    outside = 0
    for i in range(count):
        place = out_places[i] * wide + scratch[i]
        out_places[i] = place
        outside += np.int64(place >= np.uint64(n))
    if outside:
        for i in range(count):
            if out_places[i] >= np.uint64(n):
                out_places[i] = permuted(np.int64(out_places[i]), n, rows, columns, keys)
