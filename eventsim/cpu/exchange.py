"""What workers tell each other: the spikes since they last met. Everyone pushes all of them into a wheel of its own.

A chunk is one group in one step. Every box holds a chunk's spikes in ascending order, and boxes are merged: they are pushed in the
order (step, group, neuron), so that sums are formed in the same order for any number of workers.
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.frame import (
    BLOCK,
    CHUNK,
    CHUNKS,
    DONE,
    FILL,
    MADE,
    MADE_END,
    MEETING,
    PARITY,
    RECORD_FULL,
    RING_FULL,
    SEGMENT,
    SPIKES,
    STEP,
    WHEEL_FULL,
)
from eventsim.cpu.pointers import call_kernel, prefetch, view
from eventsim.cpu.transient import FULL, OVER
from eventsim.jit import jit_borrowing as jit
from eventsim.segments import INLET_SHIFT
from eventsim.state import GIDS, OUT, N

LINE = 8  # words in a cache line
MOST = 12 * LINE  # words of a spike that are asked for; what follows the processor fetches by itself
NO_NEURON = 2**31
DELAY_MASK = (1 << INLET_SHIFT) - 1
NONE, ALL = -2, -1  # instead of the segment with which pushing goes on: no spike of the chunk is pushed; the next spike is, whole


@jit
def post(c, spikes, t, worker, position, box_gid, box_end, box_step):
    """Put the spikes of one group in one step into the worker's box (modifies box_gid, box_end, box_step, position)."""
    parity, chunk, fill = position[PARITY], position[CHUNKS], position[FILL]
    gids, out, box = view(c[GIDS], c[N], types.int32), view(c[OUT], c[N], types.int32), box_gid[parity, worker]
    for index in range(spikes):
        box[fill + index] = gids[out[index]]
    box_end[parity, worker, chunk + 1] = fill + spikes
    box_step[chunk] = t
    position[CHUNKS] = chunk + 1
    position[FILL] = fill + spikes


@jit
def ask(parity, chunk, box_gid, box_end, index):
    """Ask for what pushing a chunk will read."""
    for w in range(box_gid.shape[1]):
        for gid in box_gid[parity, w, box_end[parity, w, chunk] : box_end[parity, w, chunk + 1]]:
            begin, end = 3 * index.indptr[gid], 3 * index.indptr[gid + 1]
            if begin < end:
                prefetch(index.words, begin)
                prefetch(index.words, end - 1)
            for word in range(begin + LINE, min(end, begin + MOST), LINE):
                prefetch(index.words, word)


@jit
def line_of(segment, place, index, slots):
    """The list of the wheel, of ``slots`` steps for each inlet, in which a segment of a spike waits; place: its step % slots."""
    word = index.words[segment, 2]
    due = place + (word & DELAY_MASK)
    return (word >> INLET_SHIFT) * slots + (due if due < slots else due - slots)


@jit
def push(begin, end, place, index, slots, wheel, count):
    """Put segments begin .. end - 1 into the wheel (modified, and count) up to one whose list is full; which that is, or end."""
    room = wheel.shape[1] // 2
    for segment in range(begin, end):
        line = line_of(segment, place, index, slots)
        at = count[line]
        if at == room:
            return segment
        wheel[line, 2 * at] = index.words[segment, 0]
        wheel[line, 2 * at + 1] = index.words[segment, 1]
        count[line] = at + 1
    return end


@jit
def push_made(gid, step, frame, slots):
    """Make the row of a source that is not stored, and push it into the wheel (modified, as the position); or what is full."""
    position, procedural = frame.position, frame.procedural
    if position[MADE] < 0:
        segments = call_kernel(procedural.kernel[0], procedural.words, step, gid)
        if segments == FULL:
            return RING_FULL
        position[MADE], position[MADE_END] = 0, segments
    end = position[MADE_END]
    position[MADE] = push(position[MADE], end, step % slots, procedural.index, slots, frame.wheel, frame.count)
    if position[MADE] < end:
        return WHEEL_FULL
    position[MADE] = -1
    return DONE


@jit
def push_chunk(parity, chunk, step, box_gid, box_end, frame, slots):
    """Push the spikes of a chunk into the wheel (modified, as the cursors), in ascending order; or what is full.

    Of each spike the segments that are stored come first, then those that are made.
    """
    cursor, position, index, place = frame.cursor, frame.position, frame.index, step % slots
    makes = frame.procedural.kernel[0] != 0
    while True:
        first, least, following = -1, NO_NEURON, NO_NEURON  # the box with the least neuron, and the least one of the others
        for w in range(box_gid.shape[1]):
            if cursor[w] < box_end[parity, w, chunk + 1]:
                gid = np.int64(box_gid[parity, w, cursor[w]])
                if gid < least:
                    first, least, following = w, gid, least
                elif gid < following:
                    following = gid
        if first < 0:
            return DONE
        box, at = box_gid[parity, first, : box_end[parity, first, chunk + 1]], cursor[first]
        while at < box.size and box[at] < following:
            begin, end = index.indptr[box[at]], index.indptr[box[at] + 1]
            if position[SEGMENT] != ALL:
                begin = position[SEGMENT]
                position[SEGMENT] = ALL
            reached = push(begin, end, place, index, slots, frame.wheel, frame.count)
            full = WHEEL_FULL if reached < end else DONE
            if makes and full == DONE:
                full = push_made(box[at], step, frame, slots)
            if full != DONE:
                position[SEGMENT] = reached
                cursor[first] = at
                return full
            at += 1
        cursor[first] = at


@jit
def record_chunk(parity, chunk, step, box_gid, box_end, recorder):
    """Write a chunk's spikes to the recorder (modified), and count them for rates; how many, or -1, without room and undone."""
    spikes = 0
    for w in range(box_gid.shape[1]):
        spikes += box_end[parity, w, chunk + 1] - box_end[parity, w, chunk]
    if recorder.wanted.size and recorder.used[0] + spikes > recorder.gid.size:
        return -1
    for w in range(box_gid.shape[1]):
        box = box_gid[parity, w, box_end[parity, w, chunk] : box_end[parity, w, chunk + 1]]
        if recorder.wanted.size:
            at = recorder.used[0]
            for gid in box:
                if recorder.wanted[gid]:
                    recorder.step[at] = step
                    recorder.gid[at] = gid
                    at += 1
            recorder.used[0] = at
        if recorder.rate_of.size:
            last, time = -1, 0
            for gid in box:
                r = recorder.rate_of[gid]
                if r >= 0:
                    if r != last:
                        last, time = r, (step - 1) // recorder.rate_interval[r] - recorder.rate_start[r]
                    recorder.rate_counts[r, time] += 1
    return spikes


@jit
def exchange(worker, frame, common):
    """Push all spikes since the last meeting into this worker's wheel; or what is full, and called again it goes on there."""
    position, box_gid, box_end = frame.position, common.box_gid, common.box_end
    parity, slots = position[PARITY], common.stages.slots[0]
    # Of several stages the first ones are ahead of the others by a block.
    frame.procedural.position[OVER] = position[STEP] if common.stages.first.size == 2 else position[BLOCK]
    while position[CHUNK] < position[CHUNKS]:
        chunk = position[CHUNK]
        step = frame.box_step[chunk]
        if position[SEGMENT] == NONE:
            if worker == 0:
                spikes = record_chunk(parity, chunk, step, box_gid, box_end, common.recorder)
                if spikes < 0:
                    return RECORD_FULL
                position[SPIKES] += spikes
            ask(parity, chunk, box_gid, box_end, frame.index)
            for w in range(box_gid.shape[1]):
                frame.cursor[w] = box_end[parity, w, chunk]
            position[SEGMENT] = ALL
        full = push_chunk(parity, chunk, step, box_gid, box_end, frame, slots)
        if full != DONE:
            return full
        position[SEGMENT] = NONE
        position[CHUNK] = chunk + 1
    position[PARITY] = 1 - parity
    position[CHUNKS] = 0
    position[CHUNK] = 0
    position[FILL] = 0
    position[MEETING] = 0
    return DONE
