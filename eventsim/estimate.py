"""How large a network will be: synapses, degrees, delays and bytes, before anything is built."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, PerSynapse
from eventsim.errors import SimulationError
from eventsim.expected import ProjectionEstimate, Slots, check_countable, drawn, projection_estimate, row_bytes
from eventsim.models import Neuron
from eventsim.network import Network, Population, used_ports
from eventsim.ops import NUMPY
from eventsim.rate_curve import curve_bytes
from eventsim.stages import Schedule, schedule
from eventsim.state import SLOTS, TABLE_ROWS, share
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource, SpikeSource
from eventsim.table import bytes_text, text_table
from eventsim.varying_rate import VaryingRate, peak_rate

# Neurons and sources (`eventsim.state`)
NUMBER = 4  # bytes of the number of a neuron or source in the network
LISTS = 34  # bytes of a neuron: flags, who fired and received, prediction (of these 29 only for the sparse update)
FIRED = 4  # bytes of a source: who fired
PREDICTED = 29  # bytes of a source whose spikes are drawn: the next one
LAST_EVENT = 8  # bytes of a gamma process: the time of its last event
EVENT = 12  # bytes of a given spike: step, neuron

# What spikes pass through (`eventsim.cpu.part`, `eventsim.cpu.instance`, `eventsim.recording.SpikeBuffer`)
SEGMENTS_DUE = 16  # segments for which a list of the wheel has room at first; it grows as activity asks for
ENTRY = 16  # bytes of a segment that is due
BUFFERED = 4096  # spikes for which the buffer has room at least
SPIKE = 12  # bytes of a spike in the buffer: step, neuron
GID = 4  # bytes of a spike in a box
COUNT = 8  # bytes of a counter or an end


class PopulationEstimate(NamedTuple):
    """One population. ``bytes`` is the state of its neurons in all batch items, and parameters that differ between them."""

    name: str
    size: int
    model: str
    bytes: int


RESERVED = ("boxes", "spike buffer")  # kinds of which only what spikes need is ever touched


@dataclass(frozen=True)
class Estimate:
    """What a simulation of a network will hold.

    Attributes
    ----------
    populations, projections : tuples of `PopulationEstimate` and `ProjectionEstimate`
    bytes : bytes by kind
        "synapses"; "segments" (the index by source and delay); "neurons" (their states; those updated densely need up to 29 bytes
        less); "coefficients" (propagators of any gap, for each group); "predictions" (a ring of slots for each group);
        "wheel" (lists of what is due, as wide as they begin: they grow with the spikes that arrive in one step); "inputs" (noise,
        increments and given spikes as kernels read them); "given" (arrays of the description); and two that are reserved, of
        which only as much is touched, and so takes memory, as there are spikes: "boxes" (spikes on their way between workers)
        and "spike buffer" (what waits to be recorded)
    building : bytes needed for a while in addition, while the network is built

    What is recorded is left out, and so is the program itself: Python, Numba and machine code take 100 to 250 MB.
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

    @property
    def reserved_bytes(self) -> int:
        """Those of `total_bytes` that are touched only as far as spikes need: boxes and spike buffer."""
        return sum(self.bytes[kind] for kind in RESERVED)

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
        kinds = [(kind + ", reserved" * (kind in RESERVED), bytes_text(count)) for kind, count in self.bytes.items()]
        kinds += [("total", bytes_text(self.total_bytes)), ("more while building", bytes_text(self.building))]
        parts.append(text_table(("memory", "size"), kinds))
        parts.append("  of what is reserved only as much is touched as there are spikes; the wheel grows with them")
        parts.append(f"  {self.neurons:,} neurons, {self.synapses:,.0f} synapses")
        return "\n\n".join(parts)


def _schedule(network: Network, dt: float) -> Schedule:
    """In which order the populations go through the steps, if delays fit the grid."""
    for projection in network.projections:
        check_countable(projection.delay, dt, projection.label)
    return schedule(
        network, [(max(0, round(p.delay.minimum / dt)), max(0, round(p.delay.maximum / dt))) for p in network.projections]
    )


def _groups(network: Network, order: Schedule) -> list[list[Population]]:
    """Populations that one sweep updates together (`eventsim.program`), if all are updated in the same way."""
    driven = {given.target for given in network.inputs if isinstance(given, Current)}
    groups: dict[Any, list[Population]] = {}
    for population, level in zip(network.populations, order.level, strict=True):
        neuron = population.neuron
        key: tuple = (level, population.name)
        if isinstance(neuron, Neuron) and not neuron.sizes() and population.name not in driven:
            key = (
                level,
                id(neuron.model),
                neuron.method,
                neuron.order,
                neuron.hold,
                float(neuron.refractory),
                tuple(neuron.params),
            )
        groups.setdefault(key, []).append(population)
    return list(groups.values())


def _inlets(network: Network, order: Schedule, groups: list[list[Population]]) -> dict[tuple[int, int], int]:
    """The number of each (group, stage that it receives from)."""
    group_of = {population.name: g for g, group in enumerate(groups) for population in group}
    stage_of = {population.name: stage for population, stage in zip(network.populations, order.stage, strict=True)}
    pairs = {(group_of[p.target], stage_of[p.source]) for p in network.projections}
    return {pair: number for number, pair in enumerate(sorted(pairs))}


def _ports(network: Network, group: list[Population]) -> list[str]:
    """The ports on which a group of neurons receives anything, in the order of their arrays."""
    neuron: Any = group[0].neuron  # a target is made of neurons: sources receive nothing
    used = set().union(*(used_ports(network, population) for population in group))
    return [port for port in neuron.model.ports if port in used]


def _places(network: Network, order: Schedule, groups: list[list[Population]], worker: int, workers: int) -> list[Slots]:
    """Where the targets of each projection lie in a worker."""
    inlets = _inlets(network, order, groups)
    number = {population.name: p for p, population in enumerate(network.populations)}
    owned = {population.name: share(p, population.size, worker, workers) for p, population in enumerate(network.populations)}
    counts = {name: high - low for name, (low, high) in owned.items()}
    group_of = {population.name: g for g, group in enumerate(groups) for population in group}
    result = []
    for projection in network.projections:
        g, name = group_of[projection.target], projection.target
        target: Any = groups[g][0].neuron
        ports, default = _ports(network, groups[g]), target.model.default_port[0]
        before = sum(counts[p.name] for p in groups[g] if number[p.name] < number[name])
        first = ports.index(projection.port or default) * sum(counts[p.name] for p in groups[g]) + before
        size = network.populations[number[name]].size
        inlet = inlets[g, order.stage[number[projection.source]]]
        result.append(Slots(inlet, first, counts[name], counts[name] / size))
    return result


def _model_name(neuron: Any) -> str:
    return neuron.model.name if isinstance(neuron, Neuron) else type(neuron).__name__


class _Held(NamedTuple):
    """Bytes of each neuron: once, for each batch item; and of its group's coefficients in each worker."""

    once: int
    item: int
    table: int


def _held(network: Network, group: list[Population], itemsize: int) -> _Held:
    neuron = group[0].neuron
    if isinstance(neuron, PoissonSource):
        own = 0 if isinstance(neuron.rate, VaryingRate) else 8 * (neuron.rate.ndim > 0)
        return _Held(NUMBER + own, FIRED + PREDICTED, 0)
    if isinstance(neuron, GammaSource):
        return _Held(NUMBER + 16 * (neuron.rate.ndim > 0 or neuron.shape.ndim > 0), FIRED + PREDICTED + LAST_EVENT, 0)
    if not isinstance(neuron, Neuron):
        return _Held(NUMBER, FIRED, 0)
    model, params = neuron.model, neuron.params._replace(**{k: v[:1] for k, v in neuron.params._asdict().items() if np.ndim(v)})
    for current in network.inputs:
        if isinstance(current, Current) and current.target == group[0].name and model.inject is not None:
            params = model.inject(params, np.zeros(1) if current.amplitude.ndim == 1 + current.varying else 0.0)
    with np.errstate(all="ignore"):  # only the number of coefficients counts, and which of them are arrays
        step = (model.exact if neuron.method == "exact" else model.euler)(NUMPY, 1.0, params)
    own, states = any(np.ndim(v) for v in params), itemsize * len(model.State._fields)
    parameters = itemsize * (len(params) + 1) * (own or np.ndim(neuron.refractory) > 0)
    parameters += itemsize * len(step) * any(np.ndim(c) for c in step) + 8 * (len(params) + 2 * len(model.State._fields)) * own
    item = LISTS + states + itemsize * (len(_ports(network, group)) + neuron.holds)
    return _Held(NUMBER + states + parameters, item, 8 * TABLE_ROWS * len(step))


def _input_bytes(network: Network, itemsize: int, workers: int, batch: int) -> int:
    """Noise, increments and given spikes, as kernels read them."""
    total = 0
    for given in network.inputs:
        if isinstance(given, PoissonNoise):
            peak = peak_rate(given.rate)
            total += itemsize * given.weight.size + 16 * (np.count_nonzero(peak) if peak.ndim else 0)
            total += curve_bytes(given.rate, workers)
        elif isinstance(given, Increment):
            total += itemsize * given.value.size * batch
    sources = [population.neuron for population in network.populations if isinstance(population.neuron, SpikeSource)]
    return total + EVENT * batch * sum(len(source.times) for source in sources)


def _machinery(network: Network, order: Schedule, groups: list[list[Population]], workers: int, batch: int) -> dict[str, int]:
    """Bytes of what spikes pass through."""
    predicted = sum(not isinstance(group[0].neuron, SpikeSource) for group in groups)
    stage_of = {population.name: stage for population, stage in zip(network.populations, order.stage, strict=True)}
    spikes = chunks = 0
    for stage, span in enumerate(order.span):
        spikes = max(spikes, span * sum(p.size for p in network.populations if stage_of[p.name] == stage))
        chunks = max(chunks, span * sum(stage_of[group[0].name] == stage for group in groups))
    ends = 2 * workers * (chunks + 1) + workers * chunks
    lists = len(_inlets(network, order, groups)) * order.slots
    return {
        "predictions": batch * workers * predicted * SLOTS * 4,
        "wheel": batch * workers * lists * (SEGMENTS_DUE * ENTRY + COUNT),
        "boxes": batch * (2 * workers * spikes * GID + ends * COUNT),
        "spike buffer": batch * max(spikes, BUFFERED) * SPIKE,
    }


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


def _check(dt: Any, dtype: Any, workers: Any, batch: Any, weight_dtype: Any) -> None:
    if not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise SimulationError(f"estimate: dt must be above 0 ms, not {dt!r}")
    if dtype not in ("float32", "float64"):
        raise SimulationError(f"estimate: dtype must be 'float32' or 'float64', not {dtype!r}")
    if weight_dtype not in (None, "float16", "float32", "float64"):
        raise SimulationError(f"estimate: weight_dtype must be 'float16', 'float32' or 'float64', not {weight_dtype!r}")
    for name, value in (("workers", workers), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SimulationError(f"estimate: {name} must be a whole number above 0, not {value!r}")


def estimate(
    network: Network, dt: float, dtype: str = "float32", workers: int = 1, batch: int = 1, weight_dtype: str | None = None
) -> Estimate:
    """Expected sizes of a simulation of ``network``; nothing is built.

    Parameters
    ----------
    dt : ms, the grid: delays are counted in it
    dtype : "float32" or "float64", the type of states and weights
    workers : number of threads; each has an index of its own to its synapses, unless the threads share a batch out
    batch : copies of the state. Synapses are held once, states and what spikes pass through once for each copy.
    weight_dtype : "float16", "float32" or "float64", the type of weights that synapses have of their own; None: dtype
    """
    _check(dt, dtype, workers, batch, weight_dtype)
    itemsize, parts = np.dtype(dtype).itemsize, workers if batch == 1 else 1
    weight_size = np.dtype(weight_dtype or dtype).itemsize
    order = _schedule(network, dt)
    groups = _groups(network, order)
    place = {population.name: number for number, group in enumerate(groups) for population in group}
    all_drawn = [drawn(network, projection, dt) for projection in network.projections]
    places = [_places(network, order, groups, worker, parts) for worker in range(parts)]
    rows = [row_bytes(network, dt, all_drawn, mine) for mine in places]
    projections = []
    for index, (projection, one) in enumerate(zip(network.projections, all_drawn, strict=True)):
        target = sum(row.target * mine[index].share for row, mine in zip(rows, places, strict=True))
        size = target + (0 if isinstance(projection.weight, Constant) else weight_size)
        projections.append(projection_estimate(network, projection, dt, one, size))
    held = [_held(network, group, itemsize) for group in groups]
    populations = []
    for population in network.populations:
        each = held[place[population.name]]
        size = population.size * (each.once + batch * each.item)
        if isinstance(population.neuron, PoissonSource):
            size += curve_bytes(population.neuron.rate, parts)
        populations.append(PopulationEstimate(population.name, population.size, _model_name(population.neuron), size))
    sizes = {
        "synapses": sum(projection.bytes for projection in projections),
        "segments": sum(row.segments for row in rows),
        "neurons": sum(population.bytes for population in populations),
        "coefficients": parts * sum(each.table for each in held),
        "inputs": _input_bytes(network, itemsize, parts, batch),
        "given": _given_bytes(network),
        **_machinery(network, order, groups, parts, batch),
    }
    return Estimate(tuple(populations), tuple(projections), sizes, sum(row.building for row in rows))
