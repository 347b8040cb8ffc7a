"""The product of spikes with weights as an autograd function."""

from __future__ import annotations

import ctypes

import torch

from norse_bridge.fused import products
from norse_bridge.fused.memory import NUMPY_TYPE
from norse_bridge.fused.products import (
    columns_of,
    compile_outer,
    compile_product,
    lanes_of,
    out_of_blocks,
    outer_bytes,
    scratch_bytes,
)
from norse_bridge.fused.threads import run_on_threads

SMALL_WORK = 1 << 18  # products of two numbers below which one thread is as fast as several
AT_ONCE = 1 << 22  # numbers that a worker has room for
Words = ctypes.c_int64 * products.SIZE
OuterWords = ctypes.c_int64 * products.OUTER_SIZE


class Product(torch.autograd.Function):
    """``apply(x, weights) -> y``. x : (..., inputs); weights : (outputs, inputs); y : (..., outputs)"""

    @staticmethod
    def forward(ctx, x, weights):
        ctx.save_for_backward(x, weights)
        return multiply(x, weights)

    @staticmethod
    def backward(ctx, gradient):
        x, weights = ctx.saved_tensors
        of_x = gradient @ weights if ctx.needs_input_grad[0] else None
        rows = gradient.reshape(-1, len(weights)), x.reshape(-1, x.shape[-1])
        of_weights = rows[0].T @ rows[1] if ctx.needs_input_grad[1] else None
        return of_x, of_weights


def multiply(x, weights):
    """The product, by the kernel."""
    x, weights, kind = x.resolve_neg().contiguous(), weights.resolve_neg().contiguous(), NUMPY_TYPE[x.dtype]
    outputs, inputs = weights.shape
    y = x.new_empty((*x.shape[:-1], outputs))
    samples = y.numel() // max(1, outputs)
    pairs = -(-samples // lanes_of(kind)) * -(-outputs // columns_of(kind))
    workers = min(torch.get_num_threads(), pairs) if samples * inputs * outputs >= SMALL_WORK else 1
    scratch = torch.empty(workers * scratch_bytes(inputs, kind), dtype=torch.uint8)
    context = Words(inputs, outputs, samples, weights.data_ptr(), x.data_ptr(), y.data_ptr(), scratch.data_ptr())
    run_on_threads(compile_product(kind), context, pairs, workers)
    return y


class OuterSum:
    """The gradient of weights ``(outputs, inputs)``: the sum over all rows of ``g x^T``, to which rows are added piece by piece."""

    def __init__(self, inputs: int, outputs: int, like):
        self.outputs, self.kind = outputs, NUMPY_TYPE[like.dtype]
        columns = columns_of(self.kind)
        self.blocks = like.new_zeros((-(-outputs // columns), inputs, columns))

    def add(self, x, gradient):
        """x : (rows, inputs); gradient : (rows, outputs); both contiguous"""
        (rows, inputs), blocks = x.shape, len(self.blocks)
        piece = max(1, min(rows, AT_ONCE // max(1, inputs)))
        workers = min(torch.get_num_threads(), blocks) if rows * inputs * self.outputs >= SMALL_WORK else 1
        scratch = torch.empty(workers * outer_bytes(piece, inputs, self.kind), dtype=torch.uint8)
        for first in range(0, rows, piece):
            count = min(piece, rows - first)
            addresses = x[first].data_ptr(), gradient[first].data_ptr(), self.blocks.data_ptr(), scratch.data_ptr()
            run_on_threads(compile_outer(self.kind), OuterWords(count, inputs, self.outputs, *addresses), blocks, workers)

    def sum(self):
        """What has been added, (outputs, inputs)."""
        return out_of_blocks(self.blocks, self.outputs).T.contiguous()
