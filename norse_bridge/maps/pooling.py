"""Pooling over 1, 2 or 3 axes, on each channel by itself: means and sums as linear maps, and what each maximum is taken over.

mean: y[p] = (sum over what p sees of x) / n[p]        sum: n = 1        maximum over spikes: y[p] = 1 where any that p sees is 1
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from eventsim.errors import NetworkError
from norse_bridge.linear_maps import LinearMap, csr, once_for_each
from norse_bridge.maps.windows import AXES, Axis, look, sums, tuple_of


def pooled_axes(at, dims):
    """``(axes before, sizes)``: of the features, the last ``dims`` are pooled; an error if torch would pool time or batch."""
    if len(at.shape) < dims:
        wanted = f"(channels, {AXES[dims]})"
        raise NetworkError(f"{at.label}: it takes features {wanted}, it is given {at.shape}; is input_shape right?")
    if at.lead + len(at.shape) > dims + 2:
        remedy = ": put it into Lift" if at.lead > 1 else "; is input_shape right?"
        raise NetworkError(f"{at.label}: it takes at most {dims + 2} axes, it is given {at.lead + len(at.shape)}{remedy}")
    return at.shape[:-dims], at.shape[-dims:]


def _window(module, dims, at):
    """``(axes before, seen)`` of a pool with a kernel, a stride (None or nothing: the kernel) and perhaps padding."""
    before, sizes = pooled_axes(at, dims)
    kernel, padding = tuple_of(module.kernel_size, dims), tuple_of(getattr(module, "padding", 0), dims)
    stride = tuple_of(module.stride, dims) if module.stride else kernel
    dilation = tuple_of(getattr(module, "dilation", 1), dims)
    ceil = getattr(module, "ceil_mode", False)
    parts = zip(kernel, stride, [(p, p) for p in padding], dilation, strict=True)
    return before, look([Axis(*numbers, ceil=ceil) for numbers in parts], sizes, at.label)


def _pooled(before, sizes, matrix):
    return LinearMap(once_for_each(math.prod(before), matrix), None, (*before, *sizes))


def _scaled(matrix, factors):
    """The CSR array with each row times its factor."""
    return csr(matrix.data * np.repeat(factors, np.diff(matrix.indptr)), matrix.indices, matrix.indptr, matrix.shape)


def avg_pool_map(module, at, dims) -> LinearMap:
    """`nn.AvgPool1d`, `nn.AvgPool2d` and `nn.AvgPool3d`; a window that `ceil_mode` cuts counts what is in the padded input."""
    before, seen = _window(module, dims, at)
    total = sums(seen)
    if getattr(module, "divisor_override", None) is not None:
        counts = np.full(len(seen.pixels), float(module.divisor_override))
    else:
        counts = seen.counted if module.count_include_pad else np.diff(total.indptr)
    return _pooled(before, seen.sizes, _scaled(total, 1.0 / counts))


def sum_pool_map(module, at, dims) -> LinearMap:
    """`norse_bridge.SumPool2d`."""
    before, seen = _window(module, dims, at)
    return _pooled(before, seen.sizes, sums(seen))


def lp_pool_map(module, at, dims) -> LinearMap:
    """`nn.LPPool1d`, `nn.LPPool2d` and `nn.LPPool3d` with the norm 1: sums. A window that `ceil_mode` cuts counts as much as a
    whole one, as in torch."""
    if module.norm_type != 1:
        raise NetworkError(
            f"{at.label}: with norm_type={module.norm_type} it is not linear; norm_type=1, which is a sum, is supported"
        )
    before, seen = _window(module, dims, at)
    whole = math.prod(tuple_of(module.kernel_size, dims))
    return _pooled(before, seen.sizes, _scaled(sums(seen), whole / seen.counted))


def _adaptive(module, at, dims):
    """``(axes before, sizes, CSR array that sums)``: of n pixels, output o of m sees those from ``floor(o n / m)`` to before
    ``ceil((o + 1) n / m)``."""
    before, sizes = pooled_axes(at, dims)
    wanted = tuple_of(module.output_size, dims)
    wanted = tuple(n if m is None else m for n, m in zip(sizes, wanted, strict=True))
    matrix = sp.eye_array(1, format="csr")
    for n, m in zip(sizes, wanted, strict=True):
        pixel, output = np.arange(n), np.arange(m)[:, None]
        sees = (pixel >= output * n // m) & (pixel < -((output + 1) * n // -m))
        matrix = sp.kron(matrix, sp.csr_array(sees.astype(np.float64)), format="csr")
    return before, wanted, matrix


def adaptive_avg_pool_map(module, at, dims) -> LinearMap:
    """`nn.AdaptiveAvgPool1d`, `nn.AdaptiveAvgPool2d` and `nn.AdaptiveAvgPool3d`, whatever the sizes."""
    before, sizes, total = _adaptive(module, at, dims)
    return _pooled(before, sizes, _scaled(total, 1.0 / np.diff(total.indptr)))


def _check_indices(module, label):
    if module.return_indices:
        raise NetworkError(f"{label}: return_indices=True cannot be exported; leave it out, spikes have no use for indices")


def max_pool_map(module, at, dims) -> LinearMap:
    """What each output of `nn.MaxPool1d`, `nn.MaxPool2d` or `nn.MaxPool3d` is the maximum of: a sum, which is above 0 where any of
    these spikes."""
    _check_indices(module, at.label)
    before, seen = _window(module, dims, at)
    if (seen.pixels < 0).all(axis=1).any():
        raise NetworkError(
            f"{at.label}: one of its windows lies in the padding alone, where the maximum is -inf; use less padding or dilation"
        )
    return _pooled(before, seen.sizes, sums(seen))


def adaptive_max_pool_map(module, at, dims) -> LinearMap:
    """As `max_pool_map`, of `nn.AdaptiveMaxPool1d`, `nn.AdaptiveMaxPool2d` and `nn.AdaptiveMaxPool3d`, whatever the sizes."""
    _check_indices(module, at.label)
    return _pooled(*_adaptive(module, at, dims))
