"""The compiled generators of synapses: a rule, or explicit CSR, line by line, each a pure function of a key.

A line is the synapses of one source, of one target (fixed in-degree), or a block of them where a rule knows no rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eventsim.jit import jit
from eventsim.random import bounded, draw4_each, log, uniform53

EXPLICIT, ALL_TO_ALL, ONE_TO_ONE, PROBABILITY, TOTAL_NUMBER, IN_DEGREE, OUT_DEGREE = range(7)
BLOCK = 4096
"""Synapses in one line of the rules that know no rows."""
CHUNK = 256
"""Draws of a line made at a time, in a vectorised loop."""
NO_INDPTR, NO_INDICES = np.zeros(1, np.int64), np.zeros(0, np.int32)
# Unwritable as those of a Connectivity are: to Numba that is another type, and the generators would be compiled twice.
NO_INDPTR.flags.writeable = NO_INDICES.flags.writeable = False


class RuleCode(NamedTuple):
    """A rule, or an explicit CSR structure, as the generators read it."""

    kind: int
    n_source: int
    n_target: int
    k: int
    p: float
    multapses: bool
    no_self: bool
    indptr: np.ndarray
    indices: np.ndarray


def line_count(code: RuleCode) -> int:
    """How many lines make up the projection: sources, targets (fixed in-degree) or blocks of synapses or pairs."""
    if code.kind == IN_DEGREE:
        return code.n_target
    if code.kind == ONE_TO_ONE:
        return -(-code.n_source // BLOCK)
    if code.kind == TOTAL_NUMBER:
        return -(-code.k // BLOCK)
    return code.n_source


def line_capacity(code: RuleCode) -> int:
    """The most synapses that one line can have."""
    if code.kind in (ALL_TO_ALL, PROBABILITY):
        return code.n_target
    if code.kind in (IN_DEGREE, OUT_DEGREE):
        return code.k
    if code.kind == EXPLICIT:
        return int(np.diff(code.indptr).max(initial=0))
    return BLOCK


def line_range(code: RuleCode, target_lo: int, target_hi: int) -> tuple[int, int]:
    """The lines that can hold synapses onto targets ``target_lo .. target_hi - 1``: all of them, but for fixed in-degree."""
    if target_lo >= target_hi:
        return 0, 0
    return (target_lo, target_hi) if code.kind == IN_DEGREE else (0, line_count(code))


def scratch_size(code: RuleCode) -> int:
    """How many bytes of zeroed scratch the generators need: one for each candidate where picks must be distinct."""
    if code.multapses or code.kind not in (IN_DEGREE, OUT_DEGREE):
        return 1
    return code.n_source if code.kind == IN_DEGREE else code.n_target


@jit
def _skip_self(candidate, own, no_self):
    """The neuron behind a candidate when ``own`` is left out of the numbering; modifies nothing."""
    return candidate + 1 if no_self and candidate >= own else candidate


@jit
def _bits(key, line, first, count, steps, out_bits):
    """Writes the bits of a line's draws ``first ...``, four words for each of ``count``, to ``out_bits``; ``steps`` is scratch."""
    for j in range(count):
        steps[j] = first + j
    draw4_each(key, steps, np.uint64(line), count, out_bits)


@jit
def _gaps(key, line, first, count, scale, steps, bits, out_gaps):
    """Writes ``2 * count`` geometric gaps (floats, to be rounded down) to ``out_gaps``: log(u) / log(1 - p)."""
    _bits(key, line, first, count, steps, bits)
    for j in range(count):
        out_gaps[2 * j] = log(1.0 - uniform53(bits[0, j], bits[1, j])) * scale
    for j in range(count):
        out_gaps[2 * j + 1] = log(1.0 - uniform53(bits[2, j], bits[3, j])) * scale


@jit
def _line_pairs(line, n_target, p, no_self, key, steps, bits, gaps, at, out_source, out_target, out_edge):
    """Writes the row of source ``line``, each target with probability p; returns the count."""
    n = n_target - 1 if no_self else n_target
    # Gaps between connected pairs are geometric: one draw a synapse, not one a pair.
    scale = 1.0 / math.log1p(-p) if 0.0 < p < 1.0 else 0.0
    count, candidate, first, ready, used = 0, -1, 0, 0, 0
    while p > 0.0:
        if p < 1.0 and used == ready:
            some = min(CHUNK, 2 + np.int64(0.5 * p * (n - 1 - candidate)))
            _gaps(key, line, first, some, scale, steps, bits, gaps)
            first, ready, used = first + some, 2 * some, 0
        gap = gaps[used] if p < 1.0 else 0.0
        used += 1
        # Compared as a float: for small p the gap may not fit an integer.
        if not gap < n - 1 - candidate:
            break
        candidate += 1 + np.int64(gap)
        target = _skip_self(candidate, line, no_self)
        out_source[at + count] = line
        out_target[at + count] = target
        out_edge[at + count] = line * n_target + target
        count += 1
    return count


@jit
def _line_total(line, n_source, n_target, k, no_self, key, at, out_source, out_target, out_edge):
    """Writes synapses ``line * BLOCK ...`` of the k that a fixed total number has; returns the count."""
    first = line * BLOCK
    count = min(BLOCK, k - first)
    n = n_source - 1 if no_self else n_source
    bits = np.empty((4, BLOCK), np.uint32)
    for j in range(count):
        out_edge[at + j] = first + j
    draw4_each(key, out_edge[at:], np.uint64(0), count, bits)
    for j in range(count):
        target = bounded(bits[0, j], bits[1, j], n_target)
        source = bounded(bits[2, j], bits[3, j], n)
        out_target[at + j] = target
        # Leaving `target` out of the numbering is uniform over the pairs off the diagonal, without a redraw.
        out_source[at + j] = source + (source >= target) * no_self
    return count


@jit
def _pick(line, n, k, key, steps, bits, at, out_other):
    """Writes k candidates from 0 .. n-1, drawn with replacement, to ``out_other[at:]``."""
    for first in range(0, k, 2 * CHUNK):
        some = min(2 * CHUNK, k - first)
        _bits(key, line, first // 2, (some + 1) // 2, steps, bits)
        for j in range(some):
            half = 2 * (j & 1)
            out_other[at + first + j] = bounded(bits[half, j >> 1], bits[half + 1, j >> 1], n)


@jit
def _pick_distinct(line, n, k, key, scratch, steps, bits, at, out_other):
    """Writes k different candidates from 0 .. n-1 to ``out_other[at:]``; ``scratch`` is all zero before and after."""
    # Of more than half, those left out are drawn: a redraw is then needed at most every other time.
    picks = n - k if 2 * k > n else k
    count, first, ready, used = 0, 0, 0, 0
    while count < picks:
        if used == ready:
            some = min(CHUNK, (picks - count + 1) // 2)
            _bits(key, line, first, some, steps, bits)
            first, ready, used = first + some, 2 * some, 0
        half = 2 * (used & 1)
        candidate = bounded(bits[half, used >> 1], bits[half + 1, used >> 1], n)
        used += 1
        if scratch[candidate] == 0:
            scratch[candidate] = 1
            out_other[at + count] = candidate
            count += 1
    if picks == k:
        for j in range(k):
            scratch[out_other[at + j]] = 0
        return
    count = 0
    for candidate in range(n):
        if scratch[candidate] == 0:
            out_other[at + count] = candidate
            count += 1
        scratch[candidate] = 0


@jit
def _line_degree(line, n_other, k, multapses, no_self, key, scratch, steps, bits, at, out_line, out_other, out_edge):
    """Writes the k synapses of neuron ``line`` to ``out_line``, ``out_other`` (the other side) and ``out_edge``; returns k."""
    n = n_other - 1 if no_self else n_other
    if multapses:
        _pick(line, n, k, key, steps, bits, at, out_other)
    else:
        _pick_distinct(line, n, k, key, scratch, steps, bits, at, out_other)
    for j in range(k):
        out_line[at + j] = line
        out_other[at + j] = _skip_self(out_other[at + j], line, no_self)
        out_edge[at + j] = line * k + j
    return k


@jit
def _line_one(line, n_source, at, out_source, out_target, out_edge):
    """Writes pairs ``line * BLOCK ...`` of a one-to-one projection; returns the count."""
    first = line * BLOCK
    count = min(BLOCK, n_source - first)
    for j in range(count):
        out_source[at + j] = first + j
        out_target[at + j] = first + j
        out_edge[at + j] = first + j
    return count


@jit
def _line_explicit(line, indptr, indices, at, out_source, out_target, out_edge):
    """Writes row ``line`` of a checked CSR structure; returns the count."""
    first = indptr[line]
    count = indptr[line + 1] - first
    for j in range(count):
        out_source[at + j] = line
        out_target[at + j] = indices[first + j]
        out_edge[at + j] = first + j
    return count


@jit
def generate_line(
    kind,
    n_source,
    n_target,
    k,
    p,
    multapses,
    no_self,
    indptr,
    indices,
    line,
    key,
    scratch,
    steps,
    bits,
    gaps,
    at,
    out_source,
    out_target,
    out_edge,
):
    """Writes one line's synapses from ``at`` on to ``out_source``, ``out_target`` (int32) and ``out_edge`` (int64).

    Returns the count. ``out_edge`` numbers the synapses of the projection: it is what their weights and delays are drawn from, and
    ascends within every source. The first nine arguments are a RuleCode; `line_capacity` elements from ``at`` on must be there. An
    offset and not slices: those cost ten times as much as the synapses of a short line.
    """
    if kind == TOTAL_NUMBER:
        return _line_total(line, n_source, n_target, k, no_self, key, at, out_source, out_target, out_edge)
    if kind == IN_DEGREE or kind == OUT_DEGREE:
        into = kind == IN_DEGREE
        n, out_line, out_other = (n_source, out_target, out_source) if into else (n_target, out_source, out_target)
        return _line_degree(line, n, k, multapses, no_self, key, scratch, steps, bits, at, out_line, out_other, out_edge)
    if kind == ONE_TO_ONE:
        return _line_one(line, n_source, at, out_source, out_target, out_edge)
    if kind == EXPLICIT:
        return _line_explicit(line, indptr, indices, at, out_source, out_target, out_edge)
    return _line_pairs(line, n_target, p, no_self, key, steps, bits, gaps, at, out_source, out_target, out_edge)


@jit
def generate_lines(
    kind,
    n_source,
    n_target,
    k,
    p,
    multapses,
    no_self,
    indptr,
    indices,
    first,
    last,
    key,
    scratch,
    capacity,
    out_source,
    out_target,
    out_edge,
):
    """Writes whole lines ``first, first + 1, ...`` below ``last`` while `capacity` more fit; returns (synapses, next line).

    ``scratch``, uint8 (`scratch_size`), is zero before and after.
    """
    steps, bits, gaps = np.empty(CHUNK, np.int64), np.empty((4, CHUNK), np.uint32), np.empty(2 * CHUNK)
    count, line = 0, first
    while line < last and count + capacity <= len(out_edge):
        count += generate_line(
            kind,
            n_source,
            n_target,
            k,
            p,
            multapses,
            no_self,
            indptr,
            indices,
            line,
            key,
            scratch,
            steps,
            bits,
            gaps,
            count,
            out_source,
            out_target,
            out_edge,
        )
        line += 1
    return count, line
