"""Rows that are not stored: made when their source fires, and added to what arrives in the steps in which they are due.

The synapses of a spike are cut into parts that can be made alone (`eventsim.generate`), of some dozens each, and one thread makes
one part after the other, whichever spike it is of: so work is shared evenly. A synapse is forgotten as soon as it is added: sums of
whole numbers have no order. The processor makes lines in vectorised loops; what a thread does one by one here are the same draws.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from eventsim.cpu.floats16 import half_bits
from eventsim.cuda.layout import (
    BEGIN,
    FIRED,
    R_DELAY,
    R_PARTS,
    R_PLACE,
    R_SHARED,
    R_SPLIT,
    R_UNIT,
    RULE_WORDS,
    S_BATCH,
    S_RING,
    S_RULES,
    S_SIZE,
    S_SLOTS,
    Kinds,
)
from eventsim.cuda.machine import Machine
from eventsim.cuda.numbers import half_reader
from eventsim.distributions import draw_alone
from eventsim.generate import IN_SLOTS, ONE_TO_ONE, OUT_DEGREE, block_begin, gap
from eventsim.permutation import KEYS as ROUND_KEYS
from eventsim.permutation import permuted, rectangle
from eventsim.procedural import (
    BLOCKS,
    DELAY,
    DELAY_KIND,
    DELAY_REDRAW,
    KEYS,
    KIND,
    N_SOURCE,
    N_TARGET,
    NO_SELF,
    OFFSETS,
    REALS,
    SCALE,
    SHIFT,
    SOURCE,
    WEIGHT,
    WEIGHT_KIND,
    WEIGHT_REDRAW,
    K,
    P,
)
from eventsim.random import bounded, draw4, nearest

STRUCTURE, WEIGHTS, DELAYS, STREAMS = range(4)  # the keys of a projection
PART = 64  # synapses of a part, about


@functools.cache
def bind_send(machine: Machine, kinds: Kinds) -> Any:
    """A function ``(r, target, edge, here, fired_at, a)`` that adds one synapse of projection r to what arrives when it is due.

    here : the slots of its batch item
    """
    jit, atomic_add, real = machine.jit, machine.atomic_add, kinds.real.type
    if kinds.weights == np.dtype(np.uint16):
        of_half = half_reader(machine, kinds.real)
        stored = jit(lambda w: of_half(half_bits(np.float32(w))))
    else:
        kept = kinds.weights.type
        stored = jit(lambda w: real(kept(w)))

    @jit
    def send(r, target, edge, here, fired_at, a):
        row, reals, keys = r * RULE_WORDS, r * REALS, r * STREAMS
        steps = a.rules[row + R_DELAY]
        if steps < 0:
            law, at = a.rules[row + DELAY_KIND], reals + DELAY
            redraw, key = a.rules[row + DELAY_REDRAW] != 0, a.streams[keys + DELAYS]
            ms = draw_alone(law, a.laws[at], a.laws[at + 1], a.laws[at + 2], a.laws[at + 3], redraw, key, edge)
            steps = np.int64(nearest(ms / a.laws[a.sizes[S_RULES] * REALS]))
        if a.rules[row + R_SHARED] >= 0:
            w = a.shared[a.rules[row + R_SHARED]]
        else:
            law, at = a.rules[row + WEIGHT_KIND], reals + WEIGHT
            redraw, key = a.rules[row + WEIGHT_REDRAW] != 0, a.streams[keys + WEIGHTS]
            w = stored(draw_alone(law, a.laws[at], a.laws[at + 1], a.laws[at + 2], a.laws[at + 3], redraw, key, edge))
        place = ((fired_at + steps) & a.sizes[S_RING]) * a.sizes[S_BATCH] * a.sizes[S_SLOTS] + here
        atomic_add(a.arrived, place + a.rules[row + R_PLACE] + target, np.int64(w * a.numbers[a.rules[row + R_UNIT]]))

    return send


@functools.cache
def bind_part(machine: Machine, kinds: Kinds) -> Any:
    """A function ``(r, source, part, here, fired_at, a) -> synapses`` that makes a part of the row of a source in projection r."""
    jit, plain, send = machine.jit, machine.plain, bind_send(machine, kinds)

    @jit
    def pairs(r, source, block, here, fired_at, a):
        """`eventsim.generate.block_pairs`."""
        row = r * RULE_WORDS
        p, scale, n_target = a.laws[r * REALS + P], a.laws[r * REALS + SCALE], a.rules[row + N_TARGET]
        shift, line, key = a.rules[row + SHIFT], source * a.rules[row + BLOCKS] + block, a.streams[r * STREAMS + STRUCTURE]
        begin = block << shift
        end = min(n_target, begin + (1 << shift))
        own = np.int64(a.rules[row + NO_SELF] != 0 and begin <= source < end)
        n, candidate, count = end - begin - own, -1, 0
        later = 0.0  # the second gap of a draw
        while p > 0.0:
            skipped = 0.0
            if p < 1.0 and count % 2 == 0:
                r0, r1, r2, r3 = draw4(key, np.uint64(count // 2), np.uint64(line))
                skipped, later = gap(r0, r1, scale), gap(r2, r3, scale)
            elif p < 1.0:
                skipped = later
            if not skipped < n - 1 - candidate:
                break
            candidate += 1 + np.int64(skipped)
            target = begin + candidate
            target += np.int64(own != 0 and target >= source)
            send(r, target, source * n_target + target, here, fired_at, a)
            count += 1
        return count

    @jit
    def slots(r, source, part, here, fired_at, a):
        """`eventsim.one_row.row_slots`."""
        row = r * RULE_WORDS
        split, n_target, k, blocks = a.rules[row + R_SPLIT], a.rules[row + N_TARGET], a.rules[row + K], a.rules[row + BLOCKS]
        no_self = np.int64(a.rules[row + NO_SELF])
        block, piece = part // split, part % split
        begin, end = block_begin(block, n_target, blocks), block_begin(block + 1, n_target, blocks)
        at, n = a.rules[row + KEYS] + block * ROUND_KEYS, (end - begin) * k
        keys, offsets = plain(a.orders)[at : at + ROUND_KEYS], a.rules[row + OFFSETS] + block * (a.rules[row + N_SOURCE] + 1)
        rows, columns = rectangle(n)
        count = 0
        for candidate in range(max(0, source - no_self), source + 1):
            least, most = begin, end
            if no_self and candidate == source:
                least = max(least, source + 1)
            elif no_self:
                most = min(most, source)
            first, last = np.int64(a.offsets[offsets + candidate]), np.int64(a.offsets[offsets + candidate + 1])
            if least < most:
                for i in range(first + (last - first) * piece // split, first + (last - first) * (piece + 1) // split):
                    target = begin + permuted(i, n, rows, columns, keys) // k
                    if least <= target < most:
                        send(r, target, begin * k + i, here, fired_at, a)
                        count += 1
        return count

    @jit
    def picks(r, source, part, here, fired_at, a):
        """`eventsim.generate.pick`, of two synapses at a time."""
        row = r * RULE_WORDS
        k, no_self, key = a.rules[row + K], np.int64(a.rules[row + NO_SELF]), a.streams[r * STREAMS + STRUCTURE]
        first, n = part * PART, a.rules[row + N_TARGET] - no_self
        end = min(k, first + PART)
        for j in range(first, end, 2):
            r0, r1, r2, r3 = draw4(key, np.uint64(j // 2), np.uint64(source))
            target = bounded(r0, r1, n)
            send(r, target + np.int64(no_self and target >= source), source * k + j, here, fired_at, a)
            if j + 1 < end:
                target = bounded(r2, r3, n)
                send(r, target + np.int64(no_self and target >= source), source * k + j + 1, here, fired_at, a)
        return end - first

    @jit
    def make(r, source, part, here, fired_at, a):
        kind = a.rules[r * RULE_WORDS + KIND]
        if kind == IN_SLOTS:
            return slots(r, source, part, here, fired_at, a)
        if kind == OUT_DEGREE:
            return picks(r, source, part, here, fired_at, a)
        if kind == ONE_TO_ONE:
            send(r, source, source, here, fired_at, a)
            return 1
        return pairs(r, source, part, here, fired_at, a)

    return make


@functools.cache
def bind_make(machine: Machine, kinds: Kinds) -> Any:
    """A function ``(thread, threads, fired_at, phase, a) -> synapses``: makes the rows of the spikes of the updates before."""
    part_of = bind_part(machine, kinds)

    @machine.jit
    def make(thread, threads, fired_at, phase, a):
        size, slots = a.sizes[S_SIZE], a.sizes[S_SLOTS]
        begin, end = a.control[BEGIN + phase % 2], a.control[FIRED]
        events = 0
        for r in range(a.sizes[S_RULES]):
            row = r * RULE_WORDS
            parts, first, count = a.rules[row + R_PARTS], a.rules[row + SOURCE], a.rules[row + N_SOURCE]
            for index in range(begin * parts + thread, end * parts, threads):
                spike = a.fired[index // parts]
                item = spike // size
                source = spike - item * size - first
                if 0 <= source < count:
                    events += part_of(r, source, index % parts, item * slots, fired_at, a)
        return events

    return make


def parts_of(numbers: np.ndarray) -> tuple[int, int]:
    """Into how many parts the rows of a projection are cut, and each of their blocks (`R_PARTS`, `R_SPLIT`)."""
    kind, blocks, k = (int(numbers[place]) for place in (KIND, BLOCKS, K))
    if kind == ONE_TO_ONE:
        return 1, 1
    if kind == OUT_DEGREE:
        return -(-k // PART), 1
    if kind == IN_SLOTS:
        split = max(1, int(numbers[N_TARGET]) * k // (int(numbers[N_SOURCE]) * blocks * PART))
        return blocks * split, split
    return blocks, 1
