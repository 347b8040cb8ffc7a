"""Stored weights as numbers of the state's type: one at a time, or four that are loaded and converted as a vector (float64: two).

float16 is stored as its bits (Numba has no such type on processors). Moved to the place of a float's, with their sign spread over
the bits above and cut out again, they are the number times 2**-112; the product with 2**112 is exact.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

FOUR = 4
_PLACE, _MASK, _SCALE = 13, 0x8FFFE000, 2.0**112
_INT32 = ir.IntType(32)
# How an inline assembler calls a register that holds a vector of 128 bits: all processors of these kinds have it, wider ones not.
_BITS = 128
_REGISTER = {"x86_64": "x", "amd64": "x", "aarch64": "w", "arm64": "w"}.get(platform.machine().lower())


def _like(kind: Any, element: Any) -> Any:
    """A type of elements for values of a kind: itself, or as many of it as the kind's vector has."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def _same(kind: Any, number: Any) -> ir.Constant:
    """A number, or a vector of it."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


def _converted(context: Any, builder: Any, value: Any, stored: Any, real: Any) -> Any:
    """A stored weight, or a vector of some, as a number of type ``real``."""
    if stored == types.uint16:
        wide, single = _like(value.type, _INT32), _like(value.type, ir.FloatType())
        moved = builder.shl(builder.sext(value, wide), _same(wide, _PLACE))
        bits = builder.and_(moved, _same(wide, _MASK - 2**32))
        value, stored = builder.fmul(builder.bitcast(bits, single), _same(single, _SCALE)), types.float32
    wanted = _like(value.type, context.get_data_type(real))
    if real.bitwidth > stored.bitwidth:
        return builder.fpext(value, wanted)
    return builder.fptrunc(value, wanted) if real.bitwidth < stored.bitwidth else value


@intrinsic
def weight_at(typingctx, weights, index, real):
    """The weight at an index of a contiguous array."""
    stored, number = weights.dtype, real.dtype

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return _converted(context, builder, builder.load(builder.gep(array.data, [args[1]])), stored, number)

    return number(weights, types.int64, real), codegen


@intrinsic
def four_weights_at(typingctx, weights, index, real):
    """The four weights from an index of a contiguous array on, as a tuple.

    Loaded one by one, as the compiler would if it could, a float32 weight takes one of the two loads of floating point numbers
    that a processor begins in a cycle, and the input that it is added to takes the other.
    """
    stored, number = weights.dtype, real.dtype

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        lanes = min(FOUR, _BITS // number.bitwidth)
        kind = ir.VectorType(context.get_data_type(stored), lanes)
        found = []
        for first in range(0, FOUR, lanes):
            place = builder.gep(array.data, [builder.add(args[1], args[1].type(first))])
            loaded = builder.load(builder.bitcast(place, kind.as_pointer()), align=stored.bitwidth // 8)
            vector = _converted(context, builder, loaded, stored, number)
            if _REGISTER is not None:  # the compiler knows nothing of what comes out, and so cannot take it apart
                same = ir.InlineAsm(ir.FunctionType(vector.type, [vector.type]), "", f"={_REGISTER},0")
                vector = builder.call(same, [vector])
            found += [builder.extract_element(vector, _INT32(k)) for k in range(lanes)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(number, FOUR)(weights, types.int64, real), codegen
