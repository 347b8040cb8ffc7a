"""All synapses by source, delay and target: what one entry of the queue carries.

A *parcel* is what a spike of one source sends with one delay; it has a *segment* for each population and port that it reaches.
Within a segment synapses are sorted by target and weight, so that sums do not depend on the order in which a network was put
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eventsim.distributions import Encoded, draw_each
from eventsim.errors import NetworkError
from eventsim.network import Network, Projection
from eventsim.program import SYNAPSES
from eventsim.random import key
from eventsim.rows import batches, stream_keys


class Synapses(NamedTuple):
    """parcels_of : int64 (sources + 1,), the parcels of each source, by ascending delay; delay : float64 (parcels,), ms
    segments_of : int64 (parcels + 1,); segment : int64 (segments, 3): number of its port, first synapse, synapses
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


class _List(NamedTuple):
    """Synapses one by one."""

    source: np.ndarray  # int64, in the network
    port: np.ndarray  # int32, number of the port
    delay: np.ndarray
    target: np.ndarray  # int32
    weight: np.ndarray


def _generate(network: Network, projection: Projection, stream: np.uint64, offset: int, port: int) -> _List:
    """The synapses of a projection, as the grid engine has them: the same seed gives the same ones."""
    source = network.population(projection.source, projection.label)
    target = network.population(projection.target, projection.label)
    code = projection.connectivity.encode(source.size, target.size, source is target)
    structure, weight_key, delay_key = stream_keys(stream)
    weight: Encoded = projection.weight.encode()
    delay: Encoded = projection.delay.encode()
    found: list[_List] = []
    for sources, targets, edges, count in batches(code, structure, 0, target.size):
        weights, delays = np.empty(count), np.empty(count)
        draw_each(*weight, weight_key, edges, count, weights)
        draw_each(*delay, delay_key, edges, count, delays)
        sources, targets = sources[:count].astype(np.int64) + offset, targets[:count].copy()
        found.append(_List(sources, np.full(count, port, np.int32), delays, targets, weights))
    return _joined(found)


def _joined(lists: Sequence[_List]) -> _List:
    if not lists:
        return _List(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.int32), np.zeros(0))
    return _List(*(np.concatenate(column) for column in zip(*lists, strict=True)))


def _borders(*columns: np.ndarray) -> np.ndarray:
    """Where a row differs from the one before in one of the columns, the first row included."""
    if not len(columns[0]):
        return np.zeros(0, np.int64)
    new = np.zeros(len(columns[0]), bool)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(new)


def build_synapses(network: Network, offsets: Sequence[int], ports: Sequence[int], seed: int) -> Synapses:
    """offsets : the number of the first member of each population; ports : the number of the port of each projection"""
    lists = []
    for number, projection in enumerate(network.projections):
        offset = offsets[network.number(projection.source)]
        lists.append(_generate(network, projection, key(seed, SYNAPSES, number), offset, ports[number]))
    source, port, delay, target, weight = _joined(lists)
    if not np.all(np.isfinite(weight)):
        raise NetworkError("a weight is not finite")
    order = np.lexsort((weight, target, port, delay, source))
    source, port, delay, target, weight = source[order], port[order], delay[order], target[order], weight[order]
    parcel_at, segment_at = _borders(source, delay), _borders(source, delay, port)
    ends = np.append(segment_at, len(source))
    parcels_of = np.searchsorted(source[parcel_at], np.arange(network.size + 1)).astype(np.int64)
    return Synapses(
        parcels_of=parcels_of,
        delay=delay[parcel_at],
        segments_of=np.append(np.searchsorted(segment_at, parcel_at), len(segment_at)).astype(np.int64),
        segment=np.stack([port[segment_at].astype(np.int64), segment_at, np.diff(ends)], axis=1).astype(np.int64),
        target=target,
        weight=weight,
    )
