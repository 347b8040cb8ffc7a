"""The kernels of neurons that hear one another: a queue of what is on its way and of predicted spikes, and back along the list of
what happened.

The queue and the order of what happens at one time are those of the exact engine (`eventsim.exact`): what arrives counts before
anybody fires. Weights stand with the source first, since all that a source reaches is reached at once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from eventsim.cpu.pointers import atomic_add, values_at, view, view2
from eventsim.crossing import bind_ceiling
from eventsim.exact.crossing import bind_crossing, bind_jump
from eventsim.exact.heap import pop, push
from eventsim.jit import jit_borrowing as jit
from norse_bridge.events.flow import bind_adjoint, bind_flow, bind_parameters

# Words of a context: numbers, and addresses of arrays
(
    NEXT,  # the sample or group that the next worker takes
    BATCH,
    EVENTS,  # arrivals from outside in a sample at most
    INPUTS,
    NEURONS,
    FIRES,  # spikes of a sample at most
    STEPS,  # what happens in a sample at most: EVENTS + 2 FIRES
    HEAP,  # entries of the queue
    ROWS,  # of parameters: 1, or one for each neuron
    GROUP,  # samples of a group
    TIME,  # float64 (batch, events), ascending, ms
    SOURCE,  # int32 (batch, events): the input that arrives
    COUNT,  # int64 (batch,): arrivals from outside
    WEIGHT,  # float64 (inputs, neurons)
    RECURRENT,  # float64 (neurons, neurons), source first
    PARAMS,  # float64 (rows, parameters)
    STILL,  # the same with v_leak = 0
    RISES,  # float64 (2 states, rows), see `eventsim.ceiling`
    NUMBERS,  # float64 (2,): duration and delay, ms
    STATUS,  # int64 (batch,)
    FIRE_TIME,  # float64 (batch, fires), ms
    FIRE_NEURON,  # int64 (batch, fires)
    FIRE_RANK,  # int64 (batch, fires): the how manieth of its neuron
    FACTORS,  # float64 (batch, fires, 2): a and b of `norse_bridge.events.feed_forward`
    FIRE_COUNT,  # int64 (batch,)
    STEP_TIME,  # float64 (batch, steps)
    STEP,  # int64 (batch, steps): what happened, see below
    STEP_COUNT,  # int64 (batch,)
    OF_FIRE,  # float64 (batch, fires): the gradient of the spikes from outside; that of what they reach is added
    OF_TIME,  # float64 (batch, events), zeros
    OF_WEIGHT,  # float64 (groups, inputs, neurons), zeros
    OF_RECURRENT,  # float64 (groups, neurons, neurons), zeros
    SCRATCH,  # a worker's own memory, `worker_words` numbers each
    WORDS,
    SIZE,
) = range(35)

# A step is e for arrival e from outside, -1 - 2 f where spike f arrives, -2 - 2 f where it is fired.

DONE, NO_ROOM_FOR_SPIKES, NO_ROOM_IN_QUEUE = range(3)  # statuses of a sample
FIRE_BIT = 62  # of a key: after all that arrives. Below: the neuron, and for an arrival the spike.
NEURON_SHIFT = 32
VOLTAGE, CURRENT, LAST, PREDICTED, QUEUED, RANK, STATES = range(7)  # of a neuron; backward the first two are the adjoint's


def worker_words(neurons: int, heap: int) -> int:
    """Numbers of 8 bytes of a worker's own memory."""
    return STATES * neurons + 2 * heap


def make_forward(model):
    """All that happens in each sample, to FIRE_... and STEP...; STATUS says where there was no room."""
    State, parameters = model.State, bind_parameters(model)
    count = len(model.Params._fields)
    ceiling, fields = bind_ceiling(model), len(model.State._fields)
    jump, crossing, (coefficients, advance) = bind_jump(model), bind_crossing(model), bind_flow(model)
    receive, slope, margin, reset, initial = (
        jit(f) for f in (model.ports["i"], model.slope, model.margin, model.reset, model.initial)
    )

    @jit
    def reach(c, states, table, weights, t):
        """What a source sends arrives at t at all neurons."""
        many, gap = c[NEURONS], -1.0
        p = parameters(table, 0)
        k = coefficients(0.0, p)
        for n in range(many):
            if weights[n] == 0.0:
                continue
            if c[ROWS] > 1:
                p = parameters(table, n)
            s, last = State(states[VOLTAGE * many + n], states[CURRENT * many + n]), states[LAST * many + n]
            if t > last:
                if c[ROWS] > 1 or t - last != gap:
                    gap = t - last
                    k = coefficients(gap, p)
                s = advance(s, k, p)
                states[LAST * many + n] = t
            s = receive(s, weights[n], p)
            states[VOLTAGE * many + n], states[CURRENT * many + n] = s.v, s.i

    @jit
    def predict(c, states, table, time, key, entries, n):
        """When neuron n fires by itself, to the queue; returns the number of its entries."""
        many, p = c[NEURONS], parameters(table, n if c[ROWS] > 1 else 0)
        s, found = State(states[VOLTAGE * many + n], states[CURRENT * many + n]), math.inf
        if not ceiling(s, p, view2(c[RISES], 2 * fields, c[ROWS], types.float64), n if c[ROWS] > 1 else 0) <= 0.0:
            found = states[LAST * many + n] + crossing(s, p)
        states[PREDICTED * many + n] = found
        if found < states[QUEUED * many + n]:
            states[QUEUED * many + n] = found
            entries = push(time, key, entries, found, (np.int64(1) << FIRE_BIT) + n)
        return entries

    @jit
    def fire(c, states, table, b, n, t, f):
        """Neuron n fires at t: spike f of the sample b."""
        many, p = c[NEURONS], parameters(table, n if c[ROWS] > 1 else 0)
        s = jump(State(states[VOLTAGE * many + n], states[CURRENT * many + n]), t - states[LAST * many + n], p)
        before = slope(s, p)
        s = reset(s, 1.0, p)
        states[VOLTAGE * many + n], states[CURRENT * many + n], states[LAST * many + n] = s.v, s.i, t
        states[PREDICTED * many + n], states[QUEUED * many + n] = math.inf, math.inf
        at = b * c[FIRES] + f
        view(c[FIRE_TIME], c[BATCH] * c[FIRES], types.float64)[at] = t
        view(c[FIRE_NEURON], c[BATCH] * c[FIRES], types.int64)[at] = n
        view(c[FIRE_RANK], c[BATCH] * c[FIRES], types.int64)[at] = np.int64(states[RANK * many + n])
        states[RANK * many + n] += 1.0
        factors = view(c[FACTORS], 2 * c[BATCH] * c[FIRES], types.float64)
        factors[2 * at], factors[2 * at + 1] = slope(s, p) / before, -1.0 / before

    @jit
    def run_sample(c, b, states, key_time, key):
        """One sample from beginning to end; returns its status."""
        many, numbers = c[NEURONS], view(c[NUMBERS], 2, types.float64)
        duration, delay = numbers[0], numbers[1]
        table = view(c[PARAMS], c[ROWS] * count, types.float64)
        time = view(c[TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
        source = view(c[SOURCE] + 4 * b * c[EVENTS], c[EVENTS], types.int32)
        arrivals = view(c[COUNT], c[BATCH], types.int64)[b]
        fired_by = view(c[FIRE_NEURON] + 8 * b * c[FIRES], c[FIRES], types.int64)
        step_time = view(c[STEP_TIME] + 8 * b * c[STEPS], c[STEPS], types.float64)
        step = view(c[STEP] + 8 * b * c[STEPS], c[STEPS], types.int64)
        everybody, alone, now, entries, e, fires, steps = False, -1, 0.0, 0, 0, 0, 0
        for n in range(many):
            p = parameters(table, n if c[ROWS] > 1 else 0)
            s = initial(p)
            states[VOLTAGE * many + n], states[CURRENT * many + n], states[LAST * many + n] = s.v, s.i, 0.0
            states[PREDICTED * many + n], states[QUEUED * many + n] = math.inf, math.inf
            states[RANK * many + n] = 0.0
            everybody = everybody or margin(s, p) > 0.0
        while True:
            outside = e < arrivals and (entries == 0 or time[e] <= key_time[0])
            arriving = outside or (entries > 0 and key[0] >> FIRE_BIT == 0)
            t = time[e] if outside else key_time[0] if entries > 0 else math.inf
            if (everybody or alone >= 0) and not (arriving and t == now):
                if entries + many + 1 > c[HEAP]:
                    return NO_ROOM_IN_QUEUE
                for n in range(many) if everybody else range(alone, alone + 1):
                    entries = predict(c, states, table, key_time, key, entries, n)
                everybody, alone = False, -1
                continue
            if t > duration or t == math.inf:
                break
            now = t
            if outside:
                reach(c, states, table, view(c[WEIGHT] + 8 * source[e] * many, many, types.float64), t)
                step_time[steps], step[steps] = t, e
                steps += 1
                e += 1
                everybody = True
                continue
            about = key[0]
            entries = pop(key_time, key, entries)
            if arriving:
                f = about & ((np.int64(1) << NEURON_SHIFT) - 1)
                reach(c, states, table, view(c[RECURRENT] + 8 * fired_by[f] * many, many, types.float64), t)
                step_time[steps], step[steps] = t, -1 - 2 * f
                steps += 1
                everybody = True
                continue
            n = about - (np.int64(1) << FIRE_BIT)
            found = states[PREDICTED * many + n]
            if found != t:  # what is predicted has changed since
                if states[QUEUED * many + n] == t:
                    states[QUEUED * many + n] = found
                    if found < math.inf:
                        entries = push(key_time, key, entries, found, about)
                continue
            if fires >= c[FIRES]:
                return NO_ROOM_FOR_SPIKES
            if entries + 1 > c[HEAP]:
                return NO_ROOM_IN_QUEUE
            fire(c, states, table, b, n, t, fires)
            entries = push(key_time, key, entries, t + delay, (np.int64(n) << NEURON_SHIFT) + fires)
            step_time[steps], step[steps] = t, -2 - 2 * fires
            steps += 1
            fires += 1
            alone = n
        view(c[FIRE_COUNT], c[BATCH], types.int64)[b] = fires
        view(c[STEP_COUNT], c[BATCH], types.int64)[b] = steps
        return DONE

    def kernel(context, worker, samples):
        c = values_at(context, SIZE)
        at = c[SCRATCH] + 8 * c[WORDS] * worker
        states = view(at, STATES * c[NEURONS], types.float64)
        at += 8 * STATES * c[NEURONS]
        time, key = view(at, c[HEAP], types.float64), view(at + 8 * c[HEAP], c[HEAP], types.int64)
        while True:
            b = atomic_add(c, NEXT, 1)
            if b >= samples:
                return 0
            view(c[STATUS], c[BATCH], types.int64)[b] = run_sample(c, b, states, time, key)

    return kernel


def make_backward(model):
    """OF_FIRE to OF_WEIGHT, OF_RECURRENT and OF_TIME, along the steps in reverse. A worker takes groups of samples."""
    parameters, count = bind_parameters(model), len(model.Params._fields)
    coefficients, _ = bind_flow(model)
    back, rise = bind_adjoint(model)

    @jit
    def unreach(c, states, table, weights, of_weights, t):
        """An arrival at t, backward: adds to the gradient of its weights; returns that of its time."""
        many, gap, of_time = c[NEURONS], -1.0, 0.0
        p = parameters(table, 0)
        k = coefficients(0.0, p)
        for n in range(many):
            v, i = states[VOLTAGE * many + n], states[CURRENT * many + n]
            if v == 0.0 and i == 0.0:
                continue  # nothing that happens to it from here on counts
            if c[ROWS] > 1:
                p = parameters(table, n)
            last = states[LAST * many + n]
            if t < last:
                if c[ROWS] > 1 or last - t != gap:
                    gap = last - t
                    k = coefficients(gap, p)
                v, i = back(v, i, k, p)
                states[VOLTAGE * many + n], states[CURRENT * many + n], states[LAST * many + n] = v, i, t
            of_weights[n] += i
            of_time += weights[n] * rise(v, i, p)
        return of_time

    def kernel(context, worker, groups):
        c = values_at(context, SIZE)
        many = c[NEURONS]
        states = view(c[SCRATCH] + 8 * c[WORDS] * worker, STATES * many, types.float64)
        table = view(c[STILL], c[ROWS] * count, types.float64)
        while True:
            group = atomic_add(c, NEXT, 1)
            if group >= groups:
                return 0
            of_weight = c[OF_WEIGHT] + 8 * group * c[INPUTS] * many
            of_recurrent = c[OF_RECURRENT] + 8 * group * many * many
            for b in range(group * c[GROUP], min(c[BATCH], (group + 1) * c[GROUP])):
                source = view(c[SOURCE] + 4 * b * c[EVENTS], c[EVENTS], types.int32)
                of_time = view(c[OF_TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
                fired_by = view(c[FIRE_NEURON] + 8 * b * c[FIRES], c[FIRES], types.int64)
                factors = view(c[FACTORS] + 16 * b * c[FIRES], 2 * c[FIRES], types.float64)
                of_fire = view(c[OF_FIRE] + 8 * b * c[FIRES], c[FIRES], types.float64)
                step_time = view(c[STEP_TIME] + 8 * b * c[STEPS], c[STEPS], types.float64)
                step = view(c[STEP] + 8 * b * c[STEPS], c[STEPS], types.int64)
                states[:] = 0.0
                for place in range(view(c[STEP_COUNT], c[BATCH], types.int64)[b] - 1, -1, -1):
                    t, what = step_time[place], step[place]
                    if what >= 0:
                        at = 8 * source[what] * many
                        weights, grown = view(c[WEIGHT] + at, many, types.float64), view(of_weight + at, many, types.float64)
                        of_time[what] += unreach(c, states, table, weights, grown, t)
                        continue
                    f, arrived = (-1 - what) >> 1, (-1 - what) & 1 == 0
                    n = fired_by[f]
                    if arrived:
                        at = 8 * n * many
                        weights, grown = view(c[RECURRENT] + at, many, types.float64), view(of_recurrent + at, many, types.float64)
                        of_fire[f] += unreach(c, states, table, weights, grown, t)
                        continue
                    v, i, last = states[VOLTAGE * many + n], states[CURRENT * many + n], states[LAST * many + n]
                    p = parameters(table, n if c[ROWS] > 1 else 0)
                    if (v != 0.0 or i != 0.0) and t < last:
                        v, i = back(v, i, coefficients(last - t, p), p)
                    states[VOLTAGE * many + n] = factors[2 * f] * v + factors[2 * f + 1] * of_fire[f]
                    states[CURRENT * many + n], states[LAST * many + n] = i, t

    return kernel
