"""From a network's description to what kernels run on: groups, their parameters in numbers, and every check that needs dt.

A `Program` is frozen and has no state; `eventsim.cpu.instance` makes state from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eventsim.adaptation import costs
from eventsim.coefficients import Numbers, check_fits, flow_params, holds_whole, parameters_in_numbers
from eventsim.cpu.frame import GAMMA, GIVEN, NEURONS, POISSON, VARYING
from eventsim.cpu.kernels import KernelSpec
from eventsim.currents import under_currents
from eventsim.distributions import sample
from eventsim.errors import NetworkError, SimulationError
from eventsim.expected import expected_synapses
from eventsim.grid import steps_of
from eventsim.models.model import Neuron
from eventsim.network import Network, used_ports
from eventsim.ops import NUMPY
from eventsim.procedural import Recipe, make_recipe
from eventsim.random import key
from eventsim.rows import Rows, RowSpec, build_rows, check_delays, count_sources, stream_keys
from eventsim.segments import KIND_SHIFT
from eventsim.stages import Schedule, schedule
from eventsim.state import share
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource
from eventsim.varying_rate import VaryingRate, average_rate, peak_rate

# What random numbers are for: the first word of a stream's name.
SYNAPSES, INITIAL, NOISE, SOURCE = range(4)

MOST_SYNAPSES = 1 << KIND_SHIFT
MOST_EVENTS = 1_000_000  # of Poisson noise on one neuron in one step, on average
MOST_LISTS = 10_000_000  # of the wheel: inlets times slots


@dataclass(frozen=True, eq=False)
class Group:
    """Populations that are updated in one sweep.

    kind : NEURONS, POISSON, GIVEN, VARYING or GAMMA
    members : numbers of the populations, ascending
    size : neurons
    spec : which kernels (neurons only)
    stage : its stage (`eventsim.stages`)
    meet_after : whether a later group of its stage needs its spikes in the same step
    update : "auto", "dense" or "sparse", as asked for; "dense" for sources
    """

    kind: int
    members: tuple[int, ...]
    size: int
    spec: KernelSpec | None
    stage: int
    meet_after: bool
    update: str


@dataclass(frozen=True, eq=False)
class Program:
    """A network on a grid: what `build` made of it.

    place : for each population its group
    offset : for each population the number of its first member in the network
    schedule : in which order they go through the steps
    inlets : (group, stage, whether they are procedural), ascending: the wheel has lists of its own for what a group receives from
        each stage through synapses that are stored, and through others
    """

    network: Network
    dt: float
    dtype: np.dtype
    weight_dtype: np.dtype
    seed: int
    groups: tuple[Group, ...]
    place: tuple[int, ...]
    offset: tuple[int, ...]
    schedule: Schedule
    inlets: tuple[tuple[int, int, bool], ...]

    @property
    def size(self) -> int:
        """Neurons and sources in the network."""
        return self.network.size

    @property
    def stages(self) -> list[int]:
        """The first group of each stage, and behind the last the number of groups."""
        return [sum(group.stage < s for group in self.groups) for s in range(len(self.schedule.span) + 1)]

    @property
    def room(self) -> tuple[int, int]:
        """The most spikes that can lie between two meetings, and the most pairs of group and step."""
        spikes, chunks = 0, 0
        for stage, span in enumerate(self.schedule.span):
            mine = [group.size for group in self.groups if group.stage == stage]
            spikes, chunks = max(spikes, sum(mine) * span), max(chunks, len(mine) * span)
        return spikes, chunks

    def inlet_ends(self) -> list[int]:
        """The first inlet of each group, and behind the last the number of inlets."""
        counts = np.bincount([g for g, _, _ in self.inlets], minlength=len(self.groups))
        return [0, *(int(end) for end in np.cumsum(counts))]

    def local(self, population: int, worker: int, workers: int) -> tuple[int, int, int]:
        """The members of a population that a worker owns, as a range, and the place of the first of them in the worker's group."""
        group = self.groups[self.place[population]]
        at = 0
        for member in group.members:
            first, last = share(member, self.network.populations[member].size, worker, workers)
            if member == population:
                return first, last, at
            at += last - first
        raise AssertionError(f"population {population} is no member of its group")

    def owned(self, g: int, worker: int, workers: int) -> int:
        """How many neurons of a group a worker owns."""
        first, last, at = self.local(self.groups[g].members[-1], worker, workers)
        return at + last - first

    def gids(self, g: int, worker: int, workers: int) -> np.ndarray:
        """The numbers in the network of the neurons of a group that a worker owns, int32, ascending."""
        parts = []
        for p in self.groups[g].members:
            first, last, _ = self.local(p, worker, workers)
            parts.append(np.arange(self.offset[p] + first, self.offset[p] + last, dtype=np.int32))
        return np.concatenate(parts)

    def slots(self, worker: int, workers: int) -> list[int]:
        """The first input of each group in the worker's array of inputs, and behind the last the length of that array."""
        places = [0]
        for g, group in enumerate(self.groups):
            places.append(places[-1] + (len(group.spec.ports) * self.owned(g, worker, workers) if group.spec else 0))
        return places

    def port_number(self, population: int, port: str | None) -> int:
        """The place of a port among those that the population's group receives on."""
        spec = self.groups[self.place[population]].spec
        return spec.ports.index(port or spec.model.default_port[0])

    def rows(self, worker: int, workers: int) -> Rows:
        """The synapses onto the neurons that a worker owns, as far as they are stored."""
        specs = self._specs(worker, workers, procedural=False)
        return build_rows(specs, self.size, self.dt, self.dtype, self.weight_dtype)

    def recipe(self, worker: int, workers: int) -> Recipe:
        """What the others are made from."""
        specs = self._specs(worker, workers, procedural=True)
        return make_recipe(specs, self.size, self.dt, self.dtype, self.weight_dtype)

    @cached_property
    def procedural_synapses(self) -> int:
        """How many synapses are not stored."""
        counts = np.zeros(self.size, np.int64)
        for spec in self._specs(0, 1, procedural=True):
            code = spec.projection.connectivity.encode(spec.n_source, spec.n_target, spec.same)
            count_sources(code, stream_keys(spec.key)[0], 0, spec.n_target, counts[spec.source_offset :])
        return int(counts.sum())

    def _specs(self, worker: int, workers: int, procedural: bool) -> list[RowSpec]:
        """The projections that are stored, or those that are not, as a worker sees them."""
        specs = []
        numbers = {inlet: number for number, inlet in enumerate(self.inlets)}
        for number, projection in enumerate(self.network.projections):
            if projection.procedural != procedural:
                continue
            source, target = self.network.number(projection.source), self.network.number(projection.target)
            g = self.place[target]
            first, last, at = self.local(target, worker, workers)
            specs.append(
                RowSpec(
                    projection=projection,
                    n_source=self.network.populations[source].size,
                    n_target=self.network.populations[target].size,
                    same=source == target,
                    source_offset=self.offset[source],
                    inlet=numbers[g, self.groups[self.place[source]].stage, procedural],
                    slot_offset=self.port_number(target, projection.port) * self.owned(g, worker, workers) + at,
                    target_lo=first,
                    target_hi=last,
                    key=key(self.seed, SYNAPSES, number),
                )
            )
        return specs

    def numbers(self, g: int, worker: int, workers: int, time: float = 0.0) -> Numbers:
        """The parameters of the neurons of a group that a worker owns, under the currents that flow from ``time`` (ms) on."""
        first = self.groups[g].members[0]  # all members have the same neuron; where it has parameters of each, there is one member
        population = self.network.populations[first]
        low, high, _ = self.local(first, worker, workers)
        params = under_currents(self.network, population, self.dt, time)
        return parameters_in_numbers(population, params, self.dt, self.dtype, low, high)

    def injected_rows(self, g: int, worker: int, workers: int, time: float) -> dict[int, Any] | None:
        """The parameters that currents enter, by their place, from ``time`` (ms) on; None if coefficients depend on them too."""
        first = self.groups[g].members[0]
        population = self.network.populations[first]
        low, high, _ = self.local(first, worker, workers)
        neuron, names = population.neuron, population.neuron.model.Params._fields
        params = under_currents(self.network, population, self.dt, time)
        changed = [f for f, (a, b) in enumerate(zip(params, neuron.params, strict=True)) if a is not b]
        blind = params._replace(**{names[f]: np.nan for f in changed})  # what depends on them becomes nan
        flow = flow_params(neuron, params, self.dt)
        with np.errstate(invalid="ignore"):
            step = (neuron.model.exact if neuron.method == "exact" else neuron.model.euler)(NUMPY, self.dt, blind)
            others = [] if neuron.method == "exact" or flow is None else neuron.model.euler_flow(NUMPY, self.dt, blind)
        seen = [*step, *(v for f, v in enumerate(others) if f not in changed)]
        if any(np.any(np.isnan(v)) for v in seen):
            return None
        rows = {f: (params if flow is None else flow)[f] for f in changed}
        rows = {f: v[low:high] if np.ndim(v) else float(v) for f, v in rows.items()}
        for f, value in rows.items():
            check_fits(value, self.dtype, f"population {population.name!r}: {names[f]} under its current")
        return rows

    def initial(self, g: int, worker: int, workers: int) -> np.ndarray:
        """The state at time 0 of the neurons of a group that a worker owns, (states, neurons)."""
        states = len(self.network.populations[self.groups[g].members[0]].neuron.model.State._fields)
        out = np.empty((states, self.owned(g, worker, workers)), self.dtype)
        for p in self.groups[g].members:
            first, last, at = self.local(p, worker, workers)
            state = initial_state(self.network, p, self.seed)
            check_fits(state, self.dtype, f"population {self.network.populations[p].name!r}: the initial state")
            out[:, at : at + last - first] = state[:, first:last]
        return out


def initial_state(network: Network, p: int, seed: int) -> np.ndarray:
    """The state of population number p at time 0, float64 (states, neurons)."""
    population = network.populations[p]
    model = population.neuron.model
    rest = model.initial(population.neuron.params)
    state = np.stack([np.broadcast_to(np.asarray(v, np.float64), (population.size,)) for v in rest])
    for name, distribution in population.initial.items():
        f = model.State._fields.index(name)
        state[f] = sample(distribution, key(seed, INITIAL, p, f), population.size)
    return state


def build(
    network: Network, dt: float, dtype: Any, seed: int, update: str | Mapping[str, str] = "auto", weight_dtype: Any = None
) -> Program:
    """Check a network against a grid and lay it out; raises NetworkError or SimulationError."""
    if isinstance(dt, bool) or not isinstance(dt, (int, float, np.number)) or not np.isfinite(dt) or dt <= 0:
        raise SimulationError(f"dt must be a number of ms above 0, not {dt!r}")
    dt = float(dt)
    dtype = _float_type(dtype, "dtype", ("float32", "float64"))
    weight_dtype = dtype if weight_dtype is None else _float_type(weight_dtype, "weight_dtype", ("float16", "float32", "float64"))
    if weight_dtype.itemsize > dtype.itemsize:
        raise SimulationError(f"weight_dtype {weight_dtype} is wider than the state's dtype, {dtype}: nothing would be gained")
    key(seed)  # refuses what is no seed, even where nothing is drawn
    if network.size >= 2**31:
        raise NetworkError(f"the network has {network.size} neurons; at most 2**31 - 1 can be numbered")
    _check_synapses(network)
    ranges = [check_delays(projection, dt) for projection in network.projections]
    for projection in network.projections:
        source, target = (
            network.population(projection.source, projection.label),
            network.population(projection.target, projection.label),
        )
        projection.connectivity.check(source.size, target.size, projection.label, same=source is target)
    order = schedule(network, ranges)
    groups, place = _make_groups(network, dt, dtype, order, update)
    inlets = sorted(
        {(place[network.number(p.target)], order.stage[network.number(p.source)], p.procedural) for p in network.projections}
    )
    _check_inputs(network, dt, dtype)
    _check_wheel(network, ranges, len(inlets), order.slots, dt)
    offsets = np.concatenate([[0], np.cumsum([p.size for p in network.populations])])
    return Program(
        network=network,
        dt=dt,
        dtype=dtype,
        weight_dtype=weight_dtype,
        seed=seed,
        groups=groups,
        place=place,
        offset=tuple(int(o) for o in offsets),
        schedule=order,
        inlets=tuple(inlets),
    )


def _check_synapses(network: Network) -> None:
    """Refuse more stored synapses than a segment can say the place of."""
    expected = [(expected_synapses(network, p), p) for p in network.projections if not p.procedural]
    total = sum(count for count, _ in expected)
    if total >= MOST_SYNAPSES:
        count, largest = max(expected, key=lambda one: one[0])
        raise NetworkError(
            f"{largest.label}: {count:.4g} of the network's {total:.4g} synapses; at most 2**{KIND_SHIFT} can be numbered; "
            "those of Projection(procedural=True) need not be"
        )


def _float_type(given: Any, name: str, allowed: tuple[str, ...]) -> np.dtype:
    try:
        dtype = np.dtype(given)
    except TypeError as error:
        raise SimulationError(f"{name} must be {' or '.join(allowed)}, not {given!r}") from error
    if dtype.name not in allowed:
        raise SimulationError(f"{name} must be {' or '.join(allowed)}, not {dtype}")
    return dtype


def _check_wheel(network: Network, ranges: list[tuple[int, int]], inlets: int, slots: int, dt: float) -> None:
    """Refuse a wheel of deliveries, a list for each inlet and step for which there are slots, that would not fit."""
    if inlets * slots > MOST_LISTS:
        longest = max(most for _, most in ranges)
        fit = MOST_LISTS // inlets - (slots - longest)
        if fit < 1:
            raise NetworkError(
                f"the network has {inlets} pairs of a group and a stage that it receives from (twice where some of its synapses "
                "are procedural and others not); at most "
                f"{MOST_LISTS // slots} fit: "
                "make one population of several that have the same neuron, or give them the same parameters"
            )
        projection = next(p for p, (_, most) in zip(network.projections, ranges, strict=True) if most == longest)
        raise NetworkError(
            f"{projection.label}: its longest delay, {longest * dt:g} ms, is {longest} steps; at most {fit} fit "
            "the wheel of this network: use a larger dt or shorter delays"
        )


def _mode(update: str | Mapping[str, str], name: str) -> str:
    return update if isinstance(update, str) else update.get(name, "auto")


def _group_key(network: Network, number: int, level: int, update: str | Mapping[str, str]) -> tuple:
    """Populations with one key can be updated in one sweep."""
    population = network.populations[number]
    neuron = population.neuron
    if not isinstance(neuron, Neuron):
        return (level, 0, number)
    driven = any(isinstance(i, Current) and i.target == population.name for i in network.inputs)
    if driven or neuron.sizes():
        return (level, 1, number)
    mode = _mode(update, population.name)
    return (level, 2, id(neuron.model), neuron.method, neuron.order, neuron.hold, neuron.refractory, tuple(neuron.params), mode)


def _make_groups(network, dt, dtype, order: Schedule, update) -> tuple[tuple[Group, ...], tuple[int, ...]]:
    members: dict[tuple, list[int]] = {}
    for number in range(len(network.populations)):
        members.setdefault(_group_key(network, number, order.level[number], update), []).append(number)
    ordered = sorted(members.values(), key=lambda numbers: (order.level[numbers[0]], numbers[0]))
    groups, place = [], [0] * len(network.populations)
    for g, numbers in enumerate(ordered):
        for number in numbers:
            place[number] = g
        populations = [network.populations[number] for number in numbers]
        neuron = populations[0].neuron
        kind = _kind_of(neuron)
        groups.append(
            Group(
                kind=kind,
                members=tuple(numbers),
                size=sum(p.size for p in populations),
                spec=_kernel_spec(network, populations, dt, dtype) if kind == NEURONS else None,
                stage=order.stage[numbers[0]],
                meet_after=any(number in order.instant for number in numbers),
                update=_mode(update, populations[0].name) if kind == NEURONS else "dense",
            )
        )
    return tuple(groups), tuple(place)


def _kind_of(neuron: Any) -> int:
    if isinstance(neuron, Neuron):
        return NEURONS
    if isinstance(neuron, PoissonSource):
        return VARYING if isinstance(neuron.rate, VaryingRate) else POISSON
    return GAMMA if isinstance(neuron, GammaSource) else GIVEN


def _kernel_spec(network, populations, dt, dtype) -> KernelSpec:
    neuron = populations[0].neuron
    model = neuron.model
    ports = set().union(*(used_ports(network, population) for population in populations))
    params = under_currents(network, populations[0], dt, 0.0)
    for current in network.inputs:  # a current that differs between neurons later on must find room for its parameters now
        if isinstance(current, Current) and current.target == populations[0].name and current.amplitude.ndim == 1 + current.varying:
            params = model.inject(params, np.zeros(populations[0].size))
    numbers = parameters_in_numbers(populations[0], params, dt, dtype, 0, populations[0].size)
    predictable = (model.turning_time is not None or not model.spiking) and holds_whole(neuron)
    return KernelSpec(
        model=model,
        order=neuron.order,
        ports=tuple(port for port in model.ports if port in ports),
        hold=neuron.hold,
        holds=neuron.holds,
        own=tuple(np.ndim(v) > 0 for v in (*params, neuron.refractory)),
        own_step=(numbers.step_own.shape[1] > 0,) * len(numbers.step_common),
        closed=predictable and flow_params(neuron, params, dt) is not None,
        dtype=dtype,
    )


def _check_inputs(network: Network, dt: float, dtype: np.dtype) -> None:
    for given in network.inputs:
        label = f"{type(given).__name__} to {given.target!r}"
        if isinstance(given, PoissonNoise):
            check_fits(given.weight, dtype, f"{label}: weight")
        if isinstance(given, Increment):
            check_fits(given.value, dtype, f"{label}: value")
        if isinstance(given, Current) and given.times is not None:
            steps_of(given.times, dt, f"{label}: times")
        if isinstance(given, Current) and given.interval is not None:
            steps_of(given.interval, dt, f"{label}: interval")
        if isinstance(given, PoissonNoise) and np.max(peak_rate(given.rate)) * dt > 1000.0 * MOST_EVENTS:
            highest = np.max(peak_rate(given.rate))
            raise NetworkError(
                f"{label}: {highest:g} spikes/s are {highest * dt / 1000.0:g} events in a step, more than "
                f"{MOST_EVENTS}; use a Current for a drive that hardly varies"
            )
    for population in network.populations:
        if isinstance(population.neuron, (PoissonSource, GammaSource)):
            highest = np.max(peak_rate(population.neuron.rate))
            if highest * dt > 1000.0:
                raise NetworkError(
                    f"population {population.name!r}: {highest:g} spikes/s is more than one in a step of {dt:g} ms; "
                    "use a smaller dt, or method='exact'"
                )


def initial_mode(network: Network, group: Group, dt: float) -> tuple[bool, bool]:
    """Whether a group starts with the sparse update, and whether that may change (`eventsim.adaptation`).

    It starts sparse unless noise and Poisson sources alone, of which the rates are known, make the dense one cheaper.
    """
    if group.spec is None or group.update != "auto":
        return group.update == "sparse", False
    if not group.spec.closed:
        return False, True
    cost = costs(group.spec.dtype, group.spec.tabulated, group.spec.closed)
    return cost.touch * expected_active(network, group, dt) < cost.sweep * group.size, True


def expected_active(network: Network, group: Group, dt: float) -> float:
    """How many neurons of a group noise, increments and Poisson sources reach in a step, at most; what else fires is not known."""
    reached = 0.0
    for p in group.members:
        population = network.populations[p]
        arriving: Any = 0.0  # at each neuron
        for given in network.inputs:
            if given.target == population.name and isinstance(given, PoissonNoise):
                arriving = arriving + average_rate(given.rate) * dt / 1000.0
            elif given.target == population.name and isinstance(given, Increment) and not given.over_time:
                arriving = arriving + np.where(given.value != 0, np.inf, 0.0)
        for projection in network.projections:
            source = network.populations[network.number(projection.source)]
            if projection.target == population.name and isinstance(source.neuron, (PoissonSource, GammaSource)):
                synapses = projection.connectivity.expected(source.size, population.size, same=False)
                arriving = arriving + float(np.mean(average_rate(source.neuron.rate))) * dt / 1000.0 * synapses / population.size
        reached -= population.size * float(np.mean(np.expm1(-arriving)))
    return reached
