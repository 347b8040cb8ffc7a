"""The loop over steps that every worker runs.

A worker owns a slice of every population and the synapses onto it. What workers tell each other is the spikes of the steps since
they last met, no more steps than the shortest delay: everyone then pushes all spikes, in the order (step, group, neuron),
into a wheel of its own, so that sums are formed in the same order for any number of workers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from eventsim.cpu.barrier import arrive, wait
from eventsim.cpu.deliver import line_of, push
from eventsim.cpu.inputs import add_increment, add_noise, fire_sources, new_scratch
from eventsim.cpu.pointers import address_of, call_kernel, prefetch, view
from eventsim.jit import jit, jit_borrowing
from eventsim.state import (
    CURSOR,
    DUE,
    EVENT_COUNT,
    EVENT_NEURONS,
    EVENTS,
    FLOW,
    GIDS,
    HEAD,
    KEY,
    MARK,
    NEXT,
    OUT,
    PREVIOUS,
    SLOT,
    SLOTS,
    SPARSE,
    TOUCHED,
    TOUCHED_COUNT,
    N,
)

NEURONS, POISSON, GIVEN = range(3)  # kinds of group
DONE, WHEEL_FULL, RECORD_FULL, ABORTED = range(4)  # what `drive` returns
# Places of a position; OUTSIDE: the last step whose input from outside has been received.
STEP, GROUP, MEETING, PARITY, CHUNKS, FILL, LONGEST, NEED, SPIKES, EVENTS_DELIVERED, FIRST_STEP, OUTSIDE = range(12)
POSITION_SIZE = 12
LINE = 16  # 32-bit numbers in a cache line


class Groups(NamedTuple):
    """The groups of one worker in the order in which they are visited."""

    kind: np.ndarray  # int64
    context: np.ndarray  # int64 (groups, SIZE)
    dense: np.ndarray  # int64: address of the kernel
    sparse: np.ndarray
    deliver: np.ndarray  # int64 (2,): addresses of the kernels that deliver to a dense and to a sparse group
    meet_after: np.ndarray  # uint8: spikes of this group are needed in the same step, by a later one
    rate_size: np.ndarray  # int64: how many log_silence values a source has


class Recorder(NamedTuple):
    """Where the first worker writes the spikes of all."""

    wanted: np.ndarray  # uint8 (neurons,) or empty
    step: np.ndarray  # int64
    gid: np.ndarray  # int32
    used: np.ndarray  # int64 (1,)
    rate_of: np.ndarray  # int32 (neurons,): which rate recorder counts its spikes, or -1; or empty
    rate_interval: np.ndarray  # int64 steps
    rate_start: np.ndarray  # int64: the first bin that is counted
    rate_counts: np.ndarray  # int64 (recorders, bins)


class Samplers(NamedTuple):
    """State recorders: a kernel to call every so many steps."""

    group: np.ndarray
    interval: np.ndarray
    kernel: np.ndarray
    request: np.ndarray


@jit_borrowing
def fire_given(c, t):
    """The given spikes of step t, written to the group's out (modifies its context); their count."""
    steps, neurons = view(c[EVENTS], c[EVENT_COUNT], types.int64), view(c[EVENT_NEURONS], c[EVENT_COUNT], types.int32)
    out = view(c[OUT], c[N], types.int32)
    at = c[CURSOR]
    count = 0
    while at < steps.size and steps[at] <= t:
        if steps[at] == t:
            out[count] = neurons[at]
            count += 1
        at += 1
    c[CURSOR] = at
    return count


@jit
def fire_poisson(c, t, rate_size):
    """The Poisson sources that fire in step t, written to the group's out (modifies its ring); their count."""
    n = c[N]
    return fire_sources(
        np.uint64(c[KEY]),
        t,
        view(c[GIDS], n, types.int32),
        view(c[FLOW], rate_size, types.float64),
        view(c[DUE], n, types.int64),
        view(c[HEAD], SLOTS, types.int32),
        view(c[NEXT], n, types.int32),
        view(c[PREVIOUS], n, types.int32),
        view(c[MARK], n, types.uint8),
        view(c[OUT], n, types.int32),
    )


@jit_borrowing
def receive_outside(t, groups, inputs, noise, increments, scratch):
    """Add what comes from outside in step t to the inputs of all groups (modifies these, their contexts, scratch)."""
    for e in range(increments.group.size):
        c = groups.context[increments.group[e]]
        n, own = c[N], inputs[c[SLOT] :]
        mark, touched = view(c[MARK], n, types.uint8), view(c[TOUCHED], n, types.int32)
        c[TOUCHED_COUNT] = add_increment(increments, e, t, own, n, c[SPARSE], mark, touched, c[TOUCHED_COUNT])
    for e in range(noise.group.size):
        c = groups.context[noise.group[e]]
        n, own = c[N], inputs[c[SLOT] :]
        mark, touched = view(c[MARK], n, types.uint8), view(c[TOUCHED], n, types.int32)
        c[TOUCHED_COUNT] = add_noise(noise, e, t, own, n, c[SPARSE], mark, touched, c[TOUCHED_COUNT], scratch)


@jit_borrowing
def update_neurons(g, t, groups, c, position, wheel, wheel_counts, slots):
    """Deliver what is due for group g in step t and update it (modifies all); its spikes."""
    sparse = c[SPARSE]
    line = g * slots + t % slots
    if wheel_counts[line]:
        position[EVENTS_DELIVERED] += call_kernel(groups.deliver[sparse], c, address_of(wheel[line], 0), wheel_counts[line])
        wheel_counts[line] = 0
    count = c[TOUCHED_COUNT]
    c[TOUCHED_COUNT] = 0
    return call_kernel(groups.sparse[g] if sparse else groups.dense[g], c, t, count)


@jit_borrowing
def record_spike(recorder, step, gid):
    """Write a spike to the recorder (modified)."""
    if recorder.wanted.size and recorder.wanted[gid]:
        at = recorder.used[0]
        recorder.step[at] = step
        recorder.gid[at] = gid
        recorder.used[0] = at + 1
    if recorder.rate_of.size and recorder.rate_of[gid] >= 0:
        r = recorder.rate_of[gid]
        recorder.rate_counts[r, (step - 1) // recorder.rate_interval[r] - recorder.rate_start[r]] += 1


@jit
def longest_line(workers, parity, chunks, box_gid, box_end, box_step, index, wheel_counts, slots):
    """The longest list of the wheel once all spikes in the boxes are pushed; modifies nothing."""
    counts = wheel_counts.copy()
    longest = counts.max()
    for chunk in range(chunks):
        for w in range(workers):
            for at in range(box_end[parity, w, chunk], box_end[parity, w, chunk + 1]):
                gid = box_gid[parity, w, at]
                for segment in range(index.indptr[gid], index.indptr[gid + 1]):
                    line = line_of(segment, box_step[chunk] % slots, index, slots)
                    counts[line] += 1
                    longest = max(longest, counts[line])
    return longest


@jit_borrowing
def count_segments(workers, parity, chunks, box_gid, box_end, index):
    """The spikes in the boxes and their segments; asks for these. Modifies nothing."""
    spikes, segments = 0, 0
    for w in range(workers):
        fill = box_end[parity, w, chunks]
        spikes += fill
        for at in range(fill):
            gid = box_gid[parity, w, at]
            begin, end = index.indptr[gid], index.indptr[gid + 1]
            segments += end - begin
            for segment in range(begin, min(end, begin + 4 * LINE), LINE):
                prefetch(index.group, segment)
                prefetch(index.delay, segment)
    return spikes, segments


@jit_borrowing
def first_in_order(workers, parity, chunk, cursors, box_gid, box_end):
    """The worker whose box holds the least neuron not yet taken from a chunk, or -1; modifies nothing."""
    first, least = -1, 0
    for w in range(workers):
        if cursors[w] < box_end[parity, w, chunk + 1]:
            gid = box_gid[parity, w, cursors[w]]
            if first < 0 or gid < least:
                first, least = w, gid
    return first


@jit
def exchange(worker, workers, position, cursors, box_gid, box_end, box_step, index, wheel, wheel_counts, slots, recorder):
    """Push all spikes since the last meeting into this worker's wheel, or return what is full (then nothing is modified).

    A chunk is one group in one step. Every box holds its spikes in ascending order: merged, they are in the order of neurons.
    """
    parity, chunks = position[PARITY], position[CHUNKS]
    spikes, need = count_segments(workers, parity, chunks, box_gid, box_end, index)
    if position[LONGEST] + need > wheel.shape[1]:  # a bound that costs little; where it fails, count
        position[NEED] = longest_line(workers, parity, chunks, box_gid, box_end, box_step, index, wheel_counts, slots)
        if position[NEED] > wheel.shape[1]:
            return WHEEL_FULL
        position[LONGEST] = wheel_counts.max()
    if worker == 0 and recorder.wanted.size and recorder.used[0] + spikes > recorder.gid.size:
        return RECORD_FULL
    longest = position[LONGEST]
    for chunk in range(chunks):
        step = box_step[chunk]
        for w in range(workers):
            cursors[w] = box_end[parity, w, chunk]
        w = first_in_order(workers, parity, chunk, cursors, box_gid, box_end)
        while w >= 0:
            gid = box_gid[parity, w, cursors[w]]
            cursors[w] += 1
            longest = max(longest, push(gid, step % slots, index, slots, wheel, wheel_counts))
            if worker == 0:
                record_spike(recorder, step, gid)
            w = first_in_order(workers, parity, chunk, cursors, box_gid, box_end)
    if worker == 0:
        position[SPIKES] += spikes
    position[LONGEST] = longest
    position[PARITY] = 1 - parity
    position[CHUNKS] = 0
    position[FILL] = 0
    position[MEETING] = 0
    return DONE


@jit_borrowing
def post(c, spikes, t, worker, position, box_gid, box_end, box_step):
    """Put the spikes of one group in one step into the worker's box (modified)."""
    parity, chunk, fill = position[PARITY], position[CHUNKS], position[FILL]
    gids, out = view(c[GIDS], c[N], types.int32), view(c[OUT], c[N], types.int32)
    for index in range(spikes):
        box_gid[parity, worker, fill + index] = gids[out[index]]
    box_end[parity, worker, chunk + 1] = fill + spikes
    box_step[chunk] = t
    position[CHUNKS] = chunk + 1
    position[FILL] = fill + spikes


@jit
def drive(
    stop,
    span,
    worker,
    workers,
    position,
    shared,
    box_gid,
    box_end,
    box_step,
    groups,
    index,
    inputs,
    wheel,
    wheel_counts,
    noise,
    increments,
    recorder,
    samplers,
):
    """Run one worker to the end of step ``stop`` (modifies all but index); what is full, or DONE. Call again to go on."""
    slots = wheel_counts.size // groups.kind.size
    scratch, cursors = new_scratch(), np.zeros(workers, np.int64)
    while True:
        if position[MEETING]:
            full = exchange(
                worker, workers, position, cursors, box_gid, box_end, box_step, index, wheel, wheel_counts, slots, recorder
            )
            if full:
                return full
        t, g = position[STEP], position[GROUP]
        if t > stop:
            return DONE
        if position[CHUNKS] == 0:
            position[FIRST_STEP] = t
        if position[OUTSIDE] < t:
            receive_outside(t, groups, inputs, noise, increments, scratch)
            position[OUTSIDE] = t
        c = groups.context[g]
        if groups.kind[g] == NEURONS:
            spikes = update_neurons(g, t, groups, c, position, wheel, wheel_counts, slots)
        elif groups.kind[g] == POISSON:
            spikes = fire_poisson(c, t, groups.rate_size[g])
        else:
            spikes = fire_given(c, t)
        post(c, spikes, t, worker, position, box_gid, box_end, box_step)
        must_meet = groups.meet_after[g] != 0
        g += 1
        if g == groups.kind.size:
            g = 0
            for e in range(samplers.group.size):
                if t % samplers.interval[e] == 0:
                    call_kernel(samplers.kernel[e], groups.context[samplers.group[e]], t, samplers.request[e])
            must_meet = must_meet or t - position[FIRST_STEP] + 1 >= span or t == stop
            t += 1
        position[STEP] = t
        position[GROUP] = g
        if must_meet:
            generation = arrive(shared, worker, workers)
            if position[OUTSIDE] < t <= stop and g == 0:  # while the others finish
                receive_outside(t, groups, inputs, noise, increments, scratch)
                position[OUTSIDE] = t
            if not wait(shared, worker, workers, generation):
                return ABORTED
            position[MEETING] = 1
