"""The state of one batch item: the arrays of every worker, and how they are run, switched and read."""

from __future__ import annotations

import ctypes
from concurrent.futures import Executor
from typing import Any

import numpy as np

from eventsim.cpu import workers as w
from eventsim.cpu.inputs import Increments, Noise, start_sources
from eventsim.cpu.kernels import compile_kernel
from eventsim.cpu.poisson import thresholds
from eventsim.errors import SimulationError
from eventsim.program import NOISE, SOURCE, Program
from eventsim.random import key
from eventsim.recording import SpikeBuffer
from eventsim.state import (
    ACTIVE,
    DUE,
    EVENT_COUNT,
    EVENT_NEURONS,
    EVENTS,
    FLOW,
    GIDS,
    HEAD,
    KEY,
    LAST,
    MARK,
    NEXT,
    PREVIOUS,
    SIZE,
    SPARSE,
    STATE,
    UPDATES,
    GroupState,
    add_neurons,
    new_group_state,
    set_parameters,
)
from eventsim.stimuli import Increment, PoissonNoise

_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def call(name: str, spec: Any, group: GroupState, t: int, argument: int = 0) -> None:
    """Run a kernel on a group, from Python."""
    _CALL(compile_kernel(name, spec).address)(group.context.ctypes.data, t, argument)


class Member:
    """What one worker owns of one batch item."""

    def __init__(self, program: Program, worker: int, workers: int, rows: Any, item: int, given: Any, increments: Any):
        self.program, self.worker, self.workers, self.rows = program, worker, workers, rows
        count = len(program.groups)
        slots = program.slots(worker, workers)
        self.inputs = np.zeros(slots[-1], program.dtype)
        self.context = np.zeros((count, SIZE), np.int64)
        self.groups: list[GroupState] = []
        for g in range(count):
            self.groups.append(self._new_group(g, slots, item, given))
        ring = program.delay_range[1] + 1
        self.wheel = np.empty((count * ring, 64), np.int32)
        self.wheel_counts = np.zeros(count * ring, np.int64)
        self.position = np.zeros(w.POSITION_SIZE, np.int64)
        self.position[w.STEP] = 1
        self.box_step = np.zeros(program.span * count, np.int64)
        self.noise = noise_table(program, worker, workers, item)
        self.increments = increment_table(program, worker, workers, increments)
        self.kernels = w.Groups(
            kind=np.array([g.kind for g in program.groups]),
            context=self.context,
            dense=np.zeros(count, np.int64),
            sparse=np.zeros(count, np.int64),
            meet_after=np.array([g.meet_after for g in program.groups], np.uint8),
            rate_size=np.array([len(g.arrays.get(FLOW, ())) for g in self.groups]),
        )

    def _new_group(self, g: int, slots: list[int], item: int, given: Any) -> GroupState:
        program, group = self.program, self.program.groups[g]
        low, high = group.part(self.worker, self.workers)
        n = high - low
        state = new_group_state(n, program.gids(g, low, high), slots[g], program.dt, self.context[g])
        if group.kind == w.NEURONS:
            inputs = self.inputs[slots[g] : slots[g + 1]].reshape(len(group.spec.ports), n)
            add_neurons(state, group.spec, program.numbers(g, low, high), inputs)
        elif group.kind == w.POISSON:
            self._add_poisson(state, group.members[0], low, high, item)
        else:
            steps, neurons = given[group.members[0]]
            mine = (neurons >= low) & (neurons < high)
            state.put(EVENTS, np.ascontiguousarray(steps[mine], np.int64))
            state.put(EVENT_NEURONS, np.ascontiguousarray(neurons[mine] - low, np.int32))
            state.context[EVENT_COUNT] = int(mine.sum())
        return state

    def _add_poisson(self, state: GroupState, population: int, low: int, high: int, item: int) -> None:
        program = self.program
        rate = program.network.populations[population].neuron.rate
        with np.errstate(divide="ignore"):  # a chance of 1 has no silence: log 0 = -inf
            silence = np.log1p(-np.minimum(rate * program.dt / 1000.0, 1.0))
        stream = key(program.seed, SOURCE, population, item)
        state.put(FLOW, np.ascontiguousarray(silence[low:high] if silence.ndim else silence.reshape(1)))
        state.put(MARK, np.zeros(high - low, np.uint8))
        state.context[KEY] = np.uint64(stream).astype(np.int64)
        a = state.arrays
        start_sources(stream, a[GIDS], a[FLOW], a[DUE], a[HEAD], a[NEXT], a[PREVIOUS])

    def set_mode(self, g: int, sparse: bool, t: int) -> None:
        """Update a group sparsely from step t + 1 on, or densely; its state is brought to the end of step t."""
        group, spec = self.groups[g], self.program.groups[g].spec
        if group.context[SPARSE]:
            call("jump_all", spec, group, t)
        if sparse:
            call("predict_all", spec, group, t)
            self.kernels.sparse[g] = compile_kernel("sparse", spec).address
        else:
            self.kernels.dense[g] = compile_kernel("dense", spec).address
        group.context[SPARSE] = int(sparse)

    def set_currents(self, g: int, t: int) -> None:
        """From step t + 1 on, the group's parameters are those under the currents that flow then."""
        program, group = self.program, self.groups[g]
        spec = program.groups[g].spec
        if group.context[SPARSE]:
            call("jump_all", spec, group, t)
        low, high = program.groups[g].part(self.worker, self.workers)
        set_parameters(group, program.numbers(g, low, high, t * program.dt), program.dtype)
        if group.context[SPARSE]:
            call("predict_all", spec, group, t)

    def states_now(self, g: int, t: int) -> np.ndarray:
        """The states (states, n) of the group at the end of step t; changes nothing."""
        group, spec = self.groups[g], self.program.groups[g].spec
        state = group.arrays[STATE]
        if not group.context[SPARSE] or not np.any(group.arrays[LAST] < t):
            return state.copy()
        n = state.shape[1]
        out, who = np.empty((n, state.shape[0]), state.dtype), np.arange(n, dtype=np.int32)
        request = np.array([n, who.ctypes.data, out.ctypes.data, 0, 1], np.int64)
        call("sample", spec, group, t, request.ctypes.data)
        return out.T

    def make_room(self) -> None:
        """A wheel with room for what is to be pushed."""
        longest, need = int(self.wheel_counts.max()), int(self.position[w.NEED])
        self.position[w.LONGEST] = longest
        if longest + need > self.wheel.shape[1]:
            wheel = np.empty((self.wheel.shape[0], 2 * (longest + need)), np.int32)
            wheel[:, :longest] = self.wheel[:, :longest]
            self.wheel = wheel

    def counted(self, place: int, g: int) -> int:
        """A counter of a group: `UPDATES` or `ACTIVE`."""
        return int(self.context[g, place])


class Instance:
    """One batch item: its members, and what they tell each other."""

    def __init__(self, program: Program, rows: list, item: int, given: Any, increments: Any, modes: list[bool]):
        workers = len(rows)
        self.program = program
        self.members = [Member(program, k, workers, rows[k], item, given, increments) for k in range(workers)]
        room = program.size * program.span
        self.shared = np.zeros(w.SHARED_SIZE, np.int64)
        self.box_gid = np.empty((2, workers, room), np.int32)
        self.box_end = np.zeros((2, workers, program.span * len(program.groups) + 1), np.int64)
        self.buffer = SpikeBuffer(max(room, 4096))
        self.modes = list(modes)
        self.patience = [1] * len(modes)
        self.waited = [0] * len(modes)
        for g, group in enumerate(program.groups):
            if group.kind == w.NEURONS:
                for member in self.members:
                    member.set_mode(g, modes[g], 0)

    def run(self, stop: int, recorder: w.Recorder, samplers: list[w.Samplers], pool: Executor | None) -> None:
        """Simulate to the end of step ``stop``."""
        if len(self.members) == 1 or pool is None:
            self._work(0, stop, recorder, samplers[0])
            return
        jobs = [pool.submit(self._work, k, stop, recorder, samplers[k]) for k in range(len(self.members))]
        for job in jobs:
            job.result()

    def _work(self, k: int, stop: int, recorder: w.Recorder, samplers: w.Samplers) -> None:
        member, program = self.members[k], self.program
        try:
            while True:
                status = w.drive(
                    stop,
                    program.span,
                    k,
                    len(self.members),
                    member.position,
                    self.shared,
                    self.box_gid,
                    self.box_end,
                    member.box_step,
                    member.kernels,
                    member.rows,
                    member.inputs,
                    member.wheel,
                    member.wheel_counts,
                    member.noise,
                    member.increments,
                    recorder,
                    samplers,
                )
                if status == w.DONE:
                    return
                if status == w.WHEEL_FULL:
                    member.make_room()
                elif status == w.RECORD_FULL:
                    self.buffer.drain()
                else:
                    raise SimulationError("another worker failed; this simulation cannot go on")
        except BaseException:
            self.shared[w.ABORT] = 1
            raise

    def counted(self, place: int, g: int) -> int:
        """A counter of a group over all workers."""
        return sum(member.counted(place, g) for member in self.members)

    def updates(self) -> int:
        """Neuron updates so far."""
        return sum(self.counted(UPDATES, g) for g in range(len(self.program.groups)))

    def active(self, g: int) -> int:
        """Neurons of a group that received something or fired, summed over all steps so far."""
        return self.counted(ACTIVE, g)

    def states_now(self, g: int, t: int) -> np.ndarray:
        """The states (states, neurons of the group) at the end of step t."""
        return np.concatenate([member.states_now(g, t) for member in self.members], axis=1)


def noise_table(program: Program, worker: int, workers: int, item: int) -> Noise:
    """The Poisson noise onto the neurons that a worker owns."""
    rows: list[tuple] = []
    table, who, mean, weight = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0)]
    ends, listed, weights = [0], 0, 0
    for number, given in enumerate(program.network.inputs):
        if not isinstance(given, PoissonNoise):
            continue
        population = program.network.number(given.target)
        first, last, at = program.local(population, worker, workers)
        if first == last:
            continue
        g = program.place[population]
        low, high = program.groups[g].part(worker, workers)
        slot = program.port_number(population, given.port) * (high - low) + at
        means = given.rate * program.dt / 1000.0
        count, begin, cuts = last - first, -1, np.zeros(0, np.uint32)
        if given.rate.ndim:
            driven = np.flatnonzero(means[first:last] > 0)
            count, begin = len(driven), listed
            who.append(driven)
            mean.append(means[first:last][driven])
            listed += count
        else:
            cuts = thresholds(float(means))
        table.append(cuts)
        ends.append(ends[-1] + len(cuts))
        own = given.weight.ndim > 0
        weight.append(given.weight[first:last] if own else given.weight.reshape(1))
        rows.append((g, slot, count, first, int(key(program.seed, NOISE, number, item)), begin, weights, int(own)))
        weights += len(weight[-1])
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    return Noise(
        group=np.array(columns[0], np.int64),
        slot=np.array(columns[1], np.int64),
        count=np.array(columns[2], np.int64),
        first=np.array(columns[3], np.int64),
        key=np.array(columns[4], np.uint64),
        threshold_begin=np.array(ends, np.int64),
        threshold=np.concatenate(table),
        listed=np.array(columns[5], np.int64),
        who=np.concatenate(who),
        mean=np.concatenate(mean),
        weight_begin=np.array(columns[6], np.int64),
        weight_step=np.array(columns[7], np.int64),
        weight=np.concatenate(weight).astype(program.dtype),
    )


def increment_table(program: Program, worker: int, workers: int, extra: list[Increment]) -> Increments:
    """The increments onto the neurons that a worker owns: the network's and those given to the simulation."""
    rows, values, begin = [], [np.zeros(0)], 0
    given = [i for i in program.network.inputs if isinstance(i, Increment)] + list(extra)
    for increment in given:
        population = program.network.number(increment.target)
        first, last, at = program.local(population, worker, workers)
        if first == last:
            continue
        g = program.place[population]
        low, high = program.groups[g].part(worker, workers)
        slot = program.port_number(population, increment.port) * (high - low) + at
        own = increment.value.ndim > int(increment.over_time)
        value = increment.value[..., first:last] if own else increment.value
        rows.append((g, slot, last - first, begin, len(value) if increment.over_time else 0, int(own)))
        values.append(value.reshape(-1))
        begin += value.size
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] if rows else [np.zeros(0, np.int64)] * 6
    return Increments(*columns, np.concatenate(values).astype(program.dtype))
