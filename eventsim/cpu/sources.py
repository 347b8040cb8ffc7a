"""Sources: populations without state whose spikes are drawn, or given."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.frame import GAMMA, GIVEN, POISSON, VARYING
from eventsim.cpu.pointers import KERNEL, values_at, view
from eventsim.jit import compile_callback, compiled_once, jit
from eventsim.processes import gamma_interval
from eventsim.queue import pop_due, schedule
from eventsim.random import draw4, uniform53
from eventsim.rate_curve import (
    BOUND,
    PERIOD,
    PIECES,
    STEP,
    STOP,
    after_turns,
    mean_rate,
    member_of,
    piece_of,
    turns_until,
    window_end,
)
from eventsim.state import (
    CURSOR,
    DT,
    DUE,
    EVENT_COUNT,
    EVENT_NEURONS,
    EVENTS,
    FLOW,
    GIDS,
    HEAD,
    KEY,
    LAST,
    MARK,
    NEVER,
    NEXT,
    OUT,
    PREVIOUS,
    RATE_COUNT,
    SIZE,
    SLOTS,
    STATE,
    N,
)

LAW_HEAD = 2  # numbers of a gamma law before those of the first source


@jit
def next_source_spike(key, gid, t, log_silence):
    """The step after t of the next spike of a source whose chance of silence in a step is exp(log_silence); modifies nothing."""
    if log_silence == 0.0:
        return NEVER
    word, other, _, _ = draw4(key, np.uint64(gid), np.uint64(t))
    u = (np.float64(np.int64(word)) * 4294967296.0 + np.float64(np.int64(other)) + 0.5) * 2.0**-64
    gap = math.log(u) / log_silence
    return t + 1 + np.int64(gap) if gap < 2.0**52 else NEVER


def fire_poisson(context, t, count):
    """The kernel of Poisson sources: writes who fires in step t, ascending, to out, and draws when they fire next; their count."""
    c = values_at(context, SIZE)
    n, rates = c[N], c[RATE_COUNT]
    key, gids = np.uint64(c[KEY]), view(c[GIDS], n, types.int32)
    log_silence, out = view(c[FLOW], rates, types.float64), view(c[OUT], n, types.int32)
    due, head, following = view(c[DUE], n, types.int64), view(c[HEAD], SLOTS, types.int32), view(c[NEXT], n, types.int32)
    previous, mark = view(c[PREVIOUS], n, types.int32), view(c[MARK], n, types.uint8)
    spikes = pop_due(t, due, head, following, previous, mark, out, 0)
    for index in range(spikes):
        j = out[index]
        mark[j] = 0
        schedule(j, next_source_spike(key, gids[j], t, log_silence[0 if rates == 1 else j]), due, head, following, previous)
    if spikes > 1:
        out[:spikes].sort()
    return spikes


def fire_given(context, t, count):
    """The kernel of given spikes: writes those of step t to out (modifies the context); their count."""
    c = values_at(context, SIZE)
    steps, neurons = view(c[EVENTS], c[EVENT_COUNT], types.int64), view(c[EVENT_NEURONS], c[EVENT_COUNT], types.int32)
    out = view(c[OUT], c[N], types.int32)
    at, spikes = c[CURSOR], 0
    while at < steps.size and steps[at] <= t:
        if steps[at] == t:
            out[spikes] = neurons[at]
            spikes += 1
        at += 1
    c[CURSOR] = at
    return spikes


@jit
def next_varying_spike(key, gid, t, curve, columns):
    """The step after t of the next spike of a source whose rate varies; modifies nothing.

    Thinning as in `eventsim.processes.next_varying`, of steps: each is a candidate with the chance bound * dt, drawn as by
    `next_source_spike`, and is kept with the chance that makes it the exact mean of the rate over the step, times dt.
    """
    count, dt, from_step = np.int64(curve[PIECES]), curve[STEP], t
    while from_step < np.int64(1) << 52:
        now = from_step * dt
        turns = turns_until(curve, 0, now)
        piece = piece_of(curve, 0, after_turns(curve, 0, now, turns))
        bound, end = curve[columns + BOUND * count + piece], window_end(curve, 0, np.int64(curve[columns + STOP * count + piece]))
        last = NEVER  # the last step that begins in the window
        if end < math.inf:
            end += turns * curve[PERIOD] if turns > 0.0 else 0.0
            last = max(from_step + 1, np.int64(math.ceil(end / dt - 1e-9)))
        log_silence = math.log1p(-bound * dt) if bound * dt < 1.0 else -math.inf
        step = next_source_spike(key, gid, from_step, log_silence)
        if step > last or step == NEVER:
            if last == NEVER:
                return NEVER
            from_step = last
            continue
        _, _, r2, r3 = draw4(key, np.uint64(gid), np.uint64(from_step))
        if uniform53(r2, r3) * bound < mean_rate(curve, 0, columns, (step - 1) * dt, dt):
            return step
        from_step = step
    return NEVER


@jit
def next_gamma_spike(key, gid, j, t, dt, law, time, index):
    """The step after t of the next spike of source j of a gamma process (modifies its entries of the last two).

    law : whether it starts in equilibrium, whether sources differ; then the rate (spikes/ms) and the shape of each, or of all
    time, index : of its last event, in ms; how many there have been
    """
    at = LAW_HEAD + 2 * j if law[1] > 0.0 else LAW_HEAD
    rate = law[at]
    if rate <= 0.0:
        return NEVER
    time[j] += gamma_interval(key, gid, index[j], rate, law[at + 1], law[0] > 0.0)
    index[j] += 1
    step = time[j] / dt
    if step >= 2.0**52:
        return NEVER
    return max(t + 1, np.int64(math.ceil(step)))


def fire_varying(context, t, count):
    """As `fire_poisson`, of sources whose rate varies."""
    c = values_at(context, SIZE)
    n = c[N]
    key, gids = np.uint64(c[KEY]), view(c[GIDS], n, types.int32)
    curve, out = view(c[FLOW], c[RATE_COUNT], types.float64), view(c[OUT], n, types.int32)
    due, head, following = view(c[DUE], n, types.int64), view(c[HEAD], SLOTS, types.int32), view(c[NEXT], n, types.int32)
    previous, mark = view(c[PREVIOUS], n, types.int32), view(c[MARK], n, types.uint8)
    spikes = pop_due(t, due, head, following, previous, mark, out, 0)
    for index in range(spikes):
        j = out[index]
        mark[j] = 0
        step = next_varying_spike(key, gids[j], t, curve, columns_of(curve, j))
        schedule(j, step, due, head, following, previous)
    if spikes > 1:
        out[:spikes].sort()
    return spikes


def fire_gamma(context, t, count):
    """As `fire_poisson`, of gamma processes: modifies the times and indices of their last events too."""
    c = values_at(context, SIZE)
    n = c[N]
    key, gids, dt = np.uint64(c[KEY]), view(c[GIDS], n, types.int32), view(c[DT], 1, types.float64)[0]
    law, out = view(c[FLOW], c[RATE_COUNT], types.float64), view(c[OUT], n, types.int32)
    time, events = view(c[STATE], n, types.float64), view(c[LAST], n, types.int64)
    due, head, following = view(c[DUE], n, types.int64), view(c[HEAD], SLOTS, types.int32), view(c[NEXT], n, types.int32)
    previous, mark = view(c[PREVIOUS], n, types.int32), view(c[MARK], n, types.uint8)
    spikes = pop_due(t, due, head, following, previous, mark, out, 0)
    for index in range(spikes):
        j = out[index]
        mark[j] = 0
        schedule(j, next_gamma_spike(key, gids[j], j, t, dt, law, time, events), due, head, following, previous)
    if spikes > 1:
        out[:spikes].sort()
    return spikes


KERNELS = {POISSON: fire_poisson, GIVEN: fire_given, VARYING: fire_varying, GAMMA: fire_gamma}


@compiled_once
def compile_source(kind: int):
    """The kernel of a kind of source; it has an ``address``."""
    function = KERNELS[kind]
    return compile_callback(KERNEL, function, function.__name__)


@jit
def columns_of(curve, j):
    """Where the columns of source j begin; those of all where they share one curve."""
    return member_of(curve, 0, j if curve.size > member_of(curve, 0, 1) else 0)


@jit
def start_sources(key, gids, log_silence, due, head, following, previous):
    """Draw the first spike of every source (modifies the ring)."""
    shared = log_silence.size == 1
    for j in range(gids.size):
        step = next_source_spike(key, gids[j], 0, log_silence[0 if shared else j])
        schedule(j, step, due, head, following, previous)


@jit
def start_varying(key, gids, curve, due, head, following, previous):
    """Draw the first spike of every source whose rate varies (modifies the ring)."""
    for j in range(gids.size):
        schedule(j, next_varying_spike(key, gids[j], 0, curve, columns_of(curve, j)), due, head, following, previous)


@jit
def start_gamma(key, gids, dt, law, time, events, due, head, following, previous):
    """Draw the first spike of every gamma process (modifies the ring, times and indices)."""
    for j in range(gids.size):
        schedule(j, next_gamma_spike(key, gids[j], j, 0, dt, law, time, events), due, head, following, previous)
