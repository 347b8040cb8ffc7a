"""The kernels of neurons that hear nothing of one another: each goes through the arrivals of its sample alone, and back.

A worker takes samples forward, and groups of samples backward, whose gradients of the weights are then summed in a fixed order: the
bits do not depend on the number of threads.

What belongs to a neuron alone, its *own events*, is its spikes, or the times at which its voltage is read. Backward all of them
are one thing: at an own event the adjoint of v becomes ``a * of_v + b * g``, where g is the gradient that comes from outside; a
reading has a = b = 1 (equations 4 and 6 of `norse_bridge.events`).
"""

from __future__ import annotations

import math

from numba import types

from eventsim.cpu.pointers import atomic_add, values_at, view, view2
from eventsim.cpu.scalar import scalar_ops
from eventsim.crossing import bind_ceiling
from eventsim.exact.crossing import bind_crossing, bind_jump
from eventsim.jit import jit_borrowing as jit
from eventsim.models import lif
from norse_bridge.events.flow import FLOAT64, bind_adjoint, bind_flow, bind_parameters

# Words of a context: numbers, and addresses of arrays
(
    NEXT,  # the sample or group that the next worker takes
    BATCH,
    EVENTS,  # arrivals of a sample at most
    INPUTS,
    NEURONS,
    OWN,  # own events of a neuron at most
    LIMIT,  # spikes of a neuron after which it is not followed any more
    ROWS,  # of parameters: 1, or one for each neuron
    GROUP,  # samples of a group
    TIME,  # float64 (batch, events), ascending, ms
    SOURCE,  # int32 (batch, events): the input that arrives
    COUNT,  # int64 (batch,): arrivals
    WEIGHT,  # float64 (neurons, inputs)
    PARAMS,  # float64 (rows, parameters)
    STILL,  # the same with v_leak = 0
    RISES,  # float64 (2 states, rows), see `eventsim.ceiling`
    DURATION,  # float64 (1,), ms
    OWN_TIME,  # float64 (batch, neurons, own), ascending, ms
    OWN_COUNT,  # int64 (batch, neurons)
    FACTORS,  # float64 (batch, neurons, own, 2): a and b; address 0: all of them 1
    VALUE,  # float64 (batch, neurons, own): the voltages that are read
    KINK,  # int64 (batch, neurons): the arrival at which the voltage is greatest, or -1; or address 0
    KINK_SLOPE,  # float64 (batch, neurons): the slope of v before it
    GRADIENT,  # float64 (batch, neurons, own): of the own events, from outside
    OF_TIME,  # float64 (batch, events), zeros: the gradient of the arrivals
    OF_WEIGHT,  # float64 (groups, neurons, inputs), zeros
    COEFFICIENTS,  # float64 (workers, events, coefficients): a worker's own memory
    SIZE,
) = range(28)
PROPAGATOR = 3  # numbers of a Propagator of LIF and LI


def _tools(model):
    """What all kernels need: the coefficients over the gaps between arrivals, once for neurons of the same parameters."""
    Propagator, numbers = model.Propagator, len(model.Params._fields)
    parameters, (coefficients, _) = bind_parameters(model), bind_flow(model)

    @jit
    def tabulate(table, time, many, p):
        for e in range(many - 1):
            k = coefficients(time[e + 1] - time[e], p)
            table[PROPAGATOR * e], table[PROPAGATOR * e + 1], table[PROPAGATOR * e + 2] = k.v, k.r, k.i

    @jit
    def looked_up(table, e):
        return Propagator(table[PROPAGATOR * e], table[PROPAGATOR * e + 1], table[PROPAGATOR * e + 2])

    @jit
    def row(c, address, n):
        table = view(address, c[ROWS] * numbers, types.float64)
        return parameters(table, n if c[ROWS] > 1 else 0)

    return tabulate, looked_up, row


def make_fire(model):
    """Forward: the spikes of all neurons, to OWN_TIME, OWN_COUNT and FACTORS. OWN_COUNT counts also those for which there is no
    room; a neuron is left at LIMIT."""
    tabulate, looked_up, row = _tools(model)
    jump, crossing, (_, advance) = bind_jump(model), bind_crossing(model), bind_flow(model)
    ceiling, states = bind_ceiling(model), len(model.State._fields)
    receive, slope, margin, reset, initial = (
        jit(f) for f in (model.ports["i"], model.slope, model.margin, model.reset, model.initial)
    )

    @jit
    def fire_until(c, rises, s, p, last, until, place, fired):
        """All spikes after ``last`` and before ``until``: ``(state, its time, spikes)``."""
        times, factors = view(c[OWN_TIME], c[BATCH] * c[NEURONS] * c[OWN], types.float64), c[FACTORS]
        pairs = view(factors, 2 * c[BATCH] * c[NEURONS] * c[OWN], types.float64)
        column = place % c[NEURONS] if c[ROWS] > 1 else 0
        while fired < c[LIMIT]:
            if ceiling(s, p, rises, column) <= 0.0:
                break  # whatever comes, it cannot reach its threshold without input
            found = last + crossing(s, p)
            if not found < until:
                break
            s = jump(s, found - last, p)
            before = slope(s, p)
            s = reset(s, 1.0, p)
            if fired < c[OWN]:
                at = place * c[OWN] + fired
                times[at] = found
                pairs[2 * at], pairs[2 * at + 1] = slope(s, p) / before, -1.0 / before
            last = found
            fired += 1
        return s, last, fired

    def kernel(context, worker, count):
        c = values_at(context, SIZE)
        table = view(c[COEFFICIENTS] + 8 * PROPAGATOR * c[EVENTS] * worker, PROPAGATOR * c[EVENTS], types.float64)
        duration = view(c[DURATION], 1, types.float64)[0]
        counts = view(c[OWN_COUNT], c[BATCH] * c[NEURONS], types.int64)
        rises = view2(c[RISES], 2 * states, c[ROWS], types.float64)
        while True:
            b = atomic_add(c, NEXT, 1)
            if b >= count:
                return 0
            time = view(c[TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
            source = view(c[SOURCE] + 4 * b * c[EVENTS], c[EVENTS], types.int32)
            many = view(c[COUNT], c[BATCH], types.int64)[b]
            tabulate(table, time, many, row(c, c[PARAMS], 0))
            for n in range(c[NEURONS]):
                p = row(c, c[PARAMS], n)
                if n > 0 and c[ROWS] > 1:
                    tabulate(table, time, many, p)
                weights = view(c[WEIGHT] + 8 * n * c[INPUTS], c[INPUTS], types.float64)
                s, last, fired, place = initial(p), 0.0, 0, b * c[NEURONS] + n
                if margin(s, p) > 0.0:  # it does not rest below its threshold
                    s, last, fired = fire_until(c, rises, s, p, last, time[0] if many else duration, place, fired)
                for e in range(many):
                    if time[e] > last:
                        unbroken = e > 0 and last == time[e - 1]
                        s = advance(s, looked_up(table, e - 1), p) if unbroken else jump(s, time[e] - last, p)
                        last = time[e]
                    s = receive(s, weights[source[e]], p)
                    if e + 1 == many:
                        s, last, fired = fire_until(c, rises, s, p, last, duration, place, fired)
                    elif time[e + 1] > last:
                        later = advance(s, looked_up(table, e), p)
                        # The slope changes its sign once at most: unless it turns downwards, the end of the gap tells.
                        if margin(later, p) > 0.0 or (slope(s, p) > 0.0 and slope(later, p) < 0.0):
                            s, last, fired = fire_until(c, rises, s, p, last, time[e + 1], place, fired)
                    if fired >= c[LIMIT]:
                        break
                counts[place] = fired

    return kernel


def make_read(model):
    """Forward: the voltages at OWN_TIME, to VALUE."""
    tabulate, looked_up, row = _tools(model)
    jump, (_, advance) = bind_jump(model), bind_flow(model)
    receive, initial = jit(model.ports["i"]), jit(model.initial)

    def kernel(context, worker, count):
        c = values_at(context, SIZE)
        table = view(c[COEFFICIENTS] + 8 * PROPAGATOR * c[EVENTS] * worker, PROPAGATOR * c[EVENTS], types.float64)
        while True:
            b = atomic_add(c, NEXT, 1)
            if b >= count:
                return 0
            time = view(c[TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
            source = view(c[SOURCE] + 4 * b * c[EVENTS], c[EVENTS], types.int32)
            many = view(c[COUNT], c[BATCH], types.int64)[b]
            tabulate(table, time, many, row(c, c[PARAMS], 0))
            for n in range(c[NEURONS]):
                p = row(c, c[PARAMS], n)
                if n > 0 and c[ROWS] > 1:
                    tabulate(table, time, many, p)
                weights = view(c[WEIGHT] + 8 * n * c[INPUTS], c[INPUTS], types.float64)
                first = 8 * (b * c[NEURONS] + n) * c[OWN]
                at, value = view(c[OWN_TIME] + first, c[OWN], types.float64), view(c[VALUE] + first, c[OWN], types.float64)
                s, last, r = initial(p), 0.0, 0
                for e in range(many):
                    while r < c[OWN] and at[r] <= time[e]:
                        value[r] = jump(s, at[r] - last, p).v
                        r += 1
                    if e > 0:
                        s = advance(s, looked_up(table, e - 1), p)
                    else:
                        s = jump(s, time[0], p)
                    last = time[e]
                    s = receive(s, weights[source[e]], p)
                for later in range(r, c[OWN]):
                    value[later] = jump(s, at[later] - last, p).v

    return kernel


def make_peak(model):
    """Forward: the greatest voltage of each neuron until DURATION, to VALUE, where it is, to OWN_TIME, and KINK; OWN is 1."""
    tabulate, looked_up, row = _tools(model)
    ops = scalar_ops(FLOAT64)
    jump, (_, advance) = bind_jump(model), bind_flow(model)
    receive, initial, turning_time = jit(model.ports["i"]), jit(model.initial), jit(model.turning_time)
    slope = jit(lif.slope)

    def kernel(context, worker, count):
        c = values_at(context, SIZE)
        table = view(c[COEFFICIENTS] + 8 * PROPAGATOR * c[EVENTS] * worker, PROPAGATOR * c[EVENTS], types.float64)
        duration, total = view(c[DURATION], 1, types.float64)[0], c[BATCH] * c[NEURONS]
        at, value = view(c[OWN_TIME], total, types.float64), view(c[VALUE], total, types.float64)
        kink, kink_slope = view(c[KINK], total, types.int64), view(c[KINK_SLOPE], total, types.float64)
        while True:
            b = atomic_add(c, NEXT, 1)
            if b >= count:
                return 0
            time = view(c[TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
            source = view(c[SOURCE] + 4 * b * c[EVENTS], c[EVENTS], types.int32)
            many = view(c[COUNT], c[BATCH], types.int64)[b]
            tabulate(table, time, many, row(c, c[PARAMS], 0))
            for n in range(c[NEURONS]):
                p = row(c, c[PARAMS], n)
                if n > 0 and c[ROWS] > 1:
                    tabulate(table, time, many, p)
                weights = view(c[WEIGHT] + 8 * n * c[INPUTS], c[INPUTS], types.float64)
                s, here = initial(p), b * c[NEURONS] + n
                at[here], value[here], kink[here], kink_slope[here] = 0.0, s.v, -1, 0.0
                for e in range(many):
                    s = advance(s, looked_up(table, e - 1), p) if e > 0 else jump(s, time[0], p)
                    if s.v > value[here]:
                        at[here], value[here], kink[here], kink_slope[here] = time[e], s.v, e, slope(s, p)
                    s = receive(s, weights[source[e]], p)
                    end = time[e + 1] if e + 1 < many else duration
                    if not end > time[e]:
                        continue
                    t = turning_time(ops, s, p)
                    if t < end - time[e]:
                        v = jump(s, t, p).v
                        if v > value[here]:
                            at[here], value[here], kink[here], kink_slope[here] = time[e] + t, v, -1, 0.0
                if many and duration < math.inf:
                    v = jump(s, duration - time[many - 1], p).v
                    if v > value[here]:
                        at[here], value[here], kink[here], kink_slope[here] = duration, v, -1, 0.0

    return kernel


def make_backward(model):
    """Backward, of all three: GRADIENT of the own events to OF_WEIGHT and OF_TIME. A worker takes groups of samples.

    Each neuron begins at its last own event whose gradient is not 0; one without is not visited at all.
    """
    tabulate, looked_up, row = _tools(model)
    coefficients, _ = bind_flow(model)
    back, rise = bind_adjoint(model)

    def kernel(context, worker, count):
        c = values_at(context, SIZE)
        table = view(c[COEFFICIENTS] + 8 * PROPAGATOR * c[EVENTS] * worker, PROPAGATOR * c[EVENTS], types.float64)
        own, own_counts = c[OWN], view(c[OWN_COUNT], c[BATCH] * c[NEURONS], types.int64)
        while True:
            group = atomic_add(c, NEXT, 1)
            if group >= count:
                return 0
            of_weights = view(c[OF_WEIGHT] + 8 * group * c[NEURONS] * c[INPUTS], c[NEURONS] * c[INPUTS], types.float64)
            for b in range(group * c[GROUP], min(c[BATCH], (group + 1) * c[GROUP])):
                time = view(c[TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
                source = view(c[SOURCE] + 4 * b * c[EVENTS], c[EVENTS], types.int32)
                many = view(c[COUNT], c[BATCH], types.int64)[b]
                of_time = view(c[OF_TIME] + 8 * b * c[EVENTS], c[EVENTS], types.float64)
                tabulate(table, time, many, row(c, c[STILL], 0))
                for n in range(c[NEURONS]):
                    place = b * c[NEURONS] + n
                    g = view(c[GRADIENT] + 8 * place * own, own, types.float64)
                    k = min(own, own_counts[place]) - 1
                    while k >= 0 and g[k] == 0.0:
                        k -= 1
                    if k < 0:
                        continue
                    p = row(c, c[STILL], n)
                    if n > 0 and c[ROWS] > 1:
                        tabulate(table, time, many, p)
                    if c[KINK] != 0:
                        at_arrival = view(c[KINK], c[BATCH] * c[NEURONS], types.int64)[place]
                        if at_arrival >= 0:
                            of_time[at_arrival] += g[0] * view(c[KINK_SLOPE], c[BATCH] * c[NEURONS], types.float64)[place]
                    weights = view(c[WEIGHT] + 8 * n * c[INPUTS], c[INPUTS], types.float64)
                    at = view(c[OWN_TIME] + 8 * place * own, own, types.float64)
                    fires = c[FACTORS] != 0
                    factors = view(c[FACTORS] + 16 * place * own if fires else 0, 2 * own, types.float64)
                    of_v, of_i, last = 0.0, 0.0, at[k]
                    e = many - 1
                    while e >= 0 and (time[e] > last or (not fires and time[e] == last)):
                        e -= 1
                    while e >= 0 or k >= 0:
                        # At one time a neuron fires after all arrivals and is read before them: the other way round here.
                        mine = k >= 0 and (e < 0 or at[k] > time[e] or (fires and at[k] == time[e]))
                        t = at[k] if mine else time[e]
                        if t < last:
                            unbroken = not mine and e + 1 < many and last == time[e + 1]
                            propagator = looked_up(table, e) if unbroken else coefficients(last - t, p)
                            of_v, of_i = back(of_v, of_i, propagator, p)
                            last = t
                        if mine:
                            if fires:
                                of_v = factors[2 * k] * of_v + factors[2 * k + 1] * g[k]
                            else:
                                of_v += g[k]
                            k -= 1
                        else:
                            j = source[e]
                            of_weights[n * c[INPUTS] + j] += of_i
                            of_time[e] += weights[j] * rise(of_v, of_i, p)
                            e -= 1

    return kernel
