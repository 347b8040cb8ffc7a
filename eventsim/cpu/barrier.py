"""The barrier at which threads meet. Who arrives may go on with what needs nobody else, and then waits for all.

Waiting spins for a moment, then sleeps, so that a thread that has to wait gives its core away.

On an idle machine threads arrive within microseconds of each other, and nobody sleeps. Where another program takes a core, a
thread that spun, or yielded over and over, would keep its own core from the one that it waits for. And where the system has put
two threads on one core, it takes long to notice: the one that finds another there moves away.
"""

from __future__ import annotations

import os
import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eventsim.cpu.cores import ROOM, current_core, leave_core
from eventsim.cpu.pointers import address_of, atomic_add, atomic_load, atomic_store, wall_clock, yield_processor
from eventsim.jit import jit_borrowing as jit
from eventsim.state import NEVER

# Places in what workers share, int64; 128 bytes apart, so that no two stand in one cache line or in a pair of them.
STRIDE = 16
ARRIVED, PASSED, ABORT, ASLEEP, MUTEX, CONDITION, PATIENCE, ABSENT, THREADS = range(0, 9 * STRIDE, STRIDE)
# From THREADS on a stride for each thread: its core, when it last left one, how long it slept, and what `eventsim.cpu.crew` keeps
# of it; then `ROOM` numbers of scratch for each; then, for each, one number that `eventsim.cpu.crew` explains.
MOVED, SLEPT = 1, 2
NOWHERE = -1  # the core of a thread that was not seen yet
LOOK = 20_000  # spins after which a waiting thread looks again whether it shares its core with another: some 20 microseconds
STAY = 200_000  # ns that a thread stays on a core before it leaves it again
WELCOME = 300_000  # ns that the first thread waits for the others, at most
SPINS = 200_000  # before a thread sleeps, some 200 microseconds: to be woken costs half of that on a virtual machine
CAN_SLEEP = sys.platform != "win32"

_POINTER = ir.IntType(8).as_pointer()


def _thread_call(name, arguments):
    """An intrinsic that calls a function of POSIX threads with ``arguments`` addresses."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [_POINTER] * arguments)
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [builder.inttoptr(arg, _POINTER) for arg in args])
        return context.get_dummy_value()

    if arguments == 1:

        @intrinsic
        def call(typingctx, first):
            return types.void(types.int64), codegen

    else:

        @intrinsic
        def call(typingctx, first, second):
            return types.void(types.int64, types.int64), codegen

    return call


_lock = _thread_call("pthread_mutex_lock", 1)
_unlock = _thread_call("pthread_mutex_unlock", 1)
_wait = _thread_call("pthread_cond_wait", 2)
_wake_all = _thread_call("pthread_cond_broadcast", 1)
_new_mutex = _thread_call("pthread_mutex_init", 2)
_new_condition = _thread_call("pthread_cond_init", 2)


@jit
def _prepare(shared):
    if CAN_SLEEP:
        _new_mutex(address_of(shared, MUTEX), np.int64(0))
        _new_condition(address_of(shared, CONDITION), np.int64(0))


def new_shared(workers: int) -> np.ndarray:
    """What the workers of one batch item share: the places above, with PATIENCE: how long they spin."""
    shared = np.zeros(THREADS + workers * (STRIDE + ROOM + 1), np.int64)
    shared[THREADS : THREADS + workers * STRIDE : STRIDE] = NOWHERE
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shared[PATIENCE] = SPINS if workers <= available else 0  # with more workers than cores who spins is in the way
    _prepare(shared)
    return shared


@jit
def _sleep(shared, generation):
    """Sleep until the generation has passed or somebody gives up (modifies shared)."""
    if CAN_SLEEP:
        mutex, condition = address_of(shared, MUTEX), address_of(shared, CONDITION)
        _lock(mutex)
        # Who wakes looks at ASLEEP after it has stored PASSED; who sleeps at PASSED after ASLEEP: one of them sees the other.
        atomic_add(shared, ASLEEP, 1)
        while atomic_load(shared, PASSED) < generation and not atomic_load(shared, ABORT):
            _wait(condition, mutex)
        atomic_add(shared, ASLEEP, -1)
        _unlock(mutex)
    else:
        yield_processor()


@jit
def _wake(shared):
    if CAN_SLEEP and atomic_load(shared, ASLEEP):
        _lock(address_of(shared, MUTEX))
        _wake_all(address_of(shared, CONDITION))
        _unlock(address_of(shared, MUTEX))
        yield_processor()  # the system tends to wake a thread on this very core: let it see that, and leave


@jit
def give_up(shared):
    """Let all workers return where they next meet (modifies shared)."""
    atomic_store(shared, ABORT, 1)
    _wake(shared)


@jit
def arrive(shared, workers, count):
    """Say that ``count`` of the workers are here (modifies shared); the generation to `wait` for."""
    arrived = atomic_add(shared, ARRIVED, count) + count
    generation = (arrived - 1) // workers + 1
    if arrived == generation * workers:
        atomic_store(shared, PASSED, generation)
        _wake(shared)
    return generation


@jit
def make_way(shared, thread, workers):
    """Say on which core this thread runs, and leave it if another one was last seen there (modifies shared), but not all the time.

    The system may wake two threads on one core, and takes milliseconds to notice that another one is free.
    """
    core, mine = current_core(), THREADS + thread * STRIDE
    if shared[mine] != core:
        atomic_store(shared, mine, core)
    if core < 0 or shared[PATIENCE] == 0:  # not known, or not enough cores
        return
    for other in range(workers):
        if other != thread and atomic_load(shared, THREADS + other * STRIDE) == core:
            now = wall_clock()
            if now - shared[mine + MOVED] > STAY:
                shared[mine + MOVED] = now
                atomic_store(shared, mine, NOWHERE)  # first, or the other one would leave too
                room = THREADS + workers * STRIDE + thread * ROOM
                leave_core(core, shared[room : room + ROOM])
                atomic_store(shared, mine, current_core())
            return


@jit
def enter(shared, thread, workers):
    """Begin a piece of a run (modifies shared). The first thread waits a moment for the others to come.

    The system may have woken them on its own core; there they must get a turn to find that out and to leave.
    """
    make_way(shared, thread, workers)
    if thread == 0 and shared[PATIENCE] and current_core() >= 0:
        begin = wall_clock()
        for other in range(1, workers):
            expected = atomic_load(shared, shared.size - workers + other) == NEVER  # it takes part
            while expected and atomic_load(shared, THREADS + other * STRIDE) == NOWHERE and wall_clock() - begin < WELCOME:
                yield_processor()


@jit
def wait(shared, thread, workers, generation):
    """Wait until all workers have arrived (modifies shared); False if somebody has given up."""
    spins, most = 0, shared[PATIENCE]
    make_way(shared, thread, workers)
    while atomic_load(shared, PASSED) < generation:
        if atomic_load(shared, ABORT):
            return False
        spins += 1
        if spins == LOOK:
            make_way(shared, thread, workers)
        if spins > most:
            begin = wall_clock()
            _sleep(shared, generation)
            shared[THREADS + thread * STRIDE + SLEPT] += wall_clock() - begin
            make_way(shared, thread, workers)
    return atomic_load(shared, ABORT) == 0
