"""The state of one batch item: the arrays of every worker, and how they are run, switched and read."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from eventsim.adaptation import Adaptation
from eventsim.cpu import frame as f
from eventsim.cpu.barrier import give_up, new_shared
from eventsim.cpu.crew import Rests, muster
from eventsim.cpu.deliver import DeliverSpec, compile_deliver
from eventsim.cpu.exchange import NONE
from eventsim.cpu.inputs import new_scratch
from eventsim.cpu.kernels import compile_kernel
from eventsim.cpu.part import Part
from eventsim.cpu.sources import compile_source, start_gamma, start_sources, start_varying
from eventsim.cpu.threads import GaveUp, run_all
from eventsim.cpu.transient import FULL, POSITION_SIZE, Transient, compile_make_row, more_room, new_transient, words_for
from eventsim.cpu.workers import STATUSES, compile_drive
from eventsim.interrupt import DeferredInterrupt
from eventsim.memory import reserved
from eventsim.program import SOURCE
from eventsim.random import key
from eventsim.recording import SpikeBuffer
from eventsim.rows import Index
from eventsim.state import (
    ACTIVE,
    DUE,
    EVENT_COUNT,
    EVENT_NEURONS,
    EVENTS,
    FLOW,
    GIDS,
    HEAD,
    INPUT_SIZE,
    KEY,
    LAST,
    NEXT,
    OUT,
    PREVIOUS,
    RATE_COUNT,
    SIZE,
    SLOT,
    SPARSE,
    STATE,
    UPDATES,
    GroupState,
    N,
    neuron_arrays,
    prediction_arrays,
    synapse_arrays,
    synapse_counts,
    transient_arrays,
    transient_counts,
)

_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_DRIVE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)


_NO_ROWS = np.zeros(1, np.int64), np.zeros((0, 3), np.int64)


def call(name: str, spec: Any, group: GroupState, t: int, argument: int = 0) -> None:
    """Run a kernel on a group, from Python."""
    _CALL(compile_kernel(name, spec).address)(group.context.ctypes.data, t, argument)


class Member:
    """What one worker owns of one batch item."""

    def __init__(self, part: Part, item: int, given: Any, increments: Any):
        self.part, self.program = part, part.program
        program, count = part.program, len(part.program.groups)
        self.inputs = np.zeros(part.slots[-1], program.dtype)
        self.context = np.zeros((count, SIZE), np.int64)
        self.groups = [self._new_group(g, item, given) for g in range(count)]
        lists = len(program.inlets) * program.schedule.slots
        self.wheel = np.empty((lists, 2 * part.wheel_width), np.int64)
        self.count = np.zeros(lists, np.int64)
        self.position = np.zeros(f.POSITION_SIZE, np.int64)
        self.position[[f.STEP, f.BLOCK]] = 1
        self.position[[f.SEGMENT, f.MADE]], self.position[f.CHOOSING] = (NONE, -1), 1
        self.kernels = f.Groups(
            context=self.context,
            dense=np.array([0 if g.kind == f.NEURONS else compile_source(g.kind).address for g in program.groups]),
            sparse=np.zeros(count, np.int64),
            deliver=np.zeros(4, np.int64),
            meet_after=np.array([g.meet_after for g in program.groups], np.int64),
            inlet=np.array(program.inlet_ends()),
            transient=np.array([procedural for _, _, procedural in program.inlets], np.int64),
        )
        self.transient: Transient | None = None
        self.procedural = f.Procedural(*(np.zeros(n, np.int64) for n in (1, 1, POSITION_SIZE)), Index(*_NO_ROWS))
        if part.recipe is not None:
            self._use_ring(new_transient(part.recipe, program.weight_dtype, part.ring, part.records))
        self.box_step = np.zeros(program.room[1], np.int64)
        self.received = np.zeros(len(program.schedule.span), np.int64)
        self.noise, self.increments = part.noise_of(item), part.increments(increments)
        self.cursor, self.scratch = np.zeros(part.workers, np.int64), new_scratch(self.noise)
        self.words = self._words()
        self.packed: tuple[f.Samplers, np.ndarray, int] | None = None

    def _words(self) -> list[int]:
        """The words of its `Frame`, but for the samplers."""
        arrays = f.Frame(
            position=self.position,
            received=self.received,
            groups=self.kernels,
            index=self.part.rows.index,
            procedural=self.procedural,
            inputs=self.inputs,
            wheel=self.wheel,
            count=self.count,
            cursor=self.cursor,
            box_step=self.box_step,
            scratch=self.scratch,
            noise=self.noise,
            increments=self.increments,
            samplers=None,  # type: ignore[arg-type]
        )
        return f.words_before_last(arrays, f.frame_kind(self.program.dtype))

    def frame(self, samplers: f.Samplers) -> int:
        """Where the words of its `Frame` stand, as its arrays lie now."""
        if self.packed is None or self.packed[0] is not samplers:
            words = f.packed(self.words, samplers, f.frame_kind(self.program.dtype))
            self.packed = samplers, words, words.ctypes.data
        return self.packed[2]

    def _new_group(self, g: int, item: int, given: Any) -> GroupState:
        part, group = self.part, self.program.groups[g]
        n = len(part.gids[g])
        state = GroupState(self.context[g])
        state.context[N], state.context[SLOT] = n, part.slots[g]
        state.put(GIDS, part.gids[g])
        state.put_all(part.parameters[g])
        if group.kind == f.NEURONS:
            inputs = self.inputs[part.slots[g] : part.slots[g + 1]].reshape(len(group.spec.ports), n)
            state.put_all(neuron_arrays(part.states[g], group.spec.holds, inputs))
            state.context[INPUT_SIZE] = inputs.size
            state.put_all(synapse_arrays(part.rows))
            for place, size in synapse_counts(part.rows).items():
                state.context[place] = size
            return state
        state.put(OUT, np.empty(n, np.int32))
        if group.kind != f.GIVEN:
            state.put_all(prediction_arrays(n))
            stream = key(self.program.seed, SOURCE, group.members[0], item)
            state.context[KEY] = np.uint64(stream).astype(np.int64)
            a = state.arrays
            state.context[RATE_COUNT] = len(a[FLOW])
            ring = a[DUE], a[HEAD], a[NEXT], a[PREVIOUS]
            if group.kind == f.POISSON:
                start_sources(stream, a[GIDS], a[FLOW], *ring)
            elif group.kind == f.VARYING:
                start_varying(stream, a[GIDS], a[FLOW], *ring)
            else:
                state.put(STATE, np.zeros(n))
                start_gamma(stream, a[GIDS], self.program.dt, a[FLOW], a[STATE], a[LAST], *ring)
            return state
        steps, neurons = given[group.members[0]]
        low, high, _ = self.program.local(group.members[0], part.worker, part.workers)
        mine = (neurons >= low) & (neurons < high)
        state.put(EVENTS, np.ascontiguousarray(steps[mine], np.int64))
        state.put(EVENT_NEURONS, np.ascontiguousarray(neurons[mine] - low, np.int32))
        state.context[EVENT_COUNT] = int(mine.sum())
        return state

    def _use_ring(self, transient: Transient) -> None:
        """Let rows that are not stored be made in these arrays, and delivered from them."""
        self.transient = transient
        delivered = transient.targets, transient.weights, transient.recipe.shared
        for group, described in zip(self.groups, self.program.groups, strict=True):
            if described.kind == f.NEURONS:
                group.put_all(transient_arrays(*delivered))
                for place, size in transient_counts(*delivered).items():
                    group.context[place] = size
        kernel = np.array([compile_make_row(transient).address])
        self.procedural = f.Procedural(kernel, words_for(transient), transient.position, transient.index)

    def use(self, g: int, sparse: bool) -> None:
        """Have the kernels of the sparse update at hand for a group, or those of the dense one."""
        group, spec, rows = self.groups[g], self.program.groups[g].spec, self.part.rows
        if not self.kernels.deliver[int(sparse)]:
            types = DeliverSpec(rows.targets.dtype, rows.weights.dtype, self.program.dtype)
            self.kernels.deliver[int(sparse)] = compile_deliver(types, sparse).address
        if self.transient is not None and not self.kernels.deliver[2 + int(sparse)]:
            types = DeliverSpec(self.transient.targets.dtype, self.program.weight_dtype, self.program.dtype, transient=True)
            self.kernels.deliver[2 + int(sparse)] = compile_deliver(types, sparse).address
        if sparse and DUE not in group.arrays:
            group.put_all(prediction_arrays(int(group.context[N])))
        name, addresses = ("sparse", self.kernels.sparse) if sparse else ("dense", self.kernels.dense)
        addresses[g] = compile_kernel(name, spec).address
        group.context[SPARSE] = int(sparse)

    def set_mode(self, g: int, sparse: bool, t: int) -> None:
        """Update a group sparsely from step t + 1 on, or densely; its state is brought to the end of step t."""
        group, spec = self.groups[g], self.program.groups[g].spec
        if group.context[SPARSE]:
            call("jump_all", spec, group, t)
        self.use(g, sparse)
        if sparse:
            call("predict_all", spec, group, t)

    def settle(self, g: int, t: int) -> None:
        """Bring a group to the end of step t under its present parameters: they are about to change."""
        if self.groups[g].context[SPARSE]:
            call("jump_all", self.program.groups[g].spec, self.groups[g], t)

    def predict(self, g: int, t: int) -> None:
        """Predict all spikes of a group anew: its parameters have changed at the end of step t."""
        if self.groups[g].context[SPARSE]:
            call("predict_all", self.program.groups[g].spec, self.groups[g], t)

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
        """A wheel with twice the room."""
        width, used = self.wheel.shape[1], np.flatnonzero(self.count)
        wheel = np.empty((self.wheel.shape[0], 2 * width), np.int64)
        wheel[used, :width] = self.wheel[used]  # what nobody has touched takes no memory
        self.wheel, self.part.wheel_width = wheel, width  # `wheel_width` is in entries, of two words each
        self.words, self.packed = self._words(), None

    def transient_lines(self) -> np.ndarray:
        """The lists of the wheel in which segments of rows wait that are not stored."""
        slots = self.program.schedule.slots
        return np.flatnonzero((self.count > 0) & np.repeat(self.kernels.transient != 0, slots))

    def make_ring_room(self) -> None:
        """A ring with twice the room."""
        assert self.transient is not None
        transient = more_room(self.transient, self.wheel, self.count, self.transient_lines())
        self.part.ring, self.part.records = len(transient.targets), len(transient.records)
        self._use_ring(transient)
        self.words, self.packed = self._words(), None

    def make_row(self, step: int, source: int) -> int:
        """Make the row of a source that has fired in a step; how many segments its index then holds."""
        while True:
            segments = int(_CALL(int(self.procedural.kernel[0]))(self.procedural.words.ctypes.data, step, source))
            if segments != FULL:
                return segments
            self.make_ring_room()

    def counted(self, place: int, g: int) -> int:
        """A counter of a group: `UPDATES` or `ACTIVE`."""
        return int(self.context[g, place])


class Instance:
    """One batch item: its members, and what they tell each other. updates : how each group is updated."""

    def __init__(self, parts: Sequence[Part], item: int, given: Any, increments: Any, updates: Adaptation):
        self.program = program = parts[0].program
        workers = len(parts)
        self.members = [Member(part, item, given, increments) for part in parts]
        spikes, chunks = program.room
        self.shared = new_shared(workers)
        self.updates, self.ahead = updates, np.array([updates.next, 0])
        self.box_gid = reserved((2, workers, spikes), np.int32)
        self.box_end = np.zeros((2, workers, chunks + 1), np.int64)
        self.buffer = SpikeBuffer(max(spikes, 4096))
        order = program.schedule
        self.stages = f.Stages(*(np.array(values) for values in (program.stages, order.span, [order.block], [order.slots])))
        arrays = f.Common(self.shared, self.stages, self.ahead, self.box_gid, self.box_end, recorder=None)  # type: ignore[arg-type]
        self.words = f.words_before_last(arrays, f.COMMON)
        self.packed: tuple[f.Recorder, np.ndarray, int] | None = None
        self.frames = np.zeros(workers, np.int64)  # where those of all members stand
        self.frames_at = self.frames.ctypes.data
        self.rests = Rests(workers, time.monotonic)
        self.drive = _DRIVE(compile_drive(program.dtype).address)
        for g, group in enumerate(program.groups):
            if group.kind == f.NEURONS:
                for member in self.members:
                    member.set_mode(g, updates.sparse[g], 0)

    def run(
        self,
        stop: int,
        recorder: f.Recorder,
        samplers: list[f.Samplers],
        pool: Executor | None,
        here: bool,
        interrupt: DeferredInterrupt | None,
    ) -> int:
        """Simulate to the end of step ``stop``, or of one at which updates are chosen if interrupted by then; which it was.

        here : the calling thread is one of the workers
        """
        workers = len(self.members)
        self.ahead[f.STOP] = stop
        if self.packed is None or self.packed[0] is not recorder:
            words = f.packed(self.words, recorder, f.COMMON)
            self.packed = recorder, words, words.ctypes.data
        common = self.packed[2]
        for worker, member in enumerate(self.members):
            self.frames[worker] = member.frame(samplers[worker])
        present = self.rests.present()
        muster(self.shared, workers, present, self.rests.window())

        def work(thread: int) -> None:
            try:
                while True:
                    result = self.drive(thread, workers, self.frames_at, common)
                    worker, status = divmod(result, STATUSES)
                    if status == f.DONE:
                        return
                    if status == f.LEFT:
                        return self.rests.left(thread)
                    if status in (f.WHEEL_FULL, f.RING_FULL):
                        full = self.members[worker]
                        (full.make_room if status == f.WHEEL_FULL else full.make_ring_room)()
                        self.frames[worker] = self.members[worker].frame(samplers[worker])
                    elif status == f.RECORD_FULL:
                        self.buffer.drain()
                    elif status == f.CHOOSE:
                        self.choose(interrupt)
                    else:
                        raise GaveUp("another worker failed")
            except BaseException:
                self.give_up()
                raise

        if workers == 1 or pool is None:
            work(0)
        else:
            run_all(pool, work, present, self.give_up, here)
        return int(self.ahead[f.STOP])

    def choose(self, interrupt: DeferredInterrupt | None) -> None:
        """Update each group from now on in the way that its activity asks for; the workers are all at the end of one step."""
        step = self.updates.next
        for g in self.updates.decide(step, [self.counted(ACTIVE, g) for g in range(len(self.program.groups))]):
            for member in self.members:
                member.set_mode(g, self.updates.sparse[g], step)
        self.ahead[f.NEXT_CHOICE] = self.updates.next
        if interrupt is not None and interrupt.asked:
            self.ahead[f.STOP] = step

    def first_not_finite(self) -> tuple[str, int, str, float] | None:
        """The first neuron with a state that is NaN or infinite: population, number, name and value of the state; or None."""
        for g, group in enumerate(self.program.groups):
            if group.kind != f.NEURONS:
                continue
            for member in self.members:
                state = member.groups[g].arrays[STATE]
                if state.size and not np.isfinite(state.max() - state.min()) and not np.all(np.isfinite(state)):
                    row, j = np.argwhere(~np.isfinite(state))[0]
                    gid, program = int(member.part.gids[g][j]), self.program
                    p = next(p for p in reversed(group.members) if program.offset[p] <= gid)
                    field = group.spec.model.State._fields[row]
                    return program.network.populations[p].name, gid - program.offset[p], field, float(state[row, j])
        return None

    def give_up(self) -> None:
        """Let all workers return where they next meet."""
        give_up(self.shared)

    def counted(self, place: int, g: int) -> int:
        """A counter of a group over all workers."""
        return sum(member.counted(place, g) for member in self.members)

    def neuron_updates(self) -> int:
        """Neuron updates so far."""
        return sum(self.counted(UPDATES, g) for g in range(len(self.program.groups)))

    def states_now(self, population: int, t: int) -> np.ndarray:
        """The states (states, neurons) of a population at the end of step t."""
        parts = []
        for member in self.members:
            first, last, at = self.program.local(population, member.part.worker, member.part.workers)
            parts.append(member.states_now(self.program.place[population], t)[:, at : at + last - first])
        return np.concatenate(parts, axis=1)
