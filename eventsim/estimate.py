"""How large a network will be: synapses, degrees, delays and bytes, before anything is built."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, Distribution, LogNormal, Normal, PerSynapse, Uniform
from eventsim.errors import SimulationError
from eventsim.models import Neuron
from eventsim.network import Network, Population, Projection
from eventsim.table import bytes_text, text_table

TARGET = 4  # bytes of a synapse's target
SEGMENT = 28  # bytes of a segment: delay, group, length (4 each), begin, step of the weights (8 each)
SHARED_WEIGHT = 8  # bytes more for each segment in a network where a projection has one weight
SOURCE = 8  # bytes of a source in each worker: where its segments begin
NEURON = 38  # bytes of a neuron beside its state: its number, flags, lists of who fired and who received, prediction
MEMBER = 24  # bytes of a member of a source
BUILDING = 2  # bytes of a synapse that are needed only while the rows are sorted


class PopulationEstimate(NamedTuple):
    """One population. ``bytes`` is the state of its neurons."""

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


@dataclass(frozen=True)
class Estimate:
    """What a simulation of a network will hold.

    Attributes
    ----------
    populations, projections : tuples of `PopulationEstimate` and `ProjectionEstimate`
    bytes : bytes by kind: "synapses", "segments" (the index by source and delay), "neurons", "given" (arrays of the description)
    building : bytes needed for a while in addition, while the network is built
    """

    populations: tuple[PopulationEstimate, ...]
    projections: tuple[ProjectionEstimate, ...]
    bytes: dict[str, int]
    building: int

    @property
    def neurons(self) -> int:
        """Number of neurons and sources."""
        return sum(population.size for population in self.populations)

    @property
    def synapses(self) -> float:
        """Expected number of synapses."""
        return math.fsum(projection.synapses for projection in self.projections)

    @property
    def total_bytes(self) -> int:
        """Bytes held while the simulation runs, recordings left out."""
        return sum(self.bytes.values())

    def table(self) -> str:
        """Everything as text."""
        parts = [
            text_table(("population", "neurons", "model", "state"), [p[:3] + (bytes_text(p.bytes),) for p in self.populations])
        ]
        if self.projections:
            rows = [
                (
                    f"{p.source} -> {p.target}",
                    f"{p.synapses:.0f}",
                    f"{p.in_degree:.1f}",
                    f"{p.out_degree:.1f}",
                    f"{p.delay_low:g}" if p.delay_low == p.delay_high else f"{p.delay_low:g} ... {p.delay_high:g}",
                    bytes_text(p.bytes),
                )
                for p in self.projections
            ]
            parts.append(text_table(("projection", "synapses", "in-degree", "out-degree", "delay (ms)", "size"), rows))
        kinds = [(kind, bytes_text(count)) for kind, count in self.bytes.items()]
        kinds += [("total", bytes_text(self.total_bytes)), ("more while building", bytes_text(self.building))]
        parts.append(text_table(("memory", "size"), kinds))
        parts.append(f"  {self.neurons:,} neurons, {self.synapses:,.0f} synapses")
        return "\n\n".join(parts)


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


def _delay_steps(delay: Distribution, dt: float, label: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps int64 ascending, their chances) of a projection's delays."""
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


class _Part(NamedTuple):
    """What one projection contributes to the segments of its source population."""

    synapses: float
    steps: np.ndarray
    chances: np.ndarray


def _kind(neuron: Any) -> Any:
    """Equal for populations that one sweep updates together."""
    if not isinstance(neuron, Neuron):
        return id(neuron)
    values = (*neuron.params, neuron.refractory)
    return (neuron.model.name, neuron.method, neuron.order, neuron.hold, *(id(v) if np.ndim(v) else v for v in values))


def _segments(parts: list[_Part], sources: int, workers: int) -> float:
    """Expected number of (source, delay) pairs that occur, over all workers.

    A source with k synapses, of which each has delay d with chance p_d, has 1 - (1 - p_d)^k of them on average.
    """
    total = sum(part.synapses for part in parts)
    if total == 0:
        return 0.0
    first = min(int(part.steps[0]) for part in parts)
    chances = np.zeros(max(int(part.steps[-1]) for part in parts) - first + 1)
    for part in parts:
        chances[part.steps - first] += part.chances * (part.synapses / total)
    k = total / sources / workers
    return sources * workers * float(-np.expm1(k * np.log1p(-np.minimum(chances, 1.0 - 1e-15))).sum())


def _model_name(neuron: Any) -> str:
    return neuron.model.name if isinstance(neuron, Neuron) else type(neuron).__name__


def _population_bytes(population: Population, itemsize: int) -> int:
    neuron = population.neuron
    if not isinstance(neuron, Neuron):
        return MEMBER * population.size
    each = itemsize * (len(neuron.model.State._fields) + len(neuron.model.ports) + neuron.holds) + NEURON
    if neuron.sizes():  # parameters that differ between neurons are held for each: as such, for the flow, and as coefficients
        parameters = len(neuron.params) + 1
        each += itemsize * (parameters + len(neuron.model.Propagator._fields)) + 8 * parameters
    return each * population.size


def _likely_range(steps: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """First and last step of which at least one synapse is expected, give or take a half."""
    if len(steps) == 0:
        return 0, 0
    likely = steps[counts >= min(0.5, counts.max())]
    return int(likely[0]), int(likely[-1])


def _projection(network: Network, projection: Projection, dt: float, itemsize: int) -> tuple[ProjectionEstimate, _Part]:
    sources, targets = network.population(projection.source).size, network.population(projection.target).size
    synapses = projection.connectivity.expected(sources, targets, projection.source == projection.target)
    steps, chances = _delay_steps(projection.delay, dt, projection.label)
    low, high = _likely_range(steps, chances * synapses)
    size = TARGET + (0 if isinstance(projection.weight, Constant) else itemsize)
    estimate = ProjectionEstimate(
        projection.source,
        projection.target,
        synapses,
        synapses / targets,
        synapses / sources,
        round(low * dt, 6),
        round(high * dt, 6),
        round(synapses * size),
    )
    return estimate, _Part(synapses, steps, chances)


def _given_arrays(value: Any, found: dict[int, int]) -> None:
    """Collect bytes of the arrays of a description, by id."""
    if isinstance(value, np.ndarray):
        found[id(value)] = value.nbytes
    elif isinstance(value, Connectivity | PerSynapse) or hasattr(value, "__dataclass_fields__"):
        for item in vars(value).values():
            _given_arrays(item, found)


def _given_bytes(network: Network) -> int:
    found: dict[int, int] = {}
    for given in network.inputs:
        _given_arrays(given, found)
    for projection in network.projections:
        for part in (projection.connectivity, projection.weight, projection.delay):
            _given_arrays(part, found)
    for population in network.populations:
        for start in population.initial.values():
            _given_arrays(start, found)
        if not isinstance(population.neuron, Neuron):
            _given_arrays(population.neuron, found)
    return sum(found.values())


def estimate(network: Network, dt: float, dtype: str = "float32", workers: int = 1) -> Estimate:
    """Expected sizes of a simulation of ``network``; nothing is built.

    Parameters
    ----------
    dt : ms, the grid: delays are counted in it
    dtype : "float32" or "float64", the type of states and weights
    workers : number of threads; each has an index of its own to its synapses
    """
    if not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise SimulationError(f"estimate: dt must be above 0 ms, not {dt!r}")
    if dtype not in ("float32", "float64"):
        raise SimulationError(f"estimate: dtype must be 'float32' or 'float64', not {dtype!r}")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise SimulationError(f"estimate: workers must be a whole number above 0, not {workers!r}")
    itemsize = np.dtype(dtype).itemsize
    populations = tuple(
        PopulationEstimate(p.name, p.size, _model_name(p.neuron), _population_bytes(p, itemsize)) for p in network.populations
    )
    projections: list[ProjectionEstimate] = []
    groups: dict[Any, list[_Part]] = {}
    for projection in network.projections:
        one, part = _projection(network, projection, dt, itemsize)
        projections.append(one)
        weight = projection.weight.value if isinstance(projection.weight, Constant) else None
        kind = (projection.source, _kind(network.population(projection.target).neuron), projection.port, weight)
        groups.setdefault(kind, []).append(part)
    segments = sum(_segments(parts, network.population(kind[0]).size, workers) for kind, parts in groups.items())
    shared = any(isinstance(projection.weight, Constant) for projection in network.projections)
    sizes = {
        "synapses": sum(projection.bytes for projection in projections),
        "segments": round(segments * (SEGMENT + SHARED_WEIGHT * shared)) + SOURCE * workers * (network.size + 1),
        "neurons": sum(population.bytes for population in populations),
        "given": _given_bytes(network),
    }
    synapses = math.fsum(projection.synapses for projection in projections)
    return Estimate(populations, tuple(projections), sizes, round(BUILDING * synapses))
