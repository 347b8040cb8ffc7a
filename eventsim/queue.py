"""The ring of predictions: for each slot a doubly linked list of the neurons that are due in a step with that remainder.

A neuron stands in at most one list, so the ring never overflows; one that is due further ahead than the ring is long is
passed over until its step comes. Insertion and removal cost O(1).
"""

from __future__ import annotations

from eventsim.jit import jit_borrowing as jit
from eventsim.state import NEVER, SLOTS

_LAST_SLOT = SLOTS - 1


@jit
def unlink(j, due, head, following, previous):
    """Take neuron j out of its list (modifies all arrays); it is due never."""
    before, after = previous[j], following[j]
    if before < 0:
        head[-1 - before] = after
    else:
        following[before] = after
    if after >= 0:
        previous[after] = before
    due[j] = NEVER


@jit
def schedule(j, step, due, head, following, previous):
    """Let neuron j be due in ``step``, or never, instead of when it was (modifies all arrays)."""
    if due[j] != NEVER:
        unlink(j, due, head, following, previous)
    if step == NEVER:
        return
    slot = step & _LAST_SLOT
    first = head[slot]
    due[j] = step
    following[j] = first
    previous[j] = -1 - slot
    if first >= 0:
        previous[first] = j
    head[slot] = j


@jit
def pop_due(t, due, head, following, previous, mark, out_neurons, count):
    """Move those that are due in step t and not marked behind the first ``count`` of out_neurons (modifies all); new count."""
    j = head[t & _LAST_SLOT]
    while j >= 0:
        after = following[j]
        if due[j] == t:
            unlink(j, due, head, following, previous)
            if not mark[j]:
                mark[j] = 1
                out_neurons[count] = j
                count += 1
        j = after
    return count


@jit
def schedule_all(due, head, following, previous):
    """Link all neurons that are due into empty lists (modifies the last three arrays)."""
    for j in range(due.size):
        if due[j] != NEVER:
            step = due[j]
            due[j] = NEVER
            schedule(j, step, due, head, following, previous)
