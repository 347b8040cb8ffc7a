"""The compiled generators of synapses: a rule, or explicit CSR, line by line, each a pure function of a key.

A line is a part of the synapses that can be made alone: of one source and a block of targets (all to all, fixed probability), of
one source, of one target (fixed in-degree without multapses), or a block of so many where a rule knows no rows. The row of one
source can be made alone, too, where the rule has rows (`eventsim.one_row`).

Fixed in-degree with multapses is an invertible function from slots (target, one of its k synapses) to sources. Targets are cut
into blocks. In a block of n slots it is drawn how many of them fall on each source (`eventsim.multinomial`): synapses
``offsets[s] .. offsets[s + 1] - 1`` of the block are those of source s. Synapse i has slot P(i), with P a random order of the n
slots (`eventsim.permutation`): so all slots together have independent sources, and a row is made without the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eventsim.jit import jit, jit_borrowing
from eventsim.multinomial import spread
from eventsim.permutation import KEYS, permuted_each, rectangle, write_keys
from eventsim.random import bounded, draw4_each, log, uniform53

EXPLICIT, ALL_TO_ALL, ONE_TO_ONE, PROBABILITY, TOTAL_NUMBER, IN_DEGREE, OUT_DEGREE, IN_SLOTS = range(8)
"""Kinds of rule. IN_SLOTS : fixed in-degree with multapses; IN_DEGREE : without"""
BLOCK = 4096
"""Synapses in one line of the rules that know no rows."""
LEAST_OF_LINE, ALL_OF_LINE = 64, 1024
"""Synapses that are expected at least in a line of one source and a block of targets; and in one where all are connected."""
OF_ROW, MOST_BLOCKS, MOST_SLOTS = 64, 32, 2**29
"""Blocks of targets of a fixed in-degree: so many synapses of a source in each, blocks at the most, but no more slots in one."""
CHUNK = 256
"""Draws of a line made at a time, in a vectorised loop."""
NO_INDPTR, NO_INDICES = np.zeros(1, np.int64), np.zeros(0, np.int32)
# Unwritable as those of a Connectivity are: to Numba that is another type, and the generators would be compiled twice.
NO_INDPTR.flags.writeable = NO_INDICES.flags.writeable = False
NO_BLOCK = np.uint32(2**32 - 1)


class RuleCode(NamedTuple):
    """A rule, or an explicit CSR structure, as the generators read it.

    scale : 1 / log(1 - p), what makes a geometric gap of the logarithm of a uniform number
    blocks : of targets; shift : each, but for the last one, of 2**shift (of a fixed in-degree: as equal as can be, and 0)
    """

    kind: int
    n_source: int
    n_target: int
    k: int
    p: float
    scale: float
    blocks: int
    shift: int
    multapses: bool
    no_self: bool
    indptr: np.ndarray
    indices: np.ndarray


def rule_code(kind: int, n_source: int, n_target: int, k: int, p: float, multapses: bool, no_self: bool) -> RuleCode:
    """The code of a rule: how its targets are cut into blocks follows from the sizes, k and p alone."""
    shift, blocks = 0, 1
    if kind in (PROBABILITY, ALL_TO_ALL):
        wanted = ALL_OF_LINE if p >= 1.0 else LEAST_OF_LINE
        while 1 << shift < n_target and p * (1 << shift) < wanted:
            shift += 1
        blocks = max(1, -(-n_target >> shift))
    if kind == IN_SLOTS:
        blocks = max(1, min(n_target * k // (n_source * OF_ROW), MOST_BLOCKS), -(-n_target * k // MOST_SLOTS))
        blocks = max(1, min(blocks, n_target))
    scale = 1.0 / math.log1p(-p) if 0.0 < p < 1.0 else 0.0
    return RuleCode(kind, n_source, n_target, k, p, scale, blocks, shift, multapses, no_self, NO_INDPTR, NO_INDICES)


class Lines(NamedTuple):
    """Lines 0 .. count - 1 of a projection, of blocks of targets from ``block`` on, ``width`` of them or of lines in a block."""

    count: int
    block: int
    width: int


def lines_of(code: RuleCode, target_lo: int, target_hi: int) -> Lines:
    """The lines that can hold synapses onto targets ``target_lo .. target_hi - 1``."""
    if target_lo >= target_hi:
        return Lines(0, 0, 1)
    if code.kind in (PROBABILITY, ALL_TO_ALL):
        mine = blocks_of(code, target_lo, target_hi)
        return Lines(code.n_source * len(mine), mine.start, len(mine))
    if code.kind == IN_SLOTS:
        mine, most = blocks_of(code, target_lo, target_hi), -(-code.n_target // code.blocks) * code.k
        width = -(-most // BLOCK)
        return Lines(len(mine) * width, mine.start, max(1, width))
    if code.kind == IN_DEGREE:
        return Lines(target_hi - target_lo, target_lo, 1)
    if code.kind == ONE_TO_ONE:
        return Lines(-(-code.n_source // BLOCK), 0, 1)
    return Lines(-(-code.k // BLOCK) if code.kind == TOTAL_NUMBER else code.n_source, 0, 1)


def line_capacity(code: RuleCode) -> int:
    """The most synapses that one line can have."""
    if code.kind in (ALL_TO_ALL, PROBABILITY):
        return min(code.n_target, 1 << code.shift)
    if code.kind in (IN_DEGREE, OUT_DEGREE):
        return code.k
    if code.kind == EXPLICIT:
        return int(np.diff(code.indptr).max(initial=0))
    return BLOCK


def scratch_size(code: RuleCode) -> int:
    """How many bytes of zeroed scratch the generators need: one for each candidate where picks must be distinct."""
    if code.multapses or code.kind not in (IN_DEGREE, OUT_DEGREE):
        return 1
    return code.n_source if code.kind == IN_DEGREE else code.n_target


def new_table(code: RuleCode) -> np.ndarray:
    """What the generators note of the block that they are at, uint32: which, its keys, where its rows begin; of no block yet."""
    table = np.empty(1 + KEYS + (code.n_source + 1 if code.kind == IN_SLOTS else 0), np.uint32)
    table[0] = NO_BLOCK
    return table


@jit
def block_begin(block, n_target, blocks):
    """The first target of a block of a fixed in-degree; modifies nothing."""
    return block * n_target // blocks


def blocks_of(code: RuleCode, lo: int, hi: int) -> range:
    """The blocks of targets that hold some of targets lo .. hi-1."""
    if lo >= hi:
        return range(0)
    if code.kind == IN_SLOTS:
        first, last = (((target + 1) * code.blocks - 1) // code.n_target for target in (lo, hi - 1))
        return range(first, last + 1)
    return range(lo >> code.shift, ((hi - 1) >> code.shift) + 1)


@jit
def draw_block(block, n_source, n_target, k, blocks, no_self, key, out_keys, out_offsets):
    """Draws what says who has which synapses of a block of a fixed in-degree: keys of its permutation (uint32 (KEYS,)) and offsets.

    ``out_offsets``, (n_source + 1,): candidate c has synapses out_offsets[c] .. out_offsets[c + 1] - 1. It is source c, but with
    ``no_self`` (the own neuron left out of the numbering, so that there is one candidate less) source c + 1 of a target <= c.
    """
    slots = (block_begin(block + 1, n_target, blocks) - block_begin(block, n_target, blocks)) * k
    node = np.uint64(block) * np.uint64(n_source)
    write_keys(key, node, out_keys)
    spread(slots, n_source - 1 if no_self else n_source, key, node, out_offsets)
    if no_self:
        out_offsets[n_source] = slots


@jit
def _skip_self(candidate, own, no_self):
    """The neuron behind a candidate when ``own`` is left out of the numbering; modifies nothing."""
    return candidate + 1 if no_self and candidate >= own else candidate


@jit_borrowing
def _bits(key, line, first, count, steps, out_bits):
    """Writes the bits of a line's draws ``first ...``, four words for each of ``count``, to ``out_bits``; ``steps`` is scratch."""
    for j in range(count):
        steps[j] = first + j
    draw4_each(key, steps, np.uint64(line), count, out_bits)


@jit
def gap(hi, lo, scale):
    """A geometric number of failures before a success, as a float to be rounded down: log(u) / log(1 - p); modifies nothing."""
    return log(1.0 - uniform53(hi, lo)) * scale


@jit_borrowing
def _gaps(key, line, first, count, scale, steps, bits, out_gaps):
    """Writes ``2 * count`` gaps to ``out_gaps``."""
    _bits(key, line, first, count, steps, bits)
    for j in range(count):
        out_gaps[2 * j] = gap(bits[0, j], bits[1, j], scale)
        out_gaps[2 * j + 1] = gap(bits[2, j], bits[3, j], scale)


@jit_borrowing
def block_pairs(source, block, n_target, p, scale, blocks, shift, no_self, key, steps, bits, gaps, at, out_target, out_edge):
    """Writes the synapses of a source onto a block of targets, each with probability p; returns the count.

    Gaps between connected pairs are geometric: one draw a synapse, not one a pair. They have no memory, so each block begins anew,
    with draws (0, 1, 2 ..., source * blocks + block), of two gaps each.
    """
    begin, line = block << shift, source * blocks + block
    end = min(n_target, begin + (1 << shift))
    own = no_self and begin <= source < end
    n, before = end - begin - own, source * n_target
    count, candidate, first, ready, used = 0, -1, 0, 0, 0
    while p > 0.0:
        if p < 1.0 and used == ready:
            expected = p * (n - 1 - candidate)  # and a little more: that it suffices
            some = min(CHUNK, (np.int64(0.5 * expected + 0.7 * math.sqrt(expected)) + 8) & -8)
            _gaps(key, line, first, some, scale, steps, bits, gaps)
            first, ready, used = first + some, 2 * some, 0
        skipped = gaps[used] if p < 1.0 else 0.0
        used += 1
        # Compared as a float: for small p the gap may not fit an integer.
        if not skipped < n - 1 - candidate:
            break
        candidate += 1 + np.int64(skipped)
        target = begin + candidate
        target += own and target >= source
        out_target[at + count] = target
        out_edge[at + count] = before + target
        count += 1
    return count


@jit_borrowing
def slots_from(block, first, count, n_target, k, blocks, keys, scratch, places, at, out_target, out_edge):
    """Writes target and number of synapses first .. first + count - 1 of a block of a fixed in-degree; ``scratch`` and ``places``
    are uint64 (CHUNK,)."""
    begin = block_begin(block, n_target, blocks)
    n = (block_begin(block + 1, n_target, blocks) - begin) * k
    rows, columns = rectangle(n)
    inverse, before = 1.0 / k, begin * k
    for done in range(0, count, CHUNK):
        some = min(CHUNK, count - done)
        permuted_each(first + done, some, n, rows, columns, keys, scratch, places)
        for j in range(some):
            place = np.int64(places[j])
            target = np.int64(place * inverse)  # at most one off
            rest = place - target * k
            target += np.int64(rest >= k) - np.int64(rest < 0)
            out_target[at + done + j] = begin + target
        for j in range(some):
            out_edge[at + done + j] = before + first + done + j


@jit
def _line_slots(block, part, n_source, n_target, k, blocks, no_self, key, table, at, out_source, out_target, out_edge):
    """Writes synapses ``part * BLOCK ...`` of a block of a fixed in-degree; returns the count. ``table`` : see `new_table`."""
    keys, offsets = table[1 : 1 + KEYS], table[1 + KEYS :]
    if table[0] != block:
        draw_block(block, n_source, n_target, k, blocks, no_self, key, keys, offsets)
        table[0] = block
    first = part * BLOCK
    count = min(BLOCK, np.int64(offsets[n_source]) - first)
    if count <= 0:
        return 0
    scratch, places = np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint64)
    slots_from(block, first, count, n_target, k, blocks, keys, scratch, places, at, out_target, out_edge)
    source, done = np.int64(np.searchsorted(offsets, np.uint32(first), side="right")) - 1, 0
    while done < count:
        end = min(count, np.int64(offsets[source + 1]) - first)
        for j in range(at + done, at + end):
            out_source[j] = source
        source, done = source + 1, end
    if no_self:
        for j in range(at, at + count):
            out_source[j] += out_source[j] >= out_target[j]
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


@jit_borrowing
def pick(line, n, k, key, steps, bits, at, out_other):
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
        pick(line, n, k, key, steps, bits, at, out_other)
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


@jit_borrowing
def _pair_lines(
    first,
    last,
    block,
    width,
    n_target,
    p,
    scale,
    blocks,
    shift,
    no_self,
    key,
    capacity,
    steps,
    bits,
    gaps,
    out_source,
    out_target,
    out_edge,
):
    """As `generate_lines`, for lines of one source and a block of targets."""
    count, line = 0, first
    source, at = line // width, line % width
    while line < last and count + capacity <= len(out_edge):
        args = n_target, p, scale, blocks, shift, no_self, key, steps, bits, gaps
        end = count + block_pairs(source, block + at, *args, count, out_target, out_edge)
        for j in range(count, end):
            out_source[j] = source
        count, line, at = end, line + 1, at + 1
        if at == width:
            source, at = source + 1, 0
    return count, line


@jit
def generate_line(
    kind,
    n_source,
    n_target,
    k,
    blocks,
    multapses,
    no_self,
    indptr,
    indices,
    line,
    block,
    width,
    key,
    scratch,
    table,
    steps,
    bits,
    at,
    out_source,
    out_target,
    out_edge,
):
    """Writes one line's synapses from ``at`` on to ``out_source``, ``out_target`` (int32) and ``out_edge`` (int64); of other kinds
    than `_pair_lines`.

    Returns the count. `line_capacity` elements from ``at`` on must be there. An offset and not slices: those cost ten times as much
    as the synapses of a short line.
    """
    if kind == IN_SLOTS:
        block, part = block + line // width, line % width
        return _line_slots(block, part, n_source, n_target, k, blocks, no_self, key, table, at, out_source, out_target, out_edge)
    if kind == TOTAL_NUMBER:
        return _line_total(line, n_source, n_target, k, no_self, key, at, out_source, out_target, out_edge)
    if kind == ONE_TO_ONE:
        return _line_one(line, n_source, at, out_source, out_target, out_edge)
    if kind == EXPLICIT:
        return _line_explicit(line, indptr, indices, at, out_source, out_target, out_edge)
    into = kind == IN_DEGREE
    n, out_line, out_other = (n_source, out_target, out_source) if into else (n_target, out_source, out_target)
    args = n, k, multapses, no_self, key, scratch, steps, bits
    return _line_degree(block + line, *args, at, out_line, out_other, out_edge)


@jit
def generate_lines(
    kind,
    n_source,
    n_target,
    k,
    p,
    scale,
    blocks,
    shift,
    multapses,
    no_self,
    indptr,
    indices,
    first,
    last,
    block,
    width,
    key,
    scratch,
    table,
    capacity,
    out_source,
    out_target,
    out_edge,
):
    """Writes whole lines ``first, first + 1, ...`` below ``last`` while `capacity` more fit; returns (synapses, next line).

    ``out_edge`` numbers the synapses of the projection: it is what their weights and delays are drawn from, and ascends within
    every source. The first arguments are a RuleCode; block, width : of its `Lines`; ``scratch``, uint8 (`scratch_size`), is zero
    before and after; ``table`` : `new_table`, modified
    """
    steps, bits, gaps = np.empty(CHUNK, np.int64), np.empty((4, CHUNK), np.uint32), np.empty(2 * CHUNK)
    if kind == PROBABILITY or kind == ALL_TO_ALL:
        args = n_target, p, scale, blocks, shift, no_self, key, capacity, steps, bits, gaps
        return _pair_lines(first, last, block, width, *args, out_source, out_target, out_edge)
    count, line = 0, first
    while line < last and count + capacity <= len(out_edge):
        args = n_source, n_target, k, blocks, multapses, no_self, indptr, indices
        more = line, block, width, key, scratch, table, steps, bits, count
        count += generate_line(kind, *args, *more, out_source, out_target, out_edge)
        line += 1
    return count, line
