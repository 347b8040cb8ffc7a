"""The product of spikes with weights as an autograd function."""

from __future__ import annotations

import ctypes

import torch

from norse_bridge.fused import outer, products
from norse_bridge.fused.memory import NUMPY_TYPE
from norse_bridge.fused.products import (
    columns_of,
    compile_product,
    in_blocks,
    lanes_of,
    scratch_bytes,
)
from norse_bridge.fused.threads import run_on_threads

SMALL_WORK = 1 << 18  # products of two numbers below which one thread is as fast as several
AT_ONCE = 1 << 16  # rows that a worker has room for
Words = ctypes.c_int64 * products.SIZE
OuterWords = ctypes.c_int64 * outer.SIZE


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
        self.kind, self.total = NUMPY_TYPE[like.dtype], like.new_zeros((inputs, outputs))

    def add(self, x, gradient):
        """x : (rows, inputs); gradient : (rows, outputs)"""
        inputs, outputs = self.total.shape
        for some, of_some in zip(x.split(AT_ONCE), gradient.split(AT_ONCE), strict=True):
            rows, pieces = len(some), -(-inputs // outer.PIECE)
            workers = min(torch.get_num_threads(), pieces) if rows * inputs * outputs >= SMALL_WORK else 1
            turned, blocks = some.T.contiguous(), in_blocks(of_some)
            scratch = torch.empty(workers * outer.worker_bytes(rows, self.kind), dtype=torch.uint8)
            addresses = (tensor.data_ptr() for tensor in (turned, blocks, self.total, scratch))
            run_on_threads(outer.compile_outer(self.kind), OuterWords(rows, outputs, *addresses), inputs, workers)

    def sum(self):
        """What has been added, (outputs, inputs)."""
        return self.total.T.contiguous()
