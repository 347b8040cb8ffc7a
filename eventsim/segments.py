"""From synapses in any order to rows of segments: the compiled passes behind `eventsim.rows`.

A table is the synapses of some projections, row by row: row s of it is ``slots[indptr[s] : indptr[s + 1]]`` and as many codes and
weights. The code of a synapse says which segment of its row it belongs to; rows are sorted by (code, slot), stably.
"""

from __future__ import annotations

import numpy as np

from eventsim.jit import jit

KIND_SHIFT = 40  # of the first word of a segment: where it begins below, its kind of weight above
BLOCK_SHIFT = 32  # of the second word: its length below, its block of slots above
INLET_SHIFT = 32  # of the third word: its delay in steps below, its inlet above


@jit
def keep(lo, hi, count, out_source, out_target, out_edge):
    """Moves the synapses onto targets lo .. hi-1 to the front of the three arrays, in order; returns how many."""
    kept = 0
    for j in range(count):
        out_source[kept] = out_source[j]
        out_target[kept] = out_target[j]
        out_edge[kept] = out_edge[j]
        # Without a branch: half of them would be mispredicted.
        kept += np.int64((out_target[j] >= lo) & (out_target[j] < hi))
    return kept


@jit
def count_rows(source, count, offset, out_counts):
    """Adds 1 to ``out_counts[offset + source[j]]`` for the first ``count`` synapses."""
    for j in range(count):
        out_counts[offset + source[j]] += 1


@jit
def place(source, target, weights, delays, count, dt, shift, bits, least, stride, base, next_at, out_slots, out_codes, out_weights):
    """Writes a batch into its rows at ``next_at`` (moved on). ``next_at`` begins with the projection's first source.

    A slot, target + shift, is split: its low ``bits`` bits, and above them its block, which is part of the code:
    base + (delay in steps - least) * stride + block. ``weights`` may be empty, and is then not written.
    """
    mask = (np.int64(1) << bits) - 1
    own = weights.size > 0
    for j in range(count):
        at = next_at[source[j]]
        next_at[source[j]] = at + 1
        slot = np.int64(target[j]) + shift
        out_slots[at] = slot & mask
        out_codes[at] = base + (np.int64(np.rint(delays[j] / dt)) - least) * stride + (slot >> bits)
        if own:
            out_weights[at] = weights[j]


@jit
def _insertion(n, keys, values):
    """Sorts the first ``n`` keys and values in place, stably."""
    for i in range(1, n):
        key, value = keys[i], values[i]
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j], values[j] = keys[j - 1], values[j - 1]
            j -= 1
        keys[j], values[j] = key, value


@jit
def radix_pass(n, shift, histogram, keys, values, out_keys, out_values):
    """Moves ``n`` pairs to the out arrays sorted by byte ``keys >> shift``, stably; False if all share that byte.

    Values may be empty, and are then not moved.
    """
    histogram[:] = 0
    own = values.size > 0
    for j in range(n):
        histogram[np.int64((keys[j] >> shift) & np.uint64(255))] += 1
    if histogram[np.int64((keys[0] >> shift) & np.uint64(255))] == n:
        return False
    at = 0
    for digit in range(256):
        at, histogram[digit] = at + histogram[digit], at
    for j in range(n):
        digit = np.int64((keys[j] >> shift) & np.uint64(255))
        at = histogram[digit]
        histogram[digit] = at + 1
        out_keys[at] = keys[j]
        if own:
            out_values[at] = values[j]
    return True


@jit
def _sort(n, bits, histogram, keys, values, keys2, values2):
    """Sorts ``n`` pairs by keys of ``bits`` bits, stably, in place or into (keys2, values2); returns whether into the latter."""
    if n < 48:
        _insertion(n, keys, values)
        return False
    swapped = False
    for shift in range(0, bits, 8):
        if swapped:
            moved = radix_pass(n, np.uint64(shift), histogram, keys2, values2, keys, values)
        else:
            moved = radix_pass(n, np.uint64(shift), histogram, keys, values, keys2, values2)
        swapped ^= moved
    return swapped


@jit
def sort_rows(indptr, slot_bits, code_bits, slots, codes, weights):
    """Sorts every row of ``slots``, ``codes`` and ``weights`` (may be empty) in place; returns the number of segments."""
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    keys, keys2 = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    values, values2 = np.zeros(longest, weights.dtype), np.zeros(longest, weights.dtype)
    histogram = np.empty(256, np.int64)
    mask = np.uint64((1 << slot_bits) - 1)
    own = weights.size > 0
    segments = 0
    for row in range(len(indptr) - 1):
        begin, n = indptr[row], indptr[row + 1] - indptr[row]
        ascending, before = True, np.uint64(0)
        for j in range(n):
            key = (np.uint64(codes[begin + j]) << np.uint64(slot_bits)) | np.uint64(slots[begin + j])
            keys[j] = key
            ascending &= key >= before
            before = key
        if not ascending:
            if own:
                for j in range(n):
                    values[j] = weights[begin + j]
            swapped = _sort(n, slot_bits + code_bits, histogram, keys, values, keys2, values2)
            sorted_keys, sorted_values = (keys2, values2) if swapped else (keys, values)
            for j in range(n):
                slots[begin + j] = np.int64(sorted_keys[j] & mask)
                codes[begin + j] = np.int64(sorted_keys[j] >> np.uint64(slot_bits))
            if own:
                for j in range(n):
                    weights[begin + j] = sorted_values[j]
        for j in range(begin, begin + n):
            segments += np.int64(j == begin or codes[j] != codes[j - 1])
    return segments


@jit
def _cut_row(begin, end, codes, shift, first_kind, layout, at, out_words):
    """Writes the segments of the sorted synapses begin .. end - 1 of a table from ``at`` on; returns where the next one goes.

    shift : the place of the table's synapse 0 among all; first_kind : the number of the table's first kind of weight
    layout : (numbers of the inlets, least delay, delays, kinds, blocks) that the codes are made of
    """
    inlets, least, span, kinds, blocks = layout
    while begin < end:
        code = np.int64(codes[begin])
        stop = begin + 1
        while stop < end and codes[stop] == code:
            stop += 1
        block, rest = code % blocks, code // blocks
        kind, rest = rest % kinds, rest // kinds
        out_words[at, 0] = (shift + begin) | ((first_kind + kind) << KIND_SHIFT)
        out_words[at, 1] = (stop - begin) | (block << BLOCK_SHIFT)
        out_words[at, 2] = (least + rest % span) | (np.int64(inlets[rest // span]) << INLET_SHIFT)
        begin = stop
        at += 1
    return at


@jit
def cut(own_indptr, own_codes, own_layout, indptr, codes, layout, out_indptr, out_words):
    """Writes the segments of all rows: those of the table of weights of their own, then those of the table of shared weights."""
    at, shift = 0, own_indptr[len(own_indptr) - 1]
    out_indptr[0] = 0
    for row in range(len(indptr) - 1):
        at = _cut_row(own_indptr[row], own_indptr[row + 1], own_codes, 0, 0, own_layout, at, out_words)
        at = _cut_row(indptr[row], indptr[row + 1], codes, shift, 1, layout, at, out_words)
        out_indptr[row + 1] = at
