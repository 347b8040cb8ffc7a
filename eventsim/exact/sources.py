"""The point processes of a network, and when the next event of each comes (`eventsim.processes`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsim.jit import jit_borrowing as jit
from eventsim.processes import gamma_interval, next_varying, poisson_interval
from eventsim.rate_curve import make_curve, member_of
from eventsim.stimuli import GammaSource
from eventsim.varying_rate import VaryingRate

CONSTANT, VARYING, GAMMA, EQUILIBRIUM = range(4)  # laws: Poisson twice, and gamma processes with an ordinary start and without

# A process: two float64 numbers, and int64 words.
RATE, SHAPE = range(2)  # spikes/ms
CURVE, COLUMNS = range(2)  # of one that varies: where its curve and its columns of it begin (`eventsim.rate_curve`)
PROCESS_NUMBERS = 2
# Key of its stream; events so far; the neuron that fires, or -1 - the segment that arrives; its law above, its member below
KEY, INDEX, EFFECT, LAW = range(4)
PROCESS_WORDS = 4
LAW_SHIFT = 32


@jit
def next_event(numbers, words, curves, process, t):
    """The time in ms of the event of a process that follows the one at t, or inf; counts it in ``words``."""
    at, pair = process * PROCESS_WORDS, process * PROCESS_NUMBERS
    key, index, law = np.uint64(words[at + KEY]), words[at + INDEX], words[at + LAW] >> LAW_SHIFT
    member = words[at + LAW] & ((np.int64(1) << LAW_SHIFT) - 1)
    words[at + INDEX] = index + 1
    if law == VARYING:
        curve, columns = np.int64(numbers[pair + CURVE]), np.int64(numbers[pair + COLUMNS])
        return next_varying(key, member, index, t, curves, curve, columns)
    rate = numbers[pair + RATE]
    if rate <= 0.0:
        return math.inf
    if law == CONSTANT:
        return t + poisson_interval(key, member, index, rate)
    return t + gamma_interval(key, member, index, rate, numbers[pair + SHAPE], law == EQUILIBRIUM)


@jit
def first_events(numbers, words, curves, out_times):
    """Write the time in ms of the first event of each process, or inf; counts them in ``words``."""
    for process in range(out_times.size):
        out_times[process] = next_event(numbers, words, curves, process, 0.0)


def make_processes(
    given: Any, stream: np.uint64, members: np.ndarray, effects: np.ndarray, begin: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One process for each of ``members``, which its random numbers are keyed by; the streams are those of the grid engine.

    given : a PoissonSource, GammaSource or PoissonNoise; effects : what each does, see `EFFECT`
    begin : the numbers that curves take so far

    Returns their numbers (members, PROCESS_NUMBERS), words (members, PROCESS_WORDS), and their curve, empty if they do not vary.
    """
    n = len(members)
    numbers, words, curve = np.zeros((n, PROCESS_NUMBERS)), np.zeros((n, PROCESS_WORDS), np.int64), np.zeros(0)
    if isinstance(given.rate, VaryingRate):
        law, curve = VARYING, make_curve(given.rate, 0, n)
        own = given.rate.values.ndim == 2
        numbers[:, CURVE] = begin
        numbers[:, COLUMNS] = [begin + member_of(curve, 0, member * own) for member in range(n)]
    else:
        law = CONSTANT
        numbers[:, RATE] = given.rate / 1000.0
        if isinstance(given, GammaSource):
            law = EQUILIBRIUM if given.start == "equilibrium" else GAMMA
            numbers[:, SHAPE] = given.shape
    words[:, KEY], words[:, EFFECT] = stream.astype(np.int64), effects
    words[:, LAW] = (law << LAW_SHIFT) + members
    return numbers, words, curve
