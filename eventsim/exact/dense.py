"""Dense windows: those in which the neurons of some group are reached so often that all of them are moved once, at the end.

What arrives in a window is known before it is over, for it is shorter than every delay behind a neuron (`eventsim.exact.windows`).
In a dense window arrivals are listed first, in the order of the queue. At its end they are folded into the rows of the neurons of
*dense groups* (`eventsim.exact.fold`); the list is gone through once more for the neurons that are marked, and for groups that are
not dense.

A run may end within such a window. Then what has been listed arrives one by one, so that spikes and states are those of that time;
when the run goes on the neurons of dense groups go back to where they stood when the window began, and the window ends as if there
had been no pause: what they fire again until then is not told again. Marked neurons take the same steps either way. So no bit
depends on how a run is cut.

Which groups are dense is decided at the end of each window by what reached them in those before: to change costs as much as many
arrivals, and is put off until as many have come that the other way would have been cheaper for. None is dense while a current
changes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.pointers import view
from eventsim.exact.layout import (
    ARRIVED,
    BEGUN,
    BELOW,
    BLOCK,
    CHANGE,
    CLOCK,
    CLOCK_SIZE,
    COMMIT,
    CONTEXT_SIZE,
    CONTEXTS,
    CREDIT,
    DAYS,
    DENSE,
    EVENTS,
    FOLD,
    FOLD_MARKED,
    FOLD_MARKS,
    FOLD_NUMBERS,
    FOLDABLE,
    FOLDED,
    FOLLOWED,
    FROM,
    GROUPS,
    LIST_ENTRY,
    LIST_ROOM,
    LIST_TIME,
    LISTED,
    MOST_STAGED,
    NO_WEIGHTS,
    PART,
    PARTS_END,
    PATIENCE,
    PORT_BITS,
    PORTS,
    REACHED,
    RECEIVES,
    RECORD,
    REPLAYED,
    SEEN,
    SETTLE,
    SHADOW,
    SHADOWED,
    TARGET,
    TIMES,
    TOLD,
    WAIT,
    WANTED,
    WEIGHT,
    WEIGHTS,
    WIDTH,
    N,
)
from eventsim.exact.listed import foresee_listed, parts_of, segment_of
from eventsim.exact.stage import clear_stage, clear_stages, put_on_stage
from eventsim.exact.windows import call_event
from eventsim.jit import jit_borrowing as jit

LATER = 1e-6  # ms: a change so soon after a window counts as one in it
MOST_PASSED = 1 << 20  # windows, of which as many are counted where more have passed


@jit
def arrive(c, t, again):
    """What the segments from PART on carry arrives at t; how many synapses it reached, fewer than there are if room was wanting.

    When a window that was folded is gone through once more, of dense groups only marked neurons hear it; ``again``: all others have
    heard it already.
    """
    contexts, receives = view(c[CONTEXTS], c[GROUPS], types.int64), view(c[RECEIVES], c[GROUPS] * c[PORTS], types.int64)
    reached = 0
    while c[PART] < c[PARTS_END]:
        kernel, first, all_of_them, step = segment_of(c, c[PART])
        begin, many = first + c[REACHED], all_of_them - c[REACHED]
        g, found = kernel >> c[PORT_BITS], 0
        group = view(contexts[g], CONTEXT_SIZE, types.int64)
        known = c[FOLDED] != 0 and (again or group[DENSE] != 0)
        if c[FOLDED] != 0 and group[DENSE] != 0:
            found = put_on_stage(c, kernel, t, begin, many, step, group[FOLD_MARKS])
        elif known:
            found = many
        elif c[DAYS] != 0 and all_of_them <= MOST_STAGED:
            found = put_on_stage(c, kernel, t, begin, many, step, 0)
        elif clear_stage(c, g):
            group[WEIGHTS] = c[WEIGHT] + 8 * begin
            found = call_event(receives[kernel], contexts[g], t, c[TARGET] + 4 * begin, many)
        if not known:
            c[EVENTS] += found
            group[ARRIVED] += found
        reached += found
        if found < many:
            c[REACHED] += found
            break
        c[PART], c[REACHED] = c[PART] + 1, 0
    return reached


@jit
def _go_on(c, which, heard):
    """Let what stands on the list from a cursor (the word ``which``) on arrive; whether there was room for all that follows.

    heard : so many of the list have been heard before, in the window up to a pause
    """
    time, entry = view(c[LIST_TIME], c[LIST_ROOM], types.float64), view(c[LIST_ENTRY], c[LIST_ROOM], types.int64)
    while True:
        if c[PART] < c[PARTS_END]:
            at = c[which] - 1
            arrive(c, time[at], at < heard)
            if c[PART] < c[PARTS_END]:
                return False
        if c[which] >= c[LISTED]:
            return clear_stages(c)
        at = c[which]
        foresee_listed(c, at)
        c[PART], c[PARTS_END] = parts_of(c, entry[at])
        c[which] = at + 1


@jit
def _copy(group, source, goal):
    """The records of a group, from the array of one of its words to that of another."""
    many = group[N] * (group[WIDTH] // 8)
    values, out = view(group[source], many, types.float64), view(group[goal], many, types.float64)
    for i in range(many):
        out[i] = values[i]


@jit
def _move_marked(c, g, end):
    """The marked neurons of a group fire wherever they do before the end of the window, and are moved there; whether there was room
    for their spikes: if not, call it again. It is as if each heard a weight of 0 then."""
    contexts, receives = view(c[CONTEXTS], c[GROUPS], types.int64), view(c[RECEIVES], c[GROUPS] * c[PORTS], types.int64)
    group = view(contexts[g], CONTEXT_SIZE, types.int64)
    marks, numbers = view(group[FOLD_MARKS], group[N], types.uint8), view(group[FOLD_NUMBERS], group[N], types.int32)
    group[WEIGHTS], group[TIMES] = group[NO_WEIGHTS], 0
    while group[FOLD_MARKED] > 0:
        many = min(group[FOLD_MARKED], BLOCK)
        first = group[FOLD_MARKED] - many
        done = call_event(receives[g << c[PORT_BITS]], contexts[g], end, group[FOLD_NUMBERS] + 4 * first, many)
        call_event(group[WAIT], contexts[g], end, group[FOLD_NUMBERS] + 4 * first, done)
        for i in range(first, first + done):
            marks[numbers[i]] = 0
        group[FOLD_MARKED] = first + many - done
        if done < many:
            for i in range(first, first + many - done):
                numbers[i] = numbers[done + i]
            return False
    return True


@jit
def pause_window(c, until):
    """Let everything happen until a time within a dense window, itself included; whether there was room: if not, call it again."""
    contexts = view(c[CONTEXTS], c[GROUPS], types.int64)
    if c[SHADOWED] == 0:
        for g in range(c[GROUPS]):
            group = view(contexts[g], CONTEXT_SIZE, types.int64)
            if group[DENSE] != 0:
                _copy(group, RECORD, SHADOW)
        c[SHADOWED] = 1
    if not _go_on(c, REPLAYED, 0):
        return False
    for g in range(c[GROUPS]):
        group = view(contexts[g], CONTEXT_SIZE, types.int64)
        if group[DENSE] != 0 and call_event(group[SETTLE], contexts[g], np.nextafter(until, math.inf), 0, 0) == 0:
            return False
    return True


@jit
def end_window(c, end):
    """Let everything happen that does until the end of a dense window; whether there was room: if not, call it again."""
    contexts, clock = view(c[CONTEXTS], c[GROUPS], types.int64), view(c[CLOCK], CLOCK_SIZE, types.float64)
    if c[FOLDED] == 0:
        if c[SHADOWED] != 0:
            for g in range(c[GROUPS]):
                group = view(contexts[g], CONTEXT_SIZE, types.int64)
                if group[DENSE] != 0:
                    _copy(group, SHADOW, RECORD)
                    call_event(group[WAIT], contexts[g], clock[BEGUN], 0, group[N])
        for g in range(c[GROUPS]):
            group = view(contexts[g], CONTEXT_SIZE, types.int64)
            if group[DENSE] != 0:
                call_event(group[FOLD], contexts[g], end, 0, 0)
                call_event(group[COMMIT], contexts[g], end, 0, 0)
        c[FOLDED], c[FOLLOWED] = 1, 0
    if not _go_on(c, FOLLOWED, c[REPLAYED]):
        return False
    for g in range(c[GROUPS]):
        group = view(contexts[g], CONTEXT_SIZE, types.int64)
        if group[DENSE] != 0 and not _move_marked(c, g, end):
            return False
    c[FOLDED], c[SHADOWED], c[LISTED], c[REPLAYED] = 0, 0, 0, 0
    clock[TOLD] = -math.inf
    return True


@jit
def choose_groups(c, today, following):
    """Decide at the end of a window which groups are dense in the next one, the number ``today``, which ends at ``following``;
    whether that is new. Windows in which nothing happened may have been passed over, or not."""
    contexts, changes = view(c[CONTEXTS], c[GROUPS], types.int64), False
    steady = view(c[CLOCK], CLOCK_SIZE, types.float64)[CHANGE] > following + LATER
    for g in range(c[GROUPS]):
        group = view(contexts[g], CONTEXT_SIZE, types.int64)
        dense, passed = group[DENSE] != 0, min(today - group[SEEN], MOST_PASSED)
        fewer = passed * (group[BELOW] if dense else group[FROM]) - group[ARRIVED]
        credit = min(max(group[CREDIT] + (fewer if dense else -fewer), 0), group[PATIENCE] + 1)
        worth = credit > group[PATIENCE] if dense else credit >= group[PATIENCE]
        group[WANTED] = group[FOLDABLE] != 0 and steady and worth != dense
        group[ARRIVED], group[CREDIT], group[SEEN] = 0, credit, today
        changes = changes or group[WANTED] != group[DENSE]
    return changes
