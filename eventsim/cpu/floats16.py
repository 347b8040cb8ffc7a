"""float32 as the bits of the nearest float16: Numba has no such type on processors, and its loops have no call to NumPy."""

from __future__ import annotations

import numpy as np

from eventsim.jit import jit

_MAGNITUDE, _LEAST_NORMAL, _BIAS, _EDGE, _EDGE_BITS = 0x7FFFFFFF, 0x38800000, 112 << 10, np.float32(0.5), 0x3F000000


@jit
def half_bits(x):
    """The bits (uint16) of the float16 nearest to a float32 below 65,520 in magnitude, ties to even; modifies nothing."""
    bits = np.int64(np.float32(x).view(np.int32))
    size = bits & _MAGNITUDE
    if size >= _LEAST_NORMAL:
        half = ((size + 0xFFF + ((size >> 13) & 1)) >> 13) - _BIAS
    else:  # a multiple of 2**-24, the last place of numbers from 1/2 to 1
        half = np.int64(np.float32(np.float32(abs(x)) + _EDGE).view(np.int32) - _EDGE_BITS)
    return np.uint16(((bits >> 16) & 0x8000) | half)
