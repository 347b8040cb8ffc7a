"""What workers tell each other: the spikes since they last met. Everyone pushes all of them into a wheel of its own.

A chunk is one group in one step. Every box holds a chunk's spikes in ascending order, and boxes are merged: they are pushed in the
order (step, group, neuron), so that sums are formed in the same order for any number of workers.
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.deliver import line_of, push
from eventsim.cpu.frame import (
    CHUNK,
    CHUNKS,
    DONE,
    FILL,
    LONGEST,
    MEETING,
    NEED,
    PARITY,
    RECORD_FULL,
    SPIKES,
    WHEEL_FULL,
)
from eventsim.cpu.pointers import prefetch, view
from eventsim.jit import jit_borrowing as jit
from eventsim.state import GIDS, OUT, N

LINE = 16  # 32-bit numbers in a cache line
NO_NEURON = 2**31


@jit
def post(c, spikes, t, worker, position, box_gid, box_end, box_step):
    """Put the spikes of one group in one step into the worker's box (modified)."""
    parity, chunk, fill = position[PARITY], position[CHUNKS], position[FILL]
    gids, out, box = view(c[GIDS], c[N], types.int32), view(c[OUT], c[N], types.int32), box_gid[parity, worker]
    for index in range(spikes):
        box[fill + index] = gids[out[index]]
    box_end[parity, worker, chunk + 1] = fill + spikes
    box_step[chunk] = t
    position[CHUNKS] = chunk + 1
    position[FILL] = fill + spikes


@jit
def count_segments(parity, chunk, box_gid, box_end, index):
    """The spikes of a chunk and their segments; asks for these. Modifies nothing."""
    spikes, segments = 0, 0
    for w in range(box_gid.shape[1]):
        box = box_gid[parity, w, box_end[parity, w, chunk] : box_end[parity, w, chunk + 1]]
        spikes += box.size
        for gid in box:
            begin, end = index.indptr[gid], index.indptr[gid + 1]
            segments += end - begin
            for segment in range(begin, min(end, begin + 4 * LINE), LINE):
                prefetch(index.inlet, segment)
                prefetch(index.delay, segment)
    return spikes, segments


@jit
def longest_list(parity, chunk, place, box_gid, box_end, frame, slots):
    """The longest list of the wheel once a chunk is pushed (modifies the tally)."""
    index, tally = frame.index, frame.tally
    longest = 0
    for line in range(tally.size):
        tally[line] = frame.count[line]
        longest = max(longest, tally[line])
    for w in range(box_gid.shape[1]):
        for gid in box_gid[parity, w, box_end[parity, w, chunk] : box_end[parity, w, chunk + 1]]:
            for segment in range(index.indptr[gid], index.indptr[gid + 1]):
                line = line_of(segment, place, index, slots)
                tally[line] += 1
                longest = max(longest, tally[line])
    return longest


@jit
def has_room(parity, chunk, need, place, box_gid, box_end, frame, slots):
    """Whether the ``need`` segments of a chunk fit the wheel; if not, position[NEED] is how long its lists must be."""
    position, room = frame.position, frame.wheel.shape[1] // 2
    if position[LONGEST] + need <= room:  # a bound that costs little; where it fails, count
        return True
    position[NEED] = longest_list(parity, chunk, place, box_gid, box_end, frame, slots)
    longest = 0
    for line in range(frame.count.size):
        longest = max(longest, frame.count[line])
    position[LONGEST] = longest
    return position[NEED] <= room


@jit
def push_chunk(parity, chunk, place, box_gid, box_end, frame, slots):
    """Push all spikes of a chunk into the wheel (modified, and the cursors), in ascending order."""
    cursor, position, wheel, count, index = frame.cursor, frame.position, frame.wheel, frame.count, frame.index
    workers, longest = box_gid.shape[1], position[LONGEST]
    for w in range(workers):
        cursor[w] = box_end[parity, w, chunk]
    while True:
        first, least, following = -1, NO_NEURON, NO_NEURON  # the box with the least neuron, and the least one of the others
        for w in range(workers):
            if cursor[w] < box_end[parity, w, chunk + 1]:
                gid = np.int64(box_gid[parity, w, cursor[w]])
                if gid < least:
                    first, least, following = w, gid, least
                elif gid < following:
                    following = gid
        if first < 0:
            break
        box, at = box_gid[parity, first, : box_end[parity, first, chunk + 1]], cursor[first]
        while at < box.size and box[at] < following:
            longest = max(longest, push(box[at], place, index, slots, wheel, count))
            at += 1
        cursor[first] = at
    position[LONGEST] = longest


@jit
def record_chunk(parity, chunk, step, box_gid, box_end, recorder):
    """Write a chunk's spikes to the recorder (modified), and count them for rates."""
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
            for gid in box:
                r = recorder.rate_of[gid]
                if r >= 0:
                    recorder.rate_counts[r, (step - 1) // recorder.rate_interval[r] - recorder.rate_start[r]] += 1


@jit
def exchange(worker, frame, common):
    """Push all spikes since the last meeting into this worker's wheel; or what is full, and called again it goes on there."""
    position, box_gid, box_end, recorder = frame.position, common.box_gid, common.box_end, common.recorder
    parity, slots = position[PARITY], common.stages.slots[0]
    while position[CHUNK] < position[CHUNKS]:
        chunk = position[CHUNK]
        step = frame.box_step[chunk]
        spikes, need = count_segments(parity, chunk, box_gid, box_end, frame.index)
        if spikes:
            if need and not has_room(parity, chunk, need, step % slots, box_gid, box_end, frame, slots):
                return WHEEL_FULL
            if worker == 0:
                if recorder.wanted.size and recorder.used[0] + spikes > recorder.gid.size:
                    return RECORD_FULL
                record_chunk(parity, chunk, step, box_gid, box_end, recorder)
                position[SPIKES] += spikes
            if need:
                push_chunk(parity, chunk, step % slots, box_gid, box_end, frame, slots)
        position[CHUNK] = chunk + 1
    position[PARITY] = 1 - parity
    position[CHUNKS] = 0
    position[CHUNK] = 0
    position[FILL] = 0
    position[MEETING] = 0
    return DONE
