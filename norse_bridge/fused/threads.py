"""A kernel on several threads at once: those of torch, where they can be had.

Torch's threads wait for work in a loop of their own for milliseconds after each of its operations: threads of ours would wait for
the processor behind them, as long as a whole layer takes. OpenMP, whose threads they are, has one function to give them work.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from numba import types

from eventsim.cpu.pointers import atomic_add, call_kernel, values_at, view
from eventsim.jit import compile_callback, compiled_once
from norse_bridge.forks import forks
from norse_bridge.fused.stamp import stamp

WORK = types.void(types.CPointer(types.int64))  # what OpenMP calls on each of its threads
KERNEL, CONTEXT, SIZE, COUNT, NEXT = range(5)  # words of a piece of work
Words = ctypes.c_int64 * (NEXT + 1)


@compiled_once
def _entry():
    """The function of type WORK: calls the kernel as the next worker."""

    def enter(words):
        word = values_at(words, NEXT + 1)
        call_kernel(word[KERNEL], view(word[CONTEXT], word[SIZE], types.int64), atomic_add(word, NEXT, 1), word[COUNT])

    return compile_callback(WORK, enter, f"{stamp()} threads", borrowing=True)


class _Threads:
    """Where threads come from. open_mp : the function of OpenMP that runs another on its threads, or None; pool : our own"""

    def __init__(self, use_open_mp: bool):
        self.open_mp: Any = None
        self.pool: ThreadPoolExecutor | None = None
        self.size = 0
        if use_open_mp:
            with contextlib.suppress(AttributeError, OSError, TypeError):  # another system's OpenMP, or none
                self.open_mp = ctypes.CDLL(None).GOMP_parallel
                self.open_mp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
                self.open_mp.restype = None

    def help_with(self, work: Callable[[], None], count: int) -> list[Future]:
        """Let as many threads of our own work too; none where the interpreter is about to end."""
        if self.pool is None or self.size < count:
            self.pool, self.size = ThreadPoolExecutor(count, "norse_bridge"), count
        helping = []
        with contextlib.suppress(RuntimeError):
            for _ in range(count):
                helping.append(self.pool.submit(work))
        return helping


@functools.cache
def _threads(forked: int) -> _Threads:
    """Those of a process that was forked so often: OpenMP does not notice that its threads do not exist in a child."""
    return _Threads(use_open_mp=forked == 0)


def _wait(helping: list[Future]) -> None:
    """Wait for all that have begun, whatever happens meanwhile: they write to memory that nobody else may have before."""
    begun = [helper for helper in helping if not helper.cancel()]
    interrupt = None
    for helper in begun:
        while not helper.done():
            try:
                helper.exception()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
    for helper in begun:
        helper.result()


def run_on_threads(kernel, context, count: int, workers: int) -> None:
    """Call a kernel as ``kernel(context, worker, count)`` for as many workers, all at once; returns when all have returned.

    context : a ctypes array of int64
    """
    if workers == 1:
        kernel.ctypes(context, 0, count)
        return
    words, threads = Words(kernel.address, ctypes.addressof(context), len(context), count), _threads(forks())
    if threads.open_mp is not None:
        threads.open_mp(_entry().address, words, workers, 0)
        return
    enter, place = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_entry().address), ctypes.addressof(words)
    helping = threads.help_with(lambda: enter(place), workers - 1)
    try:
        enter(place)
    finally:
        _wait(helping)
