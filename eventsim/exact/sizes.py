"""The bytes of everything that a simulation in continuous time holds, counted before any of it is made."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from eventsim.distributions import Constant, Distribution, LogNormal, Normal, PerSynapse
from eventsim.exact import layout as w
from eventsim.exact.calendar import CHUNK, HELD
from eventsim.exact.checks import check_network
from eventsim.exact.foldable import can_fold, row_length
from eventsim.exact.group import FEWEST, PER_SEGMENT
from eventsim.exact.queue import ROOM
from eventsim.exact.records import LINE
from eventsim.exact.sources import PROCESS_NUMBERS, PROCESS_WORDS
from eventsim.expected import PopulationEstimate, expected_synapses, longest_row, projection_estimate, trial_of
from eventsim.models import Neuron
from eventsim.network import Network, Population
from eventsim.rate_curve import curve_bytes
from eventsim.sizes import Sizes, given_bytes, given_events, model_name
from eventsim.stimuli import Current, GammaSource, PoissonNoise, PoissonSource

WORD = 8  # bytes
SYNAPSE = 12  # bytes of a synapse: target, weight
BUILDING = 12  # bytes of a synapse until rows are cut: delay, port
PARCEL = 16  # bytes of what a spike sends with one delay: the delay, where its segments begin
SEGMENT = 24  # bytes
MARK = 6  # bytes of a neuron that may be marked: whether it is, or waits, and room for its number
SORTED = 28  # bytes of a synapse of the row that is sorted
EVENT = 12  # bytes of a given spike: time, source
READING = 32  # bytes of a given spike while they are put into order
ENTRY = 16  # bytes of an entry of a queue in its heap: time, key
MOST_VALUES = 1 << 16  # different delays of an array from which on all are taken to be different


class _Delays(NamedTuple):
    """The delays of a projection: the share of its synapses that has each of the values, and that of all different ones."""

    values: dict[float, float]
    different: float


def _distinct(values: np.ndarray) -> _Delays:
    counts: dict[float, int] = {}
    for first in range(0, len(values), MOST_VALUES):
        found, many = np.unique(values[first : first + MOST_VALUES], return_counts=True)
        for value, count in zip(found.tolist(), many.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        if len(counts) > MOST_VALUES:
            return _Delays({}, 1.0)
    return _Delays({value: count / len(values) for value, count in counts.items()}, 0.0)


def _delays(delay: Distribution) -> _Delays:
    if isinstance(delay, PerSynapse):
        return _distinct(delay.values)
    if isinstance(delay, Constant) or delay.minimum == delay.maximum:
        return _Delays({delay.minimum: 1.0}, 0.0)
    if isinstance(delay, (Normal, LogNormal)) and delay.outside == "clip":
        mean, spread = (delay.mean, delay.std) if isinstance(delay, Normal) else (delay.mu, delay.sigma)
        low, high = delay.low, delay.high
        if isinstance(delay, LogNormal):
            low, high = (math.log(end) if end > 0.0 else -math.inf for end in (low, high))
        below, above = (0.5 * math.erfc(x / math.sqrt(2.0)) for x in ((mean - low) / spread, (high - mean) / spread))
        ends = {delay.low: below, delay.high: above}
        return _Delays({value: share for value, share in ends.items() if share > 0.0}, 1.0 - below - above)
    return _Delays({}, 1.0)


class _Rows(NamedTuple):
    """Expected numbers of synapses, parcels and segments."""

    synapses: list[float]
    parcels: float
    segments: float


def _pairs(parts: list[tuple[float, float, _Delays]], sources: int) -> float:
    """Expected number of (source, delay) pairs of so many sources; parts: synapses, chance of an attempt (`Drawn`), delays."""
    absent: dict[float, float] = {}  # by delay the logarithm of the chance that a source has none of it
    for synapses, trial, delays in parts:
        for value, share in delays.values.items():
            attempts = synapses / sources / trial
            absent[value] = absent.get(value, 0.0) + attempts * math.log1p(-min(trial * share, 1.0 - 1e-15))
    different = sum(synapses * delays.different for synapses, _, delays in parts)
    return different - sources * sum(math.expm1(chance) for chance in absent.values())


def _rows(network: Network) -> _Rows:
    parcels: dict[str, list] = {}
    segments: dict[tuple, list] = {}
    counts = []
    for p in network.projections:
        source, target = network.population(p.source), network.population(p.target)
        synapses = expected_synapses(network, p)
        part = synapses, trial_of(p.connectivity, source.size), _delays(p.delay)
        neuron: Any = target.neuron
        parcels.setdefault(p.source, []).append(part)
        segments.setdefault((p.source, p.target, p.port or neuron.model.default_port[0]), []).append(part)
        counts.append(synapses)
    sizes = {population.name: population.size for population in network.populations}
    return _Rows(
        counts,
        sum(_pairs(parts, sizes[name]) for name, parts in parcels.items()),
        sum(_pairs(parts, sizes[name]) for (name, *_), parts in segments.items()),
    )


class _Neurons(NamedTuple):
    """Bytes of each neuron of a population: what is held, and while it is made; and what is held besides where windows may be dense
    (`eventsim.exact.dense`)."""

    held: int
    making: int
    folding: int = 0


def _neurons(network: Network, population: Population) -> _Neurons:
    neuron: Any = population.neuron
    if not isinstance(neuron, Neuron):
        return _Neurons(0, 0)
    model, states = neuron.model, len(neuron.model.State._fields)
    driven = any(isinstance(i, Current) and i.target == population.name and i.amplitude.ndim > i.varying for i in network.inputs)
    own = driven or any(np.ndim(v) for v in (*neuron.params, neuron.refractory))
    bounded = model.linear and model.turning_time is not None and model.crossing is None and model.earliest is None
    record = WORD * LINE * -(-(states + w.MORE) // LINE)
    folds = population.size >= FEWEST and can_fold(model, neuron.params)
    table = WORD * (len(neuron.params) + 1 + 2 * states * bounded) * own
    folding = (WORD * row_length(model) + MARK + record) * folds
    return _Neurons(record + table, WORD * (states + 2 * bool(population.initial)), folding)


def queue_bytes(room: int) -> int:
    """Of a queue with room for so many entries."""
    days = 1 << max(4, (room - 1).bit_length() - 3)
    return ENTRY * room + WORD * (CHUNK * (room // HELD + days + 2) + days)


def exact_sizes(network: Network) -> Sizes:
    """The sizes of ``Simulation(network, method="exact")``."""
    check_network(network)
    rows, made = _rows(network), {p.name: _neurons(network, p) for p in network.populations}
    dense = rows.segments > 0 and math.fsum(rows.synapses) >= PER_SEGMENT * rows.segments
    sizes = {p.name: (made[p.name].held + dense * made[p.name].folding) * p.size for p in network.populations}
    noise = sum(network.population(i.target).size for i in network.inputs if isinstance(i, PoissonNoise))
    sources = [p for p in network.populations if isinstance(p.neuron, (PoissonSource, GammaSource))]
    processes, synapses, events = noise + sum(p.size for p in sources), math.fsum(rows.synapses), given_events(network)
    curves = [i.rate for i in network.inputs if isinstance(i, PoissonNoise)] + [p.neuron.rate for p in sources]
    process = WORD * (PROCESS_NUMBERS + PROCESS_WORDS) * processes
    neurons = sum(p.size for p in network.populations if isinstance(p.neuron, Neuron))
    entries = [room + ROOM for room in (processes, neurons)]
    kinds = {
        "synapses": round(SYNAPSE * (synapses + noise)),
        "segments": round(2 * WORD * network.size + PARCEL * rows.parcels + SEGMENT * (rows.segments + noise)),
        "neurons": sum(sizes.values()),
        "inputs": process + sum(curve_bytes(rate, 1) for rate in curves) + EVENT * events,
        "queues": sum(map(queue_bytes, entries)),
        "given": given_bytes(network),
    }
    populations = [PopulationEstimate(p.name, p.size, model_name(p.neuron), sizes[p.name]) for p in network.populations]
    before = kinds["given"] + kinds["neurons"]
    making = before + max(made[p.name].making * p.size for p in network.populations)
    row_ends = 2 * WORD * network.size
    cutting = before + kinds["synapses"] + round(BUILDING * synapses) + row_ends
    cutting += max(kinds["segments"], round(SORTED * longest_row(network)))
    reading = before + kinds["synapses"] + kinds["segments"] + 2 * process + READING * events
    peak = max(making, cutting, reading, sum(kinds.values()))
    projections = [
        projection_estimate(network, p, count, p.delay.minimum, p.delay.maximum, SYNAPSE * count)
        for p, count in zip(network.projections, rows.synapses, strict=True)
    ]
    return Sizes(tuple(populations), tuple(projections), kinds, peak)
