"""The linear modules of torch as sparse matrices: y = W x + b on flattened features, one sample at a time.

Matrices are scipy CSR arrays (outputs, inputs) in float64, which holds float32 weights exactly; features are flattened in C
order, as `nn.Flatten` does.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from eventsim.errors import NetworkError

_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class LinearMap(NamedTuple):
    """matrix: CSR array (outputs, inputs); bias: float64 (outputs,), or None; shape: of the output's features."""

    matrix: Any
    bias: Any
    shape: tuple[int, ...]


def identity_map(shape) -> LinearMap:
    """The features as they are."""
    return LinearMap(sp.eye_array(math.prod(shape), format="csr"), None, tuple(shape))


def then(first, second) -> LinearMap:
    """``second(first(x))`` as one map."""
    bias = second.bias
    if first.bias is not None:
        moved = second.matrix @ first.bias
        bias = moved if bias is None else moved + bias
    return LinearMap(sp.csr_array(second.matrix @ first.matrix), bias, second.shape)


def pruned(matrix, threshold):
    """A copy of the matrix without the entries whose absolute value is at most ``threshold``: at 0.0, without zeros."""
    matrix = sp.coo_array(matrix)
    matrix.sum_duplicates()
    keep = np.abs(matrix.data) > threshold
    return sp.csr_array((matrix.data[keep], (matrix.row[keep], matrix.col[keep])), shape=matrix.shape)


def weights_of(tensor) -> np.ndarray:
    """A tensor as a float64 array of its own."""
    return tensor.detach().cpu().to(torch.float64).numpy().copy()


def linear_map(module, shape, name) -> LinearMap:
    """`nn.Linear`, which acts on the last axis of the features."""
    if shape[-1:] != (module.in_features,):
        raise NetworkError(f"{name}: Linear takes {module.in_features} features on the last axis, it is given {shape}")
    weight = weights_of(module.weight)
    return _on_last_axis(weight, None if module.bias is None else weights_of(module.bias), shape)


def weight_map(weight, shape, name) -> LinearMap:
    """A weight tensor (outputs, inputs) without bias, on the last axis of the features."""
    if shape[-1:] != (weight.shape[1],):
        raise NetworkError(f"{name}: the input weights take {weight.shape[1]} features on the last axis, they are given {shape}")
    return _on_last_axis(weights_of(weight), None, shape)


def _on_last_axis(weight, bias, shape):
    rows = math.prod(shape[:-1])
    matrix = sp.kron(sp.eye_array(rows), sp.csr_array(weight), format="csr")
    return LinearMap(sp.csr_array(matrix), None if bias is None else np.tile(bias, rows), (*shape[:-1], len(weight)))


class Window(NamedTuple):
    """A sliding window, everything as (height, width); padding as (low, high) of each axis."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int] = (1, 1)
    mode: str = "constant"


def _pair(value) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _conv_padding(module):
    """Padding (low, high) of each axis: given as a number, a pair, "valid" or "same" (the odd one goes to the high side)."""
    if module.padding == "valid":
        return (0, 0), (0, 0)
    if module.padding == "same":
        total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    return tuple((p, p) for p in _pair(module.padding))


def selections(window, height, width, name):
    """For each position in the window, row by row, the 0/1 CSR array (output pixels, input pixels) of what it sees; and the output
    (height, width). Pixels of zero padding are seen by no one."""
    grid = np.arange(height * width).reshape(height, width)
    fill = {"constant_values": -1} if window.mode == "constant" else {}
    grid = np.pad(grid, window.padding, mode=window.mode, **fill)
    span = [d * (k - 1) + 1 for d, k in zip(window.dilation, window.kernel, strict=True)]
    out = [(size - s) // step + 1 for size, s, step in zip(grid.shape, span, window.stride, strict=True)]
    if min(out) < 1:
        raise NetworkError(f"{name}: its window of {window.kernel} does not fit an input of {height} x {width} pixels")
    rows, seen = np.arange(out[0] * out[1]), []
    for a in range(window.kernel[0]):
        for b in range(window.kernel[1]):
            top, left = a * window.dilation[0], b * window.dilation[1]
            pixels = grid[top :: window.stride[0], left :: window.stride[1]][: out[0], : out[1]].ravel()
            inside = pixels >= 0
            ones = np.ones(int(inside.sum()))
            seen.append(sp.csr_array((ones, (rows[inside], pixels[inside])), shape=(len(rows), height * width)))
    return seen, (out[0], out[1])


def _image(shape, name, channels=None):
    """(channels, height, width) of the features, or an error."""
    if len(shape) != 3 or (channels is not None and shape[0] != channels):
        wanted = "channels" if channels is None else channels
        raise NetworkError(f"{name}: it takes features ({wanted}, height, width), it is given {shape}; is input_shape right?")
    return shape


def conv2d_map(module, shape, name) -> LinearMap:
    """`nn.Conv2d`, with stride, padding of every mode, dilation and groups."""
    channels, height, width = _image(shape, name, module.in_channels)
    window = Window(module.kernel_size, module.stride, _conv_padding(module), module.dilation, _PAD_MODES[module.padding_mode])
    seen, size = selections(window, height, width, name)
    weight = weights_of(module.weight)  # (outputs, channels of a group, kernel height, kernel width)
    matrix = sp.csr_array((module.out_channels * math.prod(size), channels * height * width))
    for position, pixels in enumerate(seen):
        mix = weight.reshape(*weight.shape[:2], -1)[:, :, position]
        blocks = [sp.csr_array(block) for block in np.split(mix, module.groups)]  # one (outputs, channels) block a group
        matrix = matrix + sp.kron(sp.block_diag(blocks), pixels, format="csr")
    bias = None if module.bias is None else np.repeat(weights_of(module.bias), math.prod(size))
    return LinearMap(sp.csr_array(matrix), bias, (module.out_channels, *size))


def avg_pool2d_map(module, shape, name) -> LinearMap:
    """`nn.AvgPool2d`: the mean over the window, zero padding counted or not as `count_include_pad` says."""
    if module.ceil_mode:
        raise NetworkError(f"{name}: AvgPool2d with ceil_mode=True cannot be exported; pad the input and use ceil_mode=False")
    channels, height, width = _image(shape, name)
    kernel, (down, across) = _pair(module.kernel_size), _pair(module.padding)
    window = Window(kernel, _pair(module.stride), ((down, down), (across, across)))
    seen, size = selections(window, height, width, name)
    total = sp.csr_array(sum(seen[1:], seen[0]))
    if module.divisor_override is not None:
        counts = np.full(total.shape[0], float(module.divisor_override))
    elif module.count_include_pad:
        counts = np.full(total.shape[0], float(math.prod(kernel)))
    else:
        counts = total.sum(axis=1)
    mean = sp.diags_array(1.0 / counts) @ total
    return LinearMap(sp.csr_array(sp.kron(sp.eye_array(channels), mean, format="csr")), None, (channels, *size))


def flatten_map(module, shape, name, lead) -> LinearMap:
    """`nn.Flatten` of features that have ``lead`` axes (time, batch) before them: only the shape changes."""
    axes = lead + len(shape)
    start, end = (axis + axes if axis < 0 else axis for axis in (module.start_dim, module.end_dim))
    if start < lead:
        raise NetworkError(
            f"{name}: Flatten({module.start_dim}) would join the time or batch axis with the features, which start at axis {lead}"
        )
    start, end = start - lead, end - lead
    joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    return identity_map(joined)
