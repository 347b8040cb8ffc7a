"""The few things that Numba has no name for: arrays at an address, calls to an address, prefetches, atomics, processor and clocks.

Kernels of different models have one signature, ``(context, t, count) -> count``, and find their arrays in a context of
addresses, so that the loop over steps is compiled once for all networks.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import as_dtype

KERNEL = types.int64(types.CPointer(types.int64), types.int64, types.int64)

_INT64 = ir.IntType(64)


def _array_at(context, builder, kind, pointer, shape):
    """A contiguous array whose memory nobody owns (Numba's ``carray`` makes the same, but not where no references are counted)."""
    array = context.make_array(kind)(context, builder)
    size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides = [size]
    for extent in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], extent))
    populate_array(
        array,
        data=builder.bitcast(pointer, array.data.type),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()


@intrinsic
def view(typingctx, address, count, dtype):
    """The ``count`` values of type ``dtype`` at an address, as an array: no copy."""
    kind = types.Array(dtype.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], context.get_data_type(kind.dtype).as_pointer())
        return _array_at(context, builder, kind, pointer, [args[1]])

    return kind(types.int64, types.int64, dtype), codegen


@intrinsic
def view2(typingctx, address, rows, columns, dtype):
    """The ``(rows, columns)`` values of type ``dtype`` at an address, as an array: no copy."""
    kind = types.Array(dtype.dtype, 2, "C")

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], context.get_data_type(kind.dtype).as_pointer())
        return _array_at(context, builder, kind, pointer, [args[1], args[2]])

    return kind(types.int64, types.int64, types.int64, dtype), codegen


@intrinsic
def values_at(typingctx, pointer, count):
    """The ``count`` values that a pointer points to, as an array: no copy."""
    kind = types.Array(pointer.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        return _array_at(context, builder, kind, args[0], [args[1]])

    return kind(pointer, types.int64), codegen


def words_of(arrays: Any, kind: types.NamedTuple) -> list[int]:
    """Where the arrays of a named tuple lie, tuples within it included: the address and shape of each, as `reader` wants them."""
    words: list[int] = []
    for name, value, member in zip(kind.fields, arrays, kind.types, strict=True):
        if isinstance(member, types.NamedTuple):
            words += words_of(value, member)
        else:
            if value.dtype != as_dtype(member.dtype) or value.ndim != member.ndim or not value.flags.c_contiguous:
                raise TypeError(f"{name}: kernels expect a contiguous {member}, not {value.ndim} axes of {value.dtype}")
            words += [value.__array_interface__["data"][0], *value.shape]
    return words


def _build_tuple(context, builder, kind, base, at):
    """The named tuple of arrays whose `words_of` begin at ``base[at]``, and where they end."""
    members = []
    for member in kind.types:
        if isinstance(member, types.Array):
            words = [builder.load(builder.gep(base, [_INT64(at + place)])) for place in range(1 + member.ndim)]
            pointer = builder.inttoptr(words[0], context.get_data_type(member.dtype).as_pointer())
            members.append(_array_at(context, builder, member, pointer, words[1:]))
            at += len(words)
        else:
            made, at = _build_tuple(context, builder, member, base, at)
            members.append(made)
    return context.make_tuple(builder, kind, members), at


@functools.cache
def reader(kind: types.NamedTuple):
    """A function ``address -> named tuple``, where its `words_of` lie: no copy. kind : its type for Numba, of contiguous arrays."""

    @intrinsic
    def read(typingctx, address):
        def codegen(context, builder, signature, args):
            made, _ = _build_tuple(context, builder, kind, builder.inttoptr(args[0], _INT64.as_pointer()), 0)
            return made

        return kind(types.int64), codegen

    return read


@intrinsic
def call_kernel(typingctx, address, context_array, t, count):
    """Call the `KERNEL` at an address with the first element of a contiguous int64 array as its context."""

    def codegen(context, builder, signature, args):
        function = ir.FunctionType(_INT64, [_INT64.as_pointer(), _INT64, _INT64])
        array = context.make_array(signature.args[1])(context, builder, args[1])
        return builder.call(builder.inttoptr(args[0], function.as_pointer()), [array.data, args[2], args[3]])

    return types.int64(types.int64, context_array, types.int64, types.int64), codegen


def _element(context, builder, signature, args):
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


@intrinsic
def address_of(typingctx, array, index):
    """The address of ``array[index]``, of a contiguous array with one axis."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(_element(context, builder, signature, args), _INT64)

    return types.int64(array, types.int64), codegen


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of element ``index`` of a contiguous array, all axes counted as one; any index is harmless."""

    def codegen(context, builder, signature, args):
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(_element(context, builder, signature, args), byte)
        builder.call(function, [place, flag(0), flag(3), flag(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def unforeseen(typingctx, value):
    """The same number, of which the compiler knows nothing: a loop that counts with it is not unrolled."""

    def codegen(context, builder, signature, args):
        same = ir.InlineAsm(ir.FunctionType(_INT64, [_INT64]), "", "=r,0")
        return builder.call(same, [args[0]])

    return types.int64(types.int64), codegen


@intrinsic
def atomic_add(typingctx, array, index, value):
    """``array[index] += value`` as one indivisible operation; returns the value before."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _element(context, builder, signature, args), args[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx, array, index):
    """``array[index]``, and everything that was written before it was stored."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_element(context, builder, signature, args), "seq_cst", 8)

    return types.int64(array, types.int64), codegen


@intrinsic
def atomic_store(typingctx, array, index, value):
    """``array[index] = value``, after everything that was written before."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[2], _element(context, builder, signature, args), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


@intrinsic
def yield_processor(typingctx):
    """Let another thread run on this processor."""
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"

    def codegen(context, builder, signature, args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), name)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


def _clock(number):
    """An intrinsic that reads a clock of the system in nanoseconds; 0 where it is not known."""

    def codegen(context, builder, signature, args):
        if sys.platform != "linux":
            return _INT64(0)
        time = cgutils.alloca_once(builder, ir.ArrayType(_INT64, 2))
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), time.type])
        function = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        builder.call(function, [ir.Constant(ir.IntType(32), number), time])
        seconds, nanoseconds = (builder.load(cgutils.gep_inbounds(builder, time, 0, place)) for place in (0, 1))
        return builder.add(builder.mul(seconds, _INT64(10**9)), nanoseconds)

    @intrinsic
    def clock(typingctx):
        return types.int64(), codegen

    return clock


wall_clock = _clock(1)
thread_clock = _clock(3)  # stands while the thread does not run
