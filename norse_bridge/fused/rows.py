"""Rows of a block's scratch array, and tuples made of them: what a kernel of a time loop reads and writes in each step.

Row ``r`` of the array begins at ``r * LENGTH``, a place known when the kernel is compiled: so the compiler sees that no two rows
overlap, and vectorises the loop over neurons. Each function here is one intrinsic, which costs nothing to compile.
"""

from __future__ import annotations

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from norse_bridge.fused.dual import DualType

LENGTH = 1040  # neurons of a block: about a page; no power of two, so that rows do not share the low bits of their addresses
STREAMED = 64  # bytes of a store past the caches: a cache line; processors with narrower registers do it in parts
_INT64 = ir.IntType(64)


def _place(context, builder, kind, array, row, j):
    """The address of element j of a row."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [builder.add(j, _INT64(row * LENGTH))])


@functools.cache
def read(first: int, count: int):
    """An intrinsic ``(a, j) -> tuple`` of element j of ``count`` rows."""

    @intrinsic
    def rows(typingctx, a, j):
        result = types.UniTuple(a.dtype, count)

        def codegen(context, builder, signature, args):
            values = [builder.load(_place(context, builder, a, *args[:1], row, args[1])) for row in range(first, first + count)]
            return context.make_tuple(builder, result, values)

        return result(a, types.int64), codegen

    return rows


@functools.cache
def write(first: int, count: int, offset: int = 0):
    """An intrinsic ``(a, j, values)`` that writes ``values[offset] ...`` to element j of ``count`` rows."""

    @intrinsic
    def rows(typingctx, a, j, values):
        def codegen(context, builder, signature, args):
            for place in range(count):
                value = builder.extract_value(args[2], offset + place)
                builder.store(value, _place(context, builder, a, args[0], first + place, args[1]))
            return context.get_dummy_value()

        return types.void(a, types.int64, values), codegen

    return rows


@functools.cache
def add(first: int, count: int, offset: int = 0):
    """An intrinsic ``(a, j, values)`` that adds ``values[offset] ...`` to element j of ``count`` rows."""

    @intrinsic
    def rows(typingctx, a, j, values):
        def codegen(context, builder, signature, args):
            for place in range(count):
                address = _place(context, builder, a, args[0], first + place, args[1])
                builder.store(builder.fadd(builder.load(address), builder.extract_value(args[2], offset + place)), address)
            return context.get_dummy_value()

        return types.void(a, types.int64, values), codegen

    return rows


@functools.cache
def first_of(count: int):
    """An intrinsic ``a -> tuple`` of the first ``count`` numbers of an array."""

    @intrinsic
    def numbers(typingctx, a):
        result = types.UniTuple(a.dtype, count)

        def codegen(context, builder, signature, args):
            data = context.make_array(a)(context, builder, args[0]).data
            return context.make_tuple(builder, result, [builder.load(builder.gep(data, [_INT64(n)])) for n in range(count)])

        return result(a), codegen

    return numbers


@functools.cache
def fields_and(count: int):
    """An intrinsic ``(s, more) -> tuple`` of the ``count`` fields of a named tuple and those of another tuple."""

    @intrinsic
    def joined(typingctx, s, more):
        result = types.Tuple([*s.types, *more.types])

        def codegen(context, builder, signature, args):
            values = [builder.extract_value(args[0], place) for place in range(count)]
            values += [builder.extract_value(args[1], place) for place in range(len(more.types))]
            return context.make_tuple(builder, result, values)

        return result(s, more), codegen

    return joined


@functools.cache
def seeds(indices: tuple[int | None, ...]):
    """An intrinsic ``(values, alpha) -> tuple`` of dual numbers: each with its one derivative, that of its index, as 1; the plain
    value where the index is None."""

    @intrinsic
    def numbers(typingctx, values, alpha):
        kinds = [alpha if index is None else DualType(alpha, (index,)) for index in indices]
        result = types.Tuple(kinds)

        def codegen(context, builder, signature, args):
            made = []
            for place, (kind, index) in enumerate(zip(kinds, indices, strict=True)):
                value = builder.extract_value(args[0], place)
                if index is not None:
                    number = cgutils.create_struct_proxy(kind)(context, builder)
                    number.value, number.alpha = value, args[1]
                    setattr(number, f"d{index}", context.get_constant(alpha, 1.0))
                    value = number._getvalue()
                made.append(value)
            return context.make_tuple(builder, result, made)

        return result(values, alpha), codegen

    return numbers


@intrinsic
def stream(typingctx, a, place, address):
    """Write `STREAMED` bytes from a place of an array to an address that is a multiple of them, past the caches: the memory there
    is not read first, as it is for other stores. `fence` before another thread reads it."""

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(context.get_data_type(a.dtype), STREAMED // (a.dtype.bitwidth // 8))
        data = context.make_array(a)(context, builder, args[0]).data
        value = builder.load(builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer()), align=a.dtype.bitwidth // 8)
        stored = builder.store(value, builder.inttoptr(args[2], kind.as_pointer()), align=STREAMED)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(a, types.int64, types.int64), codegen


@intrinsic
def fence(typingctx):
    """Wait until everything written is there for other threads."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen
