"""What a node of NIR holds, checked: known kinds, finite numbers, positive time constants, windows of whole numbers.

The equations of the neurons, x being the input (Pedersen et al. (2024), Nat. Commun. 15:8122, table 1):

    I, IF: dv/dt = r x                        CubaLI, CubaLIF: tau_syn dI/dt = -I + w_in x
    LI, LIF: tau dv/dt = (v_leak - v) + r x                    tau_mem dv/dt = (v_leak - v) + r I
    IF, LIF, CubaLIF fire where v > v_threshold; then v = v_reset
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.nir.package import nir_package

ARRAYS: dict[str, tuple[str, ...]] = {
    "Affine": ("weight", "bias"),
    "AvgPool2d": (),
    "Conv1d": ("weight", "bias"),
    "Conv2d": ("weight", "bias"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "Delay": ("delay",),
    "Flatten": (),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "Input": (),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "Linear": ("weight",),
    "NIRGraph": (),
    "Output": (),
    "Scale": ("scale",),
    "SumPool2d": (),
    "Threshold": ("threshold",),
}
"""Every kind of node of nir 1.0.8, with the fields that hold arrays of numbers."""

SPIKING = ("IF", "LIF", "CubaLIF")
NEURONS = ("I", "LI", "CubaLI", *SPIKING)
TIMED = (*NEURONS, "Threshold", "Delay")  # what a cycle must pass to have a meaning in steps
ELEMENTWISE = (*NEURONS, "Scale", "Threshold", "Delay")  # the shape of the output is that of the input
POSITIVE = ("tau", "tau_syn", "tau_mem")
WEIGHT_AXES = {"Linear": 2, "Affine": 2, "Conv1d": 3, "Conv2d": 4}


class Window(NamedTuple):
    """A sliding window, each with a number an axis; padding may be "same" or "valid"."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]


def kind_of(node, label="node") -> str:
    """The kind of a node, a key of `ARRAYS`; a ModelError that begins with ``label`` if it is none of NIR's."""
    nir, kind = nir_package(), type(node).__name__
    if kind not in ARRAYS or type(node) is not getattr(nir, kind):
        raise ModelError(f"{label} is a {type(node).__module__}.{kind}, not one of NIR's nodes: {', '.join(ARRAYS)}")
    return kind


def array_of(node, field, label) -> np.ndarray:
    """A field of a node as a float64 array; a ModelError if it holds what is no finite number, or a time not above 0."""
    value = getattr(node, field)
    try:
        value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    except (ValueError, TypeError) as error:  # lists of different lengths, types that NumPy has not
        raise ModelError(f"{label}: {field} must be an array of real numbers: {error}") from error
    if value.dtype.kind not in "fiub":
        raise ModelError(f"{label}: {field} must be an array of real numbers, not of {value.dtype}")
    with np.errstate(over="ignore"):  # of a longer type: refused as infinite
        array = value.astype(np.float64)
    broken = int(np.count_nonzero(~np.isfinite(array)))
    if broken:
        raise ModelError(f"{label}: {broken} of the {array.size} values of {field} are NaN or infinite")
    if field in POSITIVE and np.any(array <= 0.0):
        raise ModelError(f"{label}: {field} must be above 0 s, not {array.min()}")
    if field == "delay" and np.any(array < 0.0):
        raise ModelError(f"{label}: a delay must not be negative, not {array.min()} s")
    return array


def arrays_of(node, label) -> dict[str, np.ndarray]:
    """All arrays of a node by name, checked; those of a neuron must have one shape, a bias one value for each output."""
    kind = kind_of(node, label)
    arrays = {field: array_of(node, field, label) for field in ARRAYS[kind]}
    shapes = {field: array.shape for field, array in arrays.items()}
    if kind in ELEMENTWISE and len(set(shapes.values())) > 1:
        raise ModelError(f"{label}: its arrays must have one shape, not {shapes}")
    if kind in WEIGHT_AXES:
        outputs, axes = shapes["weight"][:1], WEIGHT_AXES[kind]
        if len(shapes["weight"]) != axes or shapes.get("bias", outputs) != outputs or 0 in shapes["weight"]:
            raise ModelError(f"{label}: weight must have {axes} axes, outputs first, and bias one value an output, not {shapes}")
    return arrays


def counts(value, axes, least, label) -> tuple[int, ...]:
    """A whole number, or one an axis, each at least ``least``: as a tuple of ``axes`` ints."""
    array = np.asarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
    if array.dtype.kind not in "iu" or array.size not in (1, axes) or np.any(array < least) or np.any(array > 2**31 - 1):
        raise ModelError(f"{label} must be {axes} whole numbers of {least} or more, not {value!r}")
    return tuple(int(n) for n in np.broadcast_to(array.reshape(-1), axes))


def whole_number(value, label) -> int:
    """One whole number, of either sign."""
    array = np.asarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
    if array.dtype.kind not in "iu" or array.size != 1:
        raise ModelError(f"{label} must be a whole number, not {value!r}")
    return int(array.reshape(-1)[0])


def window_of(node, label) -> Window:
    """The window of a convolution or a pooling. Padding wider than the window is refused: it would be seen alone."""
    kind = kind_of(node, label)
    if kind in ("Conv1d", "Conv2d"):
        axes = int(kind[-2])
        kernel = counts(np.shape(node.weight)[2:], axes, 1, f"{label}: the kernel's size")
        dilation = counts(node.dilation, axes, 1, f"{label}: dilation")
    else:
        axes, kernel, dilation = 2, counts(node.kernel_size, 2, 1, f"{label}: kernel_size"), (1, 1)
    stride = counts(node.stride, axes, 1, f"{label}: stride")
    if isinstance(node.padding, str):
        if node.padding not in ("same", "valid") or (node.padding == "same" and max(stride) > 1):
            raise ModelError(f"{label}: padding must be numbers, 'valid' or, with a stride of 1, 'same'; not {node.padding!r}")
        return Window(kernel, stride, node.padding, dilation)
    padding = counts(node.padding, axes, 0, f"{label}: padding")
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        limit = k // 2 if kind == "AvgPool2d" else d * (k - 1) + 1  # torch takes no more for means
        if p > limit:
            raise ModelError(f"{label}: padding {p} is too wide for a window of {k} pixels; at most {limit}")
    return Window(kernel, stride, padding, dilation)


def declared_shape(node, label) -> tuple[int, ...] | None:
    """The shape that an Input or Output says it has, or None where it says nothing."""
    types = node.input_type if kind_of(node, label) == "Input" else node.output_type
    value = next(iter(types.values()), None) if isinstance(types, dict) else types
    if value is None:
        return None
    array = np.asarray(value)
    return counts(array, array.size, 1, f"{label}: its shape") if array.size else ()
