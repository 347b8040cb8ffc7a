"""Products of spikes with weights: what neurons receive from those that fire, whose number is small.

    y[b, i] = sum_j W[i, j] x[b, j],    j ascending, 0 where x[b, j] = 0

A term is a product and then a sum, each rounded, in this order wherever the product is formed: so a layer over time, which forms
it from the columns of those that fire (`column_functions`), has the bits of its cell, which forms it for many samples at once
(`compile_product`), for any number of threads and samples.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eventsim.cpu.pointers import KERNEL, atomic_add, values_at, view
from eventsim.cpu.scalar import REALS
from eventsim.jit import compile_callback, compiled_once
from eventsim.jit import jit_borrowing as jit
from norse_bridge.fused.stamp import stamp

LANE_BYTES = 64  # of a vector: one register where they are long, two or four where they are short
TILE, TOGETHER = (4, 2) if get_host_cpu_features().get("avx512f") else (6, 1)
"""Rows, and vectors of each, whose products are formed at once where most of their numbers are not 0: as many sums as the registers
hold, which are 32 of a whole vector, or 16 of half of one. The bits do not depend on it."""
DENSE = 0.3  # share of numbers that are not 0 from which that is faster
SUMS = 6  # vectors of sums at once: as many as leave room for their factors in the registers of every processor
_INT64 = ir.IntType(64)

# Words of a context of `compile_product`
(
    INPUTS,  # neurons that send
    OUTPUTS,  # neurons that receive
    SAMPLES,
    WEIGHTS,  # the address of (outputs, inputs)
    FROM,  # the address of (samples, inputs)
    TO,  # the address of (samples, outputs)
    SCRATCH,  # the address of the workers' own memory, see `scratch_bytes`
    NEXT,  # the first pair of a group of samples and a block of outputs that no worker has taken
    SIZE,
) = range(9)


@functools.cache
def lanes_of(dtype) -> int:
    """Numbers of a vector."""
    return LANE_BYTES // np.dtype(dtype).itemsize


@functools.cache
def columns_of(dtype) -> int:
    """Receiving neurons whose sums are formed at once."""
    return SUMS * lanes_of(dtype)


def _accumulate(builder, begin, count, add):
    """Vectors of sums over k = 0 ... count - 1: ``add(k, sums) -> sums``. begin : the sums to begin with"""
    sums = [cgutils.alloca_once(builder, value.type) for value in begin]
    for value, place in zip(begin, sums, strict=True):
        builder.store(value, place)
    with cgutils.for_range(builder, count) as loop:
        for place, value in zip(sums, add(loop.index, [builder.load(place) for place in sums]), strict=True):
            builder.store(value, place)
    return [builder.load(place) for place in sums]


def _zeros(vector, many=SUMS):
    """As many vectors of zeros."""
    return [ir.Constant(vector, [0.0] * vector.count)] * many


def _splat(builder, number, vector):
    """A vector of one number."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def _at(builder, address, number, index):
    """A pointer to element ``index`` of the numbers at an address."""
    return builder.gep(builder.inttoptr(address, number.as_pointer()), [index])


def _fma(builder, a, b, c):
    """``a * b + c``, vectors, rounded once."""
    vector = a.type
    bits = 64 if isinstance(vector.element, ir.DoubleType) else 32
    kind, name = ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{vector.count}f{bits}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@functools.cache
def _sum_columns(real: Any, more: bool):
    """An intrinsic ``(block, indices, values, count, out)``: the sum over k of ``values[k]`` times row ``indices[k]`` of a block of
    `columns_of` columns, to ``out``; all are addresses but ``count``. more : whether it is added to what is there, term by term"""
    width = real.bitwidth // 8
    lanes = lanes_of(f"f{width}")

    @intrinsic
    def sum_columns(typingctx, block, indices, values, count, out):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(real)
            vector = ir.VectorType(number, lanes)
            block, indices, values, count, out = args

            def add(k, sums):
                row = builder.sext(builder.load(_at(builder, indices, ir.IntType(32), k)), _INT64)
                factor = _splat(builder, builder.load(_at(builder, values, number, k)), vector)
                first = builder.mul(row, _INT64(SUMS * lanes))
                made = []
                for place, total in enumerate(sums):
                    found = _at(builder, block, number, builder.add(first, _INT64(place * lanes)))
                    weights = builder.load(builder.bitcast(found, vector.as_pointer()), align=width)
                    made.append(_fma(builder, factor, weights, total))
                return made

            to = [_at(builder, out, number, _INT64(place * lanes)) for place in range(SUMS)]
            to = [builder.bitcast(at, vector.as_pointer()) for at in to]
            begin = [builder.load(at, align=width) for at in to] if more else _zeros(vector)
            for at, total in zip(to, _accumulate(builder, begin, count, add), strict=True):
                builder.store(total, at, align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return sum_columns


@functools.cache
def _sum_tile(real: Any, more: bool):
    """An intrinsic ``(block, rows, count, out)``: for each of `TILE` rows of numbers, with their addresses at ``rows``, the sum
    over k < count of its k-th number times row k of a block of `columns_of` columns, to ``out``.
    All are addresses but ``count``. more : as in `_sum_columns`"""
    width = real.bitwidth // 8
    lanes = lanes_of(f"f{width}")

    @intrinsic
    def sum_tile(typingctx, block, rows, count, out):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(real)
            vector = ir.VectorType(number, lanes)
            block, rows, count, out = args
            addresses = [builder.load(_at(builder, rows, _INT64, _INT64(place))) for place in range(TILE)]
            for part in range(0, SUMS, TOGETHER):

                def add(k, sums, part=part):
                    first = builder.add(builder.mul(k, _INT64(SUMS * lanes)), _INT64(part * lanes))
                    places = [_at(builder, block, number, builder.add(first, _INT64(v * lanes))) for v in range(TOGETHER)]
                    weights = [builder.load(builder.bitcast(place, vector.as_pointer()), align=width) for place in places]
                    factors = [_splat(builder, builder.load(_at(builder, row, number, k)), vector) for row in addresses]
                    pairs = [(factor, w) for factor in factors for w in weights]
                    return [_fma(builder, *pair, total) for pair, total in zip(pairs, sums, strict=True)]

                to = [(place // TOGETHER * SUMS + part + place % TOGETHER) * lanes for place in range(TILE * TOGETHER)]
                to = [builder.bitcast(_at(builder, out, number, _INT64(at)), vector.as_pointer()) for at in to]
                begin = [builder.load(at, align=width) for at in to] if more else _zeros(vector, TILE * TOGETHER)
                for at, total in zip(to, _accumulate(builder, begin, count, add), strict=True):
                    builder.store(total, at, align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), codegen

    return sum_tile


@functools.cache
def _sum_lanes(real: Any):
    """An intrinsic ``(rows, indices, values, count, out)``: for each of `SUMS` rows of weights, with their addresses at ``rows``,
    the sum over k of its element ``indices[k]`` times the k-th vector of ``values``, to ``out``.
    All are addresses but ``count``."""
    width = real.bitwidth // 8
    lanes = lanes_of(f"f{width}")

    @intrinsic
    def sum_lanes(typingctx, rows, indices, values, count, out):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(real)
            vector = ir.VectorType(number, lanes)
            rows, indices, values, count, out = args
            addresses = [builder.load(_at(builder, rows, _INT64, _INT64(place))) for place in range(SUMS)]

            def add(k, sums):
                j = builder.sext(builder.load(_at(builder, indices, ir.IntType(32), k)), _INT64)
                at = _at(builder, values, number, builder.mul(k, _INT64(lanes)))
                factors = builder.load(builder.bitcast(at, vector.as_pointer()), align=width)
                weights = [_splat(builder, builder.load(_at(builder, row, number, j)), vector) for row in addresses]
                return [_fma(builder, factors, w, total) for total, w in zip(sums, weights, strict=True)]

            for place, total in enumerate(_accumulate(builder, _zeros(vector), count, add)):
                at = _at(builder, out, number, _INT64(place * lanes))
                builder.store(total, builder.bitcast(at, vector.as_pointer()), align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return sum_lanes


@functools.cache
def column_functions(real: Any, more: bool = False):
    """``(compress, sum_blocks)``, the two halves of a product with weights `in_blocks`. more : whether `sum_blocks` adds its terms,
    one after another, to what is there"""
    width = real.bitwidth // 8
    columns, sum_columns, sum_tile = columns_of(f"f{width}"), _sum_columns(real, more), _sum_tile(real, more)

    @jit
    def compress(source, inputs, indices, values):
        """Places and values of those of ``inputs`` numbers that are not 0, in ascending order; how many there are."""
        given, at, kept = view(source, inputs, real), view(indices, inputs, types.int32), view(values, inputs, real)
        found = 0
        for j in range(inputs):
            one = given[j]
            at[found] = j
            kept[found] = one
            found += one != 0
        return found

    @jit
    def copy(out, source, n):
        """Copy n numbers."""
        to, given = view(out, n, real), view(source, n, real)
        for c in range(n):
            to[c] = given[c]

    @jit
    def undefined(made, rows, n):
        """Whether any of the first n sums of these rows is NaN."""
        sums, found = view(made, rows * columns, real), False
        for r in range(rows):
            for c in range(n):
                found |= sums[r * columns + c] != sums[r * columns + c]
        return found

    @jit
    def place_of(r, group, stride, length, first):
        """Where number ``first`` of row r lies, in bytes, see below."""
        return ((r // group * stride + r % group) * length + first) * width

    @jit
    def sum_blocks(weights, inputs, outputs, rows, source, indices, values, counts, out, group, stride, spare):
        """The products of as many rows with weights `in_blocks`, to rows of ``outputs`` numbers.

        source, out : the rows: ``group`` of them one after another, then as many ``stride`` rows further on
        indices, values, counts : the same rows as `compress` gives them, each ``inputs`` places after the one before
        spare : memory for `spare_bytes`
        """
        count, row = view(counts, rows, types.int64), view(spare, TILE, types.int64)
        made = spare + LANE_BYTES
        for first in range(0, outputs, columns):
            n = min(columns, outputs - first)
            block = weights + first * inputs * width
            for begin in range(0, rows, TILE):
                end, found = min(rows, begin + TILE), 0
                for r in range(begin, end):
                    found += count[r]
                    if more:
                        copy(made + (r - begin) * columns * width, out + place_of(r, group, stride, outputs, first), n)
                dense = found > DENSE * TILE * inputs
                if dense:
                    for k in range(TILE):
                        row[k] = source + place_of(min(begin + k, rows - 1), group, stride, inputs, 0)
                    sum_tile(block, spare, inputs, made)
                if not dense or undefined(made, end - begin, n):  # 0 times infinity counts in a tile, but shall not
                    for r in range(begin, end):
                        mine = made + (r - begin) * columns * width
                        if more and dense:
                            copy(mine, out + place_of(r, group, stride, outputs, first), n)
                        sum_columns(block, indices + r * inputs * 4, values + r * inputs * width, count[r], mine)
                for r in range(begin, end):
                    copy(out + place_of(r, group, stride, outputs, first), made + (r - begin) * columns * width, n)

    return compress, sum_blocks


def spare_bytes(dtype) -> int:
    """What `column_functions`' sums need: addresses, and the sums of a tile."""
    return LANE_BYTES + TILE * LANE_BYTES * SUMS


def in_blocks(matrix):
    """A matrix (inputs, outputs) as (blocks, inputs, `columns_of`): what `sum_blocks` reads for one block lies together; the last
    block is filled up with zeros."""
    import torch

    inputs, outputs = matrix.shape
    columns = columns_of(np.float64 if matrix.dtype == torch.float64 else np.float32)
    blocks = -(-outputs // columns)
    padded = torch.nn.functional.pad(matrix, (0, blocks * columns - outputs))
    return padded.reshape(inputs, blocks, columns).transpose(0, 1).contiguous()


@functools.cache
def scratch_bytes(inputs: int, dtype) -> int:
    """The memory of one worker of the kernel below: indices, values of all lanes, sums, addresses."""
    width, lanes = np.dtype(dtype).itemsize, lanes_of(dtype)
    return -(-(4 * inputs + width * lanes * (inputs + SUMS) + 8 * SUMS) // LANE_BYTES) * LANE_BYTES


@compiled_once
def compile_product(dtype: np.dtype):
    """The kernel ``(context, worker, pairs)`` of a product for all samples; it takes pairs of a group of samples, as many as a
    vector has lanes, and a block of outputs, as long as there are any."""
    real, width, lanes, step = REALS[dtype], dtype.itemsize, lanes_of(dtype), columns_of(dtype)
    sum_lanes = _sum_lanes(real)

    @jit
    def compress_lanes(source, inputs, samples, indices, values):
        given, at, kept = (
            view(source, inputs * samples, real),
            view(indices, inputs, types.int32),
            view(values, inputs * lanes, real),
        )
        found = 0
        for j in range(inputs):
            fires = False
            for lane in range(samples):
                one = given[lane * inputs + j]
                kept[found * lanes + lane] = one
                fires |= one != 0
            for lane in range(samples, lanes):
                kept[found * lanes + lane] = 0
            at[found] = j
            found += fires
        return found

    def kernel(context, worker, pairs):
        c = values_at(context, SIZE)
        inputs, outputs = c[INPUTS], c[OUTPUTS]
        addresses = c[SCRATCH]  # of rows of weights
        sums = addresses + 8 * SUMS
        values = sums + width * lanes * SUMS
        indices = values + width * lanes * inputs
        size = indices + 4 * inputs - addresses
        mine = worker * (-(-size // LANE_BYTES) * LANE_BYTES)
        row, total = view(addresses + mine, SUMS, types.int64), view(sums + mine, SUMS * lanes, real)
        to = view(c[TO], c[SAMPLES] * outputs, real)
        blocks = -(-outputs // step)
        present, count = -1, 0
        pair = atomic_add(c, NEXT, 1)
        while pair < pairs:
            first = pair // blocks * lanes
            samples = min(lanes, c[SAMPLES] - first)
            if first != present:
                count = compress_lanes(c[FROM] + first * inputs * width, inputs, samples, indices + mine, values + mine)
                present = first
            begin = pair % blocks * step
            for o in range(begin, min(outputs, begin + step), SUMS):
                for place in range(SUMS):
                    row[place] = c[WEIGHTS] + min(o + place, outputs - 1) * inputs * width
                sum_lanes(addresses + mine, indices + mine, values + mine, count, sums + mine)
                for place in range(min(SUMS, outputs - o)):
                    for lane in range(samples):
                        to[(first + lane) * outputs + o + place] = total[place * lanes + lane]
            pair = atomic_add(c, NEXT, 1)
        return 0

    return compile_callback(KERNEL, kernel, f"{stamp()} products {dtype}", borrowing=True)
