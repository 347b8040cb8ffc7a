"""Rows: every synapse that one worker delivers, by source, in the form that the kernels read.

Nothing but the result is held in memory: the synapses are generated twice from their counters, once to count those of each source
and once to place them, and every row is then sorted by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, Encoded, PerSynapse, draw_each
from eventsim.errors import NetworkError
from eventsim.generate import (
    IN_SLOTS,
    RuleCode,
    block_begin,
    blocks_of,
    draw_block,
    generate_lines,
    line_capacity,
    lines_of,
    new_table,
    scratch_size,
)
from eventsim.jit import jit
from eventsim.permutation import KEYS
from eventsim.random import key as derive_key
from eventsim.segments import BLOCK_SHIFT, INLET_SHIFT, KIND_SHIFT, count_rows, cut, keep, place, sort_rows

BATCH = 16384
"""Synapses generated at a time: their buffers stay in the L2 cache, and a call from Python costs nothing beside the work."""
BLOCK_BITS = 16
"""A target of 16 bits lies in a block of 2**16 slots, which its segment names."""
SHORTEST = 24
"""Synapses in a segment, on average, below which cutting it at the ends of blocks costs more than narrow targets save."""
_INT32_MAX = 2**31 - 1


class RowSpec(NamedTuple):
    """One projection as one worker sees it.

    The worker owns targets ``target_lo .. target_hi - 1`` of the target population; the slot of a target is
    ``slot_offset + target - target_lo``, counted from the first of its group. ``source_offset`` is the global number of the source
    population's first neuron, ``same`` says whether source and target are one population, ``inlet`` numbers the
    lists of the wheel that its segments wait in: one for each group and stage that it receives from (`eventsim.stages`).
    """

    projection: Any
    n_source: int
    n_target: int
    same: bool
    source_offset: int
    inlet: int
    slot_offset: int
    target_lo: int
    target_hi: int
    key: np.uint64


class Index(NamedTuple):
    """Which segments a source has, and where they are due: segments ``indptr[s] .. indptr[s + 1] - 1`` are those of source s.

    indptr : int64 (sources + 1,)
    words : int64 (segments, 3), where its synapses lie: begin + kind * 2**KIND_SHIFT, length + block * 2**BLOCK_SHIFT; and where
        it waits: delay in steps + inlet * 2**INLET_SHIFT
    """

    indptr: np.ndarray
    words: np.ndarray


class Rows(NamedTuple):
    """Segments of synapses that share source, inlet, delay, kind of weight and block of slots.

    The segments of a source: first those whose synapses have weights of their own, then those that share one; among each sorted by
    (inlet, delay, weight, block). Segment i is synapses ``begin .. begin + length - 1``, sorted by slot, those of one slot in the
    order (projection, synapse). `segment_at` reads it.

    Kind 0 has weights of its own, kind k the weight ``shared[k - 1]``.

    targets : uint16 or uint32 (synapses,), slots of the group, less 2**16 times the block where they have 16 bits
    weights : of the synapses that have their own, which come first; as wide as was asked for
    shared : of the state's type, ascending
    """

    index: Index
    targets: np.ndarray
    weights: np.ndarray
    shared: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The number of synapses of each segment."""
        return self.index.words[:, 1] & ((1 << BLOCK_SHIFT) - 1)

    def segment_at(self, i: int) -> tuple[int, int, np.ndarray, np.ndarray]:
        """Segment i: (inlet, delay in steps, slots, weights)."""
        first, second, third = self.index.words[i].tolist()
        begin, kind = first & ((1 << KIND_SHIFT) - 1), first >> KIND_SHIFT
        end, block = begin + int(self.lengths[i]), second >> BLOCK_SHIFT
        weights = np.full(end - begin, self.shared[kind - 1]) if kind else self.weights[begin:end]
        slots = self.targets[begin:end].astype(np.int64) + (block << BLOCK_BITS)
        return third >> INLET_SHIFT, third & ((1 << INLET_SHIFT) - 1), slots, weights


class _Layout(NamedTuple):
    """How (inlet, delay, kind of weight, block of slots) become one code whose order is the order of segments.

    code = ((rank of inlet * span + delay - least) * kinds + kind) * blocks + block
    """

    inlets: np.ndarray  # sorted, int32
    least: int
    span: int
    kinds: int
    blocks: int

    def base(self, inlet: int, kind: int) -> int:
        """The code of a projection's synapses at the least delay in block 0."""
        return (int(np.searchsorted(self.inlets, inlet)) * self.span * self.kinds + kind) * self.blocks

    @property
    def stride(self) -> int:
        """What a step of delay adds to a code."""
        return self.kinds * self.blocks

    @property
    def size(self) -> int:
        """One more than the largest code."""
        return len(self.inlets) * self.span * self.stride

    @property
    def tag(self) -> type:
        """The narrowest type that holds a code."""
        return np.uint8 if self.size <= 2**8 else np.uint16 if self.size <= 2**16 else np.uint32


@jit
def _first_off_grid(delays, dt, rounding):
    """The first index of a delay (ms) further from a multiple of dt than 1e-6 steps and its own rounding, or -1."""
    for j in range(len(delays)):
        steps = delays[j] / dt
        if abs(steps - np.rint(steps)) > 1e-6 + rounding * steps:
            return j
    return -1


def check_delays(projection: Any, dt: float) -> tuple[int, int]:
    """The least and the most steps of dt (ms) that a projection's delays can take, after refusing delays that fit no grid.

    Given delays (a number, an array) must be multiples of dt, to 1e-6 steps and the rounding of their type. Drawn ones are
    rounded to the nearest multiple after clipping or redrawing: one of the range [low, high] may so come to lie just outside.
    """
    delay = projection.delay
    if isinstance(delay, (Constant, PerSynapse)):
        values = np.array([delay.value]) if isinstance(delay, Constant) else delay.values
        bad = _first_off_grid(values, dt, float(np.finfo(values.dtype).eps))
        if bad >= 0:
            below = np.floor(values[bad] / dt)
            raise NetworkError(
                f"{projection.label}: a delay of {values[bad]} ms is no multiple of dt = {dt} ms; the nearest are "
                f"{below * dt:.10g} and {(below + 1) * dt:.10g} ms"
            )
    least, most = np.rint(delay.minimum / dt), np.rint(delay.maximum / dt)
    if not 0 <= least <= most < _INT32_MAX:
        raise NetworkError(
            f"{projection.label}: delays from {delay.minimum:g} to {delay.maximum:g} ms do not fit 0 to 2**31 - 2 steps of {dt} "
            "ms; give high=... to the distribution"
        )
    return int(least), int(most)


def stream_keys(key: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The keys of a projection's structure, weights and delays."""
    return derive_key(int(key), 0), derive_key(int(key), 1), derive_key(int(key), 2)


def batches(code: RuleCode, key: np.uint64, lo: int, hi: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Source, target (int32), edge (int64) and count of the synapses onto targets lo .. hi-1, some at a time, in reused buffers."""
    capacity = line_capacity(code)
    source, target = np.empty(capacity + BATCH, np.int32), np.empty(capacity + BATCH, np.int32)
    edge = np.empty(capacity + BATCH, np.int64)
    scratch, table = np.zeros(scratch_size(code), np.uint8), new_table(code)
    lines, line = lines_of(code, lo, hi), 0
    while line < lines.count:
        arrays = scratch, table, capacity, source, target, edge
        count, line = generate_lines(*code, line, lines.count, lines.block, lines.width, key, *arrays)
        if (lo, hi) != (0, code.n_target):
            count = keep(lo, hi, count, source, target, edge)
        yield source, target, edge, count


def count_sources(code: RuleCode, key: np.uint64, lo: int, hi: int, out_counts: np.ndarray) -> None:
    """Adds to ``out_counts`` (int64) how many synapses onto targets lo .. hi-1 each source has."""
    if code.kind != IN_SLOTS or code.no_self:
        for source, _, _, count in batches(code, key, lo, hi):
            count_rows(source, count, 0, out_counts)
        return
    keys, offsets = np.empty(KEYS, np.uint32), np.empty(code.n_source + 1, np.int64)
    for block in blocks_of(code, lo, hi):  # it is known who has how many of a block; only those that lie in it in part are made
        begin, end = block_begin(block, code.n_target, code.blocks), block_begin(block + 1, code.n_target, code.blocks)
        if lo <= begin and end <= hi:
            draw_block(block, code.n_source, code.n_target, code.k, code.blocks, code.no_self, key, keys, offsets)
            out_counts[: code.n_source] += np.diff(offsets)
        else:
            for source, _, _, count in batches(code, key, max(lo, begin), min(hi, end)):
                count_rows(source, count, 0, out_counts)


def check_spec(spec: RowSpec, n_sources: int) -> RuleCode:
    """Refuse what would write outside an array, and encode the connectivity."""
    label = spec.projection.label
    spec.projection.connectivity.check(spec.n_source, spec.n_target, label, spec.same)
    inside = 0 <= spec.source_offset and spec.source_offset + spec.n_source <= n_sources and 0 <= spec.target_lo <= spec.target_hi
    slots = spec.slot_offset + spec.target_hi - spec.target_lo
    if not inside or spec.target_hi > spec.n_target or spec.slot_offset < 0:
        raise NetworkError(f"{label}: {spec[1:]} does not lie within {n_sources} sources")
    if slots > _INT32_MAX:
        raise NetworkError(
            f"{label}: {slots} inputs (neurons times ports) of one worker, of which 2**31 - 1 can be numbered; use more workers"
        )
    return spec.projection.connectivity.encode(spec.n_source, spec.n_target, bool(spec.same))


def targets_are_narrow(synapses: float, rows: float, span: int, blocks: int) -> bool:
    """Whether targets take 16 bits: where one block holds all slots, or segments stay long although they end where blocks do.

    rows : sources that have synapses; span : distinct delays at the most; blocks : of 2**16 slots, in the largest group
    """
    return blocks <= 1 or synapses >= SHORTEST * rows * span * blocks


def check_weight(magnitude: float, projection: Any, dtype: np.dtype) -> None:
    """Refuse a weight that the type cannot hold."""
    if not magnitude <= float(np.finfo(dtype).max):
        raise NetworkError(
            f"{projection.label}: a weight of magnitude {magnitude:g} overflows {dtype}; use a wider type or smaller"
        )


def shared_weights(specs: Sequence[RowSpec], dtype: np.dtype) -> np.ndarray:
    """The distinct weights of projections that have one, ascending."""
    for spec in specs:
        check_weight(abs(spec.projection.weight.value), spec.projection, dtype)
    return np.unique(np.array([spec.projection.weight.value for spec in specs]).astype(dtype))


def _count_rows(specs, codes, n_sources: int) -> np.ndarray:
    """First pass: where the rows of a table begin, int64 (sources + 1,)."""
    counts = np.zeros(n_sources, np.int64)
    for spec, code in zip(specs, codes, strict=True):
        key, _, _ = stream_keys(spec.key)
        count_sources(code, key, spec.target_lo, spec.target_hi, counts[spec.source_offset :])
    indptr = np.zeros(n_sources + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return indptr


def _stored(weights: np.ndarray, projection: Any, dtype: np.dtype) -> np.ndarray:
    """Weights as they are kept; float16 as its bits, from float32. Refuses what would overflow."""
    with np.errstate(over="ignore"):
        narrow = weights.astype(np.float64 if dtype.itemsize == 8 else np.float32)
        kept = narrow.astype(dtype)
    if not np.all(np.isfinite(kept)):
        check_weight(float(np.max(np.abs(weights))), projection, dtype)
        raise NetworkError(f"{projection.label}: a weight is not finite")
    if dtype.itemsize == 2 and np.any((kept == 0) & (weights != 0)):
        least = float(np.min(np.abs(weights[(kept == 0) & (weights != 0)])))
        raise NetworkError(f"{projection.label}: a weight of magnitude {least:g} becomes 0 in {dtype}; use a wider type or larger")
    return kept.view(np.uint16) if dtype.itemsize == 2 else kept


def _fill_rows(specs, codes, bases, layout, bits, dt, indptr, out_slots, out_tags, out_weights) -> None:
    """Second pass: generates the synapses again and writes them into their rows, in the order (projection, synapse)."""
    next_at = indptr[:-1].copy()
    dtype = np.dtype(np.float16) if out_weights.dtype == np.uint16 else out_weights.dtype
    for spec, code, base in zip(specs, codes, bases, strict=True):
        projection, own = spec.projection, out_weights.size > 0
        weight: Encoded = projection.weight.encode()
        delay: Encoded = projection.delay.encode()
        key, weight_key, delay_key = stream_keys(spec.key)
        weights = delays = np.empty(0)
        for source, target, edge, count in batches(code, key, spec.target_lo, spec.target_hi):
            if len(delays) < len(edge):
                weights, delays = np.empty(len(edge)), np.empty(len(edge))
            if own:
                draw_each(*weight, weight_key, edge, count, weights)
            draw_each(*delay, delay_key, edge, count, delays)
            place(
                source,
                target,
                _stored(weights[:count], projection, dtype) if own else out_weights,
                delays,
                count,
                dt,
                spec.slot_offset - spec.target_lo,
                bits,
                layout.least,
                layout.stride,
                base,
                next_at[spec.source_offset :],
                out_slots,
                out_tags,
                out_weights,
            )


def build_rows(specs: Sequence[RowSpec], n_sources: int, dt: float, dtype: Any, weight_dtype: Any = None) -> Rows:
    """The rows of ``n_sources`` global sources towards the targets that the specs own; dt in ms.

    dtype : of the state; weight_dtype : of weights that each synapse has of its own, the state's if None

    What a target receives does not depend on how targets are divided among workers. Peak memory beside the result: a byte a
    synapse, 2 or 4 with more than 256 or 65,536 combinations of inlet, delay, shared weight and block.
    """
    dtype, dt = np.dtype(dtype), float(dt)
    stored = dtype if weight_dtype is None else np.dtype(weight_dtype)
    codes = [check_spec(spec, n_sources) for spec in specs]
    is_own = [not isinstance(spec.projection.weight, Constant) for spec in specs]
    shared = shared_weights([spec for spec, own in zip(specs, is_own, strict=True) if not own], dtype)
    steps = np.array([check_delays(spec.projection, dt) for spec in specs]).reshape(-1, 2)
    least, most = int(steps[:, 0].min(initial=_INT32_MAX)), int(steps[:, 1].max(initial=0))
    span, inlets = max(most - least, 0) + 1, np.unique(np.array([spec.inlet for spec in specs], dtype=np.int32))
    slots = max((spec.slot_offset + spec.target_hi - spec.target_lo for spec in specs), default=0)
    blocks = -(-slots >> BLOCK_BITS)

    mine = [[(s, c) for s, c, own in zip(specs, codes, is_own, strict=True) if own == of_own] for of_own in (True, False)]
    tables = [([s for s, _ in pairs], [c for _, c in pairs]) for pairs in mine]
    indptrs = [_count_rows(*table, n_sources) for table in tables]
    rows, synapses = sum(int(np.count_nonzero(np.diff(p))) for p in indptrs), sum(int(p[-1]) for p in indptrs)
    narrow = targets_are_narrow(synapses, rows, span, blocks)
    bits = BLOCK_BITS if narrow else 31
    layouts = [_Layout(inlets, least, span, kinds, max(blocks, 1) if narrow else 1) for kinds in (1, max(len(shared), 1))]
    _check_size(layouts, indptrs)

    targets = np.empty(synapses, np.uint16 if narrow else np.uint32)
    weights = np.empty(int(indptrs[0][-1]), stored)
    bare = np.empty(0, np.float32)
    begin, tags, segments = 0, [], 0
    for (part, part_codes), indptr, layout, kept in zip(tables, indptrs, layouts, (_bits_of(weights), bare), strict=True):
        kinds = [0 if kept is not bare else int(np.searchsorted(shared, dtype.type(s.projection.weight.value))) for s in part]
        bases = [layout.base(spec.inlet, kind) for spec, kind in zip(part, kinds, strict=True)]
        mine_targets, tag = targets[begin : begin + int(indptr[-1])], np.empty(int(indptr[-1]), layout.tag)
        _fill_rows(part, part_codes, bases, layout, bits, dt, indptr, mine_targets, tag, kept)
        segments += sort_rows(indptr, min(bits, slots.bit_length()), layout.size.bit_length(), mine_targets, tag, kept)
        begin += int(indptr[-1])
        tags.append(tag)
    index = Index(np.empty(n_sources + 1, np.int64), np.empty((segments, 3), np.int64))
    pieces = [part for table in zip(indptrs, tags, map(tuple, layouts), strict=True) for part in table]
    cut(*pieces, *index)
    return Rows(index, targets, weights, shared)


def _bits_of(weights: np.ndarray) -> np.ndarray:
    """The array itself; float16 as its bits, since Numba has no such type on a CPU."""
    return weights.view(np.uint16) if weights.dtype == np.float16 else weights


def _check_size(layouts: Sequence[_Layout], indptrs: Sequence[np.ndarray]) -> None:
    for layout, indptr in zip(layouts, indptrs, strict=True):
        if layout.size > _INT32_MAX or layout.kinds >= 1 << (63 - KIND_SHIFT):
            raise NetworkError(
                f"the network's delays take {layout.span} steps, in {len(layout.inlets)} groups, with {layout.kinds} kinds of "
                "weight: that is too much to sort; use fewer distinct constant weights or shorter delays"
            )
        longest = int(np.diff(indptr).max(initial=0))
        if longest > _INT32_MAX:
            raise NetworkError(f"source {int(np.argmax(np.diff(indptr)))} has more than 2**31 - 1 synapses")


def realise(projection: Any, n_source: int, n_target: int, same: bool, key: np.uint64, dt: float) -> Connectivity:
    """The very synapses that `build_rows` makes of a projection, sorted by (source, target, synapse).

    Weights float64, as drawn; delays in ms, rounded to multiples of dt (ms).
    """
    projection.connectivity.check(n_source, n_target, projection.label, same)
    check_delays(projection, dt)
    code: RuleCode = projection.connectivity.encode(n_source, n_target, bool(same))
    weight: Encoded = projection.weight.encode()
    delay: Encoded = projection.delay.encode()
    key, weight_key, delay_key = stream_keys(key)
    parts = []
    for source, target, edge, count in batches(code, key, 0, n_target):
        weights, delays = np.empty(count), np.empty(count)
        draw_each(*weight, weight_key, edge, count, weights)
        draw_each(*delay, delay_key, edge, count, delays)
        parts.append((source[:count].copy(), target[:count].copy(), weights, np.rint(delays / dt) * dt))
    empty = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), np.empty(0)
    source, target, weights, delays = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return Connectivity.from_coo(source, target, n_source, n_target, weights, delays)
