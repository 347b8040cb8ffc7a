"""What one worker owns that is the same for every batch item: its synapses, its neurons' parameters, what drives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eventsim.cpu.frame import GAMMA, NEURONS, POISSON, VARYING
from eventsim.cpu.inputs import Increments, Noise, grain_of
from eventsim.cpu.poisson import thresholds
from eventsim.cpu.transient import RECORDS, RING
from eventsim.program import NOISE, Program
from eventsim.random import key
from eventsim.rate_curve import make_curve
from eventsim.state import COMMON, DT, FLOW, OWN, parameter_arrays
from eventsim.stimuli import Increment, PoissonNoise
from eventsim.varying_rate import VaryingRate, peak_rate


class Part:
    """One worker's part of a program.

    rows : its synapses that are stored (`eventsim.rows.Rows`)
    recipe : what the others are made from (`eventsim.procedural.Recipe`); None if there are none
    slots : the first input of each group in the worker's array of inputs, and its length
    gids : for each group the numbers of its neurons in the network
    states : for each group of neurons their state at time 0, (states, neurons)
    parameters : for each group the arrays that kernels only read, by their place (`eventsim.state`)
    wheel_width : room for this many segments that are due in one step; what an earlier batch item has needed
    ring, records : room for so many synapses that are made, and rows of them; likewise
    noise : `Noise`, without keys; drives : the numbers of its inputs in the network, entry for entry
    """

    def __init__(self, program: Program, worker: int, workers: int):
        self.program, self.worker, self.workers = program, worker, workers
        self.rows = program.rows(worker, workers)
        procedural = any(projection.procedural for projection in program.network.projections)
        self.recipe = program.recipe(worker, workers) if procedural else None
        self.slots = program.slots(worker, workers)
        self.gids = [program.gids(g, worker, workers) for g in range(len(program.groups))]
        self.states: list[Any] = []
        self.parameters: list[dict[int, np.ndarray]] = []
        for g, group in enumerate(program.groups):
            if group.kind == NEURONS:
                self.states.append(program.initial(g, worker, workers))
                self.parameters.append(parameter_arrays(program.numbers(g, worker, workers), program.dtype, program.dt))
            else:
                self.states.append(None)
                self.parameters.append(source_arrays(program, g, worker, workers))
        self.noise, self.drives = noise_table(program, worker, workers)
        self.wheel_width, self.ring, self.records = 16, RING, RECORDS

    def set_currents(self, g: int, time: float) -> None:
        """Let a group's parameters be those under the currents from ``time`` (ms) on: in place, for all batch items."""
        arrays, program = self.parameters[g], self.program
        rows = program.injected_rows(g, self.worker, self.workers, time)
        if rows is None:
            numbers = program.numbers(g, self.worker, self.workers, time)
            for place, array in parameter_arrays(numbers, program.dtype, program.dt).items():
                arrays[place][:] = array
            return
        for f, value in rows.items():  # the currents enter these parameters, and no coefficient depends on them
            arrays[FLOW][f] = value
            if np.ndim(value):
                arrays[OWN][f] = value
            else:
                arrays[COMMON][0, f] = value

    def noise_of(self, item: int) -> Noise:
        """The noise of a batch item: the same, with keys of its own."""
        keys = [key(self.program.seed, NOISE, number, item) for number in self.drives]
        return self.noise._replace(key=np.array(keys, np.uint64))

    def increments(self, extra: Sequence[Increment]) -> Increments:
        """The network's increments and those of one batch item."""
        network = [i for i in self.program.network.inputs if isinstance(i, Increment)]
        return increment_table(self.program, self.worker, self.workers, [*network, *extra])


def source_arrays(program: Program, g: int, worker: int, workers: int) -> dict[int, np.ndarray]:
    """The law of a group of sources as kernels read it, by its place."""
    kind, population = program.groups[g].kind, program.groups[g].members[0]
    low, high, _ = program.local(population, worker, workers)
    source: Any = program.network.populations[population].neuron
    if kind == POISSON:
        return {FLOW: log_silence(program, g, worker, workers)}
    if kind == VARYING:
        return {FLOW: make_curve(source.rate, low, high, program.dt)}
    if kind == GAMMA:
        own = source.rate.ndim > 0 or source.shape.ndim > 0
        each = [np.broadcast_to(v, (program.network.populations[population].size,)) for v in (source.rate / 1000.0, source.shape)]
        pairs = np.stack(each, axis=1)[low:high] if own else np.array([[source.rate / 1000.0, source.shape]])
        head = [float(source.start == "equilibrium"), float(own)]
        return {FLOW: np.concatenate([head, pairs.reshape(-1)]), DT: np.array([program.dt])}
    return {}


def log_silence(program: Program, g: int, worker: int, workers: int) -> np.ndarray:
    """The logarithm of the chance that a Poisson source is silent in a step: one for each that the worker owns, or one for all."""
    population = program.groups[g].members[0]
    low, high, _ = program.local(population, worker, workers)
    rate = program.network.populations[population].neuron.rate
    with np.errstate(divide="ignore"):  # a chance of 1 has no silence: log 0 = -inf
        silence = np.log1p(-np.minimum(rate * program.dt / 1000.0, 1.0))
    return np.ascontiguousarray(silence[low:high] if silence.ndim else silence.reshape(1))


def noise_table(program: Program, worker: int, workers: int) -> tuple[Noise, list[int]]:
    """The Poisson noise onto the neurons that a worker owns, and the numbers of the inputs that its entries stand for."""
    rows: list[tuple] = []
    drives = []
    table, who, mean, weight = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0)]
    curves, curve_end = [np.zeros(0)], 0
    ends, listed, weights = [0], 0, 0
    for number, given in enumerate(program.network.inputs):
        if not isinstance(given, PoissonNoise):
            continue
        population = program.network.number(given.target)
        first, last, at = program.local(population, worker, workers)
        if first == last:
            continue
        g = program.place[population]
        slot = program.port_number(population, given.port) * program.owned(g, worker, workers) + at
        means = peak_rate(given.rate) * program.dt / 1000.0  # of a rate that varies, the curve says more
        curve, varies = -1, isinstance(given.rate, VaryingRate)
        if varies:
            curves.append(make_curve(given.rate, first, last, program.dt))
            curve, curve_end = curve_end, curve_end + len(curves[-1])
        grain = grain_of(program.network.populations[population].size)
        count, begin, cuts = last - first, -1, np.zeros(0, np.uint32)
        if means.ndim:
            driven = np.flatnonzero(means[first:last] > 0)
            count, begin = len(driven), listed
            who.append(driven)
            mean.append(means[first:last][driven])
            listed += count
        elif not varies:
            cuts = thresholds(float(means))
        table.append(cuts)
        ends.append(ends[-1] + len(cuts))
        own = given.weight.ndim > 0
        weight.append(given.weight[first:last] if own else given.weight.reshape(1))
        drives.append(number)
        rows.append((g, slot, count, first, begin, weights, int(own), grain, curve))
        weights += len(weight[-1])
    columns = list(zip(*rows, strict=True)) if rows else [()] * 9
    noise = Noise(
        group=np.array(columns[0], np.int64),
        slot=np.array(columns[1], np.int64),
        count=np.array(columns[2], np.int64),
        first=np.array(columns[3], np.int64),
        key=np.zeros(len(rows), np.uint64),  # `Part.noise_of` says which
        grain=np.array(columns[7], np.int64),
        threshold_begin=np.array(ends, np.int64),
        threshold=_joined(table),
        listed=np.array(columns[4], np.int64),
        who=_joined(who),
        mean=_joined(mean),
        curve=np.array(columns[8], np.int64),
        curves=_joined(curves),
        weight_begin=np.array(columns[5], np.int64),
        weight_step=np.array(columns[6], np.int64),
        weight=np.concatenate(weight).astype(program.dtype),
    )
    return noise, drives


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    """One after the other; a single one that is not empty as it is."""
    filled = [array for array in arrays if len(array)]
    return filled[0] if len(filled) == 1 else np.concatenate(arrays)


def increment_table(program: Program, worker: int, workers: int, given: Sequence[Increment]) -> Increments:
    """The increments onto the neurons that a worker owns."""
    rows, values, begin = [], [np.zeros(0)], 0
    for increment in given:
        population = program.network.number(increment.target)
        first, last, at = program.local(population, worker, workers)
        if first == last:
            continue
        g = program.place[population]
        slot = program.port_number(population, increment.port) * program.owned(g, worker, workers) + at
        own = increment.value.ndim > int(increment.over_time)
        value = increment.value[..., first:last] if own else increment.value
        rows.append((g, slot, last - first, begin, len(value) if increment.over_time else 0, int(own)))
        values.append(value.reshape(-1))
        begin += value.size
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] if rows else [np.zeros(0, np.int64)] * 6
    return Increments(*columns, np.concatenate(values).astype(program.dtype))
