"""The stage of a group: single synapses wait on it until there are enough of them for vectors.

Where each synapse has a delay of its own, or each neuron its own noise, targets come one by one, each at its time. Within a window
(`eventsim.exact.windows`) neurons do not hear of one another, so that their arrivals may be handled together, if only each neuron's
own come in order: nobody stands on the stage twice, and it is cleared before anything else reaches the group and before the window
ends. Whether a neuron stands there is told by a bit that it may share with others.
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.pointers import prefetch, view
from eventsim.exact.layout import (
    BLOCK,
    CONTEXT_SIZE,
    CONTEXTS,
    GROUPS,
    MARKS,
    PORTS,
    RECEIVES,
    RECORD,
    STAGE_KERNEL,
    STAGE_MARKS,
    STAGE_TARGET,
    STAGE_TIME,
    STAGE_WEIGHT,
    STAGED,
    TIMES,
    WEIGHTS,
    WIDTH,
)
from eventsim.exact.windows import call_event
from eventsim.jit import jit_borrowing as jit


@jit
def clear_stage(c, g):
    """Let all that waits on the stage of a group arrive; whether there was room for what follows: if not, call it again.

    c : the words of the loop
    """
    contexts, receives = view(c[CONTEXTS], c[GROUPS], types.int64), view(c[RECEIVES], c[GROUPS] * c[PORTS], types.int64)
    group = view(contexts[g], CONTEXT_SIZE, types.int64)
    many = group[STAGED]
    if many == 0:
        return True
    group[WEIGHTS], group[TIMES] = group[STAGE_WEIGHT], group[STAGE_TIME]
    done = call_event(receives[group[STAGE_KERNEL]], contexts[g], 0.0, group[STAGE_TARGET], many)
    group[TIMES], group[STAGED] = 0, many - done
    if done < many:
        target, time = view(group[STAGE_TARGET], BLOCK, types.int32), view(group[STAGE_TIME], BLOCK, types.float64)
        weight = view(group[STAGE_WEIGHT], BLOCK, types.float64)
        for i in range(many - done):
            target[i], time[i], weight[i] = target[done + i], time[done + i], weight[done + i]
        return False
    view(group[STAGE_MARKS], MARKS, types.int64)[:] = 0
    return True


@jit
def clear_stages(c):
    """That of all groups."""
    for g in range(c[GROUPS]):
        if not clear_stage(c, g):
            return False
    return True


@jit
def put_on_stage(c, kernel, t, target, weight):
    """Let a weight that arrives at t wait for the receive kernel with this number; whether there was room for what came before."""
    g, contexts = kernel // c[PORTS], view(c[CONTEXTS], c[GROUPS], types.int64)
    group = view(contexts[g], CONTEXT_SIZE, types.int64)
    marks = view(group[STAGE_MARKS], MARKS, types.int64)
    word, bit = (target >> 6) & (MARKS - 1), np.int64(1) << (target & 63)
    if group[STAGED] > 0 and (group[STAGED] == BLOCK or group[STAGE_KERNEL] != kernel or marks[word] & bit != 0):
        if not clear_stage(c, g):
            return False
    prefetch(view(group[RECORD] + group[WIDTH] * target, 1, types.float64), 0)
    at = group[STAGED]
    view(group[STAGE_TARGET], BLOCK, types.int32)[at] = target
    view(group[STAGE_TIME], BLOCK, types.float64)[at] = t
    view(group[STAGE_WEIGHT], BLOCK, types.float64)[at] = weight
    marks[word] |= bit
    group[STAGED], group[STAGE_KERNEL] = at + 1, kernel
    return True
