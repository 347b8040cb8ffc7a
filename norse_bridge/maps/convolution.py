"""Convolutions over 1, 2 or 3 axes, and their transposes.

y[o, p] = b[o] + sum over channels c of o's group and positions k of the window: w[o, c, k] x[c, pixel(p, k)]
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.errors import NetworkError
from norse_bridge.linear_maps import LinearMap, csr, index_type, values_of, weights_of
from norse_bridge.maps.windows import AXES, Axis, look


def _sizes(module, at):
    """The sizes of the axes behind that of the channels; an error if there are others, or if torch would take the axes of time and
    batch for some of them."""
    if at.lead > 1:
        raise NetworkError(f"{at.label}: it takes (batch, ...), it is given (time, batch, ...): put it into Lift")
    dims, channels = len(module.kernel_size), module.in_channels
    if len(at.shape) != dims + 1 or at.shape[0] != channels:
        wanted = f"({channels}, {AXES[dims]})"
        raise NetworkError(f"{at.label}: it takes features {wanted}, it is given {at.shape}; is input_shape right?")
    return at.shape[1:]


def _padding(module):
    """(low, high) of each axis: given as numbers, "valid" or "same" (the odd one goes to the high side)."""
    if module.padding == "valid":
        return [(0, 0)] * len(module.kernel_size)
    if module.padding == "same":
        total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return [(p, p) for p in module.padding]


def _axes(module, padding):
    parts = zip(module.kernel_size, module.stride, padding, module.dilation, strict=True)
    return [Axis(*numbers, mode=module.padding_mode) for numbers in parts]


def convolution(weight, groups, seen):
    """The CSR array (output channels x outputs, channels x pixels) of a convolution.

    weight : float64 (output channels, channels of a group, positions); seen : `windows.Seen`
    """
    outputs, channels, positions = weight.shape
    shape = (outputs * len(seen.pixels), groups * channels * seen.inputs)
    inside = np.broadcast_to((seen.pixels >= 0)[:, None, :], (len(seen.pixels), channels, positions))
    entries = int(np.count_nonzero(inside))  # of one output channel
    kind = index_type(outputs * entries, *shape)
    # one output channel of the first group, output by output: the columns, and which weight stands there
    columns = (np.arange(channels)[:, None] * seen.inputs + seen.pixels[:, None, :])[inside].astype(kind)
    place = np.broadcast_to(np.arange(channels * positions).reshape(channels, positions), inside.shape)[inside]
    ends = np.cumsum(np.count_nonzero(inside, axis=(1, 2)))
    starts = np.arange(groups, dtype=kind) * kind(channels * seen.inputs)  # of the groups' columns
    indices = np.repeat(starts, outputs // groups)[:, None] + columns
    indptr = np.concatenate([[0], (np.arange(outputs)[:, None] * entries + ends).ravel()])
    matrix = csr(weight.reshape(outputs, -1)[:, place].ravel(), indices.ravel(), indptr, shape)
    matrix.sum_duplicates()  # padding that repeats pixels shows one of them at several positions
    return matrix


def _bias(module, sizes, label):
    return None if module.bias is None else np.repeat(values_of(module.bias, label), math.prod(sizes))


def conv_map(module, at) -> LinearMap:
    """`nn.Conv1d`, `nn.Conv2d` and `nn.Conv3d`, with stride, padding of every mode, dilation and groups."""
    seen = look(_axes(module, _padding(module)), _sizes(module, at), at.label)
    weight = weights_of(module.weight, at.label, at.threshold).reshape(*module.weight.shape[:2], -1)
    matrix = convolution(weight, module.groups, seen)
    return LinearMap(matrix, _bias(module, seen.sizes, at.label), (module.out_channels, *seen.sizes))


def conv_transpose_map(module, at) -> LinearMap:
    """`nn.ConvTranspose1d`, `nn.ConvTranspose2d` and `nn.ConvTranspose3d`: the transpose of the convolution with their weights.

    An axis of n pixels becomes one of ``(n - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding``, of which the
    convolution sees the first n windows.
    """
    sizes = _sizes(module, at)
    padding = [(p, p) for p in module.padding]
    axes = _axes(module, padding)
    spans = [axis.dilation * (axis.kernel - 1) + 1 for axis in axes]
    numbers = zip(sizes, axes, spans, module.output_padding, strict=True)
    out = tuple((n - 1) * axis.stride - 2 * axis.padding[0] + span + more for n, axis, span, more in numbers)
    if min(out) < 1:
        raise NetworkError(f"{at.label}: its output would have sizes {out}; is input_shape right?")
    seen = look(axes, out, at.label)
    kept = seen.pixels.reshape(*seen.sizes, -1)[tuple(slice(n) for n in sizes)].reshape(math.prod(sizes), -1)
    weight = weights_of(module.weight, at.label, at.threshold).reshape(*module.weight.shape[:2], -1)
    matrix = convolution(weight, module.groups, seen._replace(pixels=kept, sizes=sizes)).T.tocsr()
    return LinearMap(matrix, _bias(module, out, at.label), (module.out_channels, *out))
