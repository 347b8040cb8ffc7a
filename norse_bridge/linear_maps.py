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


def without_zeros(matrix, name):
    """A copy of the matrix in which only entries other than 0 are stored; an error with ``name`` if one is NaN or infinite."""
    matrix = sp.coo_array(matrix)
    matrix.sum_duplicates()
    if not np.isfinite(matrix.data).all():
        raise NetworkError(f"{name}: the product of the weights in front of it is NaN or infinite; scale the weights down")
    keep = matrix.data != 0
    return sp.csr_array((matrix.data[keep], (matrix.row[keep], matrix.col[keep])), shape=matrix.shape)


def values_of(tensor, name) -> np.ndarray:
    """A tensor as a float64 array of its own; an error with ``name`` if a value is NaN or infinite."""
    values = tensor.detach().cpu().to(torch.float64).numpy().copy()
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        raise NetworkError(
            f"{name}: {broken} of its {values.size} weights or biases are NaN or infinite; was it trained at too high a rate?"
        )
    return values


def check_threshold(threshold):
    """A NetworkError if ``threshold`` is negative, NaN or no number."""
    try:
        valid = float(threshold) >= 0.0
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise NetworkError(f"threshold must be a number of 0 or more, in the unit of the weights, not {threshold!r}")


def weights_of(tensor, name, threshold=0.0) -> np.ndarray:
    """`values_of` with 0 for all ``|w| <= threshold``, which is compared in the tensor's own type, as torch does."""
    values = values_of(tensor, name)
    values[(tensor.detach().abs() <= threshold).cpu().numpy()] = 0.0
    return values


def linear_map(module, shape, name, threshold=0.0) -> LinearMap:
    """`nn.Linear`, which acts on the last axis of the features."""
    if shape[-1:] != (module.in_features,):
        raise NetworkError(f"{name}: Linear takes {module.in_features} features on the last axis, it is given {shape}")
    weight = weights_of(module.weight, name, threshold)
    return _on_last_axis(weight, None if module.bias is None else values_of(module.bias, name), shape)


def weight_map(weight, shape, name, threshold=0.0) -> LinearMap:
    """A weight tensor (outputs, inputs) without bias, on the last axis of the features."""
    if shape[-1:] != (weight.shape[1],):
        raise NetworkError(f"{name}: the input weights take {weight.shape[1]} features on the last axis, they are given {shape}")
    return _on_last_axis(weights_of(weight, name, threshold), None, shape)


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


def conv2d_map(module, shape, name, threshold=0.0) -> LinearMap:
    """`nn.Conv2d`, with stride, padding of every mode, dilation and groups."""
    channels, height, width = _image(shape, name, module.in_channels)
    window = Window(module.kernel_size, module.stride, _conv_padding(module), module.dilation, _PAD_MODES[module.padding_mode])
    seen, size = selections(window, height, width, name)
    weight = weights_of(module.weight, name, threshold)  # (outputs, channels of a group, kernel height, kernel width)
    matrix = sp.csr_array((module.out_channels * math.prod(size), channels * height * width))
    for position, pixels in enumerate(seen):
        mix = weight.reshape(*weight.shape[:2], -1)[:, :, position]
        blocks = [sp.csr_array(block) for block in np.split(mix, module.groups)]  # one (outputs, channels) block a group
        matrix = matrix + sp.kron(sp.block_diag(blocks), pixels, format="csr")
    bias = None if module.bias is None else np.repeat(values_of(module.bias, name), math.prod(size))
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
        remedy = f"use Flatten({lead})" + (", or put it into Lift" if lead > 1 else "")
        axis = "the time or batch axis" if lead > 1 else "the batch axis"
        raise NetworkError(
            f"{name}: Flatten({module.start_dim}) would join {axis} with the features, which start at axis {lead}: {remedy}"
        )
    start, end = start - lead, end - lead
    joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    return identity_map(joined)
