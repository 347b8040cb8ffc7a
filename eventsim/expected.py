"""How many synapses and segments a network will have, and their bytes, from the laws that they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eventsim.distributions import Constant, Distribution, LogNormal, Normal, PerSynapse, Uniform
from eventsim.errors import SimulationError
from eventsim.network import Network, Projection
from eventsim.rows import BLOCK_BITS, targets_are_narrow

SEGMENT = 24  # bytes of a segment: three words (`eventsim.rows.Index`)
MOST_STEPS = 2**31 - 1  # of a delay, less one (`eventsim.rows.check_delays`)
SOURCE = 8  # bytes of a source in each worker: where its segments begin


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


def check_countable(delay: Distribution, dt: float, label: str) -> None:
    """Refuse delays of more steps than are counted."""
    if not delay.maximum / dt < MOST_STEPS:
        raise SimulationError(f"estimate, {label}: a delay of {delay.maximum:g} ms is more than 2**31 - 2 steps of {dt} ms")


def delay_steps(delay: Distribution, dt: float, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps int64 ascending, their chances) of a projection's delays."""
    check_countable(delay, dt, label)
    if isinstance(delay, Constant):
        return np.array([round(delay.value / dt)]), np.ones(1)
    if isinstance(delay, PerSynapse):
        steps, counts = np.unique(np.rint(delay.values / dt).astype(np.int64), return_counts=True)
        return steps, counts / max(1, counts.sum())
    low, high = round(delay.minimum / dt), round(delay.maximum / dt)
    if high - low > 10_000_000:
        raise SimulationError(f"estimate, {label}: delays up to {delay.maximum:g} ms are {high} steps of {dt} ms; give high=...")
    steps = np.arange(low, high + 1)
    edges = (np.arange(low, high + 2) - 0.5) * dt
    return steps, np.diff(_below(delay, edges))


class Drawn(NamedTuple):
    """The expected synapses of one projection, and its delays: steps, ascending, and the chance of each."""

    synapses: float
    steps: np.ndarray
    chances: np.ndarray


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
    building: int


def expected_segments(parts: Sequence[Drawn], sources: int) -> float:
    """Expected number of (source, delay) pairs that occur.

    A source with k synapses, of which each has delay d with chance p_d, has 1 - (1 - p_d)^k of them on average.
    """
    total = sum(part.synapses for part in parts)
    if total == 0:
        return 0.0
    _, places = np.unique(np.concatenate([part.steps for part in parts]), return_inverse=True)
    chances = np.bincount(places, np.concatenate([part.chances * (part.synapses / total) for part in parts]))
    k = total / sources
    return sources * float(-np.expm1(k * np.log1p(-np.minimum(chances, 1.0 - 1e-15))).sum())


def _likely_range(steps: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """First and last step of which at least one synapse is expected, give or take a half."""
    if len(steps) == 0:
        return 0, 0
    likely = steps[counts >= min(0.5, counts.max())]
    return int(likely[0]), int(likely[-1])


def drawn(network: Network, projection: Projection, dt: float) -> Drawn:
    """What the laws of a projection say."""
    sources, targets = network.population(projection.source).size, network.population(projection.target).size
    synapses = projection.connectivity.expected(sources, targets, projection.source == projection.target)
    return Drawn(synapses, *delay_steps(projection.delay, dt, projection.label))


def projection_estimate(network: Network, projection: Projection, dt: float, one: Drawn, size: float) -> ProjectionEstimate:
    """Degrees and likely delays of a projection whose synapses take ``size`` bytes each."""
    sources, targets = network.population(projection.source).size, network.population(projection.target).size
    low, high = _likely_range(one.steps, one.chances * one.synapses)
    return ProjectionEstimate(
        projection.source,
        projection.target,
        one.synapses,
        one.synapses / targets,
        one.synapses / sources,
        round(low * dt, 6),
        round(high * dt, 6),
        round(one.synapses * size),
    )


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
    return RowBytes(2 if narrow else 4, round(segments * SEGMENT) + SOURCE * (network.size + 1), round(building))
