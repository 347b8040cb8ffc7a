"""A rate over time as kernels read it, and the thinning of a Poisson process by it.

Lewis and Shedler: "Simulation of nonhomogeneous Poisson processes by thinning", Naval Research Logistics Quarterly 26 (1979):
candidates are drawn with a rate that is nowhere lower, and each is kept with the chance rate / this bound. The bound is constant in
*windows*; where a window ends, candidates are drawn anew from its end on, which a Poisson process does not notice.

A curve is one float64 array: `PERIOD`, `PIECES`, `STEP`; the starts of the pieces and the end of the last; and for each member in
turn `COLUMNS` arrays of a value for each piece: the rate at its left, its slope, the bound of its window, the piece after that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsim.jit import jit, jit_borrowing
from eventsim.varying_rate import VaryingRate, pieces

PERIOD, PIECES, STEP, HEAD = range(4)  # ms, or inf; how many; the step of the grid in ms, or 0
LEFT, SLOPE, BOUND, STOP, COLUMNS = range(5)
SKIP = 0.2  # what it costs to pass a window in which nothing happens, in candidates
SLIVER = 1e-9  # of a step: less than this of a piece is rounding


@jit
def make_windows(start, peak, periodic, step, out_bound, out_stop):
    """Write the bound of each piece's window and the piece after it (float64 (pieces,)) to the last two.

    Neighbouring windows become one where that is expected to save candidates and restarts. A window of a whole period holds for all
    of them: its end is the number of pieces + 1. With a step, the bound holds for all steps that begin in the window.
    """
    count = peak.size
    first, most, length = np.empty(count, np.int64), np.empty(count), np.empty(count)
    windows = 0
    for j in range(count):
        first[windows], most[windows], length[windows] = j, peak[j], start[j + 1] - start[j]
        windows += 1
        while windows > 1 and start[j + 1] < math.inf:
            a, b = windows - 2, windows - 1
            apart = (1.0 + most[a] * length[a] if most[a] > 0.0 else SKIP) + (1.0 + most[b] * length[b] if most[b] > 0.0 else SKIP)
            bound = max(most[a], most[b])
            if 1.0 + bound * (length[a] + length[b]) > apart and bound > 0.0:
                break
            most[a], length[a] = bound, length[a] + length[b]
            windows -= 1
    for k in range(windows):
        stop = first[k + 1] if k + 1 < windows else count
        bound, at, seen, turns = most[k], stop, 0, 0.0
        while step > 0.0 and seen < count and (at < count or periodic):
            if at == count:
                at, turns = 0, turns + start[count]
            if start[at] + turns >= start[stop] + 1.001 * step:
                break
            bound = max(bound, peak[at])
            at, seen = at + 1, seen + 1
        for j in range(first[k], stop):
            out_bound[j] = bound
            out_stop[j] = count + 1 if periodic and windows == 1 else stop


def make_curve(rate: VaryingRate, low: int, high: int, step: float = 0.0) -> np.ndarray:
    """The curve of a rate, in spikes/ms; for members low .. high - 1 if they have rates of their own.

    step : ms, for the grid; 0 in continuous time
    """
    start, left, right = pieces(rate)
    if rate.values.ndim == 2:
        left, right = left[:, low:high], right[:, low:high]
    count = len(left)
    for rates in (left, right):
        rates /= 1000.0
    head = HEAD + len(start)
    curve = np.empty(head + left.size * COLUMNS)
    parts = curve[head:].reshape(left.shape[1], COLUMNS, count)
    parts[:, LEFT] = left.T
    parts[:, SLOPE] = ((right - left) / np.diff(start)[:, None]).T
    peak = np.ascontiguousarray(np.maximum(left, right, out=right).T)
    for member, of_one in enumerate(parts):
        make_windows(start, peak[member], rate.period is not None, step, of_one[BOUND], of_one[STOP])
    curve[:HEAD] = math.inf if rate.period is None else rate.period, count, step
    curve[HEAD:head] = start
    return curve


def curve_bytes(rate: Any, workers: int) -> int:
    """Bytes of the curves that workers make of a rate; 0 of one that does not vary."""
    if not isinstance(rate, VaryingRate):
        return 0
    count = rate.times.size + (rate.times[0] > 0.0)
    columns = rate.values.shape[1] if rate.values.ndim == 2 else workers
    return int(8 * (workers * (HEAD + count + 1) + COLUMNS * count * columns))


@jit_borrowing
def member_of(curve, at, member):
    """Where the columns of a member of the curve at ``at`` begin; 0 of a curve that all share."""
    count = np.int64(curve[at + PIECES])
    return at + HEAD + count + 1 + COLUMNS * count * member


@jit_borrowing
def piece_of(curve, at, x):
    """The number of the piece that holds x, from 0 on to the end of the last."""
    low, high = 0, np.int64(curve[at + PIECES])
    while high - low > 1:
        middle = (low + high) // 2
        if curve[at + HEAD + middle] <= x:
            low = middle
        else:
            high = middle
    return low


@jit_borrowing
def turns_until(curve, at, t):
    """How many whole periods lie before t."""
    period = curve[at + PERIOD]
    return math.floor(t / period) * 1.0 if period < math.inf else 0.0


@jit_borrowing
def after_turns(curve, at, t, turns):
    """The time t less some periods."""
    return min(max(0.0, t - turns * curve[at + PERIOD]), curve[at + PERIOD]) if turns > 0.0 else t


@jit_borrowing
def rate_at(curve, at, columns, piece, x):
    """The rate in spikes/ms at x within its piece."""
    count = np.int64(curve[at + PIECES])
    return curve[columns + piece] + curve[columns + SLOPE * count + piece] * (x - curve[at + HEAD + piece])


@jit_borrowing
def window_end(curve, at, stop):
    """Where a window ends, within its period: inf of the last, and of one that holds for all periods."""
    return curve[at + HEAD + stop] if stop <= np.int64(curve[at + PIECES]) else math.inf


@jit_borrowing
def mean_rate(curve, at, columns, t, span):
    """The exact mean of the rate, spikes/ms, from t to t + span (ms)."""
    count, turns = np.int64(curve[at + PIECES]), turns_until(curve, at, t)
    x = after_turns(curve, at, t, turns)
    piece, left, total, little = piece_of(curve, at, x), span, 0.0, SLIVER * span
    while True:
        room = curve[at + HEAD + piece + 1] - x
        if left <= room + little:
            last = rate_at(curve, at, columns, piece, x + 0.5 * left)
            return max(0.0, last if left == span else (total + left * last) / span)
        if room > little:
            total += room * rate_at(curve, at, columns, piece, x + 0.5 * room)
            left -= room
        piece += 1
        if piece == count:
            piece = 0
        x = curve[at + HEAD + piece]
