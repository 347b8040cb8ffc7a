"""exp, expm1 and sqrt without a branch or a call, so that a loop over neurons is done several at a time; as scalars the same bits.

x = k log 2 + r with an integer k and |r| <= log(2)/2; e = expm1(r) is its Taylor polynomial up to r**13, whose error is below
2e-17 r; then exp(x) = 2**k + 2**k e and expm1(x) = (2**k - 1) + 2**k e. Both are within two units in the last place. Source: Tang
(1992), ACM Trans. Math. Softw. 18:211; log 2 in two parts after Cody & Waite (1980).

exp is 0 below -708, where its results would be subnormal soon, and both are inf above 709.7.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eventsim.cpu.scalar import scalar_ops
from eventsim.jit import jit_borrowing as jit
from eventsim.ops import SMALL, Ops

PER_LOG2 = 1.0 / math.log(2.0)
HIGH, LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")  # of log 2; k HIGH is exact
ROUND = 1.5 * 2.0**52  # added and taken away again it rounds to an integer, which stands in the lowest bits in between
LEAST, MOST = -708.0, 709.7
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 = (1.0 / math.factorial(n) for n in range(2, 14))
BIAS, MANTISSA = 1023, 52  # of a float64


@intrinsic
def _bits(typingctx, x):
    """The bits of a float64 as an int64."""
    return types.int64(types.float64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def _number(typingctx, bits):
    """The float64 of these bits."""
    return types.float64(types.int64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.DoubleType())


@jit
def _reduced(x):
    """``(2**(k - 1), expm1(r))``: 2**k itself may be too large"""
    shifted = x * PER_LOG2 + ROUND
    k = shifted - ROUND
    far = x - k * HIGH
    r = far - k * LOW
    rest = (far - r) - k * LOW
    r2 = r * r
    low = (C2 + r * C3) + r2 * (C4 + r * C5)
    middle = (C6 + r * C7) + r2 * (C8 + r * C9)
    high = (C10 + r * C11) + r2 * (C12 + r * C13)
    r4 = r2 * r2
    e = r + (r2 * (low + r4 * (middle + r4 * high)) + rest)
    return _number((_bits(shifted) + BIAS - 1) << MANTISSA), e


@jit
def exp(x):
    """exp(x). float64"""
    half, e = _reduced(min(max(x, LEAST), MOST))
    value = 2.0 * (half + half * e)
    value = 0.0 if x < LEAST else value
    return math.inf if x > MOST else value


@jit
def expm1(x):
    """exp(x) - 1. float64"""
    half, e = _reduced(min(max(x, LEAST), MOST))
    value = 2.0 * ((half - 0.5) + half * e)
    return math.inf if x > MOST else value


@jit
def phi(x):
    """As `eventsim.ops.phi`. float64"""
    small = abs(x) < SMALL
    return 1.0 - 0.5 * x if small else -expm1(-x) / (1.0 if small else x)


@intrinsic
def _root(typingctx, x):
    """The square root of a float64, which processors know: Numba's is the C library's, a call."""

    def codegen(context, builder, signature, args):
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.DoubleType()]), args)

    return types.float64(types.float64), codegen


@jit
def sqrt(x):
    """The square root of x. float64"""
    return _root(x)


@functools.cache
def flow_ops() -> Ops:
    """The operations on scalars of float64, with these exponentials."""
    return scalar_ops(np.dtype(np.float64))._replace(exp=exp, expm1=expm1, phi=phi, sqrt=sqrt)
