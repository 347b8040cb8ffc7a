"""Sources: populations without state whose spikes are drawn, or given."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.pointers import KERNEL, values_at, view
from eventsim.jit import compile_callback, compiled_once, jit
from eventsim.queue import pop_due, schedule
from eventsim.random import draw4
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
    NEVER,
    NEXT,
    OUT,
    PREVIOUS,
    RATE_COUNT,
    SIZE,
    SLOTS,
    N,
)


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


@compiled_once
def compile_source(poisson: bool):
    """The kernel of a kind of source; it has an ``address``."""
    function = fire_poisson if poisson else fire_given
    return compile_callback(KERNEL, function, function.__name__)


@jit
def start_sources(key, gids, log_silence, due, head, following, previous):
    """Draw the first spike of every source (modifies the ring)."""
    shared = log_silence.size == 1
    for j in range(gids.size):
        step = next_source_spike(key, gids[j], 0, log_silence[0 if shared else j])
        schedule(j, step, due, head, following, previous)
