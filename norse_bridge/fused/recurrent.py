"""The two kernels of recurrent time loops: all steps of some samples forward, and some steps of them back again.

A worker takes a group of samples, which have nothing to do with other samples, and goes with them from step to step: what comes
from outside as one product for many steps, what is fed back as one for each, then the step of the neurons. That step is a kernel of
`norse_bridge.fused.kernels`, called through its address: these here are compiled once for all models. All products are sums over
those that fire (`norse_bridge.fused.products`).
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.pointers import KERNEL, atomic_add, call_kernel, values_at, view
from eventsim.cpu.scalar import REALS
from eventsim.jit import compile_callback, compiled_once
from eventsim.jit import jit_borrowing as jit
from norse_bridge.fused import kernels
from norse_bridge.fused.kernels import (
    ELEMENTS,
    EVERY,
    HISTORY,
    HISTORY_GRADIENT,
    INPUT,
    INPUT_GRADIENT,
    LENGTH,
    NEXT,
    OUTPUT,
    OUTPUT_GRADIENT,
    SCRATCH,
    SPACING,
    STEPS,
    STORED,
    STREAM,
    LoopSpec,
    rows_of,
)
from norse_bridge.fused.products import LANE_BYTES, column_functions, spare_bytes
from norse_bridge.fused.stamp import stamp

# Words of a context, after those of `norse_bridge.fused.kernels`: addresses of arrays, and numbers
(
    BATCH,
    SENDERS,  # inputs from outside
    HIDDEN,  # neurons
    GROUP,  # samples that a worker takes at once
    AT_ONCE,  # steps whose input from outside is one product
    FROM_OUTSIDE,  # (steps, batch, senders)
    FED_BACK,  # forward (batch, hidden): the spikes before the first step; backward (steps, batch, hidden): those before each
    INPUT_BLOCKS,  # the weights from outside, `in_blocks`
    BLOCKS,  # those between the neurons; backward, too
    BLOCKS_BACK,  # those, the other way round
    FIRED,  # (steps, batch, hidden) of bytes: what fired in each step, or 0
    RECEIVED,  # (2, SPACING, batch, hidden): from outside, and fed back
    KEPT,  # (SPACING, states, elements): the states before each step, backward
    OF_RECEIVED,  # as RECEIVED: their gradients
    OF_LATER,  # (batch, hidden): the gradient of what is fed back in the step after these
    LATER,  # whether there is such a step
    ANY_GRADIENT,  # (steps, batch, hidden): the gradient of the outputs
    OF_OUTSIDE,  # (steps, batch, senders): the gradient of what comes from outside, or 0
    INPUT_BLOCKS_BACK,  # the weights from outside the other way round
    STATES,  # how many a neuron has, rho included
    ROW_BYTES,  # of the scratch rows of its step
    AGAIN,  # the addresses of the kernels of its step, forward
    BACK,  # and back
    SIZE,
) = range(kernels.SIZE, kernels.SIZE + 24)

CONTEXT_BYTES = 8 * (kernels.SIZE + 4)  # a worker's own context for the step of its neurons, two inputs, two gradients
GROUP_LIMIT = 16  # samples
ROW_LIMIT = 1 << 22  # numbers in the rows of a product


def group_of(batch: int, workers: int) -> int:
    """Samples that a worker takes at once."""
    return max(1, min(GROUP_LIMIT, -(-batch // workers)))


def steps_at_once(group: int, widest: int) -> int:
    """Steps whose input is one product: as many as there are between stored states, if memory allows."""
    return max(1, min(SPACING, ROW_LIMIT // max(1, group * widest)))


def worker_bytes(spec: LoopSpec, rows: int, widest: int) -> int:
    """A worker's own memory: scratch rows, context, indices, values, counts, a block's sums. rows, widest : of a product"""
    width = spec.dtype.itemsize
    sizes = (
        rows_of(spec).size * LENGTH * width,
        CONTEXT_BYTES,
        4 * rows * widest,
        width * rows * widest,
        8 * rows,
        spare_bytes(spec.dtype),
    )
    return sum(-(-size // LANE_BYTES) * LANE_BYTES for size in sizes)


def _tools(dtype: np.dtype):
    """What both kernels need."""
    real, width = REALS[dtype], dtype.itemsize
    compress, sum_blocks = column_functions(real)
    own_words, sums_bytes = kernels.SIZE, spare_bytes(dtype)

    @jit
    def aligned(size):
        return (size + LANE_BYTES - 1) // LANE_BYTES * LANE_BYTES

    @jit
    def places(c, worker):
        """The addresses of a worker's `worker_bytes`: scratch, context, indices, values, counts, sums."""
        rows = c[GROUP] * c[AT_ONCE]
        widest = max(c[SENDERS], c[HIDDEN])
        context = aligned(c[ROW_BYTES])
        indices = context + aligned(CONTEXT_BYTES)
        values = indices + aligned(4 * rows * widest)
        counts = values + aligned(width * rows * widest)
        sums = counts + aligned(8 * rows)
        mine = c[SCRATCH] + worker * (sums + aligned(sums_bytes))
        return mine, mine + context, mine + indices, mine + values, mine + counts, mine + sums

    @jit
    def own_context(c, at, scratch):
        """A worker's own copy of the words of a step."""
        own = view(at, own_words, types.int64)
        for word in range(own_words):
            own[word] = c[word]
        own[INPUT] = at + 8 * own_words
        own[INPUT_GRADIENT] = own[INPUT] + 16
        own[STREAM] = 0
        own[SCRATCH] = scratch
        return own, view(own[INPUT], 2, types.int64), view(own[INPUT_GRADIENT], 2, types.int64)

    @jit
    def multiply(place, source, inputs, blocks, outputs, steps, first, group, batch, out):
        """Products of ``group`` samples from ``first`` on in as many steps. source : (steps, batch, inputs); out : (steps, batch,
        outputs); place : `places`"""
        _, _, indices, values, counts, sums = place
        count = view(counts, steps * group, types.int64)
        for k in range(steps):
            for b in range(group):
                r = k * group + b
                row = source + (k * batch + first + b) * inputs * width
                count[r] = compress(row, inputs, indices + r * inputs * 4, values + r * inputs * width)
        begin, to = source + first * inputs * width, out + first * outputs * width
        sum_blocks(blocks, inputs, outputs, steps * group, begin, indices, values, counts, to, group, batch, sums)

    @jit
    def receive(c, place, t, steps, first, group):
        """What comes from outside in ``steps`` steps from t on, to the first rows of RECEIVED."""
        step = c[BATCH] * c[SENDERS] * width
        for k in range(0, steps, c[AT_ONCE]):
            n = min(c[AT_ONCE], steps - k)
            out = c[RECEIVED] + k * c[ELEMENTS] * width
            multiply(
                place, c[FROM_OUTSIDE] + (t + k) * step, c[SENDERS], c[INPUT_BLOCKS], c[HIDDEN], n, first, group, c[BATCH], out
            )

    return places, own_context, multiply, receive


@compiled_once
def compile_forward(dtype: np.dtype):
    """The kernel ``(context, worker, batch)``: all steps of all samples, a group after another.

    Modifies OUTPUT, STATE, STORED, HISTORY, FIRED, RECEIVED and SCRATCH.
    """
    real, width = REALS[dtype], dtype.itemsize
    places, own_context, multiply, receive = _tools(dtype)

    @jit
    def note(out, fired, first, count):
        """What fired, as bytes."""
        spikes, noted = view(out, first + count, real), view(fired, first + count, types.uint8)
        for j in range(first, first + count):
            noted[np.uint64(j)] = spikes[np.uint64(j)] != 0

    @jit
    def run_group(c, place, own, inputs, first, group):
        steps, elements, batch, hidden, states = c[STEPS], c[ELEMENTS], c[BATCH], c[HIDDEN], c[STATES]
        row, begin, count = elements * width, first * hidden, group * hidden
        fed = c[RECEIVED] + SPACING * row
        inputs[1] = fed
        own[STEPS], own[EVERY] = 1, 1
        for t in range(steps):
            k = t % SPACING
            if k == 0:
                receive(c, place, t, min(SPACING, steps - t), first, group)
            before = c[OUTPUT] + (t - 1) * row if t else c[FED_BACK]
            multiply(place, before, hidden, c[BLOCKS], hidden, 1, first, group, batch, fed)
            inputs[0] = c[RECEIVED] + k * row
            own[OUTPUT] = c[OUTPUT] + t * row
            own[STORED] = c[STORED] + t // SPACING * states * row if c[STORED] and k == 0 else 0
            own[HISTORY] = c[HISTORY] + t * states * row if c[HISTORY] else 0
            call_kernel(c[AGAIN], own, begin, count)
            if c[FIRED]:
                note(own[OUTPUT], c[FIRED] + t * elements, begin, count)

    def kernel(context, worker, batch):
        c = values_at(context, SIZE)
        place = places(c, worker)
        own, inputs, _ = own_context(c, place[1], place[0])
        first = atomic_add(c, NEXT, c[GROUP])
        while first < batch:
            run_group(c, place, own, inputs, first, min(c[GROUP], batch - first))
            first = atomic_add(c, NEXT, c[GROUP])
        return 0

    return compile_callback(KERNEL, kernel, f"{stamp()} recurrent forward {dtype}", borrowing=True)


@compiled_once
def compile_backward(dtype: np.dtype):
    """The kernel ``(context, worker, batch)``: the gradient of STEPS steps, no more than SPACING, of all samples.

    Reads FROM_OUTSIDE, FED_BACK, ANY_GRADIENT, HISTORY_GRADIENT, LATER; modifies STATE (that before the first step, lost),
    RECEIVED, KEPT, OUTPUT_GRADIENT (one row: scratch), STATE_GRADIENT, OF_RECEIVED, OF_LATER, OF_OUTSIDE, SCRATCH, and adds to
    COEFFICIENT_GRADIENT.
    """
    real, width = REALS[dtype], dtype.itemsize
    places, own_context, multiply, receive = _tools(dtype)

    @jit
    def add(out, other, first, count):
        total, more = view(out, first + count, real), view(other, first + count, real)
        for j in range(first, first + count):
            total[np.uint64(j)] += more[np.uint64(j)]

    @jit
    def copy(out, other, first, count):
        to, given = view(out, first + count, real), view(other, first + count, real)
        for j in range(first, first + count):
            to[np.uint64(j)] = given[np.uint64(j)]

    @jit
    def run_group(c, place, own, inputs, gradients, first, group):
        steps, elements, batch, hidden, states = c[STEPS], c[ELEMENTS], c[BATCH], c[HIDDEN], c[STATES]
        row, begin, count = elements * width, first * hidden, group * hidden
        second = SPACING * row
        receive(c, place, 0, steps, first, group)
        for k in range(0, steps, c[AT_ONCE]):
            n = min(c[AT_ONCE], steps - k)
            source, out = c[FED_BACK] + k * row, c[RECEIVED] + second + k * row
            multiply(place, source, hidden, c[BLOCKS], hidden, n, first, group, batch, out)
        inputs[0], inputs[1] = c[RECEIVED], c[RECEIVED] + second
        own[STEPS], own[EVERY], own[STORED], own[OUTPUT], own[HISTORY] = steps, 1, c[KEPT], c[OF_RECEIVED], 0
        call_kernel(c[AGAIN], own, begin, count)
        own[STEPS], later = 1, c[LATER]
        for k in range(steps - 1, -1, -1):
            of_later = c[OF_RECEIVED] + second + (k + 1) * row if k < steps - 1 else c[OF_LATER]
            if later or k < steps - 1:
                multiply(place, of_later, hidden, c[BLOCKS_BACK], hidden, 1, first, group, batch, c[OUTPUT_GRADIENT])
                add(c[OUTPUT_GRADIENT], c[ANY_GRADIENT] + k * row, begin, count)
            else:
                copy(c[OUTPUT_GRADIENT], c[ANY_GRADIENT] + k * row, begin, count)
            own[STORED] = c[KEPT] + k * states * row
            for port in range(2):
                inputs[port] = c[RECEIVED] + port * second + k * row
                gradients[port] = c[OF_RECEIVED] + port * second + k * row
            own[HISTORY_GRADIENT] = c[HISTORY_GRADIENT] + k * states * row if c[HISTORY_GRADIENT] else 0
            call_kernel(c[BACK], own, begin, count)
        copy(c[OF_LATER], c[OF_RECEIVED] + second, begin, count)
        for k in range(0, steps if c[OF_OUTSIDE] else 0, c[AT_ONCE]):
            source, out = c[OF_RECEIVED] + k * row, c[OF_OUTSIDE] + k * batch * c[SENDERS] * width
            n = min(c[AT_ONCE], steps - k)
            multiply(place, source, hidden, c[INPUT_BLOCKS_BACK], c[SENDERS], n, first, group, batch, out)

    def kernel(context, worker, batch):
        c = values_at(context, SIZE)
        place = places(c, worker)
        own, inputs, gradients = own_context(c, place[1], place[0])
        first = atomic_add(c, NEXT, c[GROUP])
        while first < batch:
            run_group(c, place, own, inputs, gradients, first, min(c[GROUP], batch - first))
            first = atomic_add(c, NEXT, c[GROUP])
        return 0

    return compile_callback(KERNEL, kernel, f"{stamp()} recurrent backward {dtype}", borrowing=True)
