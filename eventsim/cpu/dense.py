"""The dense update: one sweep over all neurons of a group, a loop without branches that the compiler vectorises."""

from __future__ import annotations

import functools

import numpy as np
from numba import carray, types

from eventsim.cpu.pointers import view, view2
from eventsim.cpu.scalar import REALS, load, load_mixed, scalar_ops, store
from eventsim.jit import jit
from eventsim.models.model import bind_refractory_step, bind_step
from eventsim.state import (
    ACTIVE,
    COMMON,
    FIRED,
    INPUT,
    OUT,
    OWN,
    RHO,
    SIZE,
    STATE,
    STEP_COMMON,
    STEP_OWN,
    UPDATES,
    N,
)


@jit
def collect(fired, words, out_neurons):
    """Write the places where ``fired`` (bytes of 0 and 1) is 1 to out_neurons, ascending; their count.

    words : the same bytes, eight to a uint64, as far as they fill one: spikes are rare, and most words are 0

    What follows them in out_neurons may be anything: within a word there is no branch, since nobody could foresee it.
    """
    count = 0
    for w in range(words.size):
        if words[w]:
            for j in range(8 * w, 8 * w + 8):
                out_neurons[count] = j
                count += fired[j]
    for j in range(8 * words.size, fired.size):
        out_neurons[count] = j
        count += fired[j]
    return count


@functools.cache
def any_input(count):
    """A function ``x -> 0 or 1``: whether any of the ``count`` inputs is not 0."""
    last = count - 1
    if count == 1:
        return jit(lambda x: x[last] != 0)
    before = any_input(last)
    return jit(lambda x: before(x) | (x[last] != 0))


@functools.cache
def bind_neuron(spec):
    """What dense and sparse kernels have in common: how one neuron is read, stepped and written.

    Returns (read_params, read_step, read_state, read_input, clear_input, write_state, step).
    """
    model, real = spec.model, REALS[spec.dtype]
    ops = scalar_ops(spec.dtype)
    ports = len(spec.ports)
    zeros = (real(0),) * ports
    write_input = store(ports)
    if spec.holds:
        step = bind_refractory_step(model, ops, spec.order, spec.ports, spec.hold, jit)
    else:
        plain = bind_step(model, ops, spec.order, spec.ports, jit)

        @jit
        def step(s, rho, x, k, p, period):
            s, z = plain(s, x, k, p)
            return s, rho, z

    @jit
    def clear_input(a, j):
        write_input(a, j, zeros)

    return (
        load_mixed(spec.own),
        load_mixed(spec.own_step),
        load(len(model.State._fields), real),
        load(ports, real),
        clear_input,
        store(len(model.State._fields)),
        step,
    )


def make_dense(spec):
    """The kernel ``(context, t, count) -> spikes``: steps every neuron once; modifies state, input, fired, out."""
    read_params, read_step, read_state, read_input, clear_input, write_state, step = bind_neuron(spec)
    State, Params, Propagator = spec.model.State, spec.model.Params, spec.model.Propagator
    real, holds, spiking = REALS[spec.dtype], spec.holds, spec.model.spiking
    states, ports = len(State._fields), len(spec.ports)
    params, coefficients = len(Params._fields), len(Propagator._fields)
    own, own_step = any(spec.own), any(spec.own_step)
    common_params, common_step = load(params + 1, real), load(coefficients, real)
    received = any_input(ports)

    def dense(context, t, count):
        c = carray(context, (SIZE,))
        n = c[N]
        state = view2(c[STATE], states, n, real)
        rho = view(c[RHO], n if holds else 0, real)
        inputs = view2(c[INPUT], ports, n, real)
        fired, words = view(c[FIRED], n, types.uint8), view(c[FIRED], n // 8, types.uint64)
        own_params = view2(c[OWN], params + 1, n if own else 0, real)
        own_coefficients = view2(c[STEP_OWN], coefficients, n if own_step else 0, real)
        base = common_params(view2(c[COMMON], params + 1, 1, real), 0)
        base_step = common_step(view2(c[STEP_COMMON], coefficients, 1, real), 0)
        spikes, active = np.int32(0), np.int32(0)
        for j in range(n):
            values = read_params(base, own_params, j)
            k = Propagator(*read_step(base_step, own_coefficients, j))
            x = read_input(inputs, j)
            s, r, z = step(State(*read_state(state, j)), rho[j] if holds else x[0], x, k, Params(*values[:-1]), values[-1])
            write_state(state, j, s)
            if holds:
                rho[j] = r
            clear_input(inputs, j)
            fires = spiking and z > 0
            fired[j] = fires
            # Cast, since Numba adds in 64 bits: the sweep would then do half as many neurons at a time.
            spikes = np.int32(spikes + fires)
            active = np.int32(active + (fires | received(x)))
        c[UPDATES] += n
        c[ACTIVE] += active
        return collect(fired, words, view(c[OUT], n, types.int32)) if spikes else 0

    return dense
