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
    PORT_BITS,
    PORTS,
    RECEIVES,
    RECORD,
    STAGE_CHOSEN,
    STAGE_KERNEL,
    STAGE_MARKS,
    STAGE_TARGET,
    STAGE_TIME,
    STAGE_WEIGHT,
    STAGED,
    TARGET,
    TIMES,
    WEIGHT,
    WEIGHTS,
    WIDTH,
    N,
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
def put_on_stage(c, kernel, t, begin, many, step, marks):
    """Let the weights of synapses from ``begin`` on, which arrive at t, wait for the receive kernel with this number; how many are
    done, fewer than ``many`` if there was no room for what came before.

    step : 0 if the first weight is that of all, else 1
    marks : the address of uint8 (N,), 1 for the neurons that are to hear it, or 0 if all are
    """
    g, contexts = kernel >> c[PORT_BITS], view(c[CONTEXTS], c[GROUPS], types.int64)
    group = view(contexts[g], CONTEXT_SIZE, types.int64)
    bits, marked = view(group[STAGE_MARKS], MARKS, types.int64), view(marks, group[N], types.uint8)
    target, weight = view(c[TARGET] + 4 * begin, many, types.uint32), view(c[WEIGHT] + 8 * begin, many, types.float64)
    targets, times = view(group[STAGE_TARGET], BLOCK, types.uint32), view(group[STAGE_TIME], BLOCK, types.float64)
    weights, records, width = view(group[STAGE_WEIGHT], BLOCK, types.float64), group[RECORD], group[WIDTH]
    chosen, at = view(group[STAGE_CHOSEN], BLOCK, types.int64), group[STAGED]
    for first in range(0, many, BLOCK):
        found = min(BLOCK, many - first)
        if marks != 0:  # few are, and no processor foresees which
            behind, found = first + found, 0
            for i in range(np.uint64(first), np.uint64(behind)):
                chosen[np.uint64(found)] = i
                found += np.int64(marked[target[i]])
        for number in range(found):
            i = chosen[number] if marks != 0 else first + number
            j = target[i]
            word, bit = (j >> np.uint32(6)) & np.uint32(MARKS - 1), np.int64(1) << np.int64(j & np.uint32(63))
            if at > 0 and (at == BLOCK or group[STAGE_KERNEL] != kernel or bits[word] & bit != 0):
                group[STAGED] = at
                if not clear_stage(c, g):
                    return i
                at = 0
            prefetch(view(records + width * np.int64(j), 1, types.float64), 0)
            place = np.uint64(at)
            targets[place], times[place], weights[place] = j, t, weight[i * step]
            bits[word] |= bit
            group[STAGE_KERNEL] = kernel
            at += 1
    group[STAGED] = at
    return many
