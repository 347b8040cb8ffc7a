"""Random numbers that are pure functions of (key, counters): Philox4x32-10, with no state to carry or to share.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The same key and counter give the same numbers
in any thread, in any order; so a network, or a stimulus, does not depend on how the work is divided.
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.errors import SimulationError
from eventsim.jit import jit, jit_borrowing

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_32, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_LN2_HI, _LN2_LO, _PER_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.44269504088896338700
_L1, _L2, _L3, _L4 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01
_L5, _L6, _L7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
_P1, _P2, _P3, _P4, _P5 = (
    1.66666666666666019037e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_WHOLE = 1.5 * 2.0**52  # added to a float64 of less than 2**51, it leaves the nearest whole number
_S0, _S1, _S2, _S3, _S4, _S5, _S6, _S7, _S8, _S9, _S10 = (
    (-1) ** n * math.pi ** (2 * n + 1) / math.factorial(2 * n + 1) for n in range(11)
)

NORMAL_REACH = 8.58
"""No draw of `normal` lies further from 0: the smallest uniform is 2**-53, and sqrt(-2 ln 2**-53) = 8.572."""


def _mix(word: int) -> int:
    """The finaliser of SplitMix64: a bijection of 64-bit words in which every input bit moves every output bit."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def key(seed: int, *stream: int) -> np.uint64:
    """The 64-bit key of a stream of a seed: ``state = mix((state + golden) ^ word)`` over the seed, then the stream's numbers.

    Each step is a bijection of its word, so streams that differ in the last number only never share a key.

    seed : 0 .. 2**64 - 1
    stream : whole numbers that name what the numbers are for, taken modulo 2**64
    """
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) <= _MASK:
        raise SimulationError(f"seed must be a whole number from 0 to 2**64 - 1, not {seed!r}")
    state = 0
    for word in (seed, *stream):
        state = _mix(((state + _GOLDEN) ^ int(word)) & _MASK)
    return np.uint64(state)


@jit
def _round(c0, c1, c2, c3, k0, k1):
    """One round of Philox4x32 and of its key schedule, on 32-bit words held in uint64; modifies nothing."""
    # uint32 operations promote to uint64 in Numba anyway; with masks instead of casts LLVM vectorises them.
    p0, p1 = _M0 * c0, _M1 * c2
    return (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW, (k0 + _W0) & _LOW, (k1 + _W1) & _LOW


@jit
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: counter (4 uint32) and key (2 uint32) -> 4 uint32; modifies nothing."""
    c0, c1, c2, c3, k0, k1 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3), np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        c0, c1, c2, c3, k0, k1 = _round(c0, c1, c2, c3, k0, k1)
    return np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


@jit_borrowing
def draw4_each(key, a, b, count, out_bits):
    """Writes `draw4` of counters (a[j], b) to ``out_bits[:, j]``, uint32 (4, at least count); a: int64 (at least count,)."""
    o0, o1, o2, o3 = out_bits[0], out_bits[1], out_bits[2], out_bits[3]
    for j in range(count):
        # The rounds stand here because LLVM inlines no function as long as `philox`, and then does not vectorise: 1 ns, not 9.
        c0, c1, c2, c3 = np.uint64(a[j]) & _LOW, np.uint64(a[j]) >> _32, b & _LOW, b >> _32
        k0, k1 = key & _LOW, key >> _32
        for _ in range(10):
            c0, c1, c2, c3, k0, k1 = _round(c0, c1, c2, c3, k0, k1)
        o0[j], o1[j], o2[j], o3[j] = np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


@jit
def draw4(key, a, b):
    """Four uint32 for a 64-bit key and the 128-bit counter (a low, b high), all uint64; modifies nothing."""
    return philox(np.uint32(a), np.uint32(a >> _32), np.uint32(b), np.uint32(b >> _32), np.uint32(key), np.uint32(key >> _32))


@jit
def uniform(bits):
    """A number in the open interval (0, 1) from one uint32: (bits + 1/2) / 2**32, exact in float64; modifies nothing."""
    return (np.float64(np.int64(bits)) + 0.5) * 2.0**-32


@jit
def uniform53(hi, lo):
    """A number in [0, 1) from two uint32: a multiple of 2**-53; modifies nothing. ``1 - uniform53`` is in (0, 1]."""
    return np.float64((np.int64(hi >> np.uint32(5)) << np.int64(26)) | np.int64(lo >> np.uint32(6))) * 2.0**-53


@jit
def bounded(hi, lo, n):
    """An int64 index in 0 .. n-1 from 64 random bits, 1 <= n <= 2**31: floor(bits * n / 2**64); modifies nothing.

    The chance of an index is off by less than n / 2**64 of itself (Lemire 2019, without the rejection).
    """
    n = np.uint64(n) & _LOW  # the mask tells LLVM that products of 32 bits will do
    return np.int64((np.uint64(hi) * n + ((np.uint64(lo) * n) >> _32)) >> _32)


@jit
def log(x):
    """The natural logarithm of a normal float64 x > 0, within 1 ulp; modifies nothing.

    That of fdlibm (Sun Microsystems 1993): x = 2**k (1 + f), s = f / (2 + f), log(1 + f) = f - s (f - R(s**2)). Of + - * / only:
    so it vectorises, and gives the same networks on every machine, which the C library's does not.
    """
    bits = np.float64(x).view(np.int64)
    # Both constants are those of sqrt(1/2): the mantissa falls into [sqrt(1/2), sqrt(2)).
    shifted = bits - np.int64(0x3FE6A09E667F3BCD)
    k = np.float64(np.int32(shifted >> np.int64(52)))
    f = np.int64((shifted & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(0x3FE6A09E667F3BCD)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = z * (_L1 + z * (_L2 + z * (_L3 + z * (_L4 + z * (_L5 + z * (_L6 + z * _L7))))))
    half = 0.5 * f * f
    return k * _LN2_HI - ((half - (s * (half + r) + k * _LN2_LO)) - f)


@jit
def nearest(x):
    """The whole number nearest to a float64 below 2**51 in magnitude, ties to even, as a float64; modifies nothing."""
    return (x + _WHOLE) - _WHOLE


@jit
def exp(x):
    """The exponential of a float64 below 709.7, within 1 ulp (of denormal results 2); modifies nothing.

    That of fdlibm, as `log`: x = k ln 2 + r, exp(r) = 1 + r + r c / (2 - c), c = r - r**2 P(r**2); of + - * / only.
    """
    x = max(x, -746.0)  # whose exponential is 0
    k = nearest(x * _PER_LN2)
    high, low = x - k * _LN2_HI, k * _LN2_LO
    r = high - low
    z = r * r
    c = r - z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * _P5))))
    y = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    # 2**k in two factors: one alone is no normal number where the result is none.
    half = np.int64(k) >> np.int64(1)
    first = np.int64((half + np.int64(1023)) << np.int64(52)).view(np.float64)
    return y * first * np.int64((np.int64(k) - half + np.int64(1023)) << np.int64(52)).view(np.float64)


@jit
def _sine(w):
    """sin(pi * w) for |w| <= 1/2, within 3e-16: eleven terms of its series; modifies nothing."""
    z = w * w
    even = _S2 + z * (_S3 + z * (_S4 + z * (_S5 + z * (_S6 + z * (_S7 + z * (_S8 + z * (_S9 + z * _S10)))))))
    return w * (_S0 + z * (_S1 + z * even))


@jit
def normal(r0, r1, r2, r3):
    """A standard normal number from four uint32, float64; modifies nothing.

    Box and Muller (1958): sqrt(-2 ln u) sin(angle); on the half circle from -pi/2 to pi/2 the sine has the law of the full one.
    """
    return math.sqrt(-2.0 * log(1.0 - uniform53(r0, r1))) * _sine(uniform53(r2, r3) - 0.5)


@jit_borrowing
def normal_each(bits, count, out):
    """Writes `normal` of ``bits[:, j]``, uint32 (4, at least count), to ``out[j]`` for j < count."""
    r0, r1, r2, r3 = bits[0], bits[1], bits[2], bits[3]
    # The parts of `normal`, each short enough to be inlined and vectorised; the same operations, so the same numbers.
    for j in range(count):
        out[j] = log(1.0 - uniform53(r0[j], r1[j]))
    for j in range(count):
        out[j] = math.sqrt(-2.0 * out[j]) * _sine(uniform53(r2[j], r3[j]) - 0.5)
