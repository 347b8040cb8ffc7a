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
from eventsim.generate import RuleCode, generate_lines, line_capacity, line_range, scratch_size
from eventsim.jit import jit
from eventsim.random import key as derive_key

BATCH = 16384
"""Synapses generated at a time: their buffers stay in the L2 cache, and a call from Python costs nothing beside the work."""
_INT32_MAX = 2**31 - 1


class RowSpec(NamedTuple):
    """One projection as one worker sees it.

    The worker owns targets ``target_lo .. target_hi - 1`` of the target population; the slot of a target is
    ``slot_offset + target - target_lo``. ``source_offset`` is the global number of the source population's first neuron, ``same``
    says whether source and target are one population, ``group`` numbers what the slots belong to.
    """

    projection: Any
    n_source: int
    n_target: int
    same: bool
    source_offset: int
    group: int
    slot_offset: int
    target_lo: int
    target_hi: int
    key: np.uint64


class Rows(NamedTuple):
    """Segments of synapses that share source, group, delay and kind of weight.

    Segments ``indptr[s] .. indptr[s + 1] - 1`` are those of global source s, sorted by (group, delay, kind: one weight a synapse
    first, then shared weights in ascending order). Segment i is ``targets[begin[i]:begin[i] + length[i]]``, sorted by slot, those
    of one slot in the order (projection, synapse). Weight j of it is ``weights[weight_begin[i] + j * weight_step[i]]``.

    indptr : int64 (sources + 1,)
    delay : int32 (segments,), steps
    group, length : int32 (segments,)
    begin, weight_begin : int64 (segments,); one and the same array where no weights are shared
    weight_step : int64 (segments,), 1, or 0 where the segment shares a weight
    targets : int32 (synapses,), slots
    weights : float32 or float64, first one for each synapse that has its own, then the shared ones
    """

    indptr: np.ndarray
    delay: np.ndarray
    group: np.ndarray
    begin: np.ndarray
    length: np.ndarray
    weight_begin: np.ndarray
    weight_step: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class _Layout(NamedTuple):
    """How (group, delay, kind of weight) become one code whose order is the order of segments.

    code = (rank of group * span + delay - least) * kinds + kind; kind 0 is "one weight a synapse" if any projection has that.
    """

    groups: np.ndarray  # sorted, int32
    shared: np.ndarray  # sorted shared weights
    least: int
    span: int
    kinds: int
    has_own: bool

    def base(self, spec: RowSpec, dtype: np.dtype) -> int:
        """The code of a projection's synapses at the least delay."""
        kind = 0
        if isinstance(spec.projection.weight, Constant):
            kind = int(np.searchsorted(self.shared, dtype.type(spec.projection.weight.value))) + self.has_own
        return int(np.searchsorted(self.groups, spec.group)) * self.span * self.kinds + kind

    @property
    def size(self) -> int:
        """One more than the largest code."""
        return len(self.groups) * self.span * self.kinds


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


def _stream_keys(key: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The keys of a projection's structure, weights and delays."""
    return derive_key(int(key), 0), derive_key(int(key), 1), derive_key(int(key), 2)


@jit
def _keep(lo, hi, count, out_source, out_target, out_edge):
    """Moves the synapses onto targets lo .. hi-1 to the front of the three arrays, in order; returns how many."""
    kept = 0
    for j in range(count):
        out_source[kept] = out_source[j]
        out_target[kept] = out_target[j]
        out_edge[kept] = out_edge[j]
        # Without a branch: half of them would be mispredicted.
        kept += np.int64((out_target[j] >= lo) & (out_target[j] < hi))
    return kept


def _batches(code: RuleCode, key: np.uint64, lo: int, hi: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Source, target (int32), edge (int64) and count of the synapses onto targets lo .. hi-1, some at a time, in reused buffers."""
    capacity = line_capacity(code)
    source, target = np.empty(capacity + BATCH, np.int32), np.empty(capacity + BATCH, np.int32)
    edge = np.empty(capacity + BATCH, np.int64)
    scratch = np.zeros(scratch_size(code), np.uint8)
    line, last = line_range(code, lo, hi)
    while line < last:
        count, line = generate_lines(*code, line, last, key, scratch, capacity, source, target, edge)
        if (lo, hi) != (0, code.n_target):
            count = _keep(lo, hi, count, source, target, edge)
        yield source, target, edge, count


@jit
def _count(source, count, offset, out_counts):
    """Adds 1 to ``out_counts[offset + source[j]]`` for the first ``count`` synapses."""
    for j in range(count):
        out_counts[offset + source[j]] += 1


@jit
def _place(
    source,
    target,
    weights,
    delays,
    count,
    dt,
    limit,
    offset,
    shift,
    least,
    kinds,
    base,
    own,
    next_at,
    next_weight,
    out_slots,
    out_codes,
    out_weights,
):
    """Writes a batch into its rows at ``next_at`` and ``next_weight`` (moved on); returns the first weight above limit, or -1."""
    for j in range(count):
        row = offset + source[j]
        at = next_at[row]
        next_at[row] = at + 1
        out_slots[at] = target[j] + shift
        out_codes[at] = base + (np.int64(np.rint(delays[j] / dt)) - least) * kinds
        if own:
            if not abs(weights[j]) <= limit:
                return j
            out_weights[next_weight[row]] = weights[j]
            next_weight[row] += 1
    return -1


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
def _radix_pass(n, shift, histogram, keys, values, out_keys, out_values):
    """Moves ``n`` pairs to the out arrays sorted by byte ``keys >> shift``, stably; False if all share that byte."""
    histogram[:] = 0
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
            moved = _radix_pass(n, np.uint64(shift), histogram, keys2, values2, keys, values)
        else:
            moved = _radix_pass(n, np.uint64(shift), histogram, keys, values, keys2, values2)
        swapped ^= moved
    return swapped


@jit
def _load(begin, end, weight, slot_bits, kinds, has_own, slots, codes, weights, out_keys, out_values):
    """Writes the row's keys (code, slot) and weights (0 where shared) to the out arrays; returns whether the keys ascend."""
    ascending, before = True, np.uint64(0)
    for j in range(end - begin):
        code = np.int64(codes[begin + j])
        key = (np.uint64(code) << np.uint64(slot_bits)) | np.uint64(slots[begin + j])
        out_keys[j] = key
        out_values[j] = 0
        if has_own and (kinds == 1 or code % kinds == 0):
            out_values[j] = weights[weight]
            weight += 1
        ascending &= key >= before
        before = key
    return ascending


@jit
def _sort_rows(indptr, weight_indptr, slot_bits, code_bits, kinds, has_own, slots, codes, weights):
    """Sorts every row of ``slots``, ``codes`` and ``weights`` in place by (code, slot), stably; returns the number of segments."""
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    keys, keys2 = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    values, values2 = np.empty(longest, weights.dtype), np.empty(longest, weights.dtype)
    histogram = np.empty(256, np.int64)
    mask = np.uint64((1 << slot_bits) - 1)
    segments = 0
    for row in range(len(indptr) - 1):
        begin, end, weight = indptr[row], indptr[row + 1], weight_indptr[row]
        n = end - begin
        ascending = _load(begin, end, weight, slot_bits, kinds, has_own, slots, codes, weights, keys, values)
        if not ascending:
            swapped = _sort(n, slot_bits + code_bits, histogram, keys, values, keys2, values2)
            sorted_keys, sorted_values = (keys2, values2) if swapped else (keys, values)
            for j in range(n):
                code = np.int64(sorted_keys[j] >> np.uint64(slot_bits))
                slots[begin + j] = np.int64(sorted_keys[j] & mask)
                codes[begin + j] = code
                if has_own and (kinds == 1 or code % kinds == 0):
                    weights[weight] = sorted_values[j]
                    weight += 1
        for j in range(begin, end):
            segments += np.int64(j == begin or codes[j] != codes[j - 1])
    return segments


@jit
def _segment(
    indptr,
    weight_indptr,
    codes,
    groups,
    least,
    span,
    kinds,
    has_own,
    out_indptr,
    out_delay,
    out_group,
    out_begin,
    out_length,
    out_weight_begin,
    out_weight_step,
):
    """Writes the segments of sorted rows to the out arrays; ``out_weight_begin`` may be ``out_begin`` where they are equal."""
    at, shared_begin = 0, weight_indptr[len(indptr) - 1] - np.int64(has_own)
    out_indptr[0] = 0
    for row in range(len(indptr) - 1):
        begin, weight = indptr[row], weight_indptr[row]
        while begin < indptr[row + 1]:
            code = np.int64(codes[begin])
            end = begin + 1
            while end < indptr[row + 1] and codes[end] == code:
                end += 1
            kind, rest = code % kinds, code // kinds
            own = has_own and kind == 0
            out_group[at] = groups[rest // span]
            out_delay[at] = least + rest % span
            out_begin[at] = begin
            out_length[at] = end - begin
            out_weight_begin[at] = weight if own else shared_begin + kind
            out_weight_step[at] = np.int64(own)
            weight += end - begin if own else 0
            begin = end
            at += 1
        out_indptr[row + 1] = at


def _check_spec(spec: RowSpec, n_sources: int) -> RuleCode:
    """Refuse what would write outside an array, and encode the connectivity."""
    label = spec.projection.label
    spec.projection.connectivity.check(spec.n_source, spec.n_target, label, spec.same)
    inside = 0 <= spec.source_offset and spec.source_offset + spec.n_source <= n_sources and 0 <= spec.target_lo <= spec.target_hi
    slots = spec.slot_offset + spec.target_hi - spec.target_lo
    if not inside or spec.target_hi > spec.n_target or spec.slot_offset < 0 or slots > _INT32_MAX:
        raise NetworkError(f"{label}: {spec[1:]} does not lie within {n_sources} sources and 2**31 - 1 slots")
    return spec.projection.connectivity.encode(spec.n_source, spec.n_target, bool(spec.same))


def _layout(specs: Sequence[RowSpec], dt: float, dtype: np.dtype) -> _Layout:
    """The codes that these projections need."""
    steps = np.array([check_delays(spec.projection, dt) for spec in specs]).reshape(-1, 2)
    least, most = int(steps[:, 0].min(initial=_INT32_MAX)), int(steps[:, 1].max(initial=0))
    constants = [spec.projection for spec in specs if isinstance(spec.projection.weight, Constant)]
    for projection in constants:
        _check_weight(abs(projection.weight.value), projection, dtype)
    shared = np.unique(np.array([projection.weight.value for projection in constants]).astype(dtype))
    has_own = len(constants) < len(specs)
    groups = np.unique(np.array([spec.group for spec in specs], dtype=np.int32))
    layout = _Layout(groups, shared, least, max(most - least, 0) + 1, max(len(shared) + has_own, 1), has_own)
    if layout.size > _INT32_MAX:
        raise NetworkError(
            f"the network's delays take {layout.span} steps of {dt} ms, in {len(groups)} groups, with {layout.kinds} kinds of "
            "weight: that is too much to sort; use fewer distinct constant weights or shorter delays"
        )
    return layout


def _check_weight(magnitude: float, projection: Any, dtype: np.dtype) -> None:
    if not magnitude <= float(np.finfo(dtype).max):
        raise NetworkError(f"{projection.label}: a weight of magnitude {magnitude:g} overflows {dtype}; use float64 or smaller")


def _count_rows(specs, codes, n_sources: int) -> tuple[np.ndarray, np.ndarray]:
    """First pass: where the rows of synapses, and of weights of their own, begin; int64 (sources + 1,) each."""
    own, shared = np.zeros(n_sources, np.int64), np.zeros(n_sources, np.int64)
    for spec, code in zip(specs, codes, strict=True):
        counts = shared if isinstance(spec.projection.weight, Constant) else own
        key, _, _ = _stream_keys(spec.key)
        for source, _, _, count in _batches(code, key, spec.target_lo, spec.target_hi):
            _count(source, count, spec.source_offset, counts)
    indptr, weight_indptr = np.zeros(n_sources + 1, np.int64), np.zeros(n_sources + 1, np.int64)
    np.cumsum(own, out=weight_indptr[1:])
    np.cumsum(own + shared, out=indptr[1:])
    return indptr, weight_indptr


def _fill_rows(specs, codes, layout, dt, indptr, weight_indptr, out_slots, out_codes, out_weights) -> None:
    """Second pass: generates the synapses again and writes them into their rows, in the order (projection, synapse)."""
    next_at, next_weight = indptr[:-1].copy(), weight_indptr[:-1].copy()
    limit = float(np.finfo(out_weights.dtype).max)
    for spec, code in zip(specs, codes, strict=True):
        projection = spec.projection
        base, own = layout.base(spec, out_weights.dtype), not isinstance(projection.weight, Constant)
        weight: Encoded = projection.weight.encode()
        delay: Encoded = projection.delay.encode()
        key, weight_key, delay_key = _stream_keys(spec.key)
        weights = delays = np.empty(0)
        for source, target, edge, count in _batches(code, key, spec.target_lo, spec.target_hi):
            if len(weights) < len(edge):
                weights, delays = np.empty(len(edge)), np.empty(len(edge))
            if own:
                draw_each(*weight, weight_key, edge, count, weights)
            draw_each(*delay, delay_key, edge, count, delays)
            bad = _place(
                source,
                target,
                weights,
                delays,
                count,
                dt,
                limit,
                spec.source_offset,
                spec.slot_offset - spec.target_lo,
                layout.least,
                layout.kinds,
                base,
                own,
                next_at,
                next_weight,
                out_slots,
                out_codes,
                out_weights,
            )
            if bad >= 0:
                _check_weight(abs(weights[bad]), projection, out_weights.dtype)


def build_rows(specs: Sequence[RowSpec], n_sources: int, dt: float, dtype: Any) -> Rows:
    """The rows of ``n_sources`` global sources towards the targets that the specs own; dt in ms, weights cast to dtype.

    What a target receives does not depend on how targets are divided among workers. Peak memory beside the result: 2 bytes a
    synapse (4 with more than 65,536 combinations of group, delay and shared weight).
    """
    dtype, dt = np.dtype(dtype), float(dt)
    codes = [_check_spec(spec, n_sources) for spec in specs]
    layout = _layout(specs, dt, dtype)
    indptr, weight_indptr = _count_rows(specs, codes, n_sources)
    if n_sources and int(np.diff(indptr).max()) > _INT32_MAX:
        raise NetworkError(f"source {int(np.argmax(np.diff(indptr)))} has more than 2**31 - 1 synapses")
    slots = np.empty(int(indptr[-1]), np.int32)
    weights = np.empty(int(weight_indptr[-1]) + len(layout.shared), dtype)
    weights[int(weight_indptr[-1]) :] = layout.shared
    tags = np.empty(len(slots), np.uint16 if layout.size <= 65536 else np.uint32)
    _fill_rows(specs, codes, layout, dt, indptr, weight_indptr, slots, tags, weights)
    slot_bits = max((spec.slot_offset + spec.target_hi - spec.target_lo for spec in specs), default=0).bit_length()
    kinds = layout.kinds, layout.has_own
    segments = _sort_rows(indptr, weight_indptr, slot_bits, layout.size.bit_length(), *kinds, slots, tags, weights)
    begin, weight_step = np.empty(segments, np.int64), np.empty(segments, np.int64)
    weight_begin = np.empty(segments, np.int64) if len(layout.shared) else begin
    delay, group, length = (np.empty(segments, np.int32) for _ in range(3))
    first = np.empty(n_sources + 1, np.int64)
    arrays = first, delay, group, begin, length, weight_begin, weight_step
    _segment(indptr, weight_indptr, tags, layout.groups, layout.least, layout.span, *kinds, *arrays)
    return Rows(*arrays, slots, weights)


def realise(projection: Any, n_source: int, n_target: int, same: bool, key: np.uint64, dt: float) -> Connectivity:
    """The very synapses that `build_rows` makes of a projection, sorted by (source, target, synapse).

    Weights float64, as drawn; delays in ms, rounded to multiples of dt (ms).
    """
    projection.connectivity.check(n_source, n_target, projection.label, same)
    check_delays(projection, dt)
    code: RuleCode = projection.connectivity.encode(n_source, n_target, bool(same))
    weight: Encoded = projection.weight.encode()
    delay: Encoded = projection.delay.encode()
    key, weight_key, delay_key = _stream_keys(key)
    parts = []
    for source, target, edge, count in _batches(code, key, 0, n_target):
        weights, delays = np.empty(count), np.empty(count)
        draw_each(*weight, weight_key, edge, count, weights)
        draw_each(*delay, delay_key, edge, count, delays)
        parts.append((source[:count].copy(), target[:count].copy(), weights, np.rint(delays / dt) * dt))
    empty = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), np.empty(0)
    source, target, weights, delays = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return Connectivity.from_coo(source, target, n_source, n_target, weights, delays)
