"""What the loop over steps works on: the arrays of one worker, and those that all workers of a batch item share.

The loop is machine code of its own (`eventsim.cpu.workers`), which finds the arrays by their address: so a thread can run any of
the workers, and to call it costs nothing for each array.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np
from numba import from_dtype, types

from eventsim.cpu.inputs import Increments, Noise, Scratch
from eventsim.cpu.pointers import reader, words_of
from eventsim.rows import Index

NEURONS, POISSON, GIVEN, VARYING, GAMMA = range(5)  # kinds of group
# What a worker or a thread returns: at a meeting; out of room; where updates are chosen anew; stopped; gone, so that others run
# its workers.
DONE, MET, WHEEL_FULL, RECORD_FULL, CHOOSE, ABORTED, LEFT, RING_FULL = range(8)
# Places of a position. BLOCK: the first step of the block; MEETING: whether the boxes are full; CHUNK: the next chunk of them to be
# pushed, SEGMENT: where pushing it goes on, MADE and MADE_END: and where in a row that is made for it (`eventsim.cpu.exchange`);
# ARRIVED_AT: the last meeting that this worker has come to;
# CHOICE: the step after which updates are chosen anew, CHOOSING: whether they are right now.
STEP, GROUP, STAGE, BLOCK, MEETING, PARITY, CHUNKS, CHUNK, SEGMENT, FILL, SPIKES, DELIVERED, FIRST_STEP, ARRIVED_AT = range(14)
CHOICE, CHOOSING, MADE, MADE_END = range(14, 18)
POSITION_SIZE = 18
NEXT_CHOICE, STOP = range(2)  # places of what is ahead


class Groups(NamedTuple):
    """The groups of one worker in the order in which they are visited."""

    context: np.ndarray  # int64 (groups, SIZE)
    dense: np.ndarray  # int64: address of the kernel; of a source the only one
    sparse: np.ndarray
    deliver: np.ndarray  # int64 (4,): addresses of the kernels that deliver to a dense and a sparse group; transient synapses, too
    meet_after: np.ndarray  # int64: whether a later group of its stage needs its spikes in the same step
    inlet: np.ndarray  # int64 (groups + 1,): its lists of the wheel are those of inlets inlet[g] .. inlet[g + 1] - 1
    transient: np.ndarray  # int64 (inlets,): whether their segments are of synapses that are not stored


class Samplers(NamedTuple):
    """State recorders: a kernel to call every so many steps."""

    group: np.ndarray
    interval: np.ndarray
    kernel: np.ndarray
    request: np.ndarray


class Procedural(NamedTuple):
    """What makes rows that are not stored (`eventsim.cpu.transient`)."""

    kernel: np.ndarray  # int64 (1,): its address, or 0 where all are stored
    words: np.ndarray  # int64: by which it finds its arrays
    position: np.ndarray  # int64: of its ring
    index: Index  # segments of the row that was made last


class Frame(NamedTuple):
    """The arrays of one worker.

    wheel : (lists, 2 * room), the first two words of segments; count : how many each list holds
    The list of a step: inlet * slots + step % slots.
    """

    position: np.ndarray  # int64 (POSITION_SIZE,)
    received: np.ndarray  # int64 (stages,): the last step whose input from outside each stage has received
    groups: Groups
    index: Index
    procedural: Procedural
    inputs: np.ndarray  # real
    wheel: np.ndarray  # int64
    count: np.ndarray  # int64 (lists,)
    cursor: np.ndarray  # int64 (workers,): scratch
    box_step: np.ndarray  # int64 (chunks,)
    scratch: Scratch
    noise: Noise
    increments: Increments
    samplers: Samplers


class Stages(NamedTuple):
    """Groups that go through steps together, a block of steps at a time, before those of the next stage do."""

    first: np.ndarray  # int64 (stages + 1,): groups first[s] .. first[s + 1] - 1
    span: np.ndarray  # int64 (stages,): steps that its workers may run without meeting
    block: np.ndarray  # int64 (1,): steps
    slots: np.ndarray  # int64 (1,): steps for which the wheel has lists


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


class Common(NamedTuple):
    """What the workers of one batch item share. A box holds the spikes of a worker since the last meeting, chunk by chunk.

    ahead : the steps after which updates are chosen anew, and to whose end they run
    box_gid : int32 (2, workers, room); box_end : int64 (2, workers, chunks + 1), where each chunk ends; two in turn
    """

    shared: np.ndarray  # int64 (`eventsim.cpu.barrier`)
    stages: Stages
    ahead: np.ndarray  # int64 (2,), at NEXT_CHOICE and STOP; written while nobody runs, or all wait for the first one's thread
    box_gid: np.ndarray
    box_end: np.ndarray
    recorder: Recorder


def _kind(of: type, **named: Any) -> types.NamedTuple:
    """The type of a named tuple for Numba; arrays of int64 with one axis are not named."""
    plain = types.Array(types.int64, 1, "C")
    return types.NamedTuple(tuple(named.get(name, plain) for name in of._fields), of)  # type: ignore[attr-defined]


def _array(kind: Any, axes: int = 1) -> types.Array:
    return types.Array(kind, axes, "C")


@functools.cache
def frame_kind(dtype: np.dtype) -> types.NamedTuple:
    """The type of a `Frame` whose states have a type."""
    real = from_dtype(dtype)
    return _kind(
        Frame,
        groups=_kind(Groups, context=_array(types.int64, 2)),
        index=_kind(Index, words=_array(types.int64, 2)),
        procedural=_kind(Procedural, index=_kind(Index, words=_array(types.int64, 2))),
        inputs=_array(real),
        wheel=_array(types.int64, 2),
        scratch=_kind(Scratch, bits=_array(types.uint32), counts=_array(types.int32), thresholds=_array(types.uint32)),
        noise=_kind(
            Noise,
            key=_array(types.uint64),
            threshold=_array(types.uint32),
            mean=_array(types.float64),
            curves=_array(types.float64),
            weight=_array(real),
        ),
        increments=_kind(Increments, value=_array(real)),
        samplers=_kind(Samplers),
    )


COMMON = _kind(
    Common,
    stages=_kind(Stages),
    box_gid=_array(types.int32, 3),
    box_end=_array(types.int64, 3),
    recorder=_kind(
        Recorder,
        wanted=_array(types.uint8),
        gid=_array(types.int32),
        rate_of=_array(types.int32),
        rate_counts=_array(types.int64, 2),
    ),
)
read_common = reader(COMMON)


def words_before_last(arrays: Any, kind: types.NamedTuple) -> list[int]:
    """The words of all arrays of a named tuple but those of its last member, the one that changes with every piece of a run."""
    first = types.NamedTuple(kind.types[:-1], namedtuple("First", kind.fields[:-1]))
    return words_of(arrays[:-1], first)


def packed(words: list[int], last: Any, kind: types.NamedTuple) -> np.ndarray:
    """The words from which a reader of this kind makes the named tuple; its arrays must stay where they are."""
    return np.array([*words, *words_of(last, kind.types[-1])], np.int64)
