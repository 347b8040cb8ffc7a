"""Products of spikes with weights: what neurons receive from those that fire, whose number is small.

    y[b, i] = sum_j W[i, j] x[b, j],    j ascending, 0 where x[b, j] = 0

A term is a product and then a sum, each rounded, in this order wherever the product is formed: so a layer over time, which forms
it from the columns of those that fire (`add_columns`), has the bits of its cell, which forms it for many samples at once
(`make_product`), for any number of threads and samples.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eventsim.cpu.pointers import KERNEL, atomic_add, values_at, view
from eventsim.cpu.scalar import REALS
from eventsim.jit import compile_callback, compiled_once
from eventsim.jit import jit_borrowing as jit
from norse_bridge.fused.stamp import stamp

LANE_BYTES = 64  # of a vector: one register where they are long, two or four where they are short
TILE = 4  # rows whose products are formed at once where most of their numbers are not 0
DENSE = 0.6  # share of numbers that are not 0 from which that is faster
SUMS = 6  # vectors of sums at once: as many as leave room for their factors in the registers of every processor
_INT64 = ir.IntType(64)

# Words of a context of `make_product`
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


def _accumulate(builder, vector, count, add, many=SUMS):
    """As many vectors of sums over k = 0 ... count - 1: ``add(k, sums) -> sums``."""
    sums = [cgutils.alloca_once(builder, vector) for _ in range(many)]
    for place in sums:
        builder.store(ir.Constant(vector, [0.0] * vector.count), place)
    with cgutils.for_range(builder, count) as loop:
        for place, value in zip(sums, add(loop.index, [builder.load(place) for place in sums]), strict=True):
            builder.store(value, place)
    return [builder.load(place) for place in sums]


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
def _sum_columns(real: Any):
    """An intrinsic ``(block, indices, values, count, out)``: the sum over k of ``values[k]`` times row ``indices[k]`` of a block of
    `columns_of` columns, to ``out``; all are addresses but ``count``."""
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

            for place, total in enumerate(_accumulate(builder, vector, count, add)):
                at = _at(builder, out, number, _INT64(place * lanes))
                builder.store(total, builder.bitcast(at, vector.as_pointer()), align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return sum_columns


@functools.cache
def _sum_tile(real: Any):
    """An intrinsic ``(block, rows, count, out)``: for each of `TILE` rows of numbers, with their addresses at ``rows``, the sum
    over k < count of its k-th number times row k of a block of `columns_of` columns, to ``out``.
    All are addresses but ``count``."""
    width = real.bitwidth // 8
    lanes = lanes_of(f"f{width}")
    together = 2  # vectors of a row of the block

    @intrinsic
    def sum_tile(typingctx, block, rows, count, out):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(real)
            vector = ir.VectorType(number, lanes)
            block, rows, count, out = args
            addresses = [builder.load(_at(builder, rows, _INT64, _INT64(place))) for place in range(TILE)]
            for part in range(0, SUMS, together):

                def add(k, sums, part=part):
                    first = builder.add(builder.mul(k, _INT64(SUMS * lanes)), _INT64(part * lanes))
                    places = [_at(builder, block, number, builder.add(first, _INT64(v * lanes))) for v in range(together)]
                    weights = [builder.load(builder.bitcast(place, vector.as_pointer()), align=width) for place in places]
                    factors = [_splat(builder, builder.load(_at(builder, row, number, k)), vector) for row in addresses]
                    pairs = [(factor, w) for factor in factors for w in weights]
                    return [_fma(builder, *pair, total) for pair, total in zip(pairs, sums, strict=True)]

                for place, total in enumerate(_accumulate(builder, vector, count, add, TILE * together)):
                    row, column = place // together, part + place % together
                    at = _at(builder, out, number, _INT64((row * SUMS + column) * lanes))
                    builder.store(total, builder.bitcast(at, vector.as_pointer()), align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), codegen

    return sum_tile


@functools.cache
def _add_columns(real: Any):
    """An intrinsic ``(block, indices, values, count, given)``: add ``values[k]`` times the `columns_of` numbers at ``given`` to row
    ``indices[k]`` of a block, for every k; all are addresses but ``count``."""
    width = real.bitwidth // 8
    lanes = lanes_of(f"f{width}")

    @intrinsic
    def add_columns(typingctx, block, indices, values, count, given):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(real)
            vector = ir.VectorType(number, lanes)
            block, indices, values, count, given = args
            pointer = [builder.bitcast(_at(builder, given, number, _INT64(v * lanes)), vector.as_pointer()) for v in range(SUMS)]
            added = [builder.load(one, align=width) for one in pointer]
            with cgutils.for_range(builder, count) as loop:
                row = builder.sext(builder.load(_at(builder, indices, ir.IntType(32), loop.index)), _INT64)
                factor = _splat(builder, builder.load(_at(builder, values, number, loop.index)), vector)
                first = builder.mul(row, _INT64(SUMS * lanes))
                for v, one in enumerate(added):
                    found = _at(builder, block, number, builder.add(first, _INT64(v * lanes)))
                    place = builder.bitcast(found, vector.as_pointer())
                    builder.store(_fma(builder, factor, one, builder.load(place, align=width)), place, align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return add_columns


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

            for place, total in enumerate(_accumulate(builder, vector, count, add)):
                at = _at(builder, out, number, _INT64(place * lanes))
                builder.store(total, builder.bitcast(at, vector.as_pointer()), align=width)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return sum_lanes


@functools.cache
def column_functions(real: Any):
    """``(compress, sum_blocks)``, the two halves of a product with weights `in_blocks`."""
    width = real.bitwidth // 8
    columns, sum_columns, sum_tile = columns_of(f"f{width}"), _sum_columns(real), _sum_tile(real)

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
    def take(made, out, n):
        """The first n sums of a block."""
        to, given = view(out, n, real), view(made, n, real)
        for c in range(n):
            to[c] = given[c]

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
                if found > DENSE * TILE * inputs:
                    for place in range(TILE):
                        r = min(begin + place, rows - 1)
                        row[place] = source + (r // group * stride + r % group) * inputs * width
                    sum_tile(block, spare, inputs, made)
                for r in range(begin, end):
                    if found <= DENSE * TILE * inputs:
                        sum_columns(block, indices + r * inputs * 4, values + r * inputs * width, count[r], made)
                    mine = made if found <= DENSE * TILE * inputs else made + (r - begin) * columns * width
                    take(mine, out + ((r // group * stride + r % group) * outputs + first) * width, n)

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


def out_of_blocks(blocks, outputs: int):
    """The matrix (inputs, outputs) that `in_blocks` made blocks of."""
    _, inputs, columns = blocks.shape
    return blocks.transpose(0, 1).reshape(inputs, -1)[:, :outputs]


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


# Words of a context of `compile_outer`
(
    ROWS,
    OF_INPUTS,
    OF_OUTPUTS,
    X,  # the address of (rows, inputs)
    GRADIENT,  # the address of (rows, outputs)
    SUM,  # the address of (blocks, inputs, `columns_of`)
    OUTER_SCRATCH,  # the address of the workers' own memory, see `outer_bytes`
    OUTER_NEXT,  # the first block that no worker has taken
    OUTER_SIZE,
) = range(9)


def outer_bytes(rows: int, inputs: int, dtype) -> int:
    """The memory of one worker of the kernel below: values, indices, counts, a block's width of a gradient."""
    size = rows * inputs * (np.dtype(dtype).itemsize + 4) + 8 * rows + SUMS * LANE_BYTES
    return -(-size // LANE_BYTES) * LANE_BYTES


@compiled_once
def compile_outer(dtype: np.dtype):
    """The kernel ``(context, worker, blocks)`` that adds ``x^T g`` to SUM, the gradient of weights: for each row the gradient g
    times those of x that are not 0, rows in ascending order. A worker takes blocks of outputs as long as there are any."""
    real, width, columns = REALS[dtype], dtype.itemsize, columns_of(dtype)
    (compress, _), add_columns = column_functions(real), _add_columns(real)

    def kernel(context, worker, blocks):
        c = values_at(context, OUTER_SIZE)
        rows, inputs, outputs = c[ROWS], c[OF_INPUTS], c[OF_OUTPUTS]
        size = rows * inputs * (width + 4) + 8 * rows + SUMS * LANE_BYTES
        given = c[OUTER_SCRATCH] + worker * (-(-size // LANE_BYTES) * LANE_BYTES)
        counts = given + SUMS * LANE_BYTES
        values = counts + 8 * rows
        indices = values + rows * inputs * width
        count, some = view(counts, rows, types.int64), view(given, columns, real)
        block = atomic_add(c, OUTER_NEXT, 1)
        if block < blocks:
            for r in range(rows):
                count[r] = compress(c[X] + r * inputs * width, inputs, indices + r * inputs * 4, values + r * inputs * width)
        while block < blocks:
            n = min(columns, outputs - block * columns)
            for r in range(rows):
                gradient = view(c[GRADIENT] + (r * outputs + block * columns) * width, n, real)
                for place in range(n):
                    some[place] = gradient[place]
                for place in range(n, columns):
                    some[place] = 0
                to = c[SUM] + block * inputs * columns * width
                add_columns(to, indices + r * inputs * 4, values + r * inputs * width, count[r], given)
            block = atomic_add(c, OUTER_NEXT, 1)
        return 0

    return compile_callback(KERNEL, kernel, f"{stamp()} outer {dtype}", borrowing=True)
