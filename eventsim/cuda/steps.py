"""A step as phases, and what runs them.

For each level of zero delays there are two: deliveries, in which the spikes of the updates before are pushed into the wheel and
what is due is added up; and updates. Between phases all threads wait for each other. Phase number 2 l is the deliveries of level l.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numba import from_dtype
from numba import types as numba_types

from eventsim.cpu.pointers import reader, words_of
from eventsim.cuda.deliver import bind_push
from eventsim.cuda.layout import (
    AT_PHASE,
    AT_STEP,
    BEGIN,
    DONE,
    FIRED,
    FIRED_FULL,
    PENDING,
    S_BATCH,
    S_FIRED_ROOM,
    S_FIRST_STEP,
    S_LEVELS,
    S_SIZE,
    S_SPILL_ROOM,
    S_WHEEL_SLOTS,
    SPILL_SMALL,
    SPILLED,
    STATUS,
    WHEEL_FULL,
    Arrays,
    Kinds,
    dtypes_of,
)
from eventsim.cuda.machine import EMULATION, GPU, MOST_BLOCKS, Machine, import_cuda, rounding_every_product
from eventsim.cuda.sampling import bind_sample
from eventsim.cuda.update import bind_updates
from eventsim.jit import compile_callback
from eventsim.models import BUILT_IN

REGISTERS = 1 << 16  # of a multiprocessor


def bind_phases(machine: Machine, specs: tuple[Any, ...], kinds: Kinds) -> tuple[Any, Any, Any]:
    """Functions ``stopped(t, phase, a) -> status``, ``run(thread, threads, t, phase, a)`` of one phase, and
    ``sample(thread, threads, t, a)`` for what is recorded at the end of the last step: of others it is part of the next phase,
    which changes no state.

    specs : the kinds of neurons
    """
    jit = machine.jit
    push, updates, sample = bind_push(machine, kinds), bind_updates(machine, specs), bind_sample(machine)

    @jit
    def stopped(t, phase, a):
        """Why no thread may begin a phase; every thread finds the same, since the phase before changed nothing that it reads."""
        if phase % 2:
            return WHEEL_FULL if a.control[SPILLED] else DONE
        number = t * a.sizes[S_LEVELS] + phase // 2
        if phase == 0 and a.control[FIRED] + a.sizes[S_BATCH] * a.sizes[S_SIZE] > a.sizes[S_FIRED_ROOM]:
            return FIRED_FULL
        return SPILL_SMALL if a.control[PENDING + number % 2] > a.sizes[S_SPILL_ROOM] else DONE

    @jit
    def run(thread, threads, t, phase, a):
        levels, level = a.sizes[S_LEVELS], phase // 2
        number = t * levels + level
        if phase % 2:
            at = (t - a.sizes[S_FIRST_STEP]) * levels + level
            updates(thread, threads, t, level, number, at, a)
            if thread == 0:
                a.waiting[level * a.sizes[S_WHEEL_SLOTS] + t % a.sizes[S_WHEEL_SLOTS]] = 0
            return
        if phase == 0 and t > a.sizes[S_FIRST_STEP]:
            sample(thread, threads, t - 1, a)
        push(thread, threads, t, level, number, a)
        if thread == 0:
            a.control[BEGIN + (number + 1) % 2] = a.control[FIRED]
            a.control[PENDING + (number + 1) % 2] = 0
            at = (t - a.sizes[S_FIRST_STEP]) * levels + level
            a.ends[at] = a.control[FIRED]

    return stopped, run, sample


@functools.cache
def steps_kernel(machine: Machine, specs: tuple[Any, ...], kinds: Kinds) -> Any:
    """The kernel of a kind of network: ``kernel(arrays, step, phase, last)`` runs from a phase of a step to the end of the last
    one, or as far as there is room, and says in `control` how far it came."""
    phases = bind_phases(machine, specs, kinds)
    if machine.name == EMULATION:
        return _emulated(machine, *phases, kinds, name_of(specs, kinds))
    return _on_cuda(machine, *phases, kinds)


def name_of(specs: tuple[Any, ...], kinds: Kinds) -> str | None:
    """What says all about a kernel, or None where models are not this package's: those may change without its noticing."""
    if any(BUILT_IN.get(spec.model.name) is not spec.model for spec in specs):
        return None
    neurons = [(s.model.name, s.order, s.ports, s.hold, s.holds, s.own, s.own_step) for s in specs]
    return f"cuda steps {neurons} {kinds}"


def _emulated(machine: Machine, stopped: Any, run: Any, sample: Any, kinds: Kinds, name: str | None) -> Any:
    threads = machine.threads
    kind = numba_types.NamedTuple(
        tuple(numba_types.Array(from_dtype(dtype), 1, "C") for dtype in dtypes_of(kinds).values()), Arrays
    )
    read = reader(kind)

    def steps(address, step, phase, last):
        a = read(address)
        while step <= last:
            status = stopped(step, phase, a)
            if status != DONE:
                a.control[STATUS], a.control[AT_STEP], a.control[AT_PHASE] = status, step, phase
                return
            for thread in range(threads):
                run(thread, threads, step, phase, a)
            phase += 1
            if phase == 2 * a.sizes[S_LEVELS]:
                step, phase = step + 1, 0
        for thread in range(threads):
            sample(thread, threads, last, a)
        a.control[STATUS], a.control[AT_STEP], a.control[AT_PHASE] = DONE, step, phase

    number = numba_types.int64
    compiled = compile_callback(numba_types.void(number, number, number, number), steps, name)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(compiled.address)

    def start(a: Arrays, step: int, phase: int, last: int) -> None:
        words = np.array(words_of(a, kind), np.int64)
        call(words.ctypes.data, step, phase, last)

    start.compiled = compiled  # type: ignore[attr-defined]  # its code must stay
    return start


def most_registers(machine: Machine) -> int:
    """How many registers a thread may have, so that a block fits into a multiprocessor; what finds none is spilled."""
    return min(255, REGISTERS // machine.threads)


def _on_cuda(machine: Machine, stopped: Any, run: Any, sample: Any, kinds: Kinds) -> Any:
    from eventsim.cuda.on_gpu import make_steps, signature_of

    options = {"max_registers": most_registers(machine)} if machine.name == GPU else {}
    kernel, blocks = import_cuda().jit(make_steps(stopped, run, sample), **options), machine.blocks
    if machine.name == GPU:  # all blocks wait for each other, and so all must be there at once
        with rounding_every_product():
            compiled = kernel.compile(signature_of(kinds))
        blocks = min(MOST_BLOCKS, compiled.max_cooperative_grid_blocks(machine.threads))

    def start(a: Arrays, step: int, phase: int, last: int) -> None:
        kernel[blocks, machine.threads](*a, step, phase, last)

    return start
