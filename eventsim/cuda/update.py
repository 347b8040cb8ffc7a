"""The update of one group: every thread takes its share of the neurons of all batch items, each a step of the model's own."""

from __future__ import annotations

import functools
from typing import Any

from eventsim.cuda.layout import (
    COUNT,
    FIRED,
    FIRST,
    GROUP_WORDS,
    INPUT,
    OWN,
    PARAMS,
    PENDING,
    RHO,
    S_BATCH,
    S_RING,
    S_SIZE,
    S_SLOTS,
    STATE,
    STEP,
    STEP_OWN,
    UNIT,
    UPDATE,
)
from eventsim.cuda.machine import Machine
from eventsim.cuda.numbers import load, load_mixed, store
from eventsim.cuda.outside import bind_outside
from eventsim.models.model import bind_refractory_step, bind_step


@functools.cache
def bind_note(machine: Machine) -> Any:
    """A function ``(spike, phase, a)`` that notes a spike (item * size + gid) of a phase of updates."""
    atomic_add = machine.atomic_add

    @machine.jit
    def note(spike, phase, a):
        a.fired[atomic_add(a.control, FIRED, 1)] = spike
        gid = spike % a.sizes[S_SIZE]
        pieces = a.row[gid + 1] - a.row[gid]
        if pieces:
            atomic_add(a.control, PENDING + (phase + 1) % 2, pieces)

    return note


@functools.cache
def bind_inputs(machine: Machine, dtype: Any, ports: int) -> Any:
    """A function ``(c, j, item, t, a) -> tuple`` of what each port of a neuron receives in step t; modifies `arrived`, which it
    empties."""
    outside, real, last = bind_outside(machine, dtype), dtype.type, ports - 1
    jit = machine.jit

    @jit
    def one(c, j, item, t, a):
        slot = last * a.groups[c + COUNT] + j
        x = outside(c, slot, item, t, a)
        place = ((t & a.sizes[S_RING]) * a.sizes[S_BATCH] + item) * a.sizes[S_SLOTS] + a.groups[c + INPUT] + slot
        arrived = a.arrived[place]
        if arrived != 0:
            a.arrived[place] = 0
            x += real(arrived) * a.numbers[a.groups[c + UNIT]]
        return (x,)

    if ports == 1:
        return one
    before = bind_inputs(machine, dtype, last)
    return jit(lambda c, j, item, t, a: before(c, j, item, t, a) + one(c, j, item, t, a))


@functools.cache
def bind_update(machine: Machine, spec: Any) -> Any:
    """A function ``(thread, threads, c, t, phase, a)`` that steps the neurons of a group of a kind (`KernelSpec`), whose words
    begin at c."""
    jit, model, ops, real = machine.jit, spec.model, machine.ops(spec.dtype), spec.dtype.type
    State, Params, Propagator = model.State, model.Params, model.Propagator
    states, params = len(State._fields), len(Params._fields)
    read_state, write_state = load(machine, states), store(machine, states)
    shared, shared_step = load(machine, params + 1), load(machine, len(Propagator._fields))
    read_params, read_step = load_mixed(machine, spec.own), load_mixed(machine, spec.own_step)
    inputs, note = bind_inputs(machine, spec.dtype, len(spec.ports)), bind_note(machine)
    holds, spiking = spec.holds, spec.model.spiking
    nothing = real(0)
    if holds:
        step = bind_refractory_step(model, ops, spec.order, spec.ports, spec.hold, jit)
    else:
        plain = bind_step(model, ops, spec.order, spec.ports, jit)

        @jit
        def step(s, rho, x, k, p, period):
            s, z = plain(s, x, k, p)
            return s, rho, z

    @jit
    def update(thread, threads, c, t, phase, a):
        n = a.groups[c + COUNT]
        count = n * a.sizes[S_BATCH]
        base, base_step = shared(a.numbers, a.groups[c + PARAMS], 1), shared_step(a.numbers, a.groups[c + STEP], 1)
        for number in range(thread, count, threads):
            item = number // n
            j = number - item * n
            values = read_params(base, a.numbers, a.groups[c + OWN] + j, n)
            k = Propagator(*read_step(base_step, a.numbers, a.groups[c + STEP_OWN] + j, n))
            x = inputs(c, j, item, t, a)
            s = State(*read_state(a.state, a.groups[c + STATE] + number, count))
            rho = a.state[a.groups[c + RHO] + number] if holds else nothing
            s, rho, z = step(s, rho, x, k, Params(*values[:-1]), values[-1])
            write_state(a.state, a.groups[c + STATE] + number, count, s)
            if holds:
                a.state[a.groups[c + RHO] + number] = rho
            if spiking:
                if z > nothing:
                    note(item * a.sizes[S_SIZE] + a.gids[a.groups[c + FIRST] + j], phase, a)

    return update


def bind_updates(machine: Machine, specs: tuple[Any, ...]) -> Any:
    """A function ``(thread, threads, t, level, phase, a)`` that updates all groups of a level; specs : the network's kinds."""
    jit = machine.jit

    def chain(kind: int) -> Any:
        update = bind_update(machine, specs[kind])
        if kind + 1 == len(specs):

            @jit
            def this(thread, threads, c, t, phase, a):
                if a.groups[c + UPDATE] == kind:
                    update(thread, threads, c, t, phase, a)

            return this
        others = chain(kind + 1)

        @jit
        def this_or_others(thread, threads, c, t, phase, a):
            if a.groups[c + UPDATE] == kind:
                update(thread, threads, c, t, phase, a)
            else:
                others(thread, threads, c, t, phase, a)

        return this_or_others

    one = chain(0) if specs else jit(lambda thread, threads, c, t, phase, a: None)
    note = bind_note(machine)

    @jit
    def updates(thread, threads, t, level, phase, begin, a):
        for g in range(a.first[level], a.first[level + 1]):
            one(thread, threads, g * GROUP_WORDS, t, phase, a)
        for index in range(a.given_ends[begin] + thread, a.given_ends[begin + 1], threads):
            note(a.given[index], phase, a)

    return updates
