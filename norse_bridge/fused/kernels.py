"""The two kernels of a time loop: all steps of some neurons forward, and back again with the gradient.

Both work on blocks of `LENGTH` neurons, so that what a block needs over and over stays in the processor's first cache: rows of a
scratch array, at places that are known when the kernel is compiled, which is what lets the compiler vectorise the loop over
neurons. The step is the model's own (`eventsim.models.model.bind_step`): on numbers on the way forward, on dual numbers on the
way back. What the way back needs of the way forward is computed again, from states stored every `SPACING` steps.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.errors import NumbaError

from eventsim.cpu.pointers import KERNEL, atomic_add, prefetch, values_at, view
from eventsim.cpu.scalar import REALS, scalar_ops
from eventsim.errors import ModelError
from eventsim.jit import compile_callback, compiled_once, numba_says
from eventsim.jit import jit_borrowing as jit
from eventsim.models import BUILT_IN
from eventsim.models.model import bind_refractory_step, bind_step
from norse_bridge.fused import dual
from norse_bridge.fused.rows import LENGTH, STREAMED, add, fence, fields_and, first_of, read, seeds, stream, write
from norse_bridge.fused.stamp import stamp

SPACING = 16  # steps between states that are stored
AHEAD = 3  # steps ahead of its use that memory is asked for an input
PART = 256  # elements for which it is asked at once, between computations
LINE = 64  # bytes that memory gives at once

# Words of a context: addresses of arrays, and numbers. (steps, elements) unless said otherwise; an element: a neuron of a sample.
(
    STEPS,
    ELEMENTS,
    EVERY,  # steps between stored states
    SCRATCH,  # (workers, rows, LENGTH)
    COEFFICIENTS,  # (coefficients, 1) or (coefficients, elements)
    INPUT,  # (inputs,): the addresses of (steps, elements)
    OUTPUT,
    STATE,  # (states, elements): of the beginning, then of the end
    STORED,  # (stored, states, elements), or 0
    HISTORY,  # (steps, states, elements): the states after every step, or 0
    OUTPUT_GRADIENT,
    STATE_GRADIENT,  # (states, elements): of the end, then of the beginning
    HISTORY_GRADIENT,  # as HISTORY, or 0
    INPUT_GRADIENT,  # (inputs,): addresses
    COEFFICIENT_GRADIENT,  # (wanted coefficients, elements)
    NEXT,  # the first element that no worker has taken
    STREAM,  # whether OUTPUT and INPUT_GRADIENT are written past the caches
    SIZE,
) = range(18)


class LoopSpec(NamedTuple):
    """What makes two time loops need different machine code.

    model, order, ports, refractory : as `eventsim.models.model.bind_step` wants them
    dtype : of everything
    own : whether coefficients differ between elements
    method, detach : of the surrogate gradient
    wanted : for each coefficient whether its gradient is wanted (backward only)
    """

    model: Any
    order: tuple[str, ...]
    ports: tuple[str, ...]
    refractory: bool
    dtype: np.dtype
    own: bool
    method: str
    detach: bool
    wanted: tuple[bool, ...]

    @property
    def states(self) -> int:
        """The number of states, rho included."""
        return len(self.model.State._fields) + self.refractory

    @property
    def coefficients(self) -> int:
        """The number of coefficients: those of the propagator, the parameters, the refractory period, alpha."""
        return len(self.model.Propagator._fields) + len(self.model.Params._fields) + 2


class Rows(NamedTuple):
    """The first row of each kind in the scratch array, and how many there are; the spec says how many each kind has."""

    state: int
    input: int
    output: int
    coefficient: int
    gradient: int
    history: int
    wanted: int
    kept: int
    size: int


def rows_of(spec: LoopSpec) -> Rows:
    """Where things lie in the scratch array of a kernel."""
    sizes = (
        spec.states,
        len(spec.ports),
        1,
        spec.coefficients if spec.own else 0,
        spec.states,
        spec.states,
        sum(spec.wanted),
        SPACING * spec.states,
    )
    return Rows(*itertools.accumulate(sizes, initial=0))


@functools.cache
def _moves(real: Any):
    """``(bring, put)``: copies of elements first ... first + count - 1 of ``rows`` rows of ``elements`` numbers at an address to
    rows of the scratch array from ``row`` on, and back.

    ``put_out`` puts one row, past the caches if that is asked for; ``foresee`` asks memory for part of one.

    Places are unsigned: for others Numba looks whether they count from the end, and the compiler vectorises that badly.
    """
    width = real.bitwidth // 8

    @jit
    def bring(address, rows, elements, first, count, a, row):
        source = view(address, rows * elements, real)
        for f in range(rows):
            begin, place = f * elements + first, (row + f) * LENGTH
            for j in range(count):
                a[np.uint64(place + j)] = source[np.uint64(begin + j)]

    @jit
    def put(a, row, address, rows, elements, first, count):
        out = view(address, rows * elements, real)
        for f in range(rows):
            begin, place = f * elements + first, (row + f) * LENGTH
            for j in range(count):
                out[np.uint64(begin + j)] = a[np.uint64(place + j)]

    @jit
    def put_out(a, row, address, first, count, past_caches):
        if past_caches:
            for j in range(0, count, STREAMED // width):
                stream(a, row * LENGTH + j, address + (first + j) * width)
        else:
            put(a, row, address, 1, first + count, first, count)

    @jit
    def foresee(address, first, count):
        numbers = view(address, count, real)
        for j in range(first, first + count, LINE // width):
            prefetch(numbers, j)

    return bring, put, put_out, foresee


@jit
def _copy_rows(a, row, out_row, rows):
    """Copy rows of the scratch array to other ones."""
    for j in range(rows * LENGTH):
        a[np.uint64(out_row * LENGTH + j)] = a[np.uint64(row * LENGTH + j)]


@jit
def _add_rows(a, row, out_row, rows):
    """Add rows of the scratch array to other ones."""
    for j in range(rows * LENGTH):
        a[np.uint64(out_row * LENGTH + j)] += a[np.uint64(row * LENGTH + j)]


def _bind(spec: LoopSpec, ops: Any):
    """One step as ``(states, x, coefficients) -> (State, (rho,) or (), output)``: all in and out as tuples of numbers."""
    model = spec.model
    State, Params, Propagator = model.State, model.Params, model.Propagator
    k_end = len(Propagator._fields)
    p_end = k_end + len(Params._fields)
    voltage = State._fields.index("v")
    if spec.refractory:
        held = bind_refractory_step(model, ops, spec.order, spec.ports, jit=jit)

        @jit
        def step(s, x, c):
            new, rho, z = held(State(*s[:-1]), s[-1], x, Propagator(*c[:k_end]), Params(*c[k_end:p_end]), c[p_end])
            return new, (rho,), z

        return step
    plain, spiking = bind_step(model, ops, spec.order, spec.ports, jit), model.spiking

    if spiking:

        @jit
        def step(s, x, c):
            new, z = plain(State(*s), x, Propagator(*c[:k_end]), Params(*c[k_end:p_end]))
            return new, (), z

    else:

        @jit
        def step(s, x, c):
            new, _ = plain(State(*s), x, Propagator(*c[:k_end]), Params(*c[k_end:p_end]))
            return new, (), new[voltage]

    return step


def _by_blocks(spec: LoopSpec, block: Any):
    """The kernel ``(context, worker, elements)`` that calls ``block(c, a, first, count)`` for one block of elements after another,
    as long as there are any that no other worker has taken (modifies NEXT); a: the worker's own scratch array."""
    real, size, width = REALS[spec.dtype], rows_of(spec).size * LENGTH, spec.dtype.itemsize

    def kernel(context, worker, elements):
        c = values_at(context, SIZE)
        a = view(c[SCRATCH] + worker * size * width, size, real)
        first = atomic_add(c, NEXT, LENGTH)
        while first < elements:
            block(c, a, first, min(LENGTH, elements - first))
            first = atomic_add(c, NEXT, LENGTH)
        fence()
        return 0

    return kernel


def forward_block(spec: LoopSpec):
    """A function ``(c, a, first, count)``: all steps of a block of elements; a: scratch.

    Modifies OUTPUT, STATE, STORED, HISTORY.
    """
    real, states, ports, coefficients, own = REALS[spec.dtype], spec.states, len(spec.ports), spec.coefficients, spec.own
    rows = rows_of(spec)
    bring, put, put_out, foresee = _moves(real)
    step, flat = _bind(spec, scalar_ops(spec.dtype)), fields_and(len(spec.model.State._fields))
    read_state, write_state = read(rows.state, states), write(rows.state, states)
    read_input, write_output = read(rows.input, ports), write(rows.output, 1)
    read_own, read_common = read(rows.coefficient, coefficients) if own else None, first_of(coefficients)
    width = spec.dtype.itemsize

    def block(c, a, first, count):
        steps, elements, every = c[STEPS], c[ELEMENTS], c[EVERY]
        row = elements * width
        inputs = view(c[INPUT], ports, types.int64)
        if own:
            bring(c[COEFFICIENTS], coefficients, elements, first, count, a, rows.coefficient)
        common = read_common(view(c[COEFFICIENTS], coefficients, real))
        bring(c[STATE], states, elements, first, count, a, rows.state)
        for t in range(steps):
            if c[STORED] and t % every == 0:
                stored = c[STORED] + t // every * states * row
                for f in range(states):
                    put_out(a, rows.state + f, stored + f * row, first, count, c[STREAM])
            for port in range(ports):
                bring(inputs[port] + t * row, 1, elements, first, count, a, rows.input + port)
            for begin in range(0, count, PART):
                if t + AHEAD < steps:
                    for port in range(ports):
                        foresee(inputs[port] + (t + AHEAD) * row, first + begin, PART)
                for j in range(begin, min(count, begin + PART)):
                    s, rho, out = step(read_state(a, j), read_input(a, j), read_own(a, j) if own else common)
                    write_state(a, j, flat(s, rho))
                    write_output(a, j, (out,))
            put_out(a, rows.output, c[OUTPUT] + t * row, first, count, c[STREAM])
            if c[HISTORY]:
                put(a, rows.state, c[HISTORY] + t * states * row, states, elements, first, count)
        put(a, rows.state, c[STATE], states, elements, first, count)

    return jit(block)


def make_again(spec: LoopSpec):
    """A function ``(c, a, first, count, begin, end, common)`` of the kernel backward: the steps from begin up to end once more,
    from the states that are stored there, with the states before each of them to the scratch rows ``kept``."""
    states, ports, own = spec.states, len(spec.ports), spec.own
    rows = rows_of(spec)
    bring = _moves(REALS[spec.dtype])[0]
    step, flat = _bind(spec, scalar_ops(spec.dtype)), fields_and(len(spec.model.State._fields))
    read_state, write_state, read_input = read(rows.state, states), write(rows.state, states), read(rows.input, ports)
    read_own = read(rows.coefficient, spec.coefficients) if own else None
    width = spec.dtype.itemsize

    @jit
    def again(c, a, first, count, begin, end, common):
        elements = c[ELEMENTS]
        row = elements * width
        inputs = view(c[INPUT], ports, types.int64)
        bring(c[STORED] + begin // c[EVERY] * states * row, states, elements, first, count, a, rows.state)
        for t in range(begin, end):
            _copy_rows(a, rows.state, rows.kept + (t - begin) * states, states)
            if t < end - 1:
                for port in range(ports):
                    bring(inputs[port] + t * row, 1, elements, first, count, a, rows.input + port)
                for j in range(count):
                    s, rho, out = step(read_state(a, j), read_input(a, j), read_own(a, j) if own else common)
                    write_state(a, j, flat(s, rho))

    return again


def make_pull(spec: LoopSpec):
    """A function ``(a, begin, end, common)`` of the kernel backward: one step back of these elements of a block, from the states
    before it, its inputs and the gradients of its output and of the states after it, all in the scratch array, to the gradients of
    states and inputs."""
    states, ports, own = spec.states, len(spec.ports), spec.own
    rows, wanted = rows_of(spec), sum(spec.wanted)
    partials = states + ports + wanted
    step = _bind(spec, dual.dual_ops(spec.dtype, spec.method, spec.detach))
    numbers = iter(range(states + ports, partials))
    seed_state, seed_input = seeds(tuple(range(states))), seeds(tuple(range(states, states + ports)))
    seed_coefficients = seeds(tuple(next(numbers) if want else None for want in spec.wanted))
    pull = dual.pull(partials)
    read_state, read_input, read_output = read(rows.state, states), read(rows.input, ports), read(rows.output, 1)
    read_gradient, write_gradient = read(rows.gradient, states), write(rows.gradient, states)
    write_input, add_wanted = write(rows.input, ports, states), add(rows.wanted, wanted, states + ports)
    read_own = read(rows.coefficient, spec.coefficients) if own else None

    @jit
    def pull_back(a, begin, end, common):
        for j in range(begin, end):
            given = read_own(a, j) if own else common
            alpha = given[-1]
            s, rho, out = step(
                seed_state(read_state(a, j), alpha), seed_input(read_input(a, j), alpha), seed_coefficients(given, alpha)
            )
            g = pull(s, rho + (out,), read_gradient(a, j) + read_output(a, j))
            write_gradient(a, j, g)
            write_input(a, j, g)
            add_wanted(a, j, g)

    return pull_back


def backward_block(spec: LoopSpec):
    """A function ``(c, a, first, count)``: the gradient of all steps of a block of elements; a: scratch.

    Reads STORED, INPUT, OUTPUT_GRADIENT, HISTORY_GRADIENT; modifies STATE_GRADIENT, INPUT_GRADIENT, and adds to
    COEFFICIENT_GRADIENT.
    """
    real, states, ports, coefficients, own = REALS[spec.dtype], spec.states, len(spec.ports), spec.coefficients, spec.own
    rows, wanted = rows_of(spec), sum(spec.wanted)
    bring, put, put_out, foresee = _moves(real)
    again, pull_back = make_again(spec), make_pull(spec)
    read_common = first_of(coefficients)
    width = spec.dtype.itemsize

    def block(c, a, first, count):
        steps, elements, every = c[STEPS], c[ELEMENTS], c[EVERY]
        row = elements * width
        inputs, input_gradients = view(c[INPUT], ports, types.int64), view(c[INPUT_GRADIENT], ports, types.int64)
        if own:
            bring(c[COEFFICIENTS], coefficients, elements, first, count, a, rows.coefficient)
        common = read_common(view(c[COEFFICIENTS], coefficients, real))
        bring(c[STATE_GRADIENT], states, elements, first, count, a, rows.gradient)
        bring(c[COEFFICIENT_GRADIENT], wanted, elements, first, count, a, rows.wanted)
        for chunk in range((steps - 1) // every, -1, -1):
            begin, end = chunk * every, min(steps, (chunk + 1) * every)
            again(c, a, first, count, begin, end, common)
            for t in range(end - 1, begin - 1, -1):
                _copy_rows(a, rows.kept + (t - begin) * states, rows.state, states)
                for port in range(ports):
                    bring(inputs[port] + t * row, 1, elements, first, count, a, rows.input + port)
                bring(c[OUTPUT_GRADIENT] + t * row, 1, elements, first, count, a, rows.output)
                if c[HISTORY_GRADIENT]:
                    bring(c[HISTORY_GRADIENT] + t * states * row, states, elements, first, count, a, rows.history)
                    _add_rows(a, rows.history, rows.gradient, states)
                for part in range(0, count, PART):
                    if t >= AHEAD:
                        foresee(c[OUTPUT_GRADIENT] + (t - AHEAD) * row, first + part, PART)
                    if t >= every:
                        for port in range(ports):
                            foresee(inputs[port] + (t - every) * row, first + part, PART)
                    pull_back(a, part, min(count, part + PART), common)
                for port in range(ports):
                    put_out(a, rows.input + port, input_gradients[port] + t * row, first, count, c[STREAM])
        put(a, rows.gradient, c[STATE_GRADIENT], states, elements, first, count)
        put(a, rows.wanted, c[COEFFICIENT_GRADIENT], wanted, elements, first, count)

    return jit(block)


def _of_a_range(spec: LoopSpec, block: Any):
    """The kernel ``(context, first, count)`` that calls ``block`` for one block after another of so many elements from first on;
    its scratch array is SCRATCH itself."""
    real, size = REALS[spec.dtype], rows_of(spec).size * LENGTH

    def kernel(context, first, count):
        c = values_at(context, SIZE)
        a = view(c[SCRATCH], size, real)
        for begin in range(first, first + count, LENGTH):
            block(c, a, begin, min(LENGTH, first + count - begin))
        return count

    return kernel


def make_forward_range(spec: LoopSpec):
    """The kernel ``(context, first, count)`` of the way forward of some elements."""
    return _of_a_range(spec, forward_block(spec))


def make_backward_range(spec: LoopSpec):
    """The kernel ``(context, first, count)`` of the way back of some elements."""
    return _of_a_range(spec, backward_block(spec))


def make_forward(spec: LoopSpec):
    """The kernel ``(context, worker, elements)`` of the way forward."""
    return _by_blocks(spec, forward_block(spec))


def make_backward(spec: LoopSpec):
    """The kernel ``(context, worker, elements)`` of the way back."""
    return _by_blocks(spec, backward_block(spec))


def compile_loop(maker: Callable, spec: LoopSpec):
    """The kernel that ``maker`` makes of a spec; it has an ``address`` and can be called through ctypes.

    A ModelError says why Numba cannot compile the model's functions.
    """
    made = _compiled(maker, spec)
    if isinstance(made, ModelError):
        raise made
    return made


@compiled_once
def _compiled(maker: Callable, spec: LoopSpec):
    """The kernel, or the error: what cannot be compiled is not tried again in each call."""
    kept = BUILT_IN.get(spec.model.name) is spec.model  # a model from elsewhere may change without this package noticing
    key = f"{stamp()} {maker.__name__} {spec.model.name} {tuple(str(word) for word in spec[1:])}"
    try:
        return compile_callback(KERNEL, maker(spec), key if kept else None, borrowing=True)
    except (NumbaError, TypeError) as error:
        return ModelError(
            f"{spec.model.name}: Numba cannot compile its functions; they may use arithmetic, named tuples and ops only "
            f"(docs/a-neuron.md). It says: {numba_says(error)}"
        )
