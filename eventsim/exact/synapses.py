"""All synapses by source, delay and target: what one entry of the queue carries.

A *parcel* is what a spike of one source sends with one delay; it has a *segment* for each population and port that it reaches.
Within a segment synapses are sorted by target and weight, so that sums do not depend on the order in which a network was put
together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from eventsim.distributions import Encoded, draw_each
from eventsim.errors import NetworkError
from eventsim.exact.layout import UNIFORM
from eventsim.generate import RuleCode
from eventsim.jit import jit
from eventsim.network import Network, Projection
from eventsim.program import SYNAPSES
from eventsim.random import key
from eventsim.rows import batches, count_sources, stream_keys


class Synapses(NamedTuple):
    """parcels_of : int64 (sources + 1,), the parcels of each source, by ascending delay; delay : float64 (parcels,), ms
    segments_of : int64 (parcels + 1,); segment : int64 (segments, 3): number of its port, plus `UNIFORM` where all weights are
        equal; first synapse; synapses
    target : int32, within its population; weight : float64; both (synapses,)
    """

    parcels_of: np.ndarray
    delay: np.ndarray
    segments_of: np.ndarray
    segment: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    @property
    def most_parcels(self) -> int:
        """Of one source."""
        return int(np.diff(self.parcels_of).max(initial=0))


@jit
def _place(source, target, weight, delay, count, port, next_at, out_target, out_weight, out_delay, out_port):
    """Write synapses into the rows of their sources, where these go on (modifies next_at and the out arrays)."""
    for i in range(count):
        at = next_at[source[i]]
        next_at[source[i]] = at + 1
        out_target[at], out_weight[at], out_delay[at], out_port[at] = target[i], weight[i], delay[i], port


@jit
def _comes_after(delay, port, target, weight, a, b):
    """Whether synapse a has its place behind b, by (delay, port, target, weight)."""
    if delay[a] != delay[b]:
        return delay[a] > delay[b]
    if port[a] != port[b]:
        return port[a] > port[b]
    if target[a] != target[b]:
        return target[a] > target[b]
    return weight[a] > weight[b]


@jit
def _order_row(delay, port, target, weight, begin, end, order, other):
    """The synapses begin .. end - 1 in their order, in one of the two arrays, which is returned: a merge sort, whose steps are
    short where runs are in order already."""
    many = end - begin
    for i in range(many):
        order[i] = begin + i
    width = 1
    while width < many:
        for left in range(0, many, 2 * width):
            middle, right = min(left + width, many), min(left + 2 * width, many)
            a, b = left, middle
            if b < right and not _comes_after(delay, port, target, weight, order[b - 1], order[b]):
                b = right  # the second run follows the first
                for i in range(left, right):
                    other[i] = order[i]
                continue
            for i in range(left, right):
                if a < middle and (b >= right or not _comes_after(delay, port, target, weight, order[a], order[b])):
                    other[i] = order[a]
                    a += 1
                else:
                    other[i] = order[b]
                    b += 1
        order, other = other, order
        width *= 2
    return order


@jit
def _sort_rows(indptr, delay, port, target, weight):
    """Sort each row by (delay, port, target, weight) (modifies all but indptr); the numbers of parcels and of segments."""
    most = 0
    for source in range(len(indptr) - 1):
        most = max(most, indptr[source + 1] - indptr[source])
    one, two, wide, narrow = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most), np.empty(most, np.int32)
    parcels, segments = 0, 0
    for source in range(len(indptr) - 1):
        begin, end = indptr[source], indptr[source + 1]
        ordered = True
        for i in range(begin + 1, end):
            if _comes_after(delay, port, target, weight, i - 1, i):
                ordered = False
                break
        if not ordered:
            order = _order_row(delay, port, target, weight, begin, end, one, two)
            for column in (delay, weight):
                for i in range(end - begin):
                    wide[i] = column[order[i]]
                column[begin:end] = wide[: end - begin]
            for numbers in (port, target):
                for i in range(end - begin):
                    narrow[i] = numbers[order[i]]
                numbers[begin:end] = narrow[: end - begin]
        for i in range(begin, end):
            new = i == begin or delay[i] != delay[i - 1]
            parcels += new
            segments += new or port[i] != port[i - 1]
    return parcels, segments


@jit
def _cut(indptr, delay, port, weight, out_parcels_of, out_delay, out_segments_of, out_segment):
    """Where parcels and segments begin in sorted rows."""
    parcel, segment = 0, 0
    for source in range(len(indptr) - 1):
        out_parcels_of[source] = parcel
        for i in range(indptr[source], indptr[source + 1]):
            new = i == indptr[source] or delay[i] != delay[i - 1]
            if new:
                out_delay[parcel], out_segments_of[parcel] = delay[i], segment
                parcel += 1
            if new or port[i] != port[i - 1]:
                out_segment[segment, 0], out_segment[segment, 1], out_segment[segment, 2] = port[i] + UNIFORM, i, 0
                segment += 1
            elif weight[i] != weight[i - 1]:
                out_segment[segment - 1, 0] = port[i]
            out_segment[segment - 1, 2] += 1
    out_parcels_of[len(indptr) - 1], out_segments_of[parcel] = parcel, segment


def _codes(network: Network, seed: int) -> Iterator[tuple[int, Projection, RuleCode, np.uint64]]:
    """Each projection with its number, how its synapses are generated and its stream: the same seed gives the grid's synapses."""
    for number, projection in enumerate(network.projections):
        source = network.population(projection.source, projection.label)
        target = network.population(projection.target, projection.label)
        code = projection.connectivity.encode(source.size, target.size, source is target)
        yield number, projection, code, key(seed, SYNAPSES, number)


def _count(network: Network, offsets: Sequence[int], seed: int) -> np.ndarray:
    """Where the row of each source begins, int64 (sources + 1,)."""
    counts = np.zeros(network.size, np.int64)
    for _, projection, code, stream in _codes(network, seed):
        offset = offsets[network.number(projection.source)]
        count_sources(code, stream_keys(stream)[0], 0, code.n_target, counts[offset:])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def build_synapses(network: Network, offsets: Sequence[int], ports: Sequence[int], seed: int, spare: int) -> Synapses:
    """offsets : the number of the first member of each population; ports : the number of the port of each projection
    spare : for so many synapses more there is room behind the others, and for a segment of each

    Synapses are generated twice from their counters, to count those of each source and to place them, so that beside the result
    12 bytes are held for each.
    """
    indptr = _count(network, offsets, seed)
    many, next_at = int(indptr[-1]), indptr[:-1].copy()
    target, weight = np.empty(many + spare, np.int32), np.empty(many + spare)
    delay, port = np.empty(many), np.empty(many, np.int32)
    for number, projection, code, stream in _codes(network, seed):
        offset = offsets[network.number(projection.source)]
        structure, weight_key, delay_key = stream_keys(stream)
        weight_law: Encoded = projection.weight.encode()
        delay_law: Encoded = projection.delay.encode()
        weights = delays = np.empty(0)
        for sources, targets, edges, count in batches(code, structure, 0, code.n_target):
            if len(weights) < len(edges):
                weights, delays = np.empty(len(edges)), np.empty(len(edges))
            draw_each(*weight_law, weight_key, edges, count, weights)
            draw_each(*delay_law, delay_key, edges, count, delays)
            if not np.all(np.isfinite(weights[:count])):
                raise NetworkError(f"{projection.label}: a weight is not finite")
            _place(sources, targets, weights, delays, count, ports[number], next_at[offset:], target, weight, delay, port)
    parcels, segments = _sort_rows(indptr, delay, port, target, weight)
    made = Synapses(
        parcels_of=np.empty(network.size + 1, np.int64),
        delay=np.empty(parcels),
        segments_of=np.empty(parcels + 1, np.int64),
        segment=np.empty((segments + spare, 3), np.int64),
        target=target,
        weight=weight,
    )
    _cut(indptr, delay, port, weight, made.parcels_of, made.delay, made.segments_of, made.segment)
    return made
