"""A sliding window over 1, 2 or 3 axes: which pixel each output sees at each position of the window.

Along one axis of n pixels, output o sees at position j the pixel ``o stride - low + j dilation`` of the input padded by ``low`` and
``high``; along several, all combinations. Pixels and outputs are numbered in C order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import NetworkError
from norse_bridge.linear_maps import csr

PADDED, BEYOND = -1, -2  # in the place of a pixel: zero padding, and what a last window of ceil_mode has beyond the padding
_PAD_MODES: dict[str, Any] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}


class Axis(NamedTuple):
    """A window along one axis. padding : (low, high); mode : torch's padding_mode; ceil : whether the last window may be cut."""

    kernel: int
    stride: int
    padding: tuple[int, int] = (0, 0)
    dilation: int = 1
    mode: str = "zeros"
    ceil: bool = False


class Seen(NamedTuple):
    """What outputs see.

    pixels : int64 (outputs, positions): a pixel of the input, or below 0 for none
    sizes : of the output along each axis
    inputs : number of pixels
    counted : float64 (outputs,): how many positions lie within the padded input
    """

    pixels: Any
    sizes: tuple[int, ...]
    inputs: int
    counted: Any


def tuple_of(value, dims) -> tuple[Any, ...]:
    """One value for each axis, as torch's modules take them: a number, or a tuple of 1 or ``dims`` numbers."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return values * dims if len(values) == 1 else values


def one_axis(axis, size, name) -> np.ndarray:
    """(outputs, positions): the pixel of a single axis of ``size`` pixels, `PADDED` or `BEYOND`."""
    span = axis.dilation * (axis.kernel - 1) + 1
    low, high = axis.padding
    free = size + low + high - span
    count = (free + axis.stride - 1 if axis.ceil else free) // axis.stride + 1
    if axis.ceil and (count - 1) * axis.stride >= size + low:  # the last window would begin behind the input
        count -= 1
    if count < 1:
        raise NetworkError(
            f"{name}: its window spans {span} pixels, too many for the {size} that it is given, padded by {low + high}"
        )
    if axis.mode == "zeros":
        line = np.pad(np.arange(size), axis.padding, constant_values=PADDED)
    else:
        line = np.pad(np.arange(size), axis.padding, mode=_PAD_MODES[axis.mode])
    longest = (count - 1) * axis.stride + span
    line = np.concatenate([line, np.full(max(0, longest - len(line)), BEYOND)])
    return line[np.arange(count)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation]


def combined(lines, sizes) -> np.ndarray:
    """(outputs, positions) over several axes from that of each; a pixel outside along one axis is `PADDED`."""
    pixels = np.zeros((1, 1), np.int64)
    for line, size in zip(lines, sizes, strict=True):
        before, now = pixels[:, None, :, None], line[None, :, None, :]  # (outputs, outputs here, positions, positions here)
        both = np.where((before >= 0) & (now >= 0), before * size + now, PADDED)
        pixels = both.reshape(len(pixels) * len(line), -1)
    return pixels


def look(axes, sizes, name) -> Seen:
    """What a window sees of an input with these sizes."""
    lines = [one_axis(axis, size, name) for axis, size in zip(axes, sizes, strict=True)]
    counted = np.ones(1)
    for line in lines:
        counted = np.outer(counted, (line != BEYOND).sum(axis=1)).ravel()
    return Seen(combined(lines, sizes), tuple(len(line) for line in lines), math.prod(sizes), counted)


def sums(seen):
    """The CSR array (outputs, pixels) that adds up what each output sees."""
    inside = seen.pixels >= 0
    indptr = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    matrix = csr(np.ones(int(indptr[-1])), seen.pixels[inside], indptr, (len(seen.pixels), seen.inputs))
    matrix.sum_duplicates()
    return matrix
