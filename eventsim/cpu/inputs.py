"""What comes from outside in one step: noise and increments. Every random number is keyed by (stream, neuron, step)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from eventsim.cpu.deliver import touch
from eventsim.jit import jit_borrowing
from eventsim.random import draw4, draw4_each, uniform
from eventsim.rate_curve import STEP, mean_rate, member_of

BLOCK = 1024  # neurons whose random numbers stand in the L1 cache together
GRAIN = 256  # neurons that are drawn together in a small population, in a large one a block: a slice may need a part of them
LARGE = 4096  # neurons of a large population
MANY = 64  # thresholds from which on a search beats counting
MOST_THRESHOLDS = 1 << 15  # of a table made in a step: 20 standard deviations of the largest mean, 10**6, and more


class Noise(NamedTuple):
    """The Poisson noise of one worker, an entry for each input. Entry e drives ``count[e]`` neurons of ``group[e]``.

    slot : place in the group's inputs, ports and all, of the first of them
    first : number in its population of the first of them: what its random numbers are keyed by
    key : uint64
    grain : neurons that are drawn together, counted from the first of the population
    threshold_begin, threshold : uint32, ascending; the number of events is the number of thresholds that 32 random bits reach
    listed : where the rate differs between neurons, ``count[e]`` entries from here on of `who` (offset) and `mean`; else -1
    curve : where the rate varies over time, its place in `curves` (`eventsim.rate_curve`), with columns for the neurons; else -1
    weight_begin, weight_step : into `weight`
    """

    group: np.ndarray
    slot: np.ndarray
    count: np.ndarray
    first: np.ndarray
    key: np.ndarray
    grain: np.ndarray
    threshold_begin: np.ndarray
    threshold: np.ndarray
    listed: np.ndarray
    who: np.ndarray
    mean: np.ndarray
    curve: np.ndarray
    curves: np.ndarray
    weight_begin: np.ndarray
    weight_step: np.ndarray
    weight: np.ndarray


class Scratch(NamedTuple):
    """Room for the random numbers of one block of neurons, and for the law of a step."""

    quads: np.ndarray  # int64 (BLOCK / 4,)
    bits: np.ndarray  # uint32 (BLOCK,)
    counts: np.ndarray  # int32 (BLOCK,)
    thresholds: np.ndarray  # uint32 (MOST_THRESHOLDS,), or (0,) where no rate varies


class Increments(NamedTuple):
    """The increments of one worker, an entry for each: ``value[begin + row * count * step + step * j]`` to neuron j.

    rows : steps that the value holds for, one row a step; 0 for a value that never changes
    """

    group: np.ndarray
    slot: np.ndarray
    count: np.ndarray
    begin: np.ndarray
    rows: np.ndarray
    step: np.ndarray
    value: np.ndarray


@jit_borrowing
def poisson_thresholds_reached(bits, thresholds, out_counts):
    """Write how many of the ascending thresholds each of ``bits`` reaches to out_counts."""
    n = bits.size
    if thresholds.size > MANY:
        for j in range(n):
            out_counts[j] = np.searchsorted(thresholds, bits[j], side="right")
        return
    highest = np.uint32(0)
    for j in range(n):
        out_counts[j] = 0
        highest = max(highest, bits[j])
    reached = 0  # by any of them: half of the thresholds stand for counts that hardly ever occur
    while reached < thresholds.size and thresholds[reached] <= highest:
        reached += 1
    m = 0
    while m + 4 <= reached:  # four at a time: as many comparisons for one look at a count
        t0, t1, t2, t3 = thresholds[m], thresholds[m + 1], thresholds[m + 2], thresholds[m + 3]
        for j in range(n):
            word = bits[j]
            out_counts[j] += np.int32(word >= t0) + np.int32(word >= t1) + np.int32(word >= t2) + np.int32(word >= t3)
        m += 4
    while m < reached:
        threshold = thresholds[m]
        for j in range(n):
            out_counts[j] += bits[j] >= threshold
        m += 1


def new_scratch(noise: Noise) -> Scratch:
    """Room for the random numbers of one block, and, where the rate of some noise varies, for the law of a step."""
    room = MOST_THRESHOLDS if np.any(noise.curve >= 0) else 0
    bits, counts = np.zeros(BLOCK, np.uint32), np.empty(BLOCK, np.int32)
    return Scratch(np.empty(BLOCK // 4, np.int64), bits, counts, np.empty(room, np.uint32))


def grain_of(size: int) -> int:
    """How many neurons of a population of this size are drawn together."""
    return BLOCK if size >= LARGE else GRAIN


@jit_borrowing
def draw_counts(key, first, grain, t, count, thresholds, scratch):
    """Write the Poisson counts in step t of ``count`` neurons to scratch (modified); how many, up to BLOCK.

    first : number of the first of them, a multiple of the grain
    Neuron w * grain / 4 + q of grain g has word w of the counter (g * grain / 4 + q, t): its number alone decides.
    """
    drawn, quarter = min(count, BLOCK), grain // 4
    for begin in range(0, drawn, grain):
        quad = (first + begin) // 4
        for q in range(quarter):
            scratch.quads[q] = quad + q
        draw4_each(key, scratch.quads, np.uint64(t), quarter, scratch.bits[begin : begin + grain].reshape(4, quarter))
    poisson_thresholds_reached(scratch.bits[:drawn], thresholds, scratch.counts[:drawn])
    return drawn


@jit_borrowing
def _first_count(mean):
    """The least count that occurs with a Poisson law, and its chance."""
    # Counts 12 standard deviations below the mean do not occur; to start there keeps exp(-mean) from vanishing.
    events = max(0, int(mean - 12.0 * math.sqrt(mean)))
    return events, math.exp(events * math.log(mean) - mean - math.lgamma(events + 1.0)) if events else math.exp(-mean)


@jit_borrowing
def fill_thresholds(mean, out_thresholds):
    """Write the thresholds of a Poisson law as `eventsim.cpu.poisson.thresholds`, from the least count on that occurs.

    Returns how many there are, and this least count.
    """
    least, term = _first_count(mean)
    total, many = term, 0
    while many < out_thresholds.size:
        threshold = np.rint(total * 4294967296.0)
        events = least + many + 1
        if threshold >= 4294967296.0 or (term < 1e-12 * total and events > mean):
            break
        out_thresholds[many] = np.uint32(threshold)
        many += 1
        term *= mean / events
        total += term
    return many, least


@jit_borrowing
def poisson_count(mean, u):
    """The number of events with the given mean whose cumulative probability first exceeds u; modifies nothing."""
    events, term = _first_count(mean)
    total = term
    while u >= total:
        events += 1
        term *= mean / events
        total += term
        if term <= 0.0 and events > mean:
            break
    return events


@jit_borrowing
def fill_count_thresholds(mean, out_thresholds):
    """Write the thresholds of which 32 random bits reach as many as `poisson_count` of them gives; how many there are."""
    events, term = _first_count(mean)
    total, many = term, 0
    while many < events:
        out_thresholds[many] = 0
        many += 1
    while many < out_thresholds.size:
        least = np.int64(min(max(math.ceil(total * 4294967296.0 - 0.5), 0.0), 4294967296.0))
        while least > 0 and uniform(least - 1) >= total:
            least -= 1
        while least < 4294967296 and uniform(least) < total:
            least += 1
        if least == 4294967296:
            break
        out_thresholds[many] = np.uint32(least)
        many += 1
        term *= mean / many
        total += term
        if term <= 0.0 and many > mean:
            break
    return many


@jit_borrowing
def add_noise(noise, e, t, inputs, n, sparse, mark, touched, count, scratch):
    """Add the noise of entry e in step t to inputs (modified; so are mark, touched and scratch); touched count."""
    slot, at, step, curve = noise.slot[e], noise.weight_begin[e], noise.weight_step[e], noise.curve[e]
    span = noise.curves[curve + STEP] if curve >= 0 else 0.0
    if noise.listed[e] >= 0:
        for i in range(noise.listed[e], noise.listed[e] + noise.count[e]):
            j = noise.who[i]
            mean = noise.mean[i]
            if curve >= 0:
                mean = span * mean_rate(noise.curves, curve, member_of(noise.curves, curve, j), (t - 1) * span, span)
                if mean <= 0.0:
                    continue
            word, _, _, _ = draw4(noise.key[e], np.uint64(noise.first[e] + j), np.uint64(t))
            k = poisson_count(mean, uniform(word))
            if k:
                inputs[slot + j] += noise.weight[at + step * j] * inputs.dtype.type(k)
                if sparse:
                    count = touch((slot + j) % n, mark, touched, count)
        return count
    first = noise.first[e]
    end = first + noise.count[e]
    thresholds = noise.threshold[noise.threshold_begin[e] : noise.threshold_begin[e + 1]]
    least = 0
    if curve >= 0:
        mean = span * mean_rate(noise.curves, curve, member_of(noise.curves, curve, 0), (t - 1) * span, span)
        if mean <= 0.0:
            return count
        many, least = fill_thresholds(mean, scratch.thresholds)
        thresholds = scratch.thresholds[:many]
    aligned = first - first % noise.grain[e]
    while aligned < end:
        low = max(aligned, first)
        drawn = draw_counts(noise.key[e], aligned, noise.grain[e], t, end - aligned, thresholds, scratch)
        if least > 0:
            for j in range(drawn):
                scratch.counts[j] += np.int32(least)
        block = scratch.counts[low - aligned : drawn]
        place = slot + low - first
        weights = noise.weight[at + step * (low - first) :]
        if sparse:
            for j in range(block.size):
                if block[j]:
                    inputs[place + j] += weights[step * j] * inputs.dtype.type(block[j])
                    count = touch((place + j) % n, mark, touched, count)
        elif step:
            own = inputs[place : place + block.size]
            for j in range(block.size):
                own[j] += weights[j] * inputs.dtype.type(block[j])
        else:
            own = inputs[place : place + block.size]
            weight = weights[0]
            for j in range(block.size):
                own[j] += weight * inputs.dtype.type(block[j])
        aligned += BLOCK
    return count


@jit_borrowing
def add_increment(increments, e, t, inputs, n, sparse, mark, touched, count):
    """Add the increment of entry e in step t (the first is 1) to inputs (modified; so are mark, touched); touched count."""
    at, rows, step, size = increments.begin[e], increments.rows[e], increments.step[e], increments.count[e]
    if rows:
        if t > rows:
            return count
        at += (t - 1) * (size if step else 1)
    slot = increments.slot[e]
    if not sparse and step:
        own, values = inputs[slot : slot + size], increments.value[at : at + size]
        for j in range(own.size):
            own[j] += values[j]
        return count
    for j in range(size):
        value = increments.value[at + step * j]
        if value != 0:
            inputs[slot + j] += value
            if sparse:
                count = touch((slot + j) % n, mark, touched, count)
    return count
