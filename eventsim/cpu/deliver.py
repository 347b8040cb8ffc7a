"""Delivery: the rows of spikes that are due are added to the inputs of their targets. Only spikes cost anything here.

The kernels are compiled for the types of targets and weights (`DeliverSpec`), and called through their address like those of the
neurons: the loop over steps does not know how synapses are stored.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import types

from eventsim.cpu.pointers import KERNEL, prefetch, unforeseen, values_at, view
from eventsim.cpu.scalar import REALS
from eventsim.cpu.weights import FOUR, four_weights_at, weight_at
from eventsim.jit import compile_callback, compiled_once
from eventsim.jit import jit_borrowing as jit
from eventsim.segments import BLOCK_SHIFT, KIND_SHIFT
from eventsim.state import (
    INPUT,
    INPUT_SIZE,
    MARK,
    SHARED_COUNT,
    SHARED_WEIGHTS,
    SIZE,
    SYNAPSE_TARGETS,
    SYNAPSE_WEIGHTS,
    TARGET_COUNT,
    TOUCHED,
    TOUCHED_COUNT,
    TRANSIENT_COUNT,
    TRANSIENT_SHARED,
    TRANSIENT_SHARED_COUNT,
    TRANSIENT_TARGETS,
    TRANSIENT_WEIGHT_COUNT,
    TRANSIENT_WEIGHTS,
    WEIGHT_COUNT,
    N,
)

AHEAD = 3  # entries whose synapses are asked for before they are read
LONG = 96  # synapses from which on a segment is asked for whole
LONGEST = 1024  # and up to which; what follows the processor fetches by itself, as it does all of a short one
LINE = 64  # bytes of a cache line
GRAIN = 64  # and rounded up to these: a loop that goes round as often each time is predicted


@dataclass(frozen=True)
class DeliverSpec:
    """What makes two networks need different code for delivery: the types of targets, weights and state, and which synapses:
    those that are stored, or transient ones."""

    targets: np.dtype
    weights: np.dtype
    dtype: np.dtype
    transient: bool = False


@jit
def touch(j, mark, touched, count):
    """Note that neuron j received something (modifies mark, touched); the new count."""
    if not mark[j]:
        mark[j] = 1
        touched[count] = j
        count += 1
    return count


@functools.cache
def bind_rows(spec: DeliverSpec):
    """Functions: the arrays of a context; an entry's begin, length, kind and first slot; what asks for entries ahead."""
    real = REALS[spec.dtype]
    stored = types.uint16 if spec.weights == np.dtype(np.float16) else REALS[spec.weights]
    target = types.uint16 if spec.targets == np.dtype(np.uint16) else types.uint32
    block_bits = 8 * spec.targets.itemsize  # with targets of 32 bits every block is 0
    target_step, weight_step = LINE // spec.targets.itemsize, LINE // spec.weights.itemsize
    begin_mask, length_mask = (1 << KIND_SHIFT) - 1, (1 << BLOCK_SHIFT) - 1
    stored_places = SYNAPSE_TARGETS, TARGET_COUNT, SYNAPSE_WEIGHTS, WEIGHT_COUNT, SHARED_WEIGHTS, SHARED_COUNT
    transient_places = TRANSIENT_TARGETS, TRANSIENT_COUNT, TRANSIENT_WEIGHTS, TRANSIENT_WEIGHT_COUNT
    transient_places += TRANSIENT_SHARED, TRANSIENT_SHARED_COUNT
    at_targets, target_count, at_weights, weight_count, at_shared, shared_count = (
        transient_places if spec.transient else stored_places
    )

    @jit
    def arrays(c):
        return (
            view(c[at_targets], c[target_count], target),
            view(c[at_weights], c[weight_count], stored),
            view(c[at_shared], c[shared_count], real),
            view(c[INPUT], c[INPUT_SIZE], real),
        )

    @jit
    def words(e, entries):
        first, second = entries[2 * e], entries[2 * e + 1]
        return first & begin_mask, second & length_mask, first >> KIND_SHIFT, (second >> BLOCK_SHIFT) << block_bits

    @jit
    def ask(e, entries, targets, weights):
        begin, length, kind, _ = words(min(e, entries.size // 2 - 1), entries)
        if length < LONG:
            prefetch(targets, begin)
            prefetch(weights, begin)
            return
        for first in range(begin, begin + min(length, LONGEST), GRAIN):
            for q in range(0, GRAIN, target_step):
                prefetch(targets, first + q)
            if kind == 0:
                for q in range(0, GRAIN, weight_step):
                    prefetch(weights, first + q)

    return arrays, words, ask


@functools.cache
def adder(weight, four_weights):
    """A function that adds the weights to the inputs at ``slots``, one after the other (modifies inputs).

    weight, four_weights : functions ``(weights, q)`` of synapse q, and of synapses q .. q + 3
    """

    @jit
    def add(inputs, slots, weights):
        q = slots.size & -FOUR
        for r in range(0, q, FOUR):
            a, b, c, d = four_weights(weights, r)
            inputs[slots[r]] += a
            inputs[slots[r + 1]] += b
            inputs[slots[r + 2]] += c
            inputs[slots[r + 3]] += d
        while q < slots.size:
            inputs[slots[q]] += weight(weights, q)
            q = unforeseen(q + 1)  # unrolled, the loop would have several exits, each a mispredicted branch

    return add


def make_deliver(spec: DeliverSpec):
    """The kernel ``(context, entries, count) -> events``: adds the segments at an address to the group's inputs (modified)."""
    arrays, words, ask = bind_rows(spec)
    real = REALS[spec.dtype]
    add_own = adder(jit(lambda w, q: weight_at(w, q, real)), jit(lambda w, q: four_weights_at(w, q, real)))
    add_shared = adder(jit(lambda w, q: w[0]), jit(lambda w, q: (w[0], w[0], w[0], w[0])))

    def deliver(context, address, count):
        c = values_at(context, SIZE)
        entries = view(address, 2 * count, types.int64)
        targets, weights, shared, inputs = arrays(c)
        events = 0
        for e in range(min(AHEAD, count)):
            ask(e, entries, targets, weights)
        for e in range(count):
            ask(e + AHEAD, entries, targets, weights)
            begin, length, kind, first = words(e, entries)
            events += length
            if kind == 0:
                add_own(inputs[first:], targets[begin : begin + length], weights[begin : begin + length])
            else:
                add_shared(inputs[first:], targets[begin : begin + length], shared[kind - 1 : kind])
        return events

    return deliver


def make_deliver_and_touch(spec: DeliverSpec):
    """As `make_deliver`; also notes who received something, and how many (modifies mark, touched and the context)."""
    arrays, words, ask = bind_rows(spec)
    real = REALS[spec.dtype]

    def deliver_and_touch(context, address, count):
        c = values_at(context, SIZE)
        n = c[N]
        entries = view(address, 2 * count, types.int64)
        targets, weights, shared, inputs = arrays(c)
        mark, touched = view(c[MARK], n, types.uint8), view(c[TOUCHED], n, types.int32)
        events, found = 0, c[TOUCHED_COUNT]
        for e in range(min(AHEAD, count)):
            ask(e, entries, targets, weights)
        for e in range(count):
            ask(e + AHEAD, entries, targets, weights)
            begin, length, kind, first = words(e, entries)
            events += length
            for q in range(begin, begin + length):
                slot = first + np.int64(targets[q])
                inputs[slot] += shared[kind - 1] if kind else weight_at(weights, q, real)
                j = slot
                while j >= n:
                    j -= n
                found = touch(j, mark, touched, found)
        c[TOUCHED_COUNT] = found
        return events

    return deliver_and_touch


@compiled_once
def compile_deliver(spec: DeliverSpec, touching: bool):
    """The kernel for these types; it has an ``address``."""
    made = make_deliver_and_touch(spec) if touching else make_deliver(spec)
    return compile_callback(KERNEL, made, f"{made.__name__} {spec}", borrowing=True)
