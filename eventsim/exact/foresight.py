"""Asking memory for what entries of the queue will need: in large networks nothing of it is in the caches.

The list of tomorrow's entries is looked at one by one while today's are handled: where its synapses are is asked for first, then
the synapses themselves, one entry later; their targets, when the entry is the next one.
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.pointers import prefetch, view
from eventsim.exact.layout import (
    ARRIVE,
    CONTEXT_SIZE,
    CONTEXTS,
    DENSE_GROUPS,
    FIRE,
    GROUP_SHIFT,
    GROUPS,
    KIND_SHIFT,
    MOST_FORESEEN,
    MOST_STAGED,
    PARCELS,
    PORT_BITS,
    RECORD,
    SEGMENT,
    SEGMENTS,
    SEGMENTS_OF,
    SYNAPSES,
    TARGET,
    UNIFORM,
    WEIGHT,
    WIDTH,
)
from eventsim.jit import jit_borrowing as jit


@jit
def foresee_neuron(contexts, key):
    """Ask for the neuron that a visit is for. contexts : of each group, the address of its words"""
    about = key & ((np.int64(1) << KIND_SHIFT) - 1)
    group = view(contexts[about >> GROUP_SHIFT], CONTEXT_SIZE, types.int64)
    j = about & ((np.int64(1) << GROUP_SHIFT) - 1)
    prefetch(view(group[RECORD] + group[WIDTH] * j, 1, types.float64), 0)


@jit
def foresee(c, key):
    """Ask for what tells where an entry's synapses are, or for the neuron of a visit."""
    kind, about = key >> KIND_SHIFT, key & ((np.int64(1) << KIND_SHIFT) - 1)
    if kind == FIRE:
        foresee_neuron(view(c[CONTEXTS], c[GROUPS], types.int64), key)
    elif kind == ARRIVE:
        segments = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64)
        prefetch(view(c[SEGMENT], 3 * c[SEGMENTS], types.int64), 3 * segments[about])


@jit
def foresee_synapses(c, key):
    """Ask for an entry's synapses."""
    kind, about = key >> KIND_SHIFT, key & ((np.int64(1) << KIND_SHIFT) - 1)
    if kind == ARRIVE:
        segments, words = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64), view(c[SEGMENT], 3 * c[SEGMENTS], types.int64)
        target, weight = view(c[TARGET], c[SYNAPSES], types.int32), view(c[WEIGHT], c[SYNAPSES], types.float64)
        first, last = 3 * segments[about], 3 * segments[about + 1] - 3
        begin, end = words[first + 1], words[last + 1] + words[last + 2]
        for i in range(begin, min(end, begin + MOST_FORESEEN), 16):
            prefetch(target, i)
        for segment in range(first, last + 3, 3):
            start, alike = words[segment + 1], c[DENSE_GROUPS] != 0 and words[segment] >= UNIFORM
            behind = start + 1 if alike else start + words[segment + 2]  # if they are, the first one is all that is read
            for i in range(start, min(behind, begin + MOST_FORESEEN), 8):
                prefetch(weight, i)


@jit
def foresee_targets(c, key):
    """Ask for the neurons that an entry reaches."""
    kind, about = key >> KIND_SHIFT, key & ((np.int64(1) << KIND_SHIFT) - 1)
    if kind == ARRIVE:
        segments, words = view(c[SEGMENTS_OF], c[PARCELS] + 1, types.int64), view(c[SEGMENT], 3 * c[SEGMENTS], types.int64)
        target, contexts = view(c[TARGET], c[SYNAPSES], types.int32), view(c[CONTEXTS], c[GROUPS], types.int64)
        left = MOST_FORESEEN
        for segment in range(3 * segments[about], 3 * segments[about + 1], 3):
            group = view(contexts[(words[segment] & (UNIFORM - 1)) >> c[PORT_BITS]], CONTEXT_SIZE, types.int64)
            record, width, begin = group[RECORD], group[WIDTH], words[segment + 1]
            many = min(words[segment + 2], left) if words[segment + 2] > MOST_STAGED else 0
            left -= many
            for i in range(begin, begin + many):
                prefetch(view(record + width * np.int64(target[i]), 1, types.float64), 0)
