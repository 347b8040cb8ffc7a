"""A kernel on several threads at once: those of torch, where they can be had.

Torch's threads wait for work in a loop of their own for milliseconds after each of its operations: threads of ours would wait for
the processor behind them, as long as a whole layer takes. OpenMP, whose threads they are, has one function to give them work.
"""

from __future__ import annotations

import ctypes
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from numba import types

from eventsim.cpu.pointers import atomic_add, call_kernel, values_at, view
from eventsim.jit import compile_callback, compiled_once
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

    def __init__(self):
        self.open_mp, self.pool, self.size = None, None, 0
        try:
            self.open_mp = ctypes.CDLL(None).GOMP_parallel
        except (AttributeError, OSError, TypeError):  # another system's OpenMP, or none
            return
        self.open_mp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self.open_mp.restype = None

    def forget(self):
        """Use new threads of our own from now on: a child of a process has none of its parent's, and OpenMP does not notice."""
        self.open_mp, self.pool, self.size = None, None, 0

    def helpers(self, count: int) -> ThreadPoolExecutor:
        """At least so many threads of our own."""
        if self.pool is None or self.size < count:
            self.pool, self.size = ThreadPoolExecutor(count, "norse_bridge"), count
        return self.pool


@functools.cache
def _threads() -> _Threads:
    threads = _Threads()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=threads.forget)
    return threads


def run_on_threads(kernel, context, count: int, workers: int) -> None:
    """Call a kernel as ``kernel(context, worker, count)`` for as many workers, all at once; returns when all have returned.

    context : a ctypes array of int64
    """
    if workers == 1:
        kernel.ctypes(context, 0, count)
        return
    words, threads = Words(kernel.address, ctypes.addressof(context), len(context), count), _threads()
    if threads.open_mp is not None:
        threads.open_mp(_entry().address, words, workers, 0)
        return
    enter, place = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_entry().address), ctypes.addressof(words)
    helping = [threads.helpers(workers - 1).submit(enter, place) for _ in range(workers - 1)]
    enter(place)
    for helper in helping:
        if not helper.cancel():
            helper.result()
