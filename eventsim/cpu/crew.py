"""Which thread runs which worker: each its own, until one of them has to share its core with another program.

A worker that is kept waiting keeps all others waiting. So a thread that gets too little of a core leaves: another one runs its
worker besides its own, and with two threads a step then takes as long as with one. It comes back after a while, and when it
finds its core free it stays. The first thread never leaves, so that somebody is there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eventsim.cpu.barrier import ABSENT, NOWHERE, PATIENCE, SLEPT, STRIDE, THREADS
from eventsim.cpu.pointers import atomic_add, atomic_load, atomic_store, thread_clock, wall_clock
from eventsim.jit import jit_borrowing as jit
from eventsim.state import NEVER

# Places beside those of `eventsim.cpu.barrier`, after THREADS + thread * STRIDE: since it was last looked at, the time that has
# passed while it ran a piece of a run and that in which it used a core, ns; both clocks when last read; how many were absent then.
PASSED_TIME, CORE_TIME, WALL, CORE, SEEN = 3, 4, 5, 6, 7
STARVES = ABSENT + 1  # whether the first thread, which never leaves, gets too little of its core
WINDOW, LEAST = PATIENCE + 1, PATIENCE + 2  # when to look, ns; the least share of a core for which a thread stays, per mille
LOOK_AFTER = 20_000_000  # several turns that a system gives to programs on one core
LOOK_AGAIN = 10_000_000  # where a thread has left a short while ago
RECENT = 10.0  # s, such a while
LEAST_SHARE = 667  # two threads with half a core each are no faster than one; with more than two thirds they are
FIRST_REST, LONGEST_REST = 0.1, 0.8  # s


@jit
def runner_of(shared, worker, workers, generation):
    """The thread that runs a worker up to a meeting: its own, or, in turn, one of those that are present; modifies nothing."""
    if atomic_load(shared, ABSENT) == 0:
        return worker
    away = shared.size - workers
    if atomic_load(shared, away + worker) > generation:
        return worker
    before, present = 0, 0
    for other in range(workers):
        here = atomic_load(shared, away + other) > generation
        present += here
        before += not here and other < worker
    at = before % present
    for other in range(workers):
        if atomic_load(shared, away + other) > generation:
            if at == 0:
                return other
            at -= 1
    return worker


@jit
def start_clock(shared, thread):
    """What passes from now on counts for the thread (modifies shared)."""
    at = THREADS + thread * STRIDE
    shared[at + WALL] = wall_clock()
    shared[at + CORE] = thread_clock()


@jit
def stop_clock(shared, thread):
    """Add what has passed since the clock was started to the thread's account (modifies shared)."""
    at = THREADS + thread * STRIDE
    shared[at + PASSED_TIME] += wall_clock() - shared[at + WALL]
    shared[at + CORE_TIME] += thread_clock() - shared[at + CORE]


@jit
def clear_account(shared, thread):
    """Begin the thread's account anew (modifies shared)."""
    at = THREADS + thread * STRIDE
    shared[at + PASSED_TIME] = 0
    shared[at + CORE_TIME] = 0
    shared[at + SLEPT] = 0


@jit
def must_leave(shared, thread, workers, generation):
    """Whether a thread leaves, and is absent from the meetings after this one (modifies shared); at most one in a window does.

    It does where it, or the first thread, wanted a core and had none for too much of the time: neither used it nor slept.
    """
    at = THREADS + thread * STRIDE
    if shared[at + PASSED_TIME] + wall_clock() - shared[at + WALL] < shared[WINDOW]:
        return False
    stop_clock(shared, thread)
    start_clock(shared, thread)
    starved = 1000 * (shared[at + CORE_TIME] + shared[at + SLEPT]) < shared[LEAST] * shared[at + PASSED_TIME]
    seen = shared[at + SEEN]
    clear_account(shared, thread)
    shared[at + SEEN] = atomic_load(shared, ABSENT)
    if thread == 0:
        atomic_store(shared, STARVES, starved)
        return False
    starved |= atomic_load(shared, STARVES) != 0
    if not starved:
        return False
    if atomic_add(shared, ABSENT, 1) != seen:  # another one has left meanwhile: see how it is now
        atomic_add(shared, ABSENT, -1)
        return False
    atomic_store(shared, shared.size - workers + thread, generation + 1)
    atomic_store(shared, at, NOWHERE)
    return True


class Rests:
    """When threads that have left come back: after a rest that doubles as long as they leave again at once."""

    def __init__(self, threads: int, clock: Callable[[], float]):
        self.clock = clock
        self.length = [FIRST_REST] * threads
        self.until = [-np.inf] * threads
        self.since = [-np.inf] * threads  # when it came back

    def present(self) -> list[int]:
        """The threads that take part now."""
        now = self.clock()
        for thread, until in enumerate(self.until):
            if self.since[thread] < until <= now:
                self.since[thread] = now
        return [thread for thread, until in enumerate(self.until) if until <= now]

    def window(self) -> int:
        """After how long to look, ns: sooner where somebody has left a short while ago."""
        return LOOK_AGAIN if max(self.until) > self.clock() - RECENT else LOOK_AFTER

    def left(self, thread: int) -> None:
        """It has left."""
        now = self.clock()
        stayed = now - self.since[thread]
        self.length[thread] = min(2.0 * self.length[thread], LONGEST_REST) if stayed < 2.0 * self.length[thread] else FIRST_REST
        self.until[thread] = now + self.length[thread]


def muster(shared: np.ndarray, workers: int, present: list[int], window: int) -> None:
    """Write down who takes part in the next piece of a run."""
    away = shared[len(shared) - workers :]
    away[:] = 0
    away[present] = NEVER
    shared[THREADS : THREADS + workers * STRIDE : STRIDE] = NOWHERE
    shared[ABSENT], shared[STARVES] = workers - len(present), 0
    shared[WINDOW], shared[LEAST] = window, LEAST_SHARE
    shared[THREADS + SEEN : THREADS + workers * STRIDE : STRIDE] = shared[ABSENT]
