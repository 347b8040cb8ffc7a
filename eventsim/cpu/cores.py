"""Which core a thread runs on, and how it leaves one: Linux only; elsewhere nothing is known and nothing done."""

from __future__ import annotations

import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eventsim.cpu.pointers import address_of
from eventsim.jit import jit_borrowing as jit

KNOWN = sys.platform == "linux"
WORDS = 16  # of 64 bits in a set of cores: 1024 of them, as in the C library
ROOM = 2 * WORDS

_INT, _LONG = ir.IntType(32), ir.IntType(64)


@intrinsic
def _current(typingctx):
    def codegen(context, builder, signature, args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, []), "sched_getcpu")
        return builder.sext(builder.call(function, []), _LONG)

    return types.int64(), codegen


def _set_call(name):
    """An intrinsic ``(address) -> int`` that calls ``name(this thread, size of the set, address of the set)``."""

    def codegen(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, [_INT, _LONG, pointer]), name)
        result = builder.call(function, [_INT(0), _LONG(8 * WORDS), builder.inttoptr(args[0], pointer)])
        return builder.sext(result, _LONG)

    @intrinsic
    def call(typingctx, address):
        return types.int64(types.int64), codegen

    return call


_allowed = _set_call("sched_getaffinity")
_allow = _set_call("sched_setaffinity")


@jit
def current_core():
    """The number of the core that this thread runs on, or -1."""
    return _current() if KNOWN else np.int64(-1)


@jit
def leave_core(core, room):
    """Move this thread to another core that it may use, if there is one; it may come back later. room : `ROOM` numbers, modified"""
    if not KNOWN or not 0 <= core < 64 * WORDS:
        return
    allowed, others = room[:WORDS], room[WORDS : 2 * WORDS]
    for w in range(WORDS):
        allowed[w] = 0
    if _allowed(address_of(allowed, 0)) < 0:
        return
    left = np.int64(0)
    for w in range(WORDS):
        others[w] = allowed[w] & ~(np.int64(1) << (core % 64)) if w == core // 64 else allowed[w]
        left |= others[w]
    if left:
        _allow(address_of(others, 0))  # this alone moves it
        if _allow(address_of(allowed, 0)) < 0:  # what it may use has changed meanwhile
            for w in range(WORDS):
                allowed[w] = -1
            _allow(address_of(allowed, 0))  # all that there is: the system leaves out what it may not use
