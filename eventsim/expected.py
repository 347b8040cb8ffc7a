"""How many synapses and segments a network will have, and their bytes, from the laws that they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, Distribution, LogNormal, Normal, PerSynapse, Uniform
from eventsim.errors import SimulationError
from eventsim.network import Network, Projection
from eventsim.rows import BLOCK_BITS, targets_are_narrow
from eventsim.rules import FixedInDegree, FixedProbability, FixedTotalNumber

SEGMENT = 24  # bytes of a segment: three words (`eventsim.rows.Index`)
SOURCE = 8  # bytes of a source in each worker: where its segments begin
SORTED = 32  # bytes of a synapse of the row that is sorted: key and weight, twice
CHUNK = 1 << 16  # delays that are looked at together: what asks for memory must not take much itself


class PopulationEstimate(NamedTuple):
    """One population. ``bytes`` is the state of its neurons in all batch items, and parameters that differ between them."""

    name: str
    size: int
    model: str
    bytes: int


class ProjectionEstimate(NamedTuple):
    """One projection: expected number of synapses, mean degrees, the delays (ms) that are likely to occur, bytes."""

    source: str
    target: str
    synapses: float
    in_degree: float
    out_degree: float
    delay_low: float
    delay_high: float
    bytes: int


def _below(distribution: Distribution, edges: np.ndarray) -> np.ndarray:
    """The chance of a value below each edge, for the distributions that are drawn."""
    if isinstance(distribution, Uniform):
        width = distribution.high - distribution.low
        return np.clip((edges - distribution.low) / width, 0.0, 1.0) if width else (edges > distribution.low).astype(float)
    if isinstance(distribution, LogNormal):
        mean, spread, x = distribution.mu, distribution.sigma, np.log(np.maximum(edges, 1e-300))
        low, high = (math.log(end) if end > 0.0 else -math.inf for end in (distribution.low, distribution.high))
    elif isinstance(distribution, Normal):
        mean, spread, x, low, high = distribution.mean, distribution.std, edges, distribution.low, distribution.high
    else:
        raise SimulationError(
            f"estimate: the delays of a {type(distribution).__name__} are not known; use a distribution of eventsim"
        )
    scale = max(spread, 1e-12) * math.sqrt(2.0)
    chance = np.array([0.5 * math.erfc(-(value - mean) / scale) for value in [low, high, *x]])
    if distribution.outside == "clip":
        return np.where(x <= low, 0.0, np.where(x > high, 1.0, chance[2:]))
    return np.clip((chance[2:] - chance[0]) / (chance[1] - chance[0]), 0.0, 1.0)


def delay_steps(delay: Distribution, dt: float, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps int64 ascending, their chances) of a projection's delays."""
    if isinstance(delay, Constant):
        return np.array([round(delay.value / dt)]), np.ones(1)
    low, high = round(delay.minimum / dt), round(delay.maximum / dt)
    if high - low > 10_000_000:
        raise SimulationError(f"estimate, {label}: delays up to {delay.maximum:g} ms are {high} steps of {dt} ms; give high=...")
    steps = np.arange(low, high + 1)
    if isinstance(delay, PerSynapse):
        counts = np.zeros(len(steps), np.int64)
        for first in range(0, len(delay.values), CHUNK):
            found = np.rint(delay.values[first : first + CHUNK] / dt).astype(np.int64) - low
            counts += np.bincount(found, minlength=len(steps))
        occur = counts > 0
        return steps[occur], counts[occur] / max(1, counts.sum())
    edges = (np.arange(low, high + 2) - 0.5) * dt
    return steps, np.diff(_below(delay, edges))


class Drawn(NamedTuple):
    """The expected synapses of one projection, and its delays: steps, ascending, and the chance of each.

    trial : how likely each attempt is that makes a source's synapses: 1 where their number is fixed
    """

    synapses: float
    steps: np.ndarray
    chances: np.ndarray
    trial: float

    def likely_range(self) -> tuple[int, int]:
        """First and last step of which at least one synapse is expected, give or take a half."""
        if len(self.steps) == 0:
            return 0, 0
        counts = self.chances * self.synapses
        likely = self.steps[counts >= min(0.5, counts.max())]
        return int(likely[0]), int(likely[-1])


class Slots(NamedTuple):
    """Where a projection's targets lie in one worker: its inlet, the slot of the first, how many, and their share of all."""

    inlet: int
    first: int
    count: int
    share: float


class RowBytes(NamedTuple):
    """Bytes of the rows of one worker: of each synapse's target, of all segments, and what sorting needs for a while."""

    target: int
    segments: int
    tags: int  # until segments are cut
    scratch: int  # until then, but not while they are


def expected_segments(parts: Sequence[Drawn], sources: int) -> float:
    """Expected number of (source, delay) pairs that occur.

    A source makes k synapses in k / q attempts of chance q on average; of none of these has delay d with chance
    (1 - q p_d)^(k / q).
    """
    parts = [part for part in parts if part.synapses > 0]
    if not parts:
        return 0.0
    _, places = np.unique(np.concatenate([part.steps for part in parts]), return_inverse=True)
    absent = np.concatenate([_absent(part, sources) for part in parts])
    return sources * float(-np.expm1(np.bincount(places, absent)).sum())


def _absent(part: Drawn, sources: int) -> np.ndarray:
    """The logarithm of the chance that a source has no synapse of it with a delay, for each of the delays."""
    attempts = part.synapses / sources / part.trial
    return attempts * np.log1p(-np.minimum(part.trial * part.chances, 1.0 - 1e-15))


def expected_synapses(network: Network, projection: Projection) -> float:
    """The expected number of a projection's synapses."""
    sources, targets = network.population(projection.source).size, network.population(projection.target).size
    return projection.connectivity.expected(sources, targets, projection.source == projection.target)


def drawn(network: Network, projection: Projection, dt: float) -> Drawn:
    """What the laws of a projection say."""
    trial = trial_of(projection.connectivity, network.population(projection.source).size)
    return Drawn(expected_synapses(network, projection), *delay_steps(projection.delay, dt, projection.label), trial)


def trial_of(rule: Any, sources: int) -> float:
    """The chance of each of the attempts that make the synapses of a source, see `Drawn`."""
    if isinstance(rule, FixedProbability):
        return max(rule.p, 1e-15)
    return 1.0 / sources if isinstance(rule, (FixedInDegree, FixedTotalNumber)) else 1.0


def longest_row(network: Network) -> float:
    """About how many synapses the source has that has most."""
    mean: dict[str, float] = {}
    for p in network.projections:
        if isinstance(p.connectivity, Connectivity):
            longest = float(np.diff(p.connectivity.indptr).max(initial=0))
        else:
            longest = expected_synapses(network, p) / network.population(p.source).size
        mean[p.source] = mean.get(p.source, 0.0) + longest
    return max((count + 4.0 * math.sqrt(count) for count in mean.values()), default=0.0)


def projection_estimate(
    network: Network, projection: Projection, synapses: float, low: float, high: float, size: float
) -> ProjectionEstimate:
    """Degrees of a projection that has so many synapses, with delays from low to high (ms), and ``size`` bytes."""
    sources, targets = network.population(projection.source).size, network.population(projection.target).size
    degrees = synapses / targets, synapses / sources
    return ProjectionEstimate(projection.source, projection.target, synapses, *degrees, round(low, 6), round(high, 6), round(size))


def _blocks(slots: Slots, narrow: bool) -> list[tuple[int, float]]:
    """The blocks that a projection's targets lie in, and the share of its synapses in each."""
    if not narrow or slots.count == 0:
        return [(0, slots.share)]
    end = slots.first + slots.count
    result = []
    for block in range(slots.first >> BLOCK_BITS, ((end - 1) >> BLOCK_BITS) + 1):
        inside = min(end, (block + 1) << BLOCK_BITS) - max(slots.first, block << BLOCK_BITS)
        result.append((block, slots.share * inside / slots.count))
    return result


def row_bytes(network: Network, dt: float, all_drawn: Sequence[Drawn], places: Sequence[Slots]) -> RowBytes:
    """What `eventsim.rows.build_rows` will make for one worker; places: of each projection."""
    constant = [isinstance(projection.weight, Constant) for projection in network.projections]
    synapses, rows = 0.0, 0.0
    for kind in (False, True):
        for name in {projection.source for projection in network.projections}:
            which = [i for i, p in enumerate(network.projections) if p.source == name and constant[i] == kind]
            mine, size = sum(all_drawn[i].synapses * places[i].share for i in which), network.population(name).size
            synapses += mine
            rows += -size * math.expm1(-mine / size)
    least = min((round(p.delay.minimum / dt) for p in network.projections), default=0)
    span = max((round(p.delay.maximum / dt) for p in network.projections), default=0) - least + 1
    blocks = max((-(-(slots.first + slots.count) >> BLOCK_BITS) for slots in places), default=0)
    narrow = targets_are_narrow(synapses, rows, span, blocks)
    bundles: dict[tuple, list[Drawn]] = {}
    for projection, one, slots in zip(network.projections, all_drawn, places, strict=True):
        weight = projection.weight.value if isinstance(projection.weight, Constant) else None
        for block, share in _blocks(slots, narrow):
            bundles.setdefault((projection.source, slots.inlet, weight, block), []).append(
                one._replace(synapses=one.synapses * share)
            )
    segments = sum(expected_segments(bundle, network.population(key[0]).size) for key, bundle in bundles.items())
    building = 0.0
    for kind in (False, True):
        which = [i for i in range(len(places)) if constant[i] == kind]
        kinds = max(1, len({network.projections[i].weight.value for i in which})) if kind else 1
        codes = len({slots.inlet for slots in places}) * span * kinds * (max(blocks, 1) if narrow else 1)
        mine = sum(all_drawn[i].synapses * places[i].share for i in which)
        building += mine * (1 if codes <= 2**8 else 2 if codes <= 2**16 else 4)
    index, row_ends = SOURCE * (network.size + 1), 2 * SOURCE * (network.size + 1)
    sorting = round(SORTED * longest_row(network) * (sum(slots.share for slots in places) / max(1, len(places))))
    return RowBytes(
        2 if narrow else 4, round(segments * SEGMENT) + index, round(building) + row_ends, sorting + SOURCE * network.size
    )
