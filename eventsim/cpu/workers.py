"""The loop over steps, which every thread runs in machine code for the workers that are its own.

A worker owns a slice of every population and the synapses onto it. What workers tell each other is the spikes of the steps since
they last met (`eventsim.cpu.exchange`): within a stage no more steps than the shortest delay, and at the end of its block.
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.barrier import ABORT, PASSED, arrive, enter, make_way, wait
from eventsim.cpu.crew import clear_account, must_leave, runner_of, start_clock, stop_clock
from eventsim.cpu.exchange import exchange, post
from eventsim.cpu.frame import (
    ABORTED,
    ARRIVED_AT,
    BLOCK,
    CHOICE,
    CHOOSE,
    CHOOSING,
    CHUNKS,
    DELIVERED,
    DONE,
    FIRST_STEP,
    GROUP,
    LEFT,
    MEETING,
    MET,
    NEXT_CHOICE,
    STAGE,
    STEP,
    STOP,
    frame_kind,
    read_common,
)
from eventsim.cpu.inputs import add_increment, add_noise
from eventsim.cpu.pointers import address_of, atomic_load, call_kernel, reader, view
from eventsim.jit import compile_callback, compiled_once, jit, jit_borrowing
from eventsim.state import MARK, SLOT, SPARSE, TOUCHED, TOUCHED_COUNT, N

STATUSES = 8  # `drive` returns status + STATUSES * worker
DRIVE = types.int64(types.int64, types.int64, types.int64, types.int64)


@jit_borrowing
def receive_outside(t, stage, frame, stages):
    """Add what comes from outside in step t to the inputs of a stage's groups (modifies these, their contexts, scratch), once."""
    if frame.received[stage] >= t:
        return
    frame.received[stage] = t
    increments, noise, first, last = frame.increments, frame.noise, stages.first[stage], stages.first[stage + 1]
    for e in range(increments.group.size):
        if first <= increments.group[e] < last:
            c = frame.groups.context[increments.group[e]]
            n, own = c[N], frame.inputs[c[SLOT] :]
            mark, touched = view(c[MARK], n, types.uint8), view(c[TOUCHED], n, types.int32)
            c[TOUCHED_COUNT] = add_increment(increments, e, t, own, n, c[SPARSE], mark, touched, c[TOUCHED_COUNT])
    for e in range(noise.group.size):
        if first <= noise.group[e] < last:
            c = frame.groups.context[noise.group[e]]
            n, own = c[N], frame.inputs[c[SLOT] :]
            mark, touched = view(c[MARK], n, types.uint8), view(c[TOUCHED], n, types.int32)
            c[TOUCHED_COUNT] = add_noise(noise, e, t, own, n, c[SPARSE], mark, touched, c[TOUCHED_COUNT], frame.scratch)


@jit_borrowing
def fire(g, t, c, frame, slots):
    """Deliver what is due for group g in step t and update it (modifies its arrays); how many fire."""
    groups, sparse = frame.groups, c[SPARSE]
    for inlet in range(groups.inlet[g], groups.inlet[g + 1]):
        line = inlet * slots + t % slots
        count = frame.count[line]
        if count:
            kernel = groups.deliver[sparse + 2 * groups.transient[inlet]]
            frame.position[DELIVERED] += call_kernel(kernel, c, address_of(frame.wheel[line], 0), count)
            frame.count[line] = 0
    count = c[TOUCHED_COUNT]
    c[TOUCHED_COUNT] = 0
    return call_kernel(groups.sparse[g] if sparse else groups.dense[g], c, t, count)


@jit_borrowing
def sample(t, first, last, frame):
    """Call the state recorders of groups first .. last - 1 that are due in step t."""
    samplers = frame.samplers
    for e in range(samplers.group.size):
        if first <= samplers.group[e] < last and t % samplers.interval[e] == 0:
            call_kernel(samplers.kernel[e], frame.groups.context[samplers.group[e]], t, samplers.request[e])


@jit_borrowing
def go_on(t, stop, position, stages):
    """Move a position past the last group of its stage in step t; whether the workers must meet."""
    stage = position[STAGE]
    end = min(stop, position[CHOICE], position[BLOCK] + stages.block[0] - 1)
    must_meet = t == end or t - position[FIRST_STEP] + 1 >= stages.span[stage]
    if t < end:
        position[STEP] = t + 1
    elif stage + 2 < stages.first.size:  # the next stage goes through the same block
        position[STAGE] = stage + 1
        position[STEP] = position[BLOCK]
    else:
        position[STAGE] = 0
        position[BLOCK] = end + 1
        position[STEP] = end + 1
    position[GROUP] = stages.first[position[STAGE]]
    return must_meet


@compiled_once
def compile_drive(dtype: np.dtype):
    """The loop for states of a type; it has an ``address``.

    Its arguments: thread, workers, the address of the addresses of all frames, and that of what is common.

    Runs the workers of a thread to the end of the step STOP, or as far as there is room. Returns DONE, or a status and the worker
    that it is about; call it again when there is room, or updates are chosen. Modifies all but the index.
    """
    read_frame = reader(frame_kind(dtype))

    @jit_borrowing
    def advance(worker, thread, workers, frame_address, common_address):
        """Run a worker to its next meeting with others; alone, to the next choice of updates or to the end."""
        frame, common = read_frame(frame_address), read_common(common_address)
        position, groups, stages = frame.position, frame.groups, common.stages
        slots = stages.slots[0]
        while True:
            if position[MEETING]:
                full = exchange(worker, frame, common)
                if full != DONE:
                    return full
            t, g, stage = position[STEP], position[GROUP], position[STAGE]
            if position[CHOOSING]:
                position[CHOOSING] = 0
                position[CHOICE] = common.ahead[NEXT_CHOICE]
            if t > position[CHOICE]:  # wait for each other once more, while the first one's thread chooses
                position[CHOOSING] = 1
                return CHOOSE if worker == 0 else MET
            stop = common.ahead[STOP]
            if t > stop:
                return DONE
            if position[CHUNKS] == 0:
                position[FIRST_STEP] = t
            receive_outside(t, stage, frame, stages)
            c = groups.context[g]
            post(c, fire(g, t, c, frame, slots), t, worker, position, common.box_gid, common.box_end, frame.box_step)
            must_meet = groups.meet_after[g] != 0
            if g + 1 == stages.first[stage + 1]:
                sample(t, stages.first[stage], g + 1, frame)
                must_meet |= go_on(t, stop, position, stages)
                if workers > 1:
                    make_way(common.shared, thread, workers)
            else:
                position[GROUP] = g + 1
            if must_meet:
                position[MEETING] = 1
                if workers > 1:
                    return MET
                if atomic_load(common.shared, ABORT):
                    return ABORTED

    @jit_borrowing
    def prepare(frame_address, common_address):
        """What a worker can do of its next step before it knows the others' spikes."""
        frame, common = read_frame(frame_address), read_common(common_address)
        position, stages = frame.position, common.stages
        if position[STEP] <= min(common.ahead[STOP], position[CHOICE]) and position[GROUP] == stages.first[position[STAGE]]:
            receive_outside(position[STEP], position[STAGE], frame, stages)

    @jit
    def run_thread(thread, workers, frames, common):
        shared, addresses = read_common(common).shared, view(frames, workers, types.int64)
        while True:
            generation, mine = atomic_load(shared, PASSED) + 1, 0
            for worker in range(workers):
                if runner_of(shared, worker, workers, generation) == thread:
                    position = read_frame(addresses[worker]).position
                    if position[ARRIVED_AT] < generation:
                        status = advance(worker, thread, workers, addresses[worker], common)
                        if status == MET or status == CHOOSE:
                            position[ARRIVED_AT] = generation
                        if status != MET and status != DONE:
                            return status + STATUSES * worker
                    mine += position[ARRIVED_AT] == generation
            if mine == 0:
                return DONE
            leaves = must_leave(shared, thread, workers, generation)
            arrive(shared, workers, mine)
            if leaves:
                return LEFT
            prepare(addresses[thread], common)  # while the others finish
            if not wait(shared, thread, workers, generation):
                return ABORTED

    def drive(thread, workers, frames, common):
        if workers == 1:
            return advance(0, 0, 1, view(frames, 1, types.int64)[0], common)
        shared = read_common(common).shared
        enter(shared, thread, workers)
        start_clock(shared, thread)
        status = run_thread(thread, workers, frames, common)
        stop_clock(shared, thread)
        if status == LEFT:  # what it waited for on its way out says nothing of when it comes back
            clear_account(shared, thread)
        return status

    return compile_callback(DRIVE, drive, f"drive {dtype}")
