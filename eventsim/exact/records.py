"""The record of a neuron: its states at the time of its last event, that time, and what is predicted, in a cache line or two."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from numba import types

from eventsim.cpu.pointers import view
from eventsim.exact.crossing import bind_jump
from eventsim.exact.layout import MORE, PARAMS, STRIDE
from eventsim.jit import jit_borrowing as jit
from eventsim.models.model import hold_fields

LINE = 8  # numbers of a cache line: a record takes whole ones


class ExactSpec(NamedTuple):
    """What makes two groups need different machine code.

    hold : what stands still during a refractory period; empty if there is none
    bounded : whether a bound tells most neurons that will not fire from the others
    """

    model: Any
    hold: tuple[str, ...]
    bounded: bool

    @property
    def width(self) -> int:
        """Numbers of a neuron's record."""
        return -(-(len(self.model.State._fields) + MORE) // LINE) * LINE

    @property
    def deaf(self) -> bool:
        """Whether neurons hear nothing while they are refractory, and stand still."""
        return set(self.hold) == set(self.model.State._fields)


class Records(NamedTuple):
    """Functions that read and write records of neurons of one model, in the context c of their group.

    record(c[RECORD], j) -> the address of r, the ``width`` numbers of neuron j; parameters(c, j) -> (Params, ms refractory);
    state(r) -> State; bring(s, last, free, t, p) -> s moved from the time of its last event to t, held until it is free;
    store(r, s); held(old, new, 1.0) -> new, but old where a state is held; states: how many there are
    """

    record: Any
    parameters: Any
    state: Any
    bring: Any
    store: Any
    held: Any
    states: int
    width: int


@functools.cache
def load(count: int):
    """A function ``a -> tuple`` of the first ``count`` values."""
    last = count - 1
    one = jit(lambda a: (a[last],))
    if count == 1:
        return one
    before = load(last)
    return jit(lambda a: before(a) + one(a))


@functools.cache
def store(count: int):
    """A function ``(a, values)`` that writes the first ``count`` values."""
    last = count - 1

    def put(a, values):
        a[last] = values[last]

    if count == 1:
        return jit(put)
    before = store(last)

    def put_all(a, values):
        before(a, values)
        a[last] = values[last]

    return jit(put_all)


@functools.cache
def bind_records(spec: ExactSpec) -> Records:
    """The functions for the neurons of a group."""
    model, width = spec.model, spec.width
    State, Params, states, numbers = model.State, model.Params, len(model.State._fields), len(model.Params._fields)
    load_state, load_params, jump = load(states), load(numbers), bind_jump(model)
    held = hold_fields(State, spec.hold, jit)

    @jit
    def record(records, j):
        return records + 8 * width * j

    @jit
    def parameters(c, j):
        row = view(c[PARAMS] + 8 * c[STRIDE] * j, numbers + 1, types.float64)
        return Params(*load_params(row)), row[numbers]

    @jit
    def state(r):
        return State(*load_state(r))

    if spec.hold:

        @jit
        def bring(s, last, free, t, p):
            if last < free:
                end = min(t, free)
                s = held(s, jump(s, end - last, p), 1.0)
                last = end
            return jump(s, t - last, p)

    else:

        @jit
        def bring(s, last, free, t, p):
            return jump(s, t - last, p)

    return Records(record, parameters, state, bring, store(states), held, states, width)
