"""The gradient of weights: the sum over rows of outer products, where many numbers of x are 0.

    out[j, i] += sum_r x[r, j] g[r, i],    r ascending

It is the product of x, turned round, with g, and takes the sums of `norse_bridge.fused.products`.
"""

from __future__ import annotations

import numpy as np
from numba import types

from eventsim.cpu.pointers import KERNEL, atomic_add, values_at, view
from eventsim.cpu.scalar import REALS
from eventsim.jit import compile_callback, compiled_once
from norse_bridge.fused.products import LANE_BYTES, column_functions, spare_bytes
from norse_bridge.fused.stamp import stamp

PIECE = 64  # inputs that a worker takes at once

# Words of a context: addresses of arrays, and numbers
(
    ROWS,
    OUTPUTS,
    TURNED,  # x: (inputs, rows)
    GRADIENT,  # g `in_blocks`
    SUM,  # out: (inputs, outputs)
    SCRATCH,  # (workers, `worker_bytes`)
    NEXT,  # the first input that no worker has taken
    SIZE,
) = range(8)


def _sizes(rows: int, dtype) -> tuple[int, ...]:
    """The bytes of a worker's indices, values, counts and sums."""
    sizes = PIECE * rows * 4, PIECE * rows * np.dtype(dtype).itemsize, PIECE * 8, spare_bytes(dtype)
    return tuple(-(-size // LANE_BYTES) * LANE_BYTES for size in sizes)


def worker_bytes(rows: int, dtype) -> int:
    """The memory of one worker of the kernel below."""
    return sum(_sizes(rows, dtype))


@compiled_once
def compile_outer(dtype: np.dtype):
    """The kernel ``(context, worker, inputs)`` that adds to SUM."""
    real, width = REALS[dtype], dtype.itemsize
    compress, sum_blocks = column_functions(real, more=True)
    *_, counts_bytes, sums_bytes = _sizes(1, dtype)

    def kernel(context, worker, inputs):
        c = values_at(context, SIZE)
        rows, outputs = c[ROWS], c[OUTPUTS]
        per_input = rows * PIECE  # a multiple of `LANE_BYTES`
        size = per_input * (4 + width) + counts_bytes + sums_bytes
        indices = c[SCRATCH] + worker * size
        values = indices + per_input * 4
        counts = values + per_input * width
        count = view(counts, PIECE, types.int64)
        first = atomic_add(c, NEXT, PIECE)
        while first < inputs:
            n, source = min(PIECE, inputs - first), c[TURNED] + first * rows * width
            for j in range(n):
                count[j] = compress(source + j * rows * width, rows, indices + j * rows * 4, values + j * rows * width)
            out = c[SUM] + first * outputs * width
            sum_blocks(c[GRADIENT], rows, outputs, n, source, indices, values, counts, out, n, n, counts + counts_bytes)
            first = atomic_add(c, NEXT, PIECE)
        return 0

    return compile_callback(KERNEL, kernel, f"{stamp()} outer {dtype}", borrowing=True)
