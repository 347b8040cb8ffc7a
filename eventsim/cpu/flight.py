"""Spikes on their way: which they are, from the segments that wait in a worker's wheel, and the segments again from the spikes."""

from __future__ import annotations

import numpy as np

from eventsim.cpu.exchange import DELAY_MASK, line_of
from eventsim.jit import jit
from eventsim.rows import Index
from eventsim.segments import KIND_SHIFT

_BEGIN_MASK = (1 << KIND_SHIFT) - 1


def first_synapses(index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Where the synapses with weights of their own begin that each source, or one behind it, has; and those that share one."""
    sources = len(index.indptr) - 1
    own, shared = np.empty(sources, np.int64), np.empty(sources, np.int64)
    _first_synapses(index.indptr, index.words, own, shared)
    return own, shared


@jit
def _first_synapses(indptr, words, out_own, out_shared):
    """Fill both arrays, from the last source on."""
    own = shared = np.int64(1) << KIND_SHIFT
    for source in range(out_own.size - 1, -1, -1):
        for segment in range(indptr[source + 1] - 1, indptr[source] - 1, -1):
            begin = words[segment, 0] & _BEGIN_MASK
            if words[segment, 0] >> KIND_SHIFT:
                shared = min(shared, begin)
            else:
                own = min(own, begin)
        out_own[source], out_shared[source] = own, shared


def find_flying(index: Index, own, shared, wheel, count, lines, slots: int, step: int) -> np.ndarray:
    """The spikes whose segments wait in some lists of a wheel at the end of ``step``: (segments, 2), step and source of each."""
    found = np.empty((int(count[lines].sum()), 2), np.int64)
    _find_flying(index.indptr, index.words, own, shared, wheel, count, lines, slots, step, found)
    return np.unique(found, axis=0)


@jit
def _find_flying(indptr, words, own, shared, wheel, count, lines, slots, step, out_found):
    at = 0
    for line in lines:
        due = step + 1 + (line - step - 1) % slots
        for entry in range(count[line]):
            first, second = wheel[line, 2 * entry], wheel[line, 2 * entry + 1]
            firsts = shared if first >> KIND_SHIFT else own
            source = np.searchsorted(firsts, first & _BEGIN_MASK, side="right") - 1
            segment = indptr[source]
            while words[segment, 0] != first or words[segment, 1] != second:
                segment += 1
            out_found[at, 0], out_found[at, 1] = due - (words[segment, 2] & DELAY_MASK), source
            at += 1


def add_flying(index: Index, steps, sources, step: int, slots: int, wheel, count) -> bool:
    """Put what spikes reach after ``step`` into a wheel (modified, and count), in order; False as soon as a list is full."""
    return bool(_add_flying(index, steps, sources, step, slots, wheel, count))


@jit
def _add_flying(index, steps, sources, step, slots, wheel, count):
    room = wheel.shape[1] // 2
    for s in range(steps.size):
        for segment in range(index.indptr[sources[s]], index.indptr[sources[s] + 1]):
            if steps[s] + (index.words[segment, 2] & DELAY_MASK) <= step:
                continue
            line = line_of(segment, steps[s] % slots, index, slots)
            at = count[line]
            if at == room:
                return False
            wheel[line, 2 * at], wheel[line, 2 * at + 1] = index.words[segment, 0], index.words[segment, 1]
            count[line] = at + 1
    return True
