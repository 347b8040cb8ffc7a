"""The row of one source, made without any other: what connectivity that is not stored is made by, whenever a source fires.

The same synapses with the same numbers, in the order of these, as `eventsim.generate` makes line by line.
"""

from __future__ import annotations

import numpy as np

from eventsim.generate import (
    ALL_TO_ALL,
    CHUNK,
    IN_SLOTS,
    ONE_TO_ONE,
    OUT_DEGREE,
    PROBABILITY,
    RuleCode,
    block_begin,
    block_pairs,
    blocks_of,
    draw_block,
    pick,
    slots_from,
)
from eventsim.jit import jit, jit_borrowing
from eventsim.permutation import KEYS

HAVE_ROWS = (ALL_TO_ALL, ONE_TO_ONE, PROBABILITY, OUT_DEGREE, IN_SLOTS)
"""Kinds of rule of which the row of a source can be made; where there is a choice, with multapses."""


def has_rows(code: RuleCode) -> bool:
    """Whether `generate_row` can make the rows of a rule."""
    return code.kind in HAVE_ROWS and (code.multapses or code.kind != OUT_DEGREE)


def tables_of(code: RuleCode, lo: int, hi: int, key: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """What has to be kept to make rows onto targets lo .. hi-1, uint32: of a fixed in-degree for each block of targets the keys of
    its permutation (blocks, KEYS), and where the synapses of each source begin (blocks, n_source + 1); else nothing."""
    blocks = blocks_of(code, lo, hi) if code.kind == IN_SLOTS else range(0)
    keys, offsets = np.empty((len(blocks), KEYS), np.uint32), np.empty((len(blocks), code.n_source + 1), np.uint32)
    for at, block in enumerate(blocks):
        draw_block(block, code.n_source, code.n_target, code.k, code.blocks, code.no_self, key, keys[at], offsets[at])
    return keys, offsets


def table_bytes(code: RuleCode, lo: int, hi: int) -> int:
    """The bytes of `tables_of`."""
    return 4 * len(blocks_of(code, lo, hi)) * (KEYS + code.n_source + 1) if code.kind == IN_SLOTS else 0


def expected_capacity(code: RuleCode, lo: int, hi: int) -> float:
    """About `row_capacity`, before there are any tables: that of the longest row is a few standard deviations above the mean."""
    if code.kind != IN_SLOTS:
        return row_capacity(code, lo, hi, np.empty((0, 0), np.uint32))
    blocks = blocks_of(code, lo, hi)
    targets = block_begin(blocks.stop, code.n_target, code.blocks) - block_begin(blocks.start, code.n_target, code.blocks)
    mean = 2.0 * targets * code.k / code.n_source
    return float(min(targets * code.k, mean + np.sqrt(2.0 * mean * np.log(2.0 + code.n_source))))


def row_capacity(code: RuleCode, lo: int, hi: int, offsets: np.ndarray) -> int:
    """How many synapses `generate_row` needs room for; offsets : of `tables_of`."""
    if code.kind in (ALL_TO_ALL, PROBABILITY):
        return min(code.n_target, len(blocks_of(code, lo, hi)) << code.shift)
    if code.kind == IN_SLOTS:
        return _longest(offsets)
    return code.k if code.kind == OUT_DEGREE else 1


@jit
def _longest(offsets):
    """The most synapses that two candidates in a row have together, over all blocks."""
    longest = 0
    for c in range(1, offsets.shape[1]):
        count = 0
        for block in range(offsets.shape[0]):
            count += np.int64(offsets[block, c]) - np.int64(offsets[block, max(0, c - 2)])
        longest = max(longest, count)
    return longest


@jit_borrowing
def _within(lo, hi, first, end, out_target, out_edge):
    """Moves the synapses first .. end - 1 onto targets lo .. hi-1 to the front of them, in order; returns where they end."""
    kept = first
    for j in range(first, end):
        out_target[kept], out_edge[kept] = out_target[j], out_edge[j]
        kept += np.int64((out_target[j] >= lo) & (out_target[j] < hi))
    return kept


@jit_borrowing
def row_slots(
    source, block, lo, hi, n_source, n_target, k, blocks, no_self, keys, offsets, scratch, places, at, out_target, out_edge
):
    """Writes the synapses of a source onto those of targets lo .. hi-1 that lie in a block of a fixed in-degree; returns where they
    end.

    keys, offsets : of the block (`eventsim.generate.draw_block`); scratch, places : uint64 (CHUNK,)
    """
    begin, end = block_begin(block, n_target, blocks), block_begin(block + 1, n_target, blocks)
    for candidate in range(max(0, source - 1) if no_self else source, source + 1):
        least, most = max(lo, begin), min(hi, end)
        if no_self and candidate == source:
            least = max(least, source + 1)
        elif no_self:
            most = min(most, source)
        if least >= most:
            continue
        first = np.int64(offsets[candidate])
        count = np.int64(offsets[candidate + 1]) - first
        slots_from(block, first, count, n_target, k, blocks, keys, scratch, places, at, out_target, out_edge)
        whole = least == begin and most == end
        at = at + count if whole else _within(least, most, at, at + count, out_target, out_edge)
    return at


@jit_borrowing
def generate_row(
    kind,
    n_source,
    n_target,
    k,
    p,
    scale,
    blocks,
    shift,
    no_self,
    source,
    lo,
    hi,
    key,
    first_block,
    last_block,
    keys,
    offsets,
    steps,
    bits,
    gaps,
    scratch,
    places,
    at,
    out_target,
    out_edge,
):
    """Writes the synapses of a source onto targets lo .. hi-1 from ``at`` on, `row_capacity` of them at most; where they end.

    first_block, last_block : of `blocks_of`; keys, offsets : `tables_of`, flat
    steps, bits, gaps, scratch, places : int64 (CHUNK,), uint32 (4, CHUNK), float64 (2 * CHUNK,), and uint64 (CHUNK,) twice
    """
    if kind == IN_SLOTS:
        row = n_source + 1
        for block in range(first_block, last_block + 1):
            b = block - first_block
            mine = keys[b * KEYS : (b + 1) * KEYS], offsets[b * row : (b + 1) * row]
            args = lo, hi, n_source, n_target, k, blocks, no_self
            at = row_slots(source, block, *args, *mine, scratch, places, at, out_target, out_edge)
        return at
    if kind == ONE_TO_ONE:
        if lo <= source < hi:
            out_target[at], out_edge[at] = source, source
            at += 1
        return at
    if kind == OUT_DEGREE:
        pick(source, n_target - no_self, k, key, steps, bits, at, out_target)
        for j in range(k):
            out_target[at + j] += no_self and out_target[at + j] >= source
            out_edge[at + j] = source * k + j
        return _within(lo, hi, at, at + k, out_target, out_edge)
    for block in range(first_block, last_block + 1):
        args = n_target, p, scale, blocks, shift, no_self, key, steps, bits, gaps
        end = at + block_pairs(source, block, *args, at, out_target, out_edge)
        inside = lo <= block << shift and min(n_target, (block + 1) << shift) <= hi
        at = end if inside else _within(lo, hi, at, end, out_target, out_edge)
    return at


def new_scratch() -> tuple[np.ndarray, ...]:
    """The scratch of `generate_row`: steps, bits, gaps, scratch, places."""
    words = np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint64)
    return np.empty(CHUNK, np.int64), np.empty((4, CHUNK), np.uint32), np.empty(2 * CHUNK), *words
