"""Rows that are not stored: made when their source fires, and kept until their last synapse is delivered.

They lie in a ring of synapses, one after the other. A row ends where the next one begins, but never goes round the end of the
ring. The oldest row is given up as soon as all of it has been delivered, so that the ring is as large as what is on its way.

Segments are those that `eventsim.rows` would store, in their order. Within a segment synapses stand in the order of (projection,
number) and not of slots: what one target receives from it is added in the same order, and nothing is sorted that need not be.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, types

from eventsim import procedural as p
from eventsim.cpu.floats16 import half_bits
from eventsim.cpu.pointers import KERNEL, address_of, reader, values_at, words_of
from eventsim.distributions import BLOCK, draw_some
from eventsim.jit import compile_callback, compiled_once
from eventsim.jit import jit_borrowing as jit
from eventsim.memory import reserved
from eventsim.one_row import generate_row, new_scratch
from eventsim.procedural import Recipe
from eventsim.rows import Index
from eventsim.segments import INLET_SHIFT, KIND_SHIFT, radix_pass

FULL = -1  # instead of how many segments a row has: there is no room for it
# Places of a position. HEAD: where the next row begins; OLDEST: the record of the oldest row; ROWS: how many there are;
# OVER: all that is due in earlier steps has been delivered.
HEAD, OLDEST, ROWS, OVER, POSITION_SIZE = range(5)
# Of a record of a row: its source, the step in which that fired, the last in which a synapse is due, where it lies in the ring.
SOURCE, STEP, LAST, BEGIN, END, RECORD = range(6)
RING, RECORDS = 4096, 64  # synapses and rows for which there is room at first


class Scratch(NamedTuple):
    """What a row is made in: as long as the longest one, and hardly touched beyond what rows are long."""

    target: np.ndarray  # int32
    edge: np.ndarray  # int64
    delay: np.ndarray  # float64, ms
    weight: np.ndarray  # float64; none where all weights are shared
    key: np.ndarray  # uint64: code above the slot
    key2: np.ndarray
    value: np.ndarray  # weights as they are stored; none where all are shared
    value2: np.ndarray
    steps: np.ndarray  # `eventsim.one_row.new_scratch`
    bits: np.ndarray
    gaps: np.ndarray
    scratch: np.ndarray
    places: np.ndarray
    drawn: np.ndarray  # uint32 (4, BLOCK)
    histogram: np.ndarray  # int64 (256,)


class Transient(NamedTuple):
    """The rows of one worker and batch item that are on their way.

    position : int64 (POSITION_SIZE,); records : int64 (rows, RECORD), a ring, too
    targets : uint16 or uint32 (synapses,); weights : as stored (synapses,), or none where all are shared
    index : the segments of the row that was made last; its indptr is not used
    """

    position: np.ndarray
    records: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    index: Index
    recipe: Recipe
    scratch: Scratch


def row_scratch() -> tuple[np.ndarray, ...]:
    """The scratch of a row whose size does not depend on that of the row."""
    return *new_scratch(), np.empty((4, BLOCK), np.uint32), np.empty(256, np.int64)


def new_transient(recipe: Recipe, weight_dtype: np.dtype, ring: int, records: int) -> Transient:
    """Room for so many synapses and rows, all free."""
    stored = np.dtype(np.uint16) if weight_dtype.itemsize == 2 else weight_dtype
    most, own = int(recipe.capacity[0]), recipe.has_own
    drawn = most if own else 0
    scratch = Scratch(
        reserved((most,), np.int32),
        reserved((most,), np.int64),
        reserved((most,), np.float64),
        reserved((drawn,), np.float64),
        reserved((most,), np.uint64),
        reserved((most,), np.uint64),
        reserved((drawn,), stored),
        reserved((drawn,), stored),
        *row_scratch(),
    )
    return Transient(
        position=np.zeros(POSITION_SIZE, np.int64),
        records=np.zeros((records, RECORD), np.int64),
        targets=np.empty(ring, np.uint16 if recipe.narrow else np.uint32),
        weights=np.empty(ring if own else 0, stored),
        index=Index(np.zeros(1, np.int64), reserved((most, 3), np.int64)),
        recipe=recipe,
        scratch=scratch,
    )


def more_room(transient: Transient, wheel: np.ndarray, count: np.ndarray, lines: np.ndarray) -> Transient:
    """The same rows with twice the room: for their records if these are full, else for synapses.

    Segments that wait in some lists of the wheel (modified) are those of rows; rows before the oldest one move behind the others.
    """
    position, records = transient.position, transient.records
    rows = int(position[ROWS])
    order = (int(position[OLDEST]) + np.arange(rows)) % len(records)
    mine = records[order]
    if rows == len(records):
        larger = np.zeros((2 * len(records), RECORD), np.int64)
        larger[:rows] = mine
        position[OLDEST] = 0
        return transient._replace(records=larger)
    size = len(transient.targets)
    targets = np.empty(2 * size, transient.targets.dtype)
    weights = np.empty(2 * size if len(transient.weights) else 0, transient.weights.dtype)
    for new, old in ((targets, transient.targets), (weights, transient.weights)):
        new[: len(old)] = old
    tail = int(mine[0, BEGIN]) if rows else 0
    around = mine[:, BEGIN] < tail
    if np.any(around):
        head = int(position[HEAD])
        for new, old in ((targets, transient.targets), (weights, transient.weights)):
            new[len(old) : len(old) + head] = old[:head]
        records[order[around], BEGIN] += size
        records[order[around], END] += size
        for line in lines:
            entries = wheel[line, : 2 * count[line] : 2]
            entries[(entries & ((1 << KIND_SHIFT) - 1)) < tail] += size
        position[HEAD] += size
    return transient._replace(targets=targets, weights=weights)


def forget(transient: Transient) -> None:
    """Give up all rows (modifies its position)."""
    transient.position[:] = 0


def rows_after(transient: Transient, step: int) -> np.ndarray:
    """The step and source of each row of which a synapse is due after ``step``, int64 (rows, 2)."""
    rows, size = int(transient.position[ROWS]), len(transient.records)
    mine = transient.records[(int(transient.position[OLDEST]) + np.arange(rows)) % size]
    return mine[mine[:, LAST] > step][:, [STEP, SOURCE]]


@jit
def _give_up(position, records):
    """Give up the oldest rows, as far as they have been delivered (modifies position)."""
    while position[ROWS] and records[position[OLDEST], LAST] < position[OVER]:
        position[OLDEST] = (position[OLDEST] + 1) % records.shape[0]
        position[ROWS] -= 1


@jit
def _place(count, size, position, records):
    """Where a row of so many synapses has room in the ring, or `FULL`; modifies nothing."""
    if position[ROWS] == records.shape[0]:
        return FULL
    if position[ROWS] == 0:
        return 0 if count <= size else FULL
    head, tail = position[HEAD], records[position[OLDEST], BEGIN]
    if head > tail:
        if head + count <= size:
            return head
        return 0 if count < tail else FULL
    return head if head + count < tail else FULL


@jit
def _synapses(source, rule, at, recipe, s):
    """Write the synapses of a source in one projection from ``at`` on (modifies the scratch); where they end."""
    n, real, stream = recipe.numbers[rule], recipe.reals[rule], recipe.streams[rule]
    rule_code = (
        n[p.KIND],
        n[p.N_SOURCE],
        n[p.N_TARGET],
        n[p.K],
        real[p.P],
        real[p.SCALE],
        n[p.BLOCKS],
        n[p.SHIFT],
        n[p.NO_SELF] != 0,
    )
    where = source - n[p.SOURCE], n[p.LO], n[p.HI], stream[0], n[p.FIRST_BLOCK], n[p.LAST_BLOCK]
    tables = recipe.keys[n[p.KEYS] :], recipe.offsets[n[p.OFFSETS] :]
    end = generate_row(*rule_code, *where, *tables, s.steps, s.bits, s.gaps, s.scratch, s.places, at, s.target, s.edge)
    count, own, edges = end - at, n[p.OWN] != 0, s.edge[at:]
    law = real[p.DELAY], real[p.DELAY + 1], real[p.DELAY + 2], real[p.DELAY + 3], n[p.DELAY_REDRAW] != 0
    draw_some(n[p.DELAY_KIND], *law, stream[2], edges, count, s.drawn, s.delay)
    layout = recipe.layout
    bits, least, kinds, slot, base, dt = layout[p.SLOT_BITS], layout[p.LEAST], layout[p.KINDS], n[p.SLOT], n[p.BASE], recipe.dt[0]
    for j in range(count):
        code = base + (np.int64(np.rint(s.delay[j] / dt)) - least) * kinds
        s.key[at + j] = np.uint64((code << bits) | (s.target[at + j] + slot))
    if own:
        law = real[p.WEIGHT], real[p.WEIGHT + 1], real[p.WEIGHT + 2], real[p.WEIGHT + 3], n[p.WEIGHT_REDRAW] != 0
        draw_some(n[p.WEIGHT_KIND], *law, stream[1], edges, count, s.drawn, s.weight)
    return end


@jit
def _by_code(count, bits, code_bits, keys, values, keys2, values2, histogram):
    """Sort keys (and values, if there are any) by code, stably, in place or into the second arrays; whether into these."""
    ascending, before = True, np.uint64(0)
    for j in range(count):
        code = keys[j] >> np.uint64(bits)
        ascending &= code >= before
        before = code
    if ascending:
        return False
    swapped = False
    for shift in range(bits, bits + code_bits, 8):
        if swapped:
            swapped ^= radix_pass(count, np.uint64(shift), histogram, keys2, values2, keys, values)
        else:
            swapped ^= radix_pass(count, np.uint64(shift), histogram, keys, values, keys2, values2)
    return swapped


@jit
def _cut(count, begin, keys, recipe, out_words):
    """Write the segments of sorted synapses that lie from ``begin`` on in the ring; how many, and the longest delay in steps."""
    layout, inlets = recipe.layout, recipe.inlets
    bits, least, span, kinds = np.uint64(layout[p.SLOT_BITS]), layout[p.LEAST], layout[p.SPAN], layout[p.KINDS]
    j, at, longest = 0, 0, np.int64(0)
    while j < count:
        code, stop = keys[j] >> bits, j + 1
        while stop < count and keys[stop] >> bits == code:
            stop += 1
        rest, kind = np.int64(code) // kinds, np.int64(code) % kinds
        delay = least + rest % span
        out_words[at, 0] = (begin + j) | (kind << KIND_SHIFT)
        out_words[at, 1] = stop - j
        out_words[at, 2] = delay | (inlets[(rest // span) % inlets.size] << INLET_SHIFT)
        longest = max(longest, delay)
        j, at = stop, at + 1
    return at, longest


@jit
def _own_rule(source, recipe):
    """Which of the recipe's source populations a source is a member of, or -1; modifies nothing."""
    for i in range(recipe.sources.shape[0]):
        if recipe.sources[i, 0] <= source < recipe.sources[i, 1]:
            return i
    return -1


def kind_of(value: Any) -> Any:
    """The type for Numba of an array, or of a named tuple of such."""
    if isinstance(value, np.ndarray):
        return types.Array(from_dtype(value.dtype), value.ndim, "C")
    return types.NamedTuple(tuple(kind_of(member) for member in value), type(value))


def words_for(transient: Transient) -> np.ndarray:
    """What the kernel finds the arrays by, which must stay where they are."""
    return np.array(words_of(transient, kind_of(transient)), np.int64)


def make_row_maker(read: Any, halves: bool, wide: bool):
    """The kernel ``(words of a Transient, step, source) -> segments``: makes the row of a source that fires in a step.

    Writes it into the ring, notes it, and writes its segments to the index; or returns `FULL` without any trace.
    halves : weights are stored as float16; wide : as float64
    """

    def make_row(context, step, source):
        made = read(address_of(values_at(context, 1), 0))
        recipe, s, position, records = made.recipe, made.scratch, made.position, made.records
        _give_up(position, records)
        population = _own_rule(source, recipe)
        if population < 0:
            return 0
        count, any_own = 0, s.value.size > 0
        for rule in range(recipe.of_sources[population], recipe.of_sources[population + 1]):
            end = _synapses(source, rule, count, recipe, s)
            if recipe.numbers[rule, p.OWN]:
                for j in range(end - count):
                    if halves:
                        s.value[count + j] = half_bits(np.float32(s.weight[j]))
                    elif wide:
                        s.value[count + j] = s.weight[j]
                    else:
                        s.value[count + j] = np.float32(s.weight[j])
            count = end
        if count == 0:
            return 0
        begin = _place(count, made.targets.size, position, records)
        if begin == FULL:
            return FULL
        layout = recipe.layout
        bits, code_bits = layout[p.SLOT_BITS], layout[p.CODE_BITS]
        keys, values = s.key, s.value
        if _by_code(count, bits, code_bits, keys, values, s.key2, s.value2, s.histogram):
            keys, values = s.key2, s.value2
        mask = np.uint64((1 << bits) - 1)
        for j in range(count):
            made.targets[begin + j] = keys[j] & mask
        if any_own:
            for j in range(count):
                made.weights[begin + j] = values[j]
        segments, longest = _cut(count, begin, keys, recipe, made.index.words)
        record = records[(position[OLDEST] + position[ROWS]) % records.shape[0]]
        record[SOURCE], record[STEP], record[LAST] = source, step, step + longest
        record[BEGIN], record[END] = begin, begin + count
        position[ROWS] += 1
        position[HEAD] = begin + count
        return segments

    return make_row


@compiled_once
def _compile(kind: Any, stored: np.dtype) -> Any:
    made = make_row_maker(reader(kind), stored == np.uint16, stored == np.float64)
    return compile_callback(KERNEL, made, f"make_row {kind}", borrowing=True)


def compile_make_row(transient: Transient) -> Any:
    """The kernel that makes rows of these types; it has an ``address``."""
    return _compile(kind_of(transient), transient.weights.dtype)
