"""Point processes in continuous time: the n-th event of each is a function of (seed, stream, n) alone.

Poisson       intervals -log(u)/rate
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.jit import jit_borrowing as jit
from eventsim.random import draw4, log, uniform53

# A process: float64 numbers, and int64 words.
RATE = 0  # spikes/ms
PROCESS_NUMBERS = 1
KEY, INDEX, EFFECT = range(3)  # key of its stream; events so far; the neuron that fires, or -1 - the segment that arrives
PROCESS_WORDS = 3


@jit
def next_interval(numbers, words, process):
    """The time in ms from the last event of a process to its next one; counts it in ``words``."""
    rate = numbers[process * PROCESS_NUMBERS + RATE]
    if rate <= 0.0:
        return math.inf
    at = process * PROCESS_WORDS
    bits = draw4(np.uint64(words[at + KEY]), np.uint64(words[at + INDEX]), np.uint64(process))
    words[at + INDEX] += 1
    return -log(1.0 - uniform53(bits[0], bits[1])) / rate
