"""What comes from outside in one step to one neuron: increments, then noise, summed as on a processor (`eventsim.cpu.inputs`)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from eventsim.cuda.layout import (
    I_BEGIN,
    I_COUNT,
    I_ROWS,
    I_SLOT,
    I_STEP,
    INCREMENT,
    INCREMENT_END,
    INCREMENT_WORDS,
    N_AHEAD,
    N_COUNT,
    N_CUTS,
    N_CUTS_END,
    N_FIRST,
    N_GRAIN,
    N_LISTED,
    N_SLOT,
    N_WEIGHT,
    N_WEIGHT_STEP,
    NOISE,
    NOISE_END,
    NOISE_WORDS,
    S_AHEAD,
    S_BATCH,
    S_FIRST_STEP,
)
from eventsim.cuda.machine import Machine
from eventsim.random import draw4


@functools.cache
def bind_outside(machine: Machine, dtype: np.dtype) -> Any:
    """A function ``(c, slot, item, t, arrays) -> what comes from outside`` to a slot of the group whose words begin at c."""
    jit, real = machine.jit, dtype.type
    nothing = real(0)

    @jit
    def reached(cuts, begin, end, bits):
        """How many of the ascending thresholds ``cuts[begin:end]`` 32 random bits reach."""
        low, high = begin, end
        while low < high:
            middle = (low + high) >> 1
            if cuts[middle] <= bits:
                low = middle + 1
            else:
                high = middle
        return low - begin

    @jit
    def word_of(key, number, grain, t):
        """The random bits in step t of a neuron of its population: `eventsim.cpu.inputs.draw_counts`."""
        quarter = grain >> 2
        place = number % grain
        quad = (number - place) // 4 + place % quarter
        r0, r1, r2, r3 = draw4(key, np.uint64(quad), np.uint64(t))
        which = place // quarter
        return r0 if which == 0 else r1 if which == 1 else r2 if which == 2 else r3

    @jit
    def events(e, j, key, t, a):
        """How many events noise entry e brings in step t to the neuron that stands j places behind its first."""
        row = e * NOISE_WORDS
        number = a.noise[row + N_FIRST] + j
        if a.noise[row + N_LISTED] >= 0:
            begin = a.listed[a.noise[row + N_LISTED] + j]
            end = a.listed[a.noise[row + N_LISTED] + j + 1]
            if begin == end:
                return 0
            bits, _, _, _ = draw4(key, np.uint64(number), np.uint64(t))
            return reached(a.cuts, begin, end, bits)
        bits = word_of(key, number, a.noise[row + N_GRAIN], t)
        return reached(a.cuts, a.noise[row + N_CUTS], a.noise[row + N_CUTS_END], bits)

    @jit
    def outside(c, slot, item, t, a):
        x = nothing
        batch = a.sizes[S_BATCH]
        for e in range(a.groups[c + INCREMENT], a.groups[c + INCREMENT_END]):
            row = (e * batch + item) * INCREMENT_WORDS
            j = slot - a.increments[row + I_SLOT]
            if 0 <= j < a.increments[row + I_COUNT]:
                rows, step = a.increments[row + I_ROWS], a.increments[row + I_STEP]
                if rows == 0:
                    x += a.numbers[a.increments[row + I_BEGIN] + step * j]
                elif t <= rows:
                    wide = a.increments[row + I_COUNT] if step else 1
                    x += a.numbers[a.increments[row + I_BEGIN] + (t - 1) * wide + step * j]
        entries = a.keys.size // batch
        for e in range(a.groups[c + NOISE], a.groups[c + NOISE_END]):
            row = e * NOISE_WORDS
            j = slot - a.noise[row + N_SLOT]
            if 0 <= j < a.noise[row + N_COUNT] and a.noise[row + N_AHEAD] >= 0:
                line = (t - a.sizes[S_FIRST_STEP]) * batch + item
                x += a.ahead[line * a.sizes[S_AHEAD] + a.noise[row + N_AHEAD] + j]
            elif 0 <= j < a.noise[row + N_COUNT]:
                count = events(e, j, a.keys[item * entries + e], t, a)
                if count:
                    x += a.numbers[a.noise[row + N_WEIGHT] + a.noise[row + N_WEIGHT_STEP] * j] * real(count)
        return x

    return outside
