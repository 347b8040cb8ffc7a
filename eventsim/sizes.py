"""The bytes of everything that a simulation on a grid holds, counted from its program before any of it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsim.adaptation import costs
from eventsim.connectivity import Connectivity
from eventsim.cpu.transient import RECORD, RECORDS, RING, row_scratch
from eventsim.distributions import Constant, Distribution, PerSynapse
from eventsim.expected import (
    Drawn,
    PopulationEstimate,
    ProjectionEstimate,
    RowBytes,
    Slots,
    drawn,
    projection_estimate,
    row_bytes,
)
from eventsim.generate import RuleCode
from eventsim.models import Neuron
from eventsim.network import Network, Population, Projection
from eventsim.one_row import expected_capacity, table_bytes
from eventsim.ops import NUMPY
from eventsim.procedural import NUMBERS, REALS
from eventsim.program import Group, Program, expected_active, initial_mode
from eventsim.rate_curve import curve_bytes
from eventsim.rows import BLOCK_BITS
from eventsim.state import SLOTS, TABLE_ROWS
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource, SpikeSource
from eventsim.varying_rate import VaryingRate, peak_rate

# Neurons and sources (`eventsim.state`)
NUMBER = 4  # bytes of the number of a neuron or source in the network
FIRED = 4  # bytes of a neuron or source: who fired
FLAG = 1  # bytes of a neuron: whether it fired
TOUCHED = 4  # bytes of a neuron that is updated sparsely: who received something
PREDICTED = 25 + TOUCHED  # bytes of a neuron that is updated sparsely, and of a source whose spikes are drawn: the next one
LAST_EVENT = 8  # bytes of a gamma process: the time of its last event
EVENT = 12  # bytes of a given spike: step, neuron
GIVEN = 16  # bytes of a given spike while members are made
SORTED = 40  # bytes of a given spike while they are put into order
DOUBLE = 8  # bytes of a number while it is computed

# What spikes pass through (`eventsim.cpu.part`, `eventsim.cpu.instance`, `eventsim.recording.SpikeBuffer`)
SEGMENTS_DUE = 16  # segments for which a list of the wheel has room at first; it grows as activity asks for
ENTRY = 16  # bytes of a segment that is due
BUFFERED = 4096  # spikes for which the buffer has room at least
SPIKE = 12  # bytes of a spike in the buffer: step, neuron
GID = 4  # bytes of a spike in a box
COUNT = 8  # bytes of a counter or an end

# What rows that are not stored are made from, and in (`eventsim.procedural`, `eventsim.cpu.transient`)
OF_PROJECTION = 8 * (NUMBERS + REALS + 3)  # bytes of what says how its rows are made, in each worker
ROW = 8 * RECORD  # bytes of a row on its way
MADE_IN = 4 + 8 + 8 + 2 * 8 + 3 * 8  # bytes of a synapse of the longest row: target, number, delay, key twice, segment
WEIGHED = 8  # where some have weights of their own: the weight, and twice as it is stored

RESERVED = ("boxes", "spike buffer", "row scratch")  # kinds of which only what spikes need is ever touched


class Sizes(NamedTuple):
    """What an `Estimate` is made of. peak : the most bytes that are held at one moment, "given" included."""

    populations: tuple[PopulationEstimate, ...]
    projections: tuple[ProjectionEstimate, ...]
    bytes: dict[str, int]
    peak: int


class _Held(NamedTuple):
    """Bytes of each neuron, and of its group's coefficients in each worker.

    once; for each batch item; of these, in lists of who fired or received something in a step, which are hardly touched; and while
    it is made
    """

    once: int
    item: int
    listed: int
    making: int
    table: int


def model_name(neuron: Any) -> str:
    """What a population is made of."""
    return neuron.model.name if isinstance(neuron, Neuron) else type(neuron).__name__


def _places(program: Program, worker: int, workers: int) -> list[Slots]:
    """Where the targets of each projection lie in a worker."""
    network, numbers, result = program.network, {inlet: number for number, inlet in enumerate(program.inlets)}, []
    for projection in network.projections:
        source, target = network.number(projection.source), network.number(projection.target)
        g = program.place[target]
        first, last, at = program.local(target, worker, workers)
        begin = program.port_number(target, projection.port) * program.owned(g, worker, workers) + at
        inlet = numbers[g, program.groups[program.place[source]].stage, projection.procedural]
        result.append(Slots(inlet, begin, last - first, (last - first) / network.populations[target].size))
    return result


def _table_bytes(program: Program, projection: Projection, parts: int) -> int:
    """What a procedural projection keeps."""
    target, code, total = program.network.number(projection.target), _code_of(program, projection), 0
    for worker in range(parts):
        first, last, _ = program.local(target, worker, parts)
        total += OF_PROJECTION + table_bytes(code, first, last)
    return total


def _code_of(program: Program, projection: Projection) -> RuleCode:
    network = program.network
    sizes = (network.populations[network.number(name)].size for name in (projection.source, projection.target))
    return projection.connectivity.encode(*sizes, projection.source == projection.target)


def _ring_bytes(program: Program, places: Sequence[Sequence[Slots]], batch: int) -> tuple[int, int]:
    """Bytes of the rings as they begin, and of the scratch in which rows are made, of all workers."""
    rings, scratch, stored = 0, 0, program.weight_dtype.itemsize
    mine = [(i, p) for i, p in enumerate(program.network.projections) if p.procedural]
    own = any(not isinstance(p.weight, Constant) for _, p in mine)
    for worker, slots in enumerate(places):
        longest: dict[str, float] = {}
        for _, projection in mine:
            first, last, _ = program.local(program.network.number(projection.target), worker, len(places))
            room = expected_capacity(_code_of(program, projection), first, last)
            longest[projection.source] = longest.get(projection.source, 0.0) + room
        wide = any(slots[i].first + slots[i].count > 1 << BLOCK_BITS for i, _ in mine)
        rings += RING * ((4 if wide else 2) + stored * own) + RECORDS * ROW + sum(a.nbytes for a in row_scratch())
        scratch += round(max(longest.values(), default=0.0) * (MADE_IN + (WEIGHED + 2 * stored) * own))
    return batch * rings, batch * scratch


def predicts(program: Program, group: Group) -> bool:
    """Whether a group is, or can be expected to be, updated sparsely at any time: noise that keeps it dense does not stop."""
    if group.update != "auto" or group.spec is None:
        return group.update == "sparse"
    cost = costs(group.spec.dtype, group.spec.tabulated, group.spec.closed)
    busy = cost.touch * expected_active(program.network, group, program.dt) >= cost.sweep * group.size
    return initial_mode(program.network, group, program.dt)[0] or not busy


def _source_held(neuron: Any) -> _Held:
    if isinstance(neuron, PoissonSource):
        own = 0 if isinstance(neuron.rate, VaryingRate) else DOUBLE * (neuron.rate.ndim > 0)
        return _Held(NUMBER + own, FIRED + PREDICTED, FIRED + TOUCHED, 2 * own, 0)
    if isinstance(neuron, GammaSource):
        own = 2 * DOUBLE * (neuron.rate.ndim > 0 or neuron.shape.ndim > 0)
        return _Held(NUMBER + own, FIRED + PREDICTED + LAST_EVENT, FIRED + TOUCHED, 2 * own, 0)
    return _Held(NUMBER, FIRED, FIRED, 0, 0)


def _held(program: Program, group: Group) -> _Held:
    members = [program.network.populations[p] for p in group.members]
    neuron: Any = members[0].neuron
    if not isinstance(neuron, Neuron):
        return _source_held(neuron)
    assert group.spec is not None
    itemsize = program.dtype.itemsize
    model, params = neuron.model, neuron.params._replace(**{k: v[:1] for k, v in neuron.params._asdict().items() if np.ndim(v)})
    for current in program.network.inputs:
        if isinstance(current, Current) and current.target == members[0].name and model.inject is not None:
            params = model.inject(params, np.zeros(1) if current.amplitude.ndim == 1 + current.varying else 0.0)
    with np.errstate(all="ignore"):  # only the number of coefficients counts, and which of them are arrays
        step = (model.exact if neuron.method == "exact" else model.euler)(NUMPY, 1.0, params)
    own, states = any(np.ndim(v) for v in params), len(model.State._fields)
    values = (len(params) + 1) * (own or np.ndim(neuron.refractory) > 0) + len(step) * any(np.ndim(c) for c in step)
    bounds = DOUBLE * (len(params) + 2 * states) * own
    sparse = predicts(program, group)
    item = FLAG + FIRED + PREDICTED * sparse + itemsize * (states + len(group.spec.ports) + neuron.holds)
    initial = DOUBLE * states + 2 * DOUBLE * any(isinstance(d, Distribution) for p in members for d in p.initial.values())
    making = max(initial, DOUBLE * values if itemsize < DOUBLE else 0)
    once = NUMBER + itemsize * (states + values) + bounds
    return _Held(once, item, FIRED + TOUCHED * sparse, making, DOUBLE * TABLE_ROWS * len(step))


def _input_bytes(program: Program, workers: int, batch: int) -> int:
    """Noise, increments and given spikes, as kernels read them."""
    total, itemsize = 0, program.dtype.itemsize
    for given in program.network.inputs:
        if isinstance(given, PoissonNoise):
            peak = peak_rate(given.rate)
            total += itemsize * given.weight.size + 2 * DOUBLE * (np.count_nonzero(peak) if peak.ndim else 0)
            total += curve_bytes(given.rate, workers)
        elif isinstance(given, Increment):
            total += itemsize * given.value.size * batch
    return int(total) + EVENT * batch * given_events(program.network)


def given_events(network: Network) -> int:
    """How many spikes the network's own sources are given."""
    return sum(len(population.neuron.times) for population in network.populations if isinstance(population.neuron, SpikeSource))


def _machinery(program: Program, workers: int, batch: int) -> dict[str, int]:
    """Bytes of what spikes pass through."""
    predicted = sum(
        predicts(program, group) if group.spec else not isinstance(_first(program, group).neuron, SpikeSource)
        for group in program.groups
    )
    spikes, chunks = program.room
    ends = 2 * workers * (chunks + 1) + workers * chunks
    lists = len(program.inlets) * program.schedule.slots
    return {
        "predictions": batch * workers * predicted * SLOTS * 4,
        "wheel": batch * workers * lists * (SEGMENTS_DUE * ENTRY + COUNT),
        "boxes": batch * (2 * workers * spikes * GID + ends * COUNT),
        "spike buffer": batch * max(spikes, BUFFERED) * SPIKE,
    }


def _first(program: Program, group: Group) -> Population:
    return program.network.populations[group.members[0]]


def _given_arrays(value: Any, found: dict[int, int]) -> None:
    """Collect bytes of the arrays of a description, by id."""
    if isinstance(value, np.ndarray):
        found[id(value)] = value.nbytes
    elif isinstance(value, Connectivity | PerSynapse) or hasattr(value, "__dataclass_fields__"):
        for item in vars(value).values():
            _given_arrays(item, found)
    elif isinstance(value, tuple):
        for item in value:
            _given_arrays(item, found)


def given_bytes(network: Network) -> int:
    """Bytes of the arrays that a network is described by: they are there before anything is built."""
    found: dict[int, int] = {}
    for given in network.inputs:
        _given_arrays(given, found)
    for projection in network.projections:
        for part in (projection.connectivity, projection.weight, projection.delay):
            _given_arrays(part, found)
    for population in network.populations:
        for start in population.initial.values():
            _given_arrays(start, found)
        neuron = population.neuron
        _given_arrays((*neuron.params, neuron.refractory) if isinstance(neuron, Neuron) else neuron, found)
    return sum(found.values())


def _population_estimates(program: Program, held: Sequence[_Held], workers: int, batch: int) -> list[PopulationEstimate]:
    result = []
    for number, population in enumerate(program.network.populations):
        each = held[program.place[number]]
        size = population.size * (each.once + batch * each.item)
        if isinstance(population.neuron, PoissonSource):
            size += curve_bytes(population.neuron.rate, workers)
        result.append(PopulationEstimate(population.name, population.size, model_name(population.neuron), size))
    return result


def _projection_estimates(
    program: Program, all_drawn: Sequence[Drawn], places: Sequence[Sequence[Slots]], rows: Sequence[RowBytes]
) -> list[ProjectionEstimate]:
    network, result = program.network, []
    for index, (projection, one) in enumerate(zip(network.projections, all_drawn, strict=True)):
        low, high = (step * program.dt for step in one.likely_range())
        if projection.procedural:
            kept = _table_bytes(program, projection, len(places))
            result.append(projection_estimate(network, projection, one.synapses, low, high, kept))
            continue
        target = sum(row.target * mine[index].share for row, mine in zip(rows, places, strict=True))
        size = target + (0 if isinstance(projection.weight, Constant) else program.weight_dtype.itemsize)
        result.append(projection_estimate(network, projection, one.synapses, low, high, one.synapses * size))
    return result


def grid_sizes(program: Program, workers: int, batch: int) -> Sizes:
    """The sizes of a simulation with so many threads and copies of the state."""
    network, parts = program.network, workers if batch == 1 else 1
    all_drawn = [drawn(network, projection, program.dt) for projection in network.projections]
    places = [_places(program, worker, parts) for worker in range(parts)]
    which = [i for i, projection in enumerate(network.projections) if not projection.procedural]
    stored = Network(network.populations, [network.projections[i] for i in which], network.inputs)
    rows = [row_bytes(stored, program.dt, [all_drawn[i] for i in which], [mine[i] for i in which]) for mine in places]
    held = [_held(program, group) for group in program.groups]
    populations = _population_estimates(program, held, parts, batch)
    projections = _projection_estimates(program, all_drawn, places, rows)
    kinds = {
        "synapses": sum(projections[i].bytes for i in which),
        "segments": sum(row.segments for row in rows),
        "neurons": sum(population.bytes for population in populations),
        "coefficients": parts * sum(each.table for each in held),
        "inputs": _input_bytes(program, parts, batch),
        "given": given_bytes(network),
        **_machinery(program, parts, batch),
    }
    if stored.projections != network.projections:
        rings, scratch = _ring_bytes(program, places, batch)
        tables = sum(p.bytes for p, described in zip(projections, network.projections, strict=True) if described.procedural)
        kinds |= {"procedural": tables + rings, "row scratch": scratch}
    return Sizes(tuple(populations), tuple(projections), kinds, _peak(program, kinds, rows, held, parts, batch))


def _peak(
    program: Program, kinds: dict[str, int], rows: Sequence[RowBytes], held: Sequence[_Held], workers: int, batch: int
) -> int:
    """The most that is held at one moment: while spikes are read, rows are cut, neurons or curves are made, or after that."""
    events, groups = given_events(program.network), list(zip(held, program.groups, strict=True))
    early = kinds["given"] + GIVEN * batch * events
    reading = early - GIVEN * events + SORTED * events
    cutting = early + kinds["synapses"] + sum(row.tags + max(row.segments, row.scratch) for row in rows)
    tables = workers * sum(each.table for each in held)
    parts = early + kinds["synapses"] + kinds["segments"] + tables + sum(each.once * group.size for each, group in groups)
    making = max((each.making * group.size for each, group in groups), default=0)
    rates = [g.rate for g in program.network.inputs if isinstance(g, PoissonNoise)]
    rates += [p.neuron.rate for p in program.network.populations if isinstance(p.neuron, PoissonSource)]
    curves = [curve_bytes(rate, workers) for rate in rates]
    whole = sum(size for kind, size in kinds.items() if kind not in RESERVED) + GIVEN * batch * events
    whole -= batch * sum(each.listed * group.size for each, group in groups)
    return max(reading, cutting, parts + making, parts + sum(curves) + max(curves, default=0), whole)
