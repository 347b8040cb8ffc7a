"""The linear modules of torch as sparse matrices: y = W x + b on flattened features, one sample at a time.

Matrices are scipy CSR arrays (outputs, inputs) in float64, which holds float32 weights exactly; features are flattened in C
order, as `nn.Flatten` does. The modules themselves are in `norse_bridge.maps`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from eventsim.errors import NetworkError


class LinearMap(NamedTuple):
    """matrix: CSR array (outputs, inputs); bias: float64 (outputs,), or None; shape: of the output's features."""

    matrix: Any
    bias: Any
    shape: tuple[int, ...]


class Place(NamedTuple):
    """Where a module stands in a model.

    shape : of the features that it is given
    label : what errors call it
    threshold : of its weights, those with ``|w| <= threshold`` count as 0
    lead : how many axes its input has before the features: 1 (batch), or 2 (time, batch)
    """

    shape: tuple[int, ...]
    label: str
    threshold: float = 0.0
    lead: int = 1


def index_type(*sizes):
    """The type of the indices of a sparse array with these numbers of rows, columns and entries."""
    return np.int32 if max(sizes) <= np.iinfo(np.int32).max else np.int64


def csr(data, indices, indptr, shape):
    """A CSR array of these parts, which are not copied where their types fit."""
    kind = index_type(len(data), *shape)
    return sp.csr_array((data, indices.astype(kind, copy=False), indptr.astype(kind, copy=False)), shape=shape)


def identity_map(shape) -> LinearMap:
    """The features as they are."""
    return LinearMap(sp.eye_array(math.prod(shape), format="csr"), None, tuple(shape))


def is_identity(matrix) -> bool:
    """Whether a CSR array is the identity, stored in order."""
    rows, columns = matrix.shape
    return (
        rows == columns == matrix.nnz
        and bool((matrix.data == 1).all())
        and np.array_equal(matrix.indices, np.arange(rows))
        and np.array_equal(matrix.indptr, np.arange(rows + 1))
    )


def only_moves(linear) -> bool:
    """Whether each output of a map is one of the inputs, or 0: what it makes of spikes are spikes."""
    matrix = linear.matrix
    return linear.bias is None and bool((matrix.data == 1).all()) and bool((np.diff(matrix.indptr) <= 1).all())


def then(first, second) -> LinearMap:
    """``second(first(x))`` as one map."""
    if is_identity(first.matrix):
        return second
    bias = second.bias
    if first.bias is not None:
        moved = second.matrix @ first.bias
        bias = moved if bias is None else moved + bias
    matrix = first.matrix if is_identity(second.matrix) else sp.csr_array(second.matrix @ first.matrix)
    return LinearMap(matrix, bias, second.shape)


def without_zeros(matrix, name):
    """The CSR array with entries other than 0 alone, each once and in order; an error with ``name`` if one is NaN or infinite."""
    matrix = matrix.copy() if not matrix.has_canonical_format or (matrix.data == 0).any() else matrix
    matrix.sum_duplicates()
    if not np.isfinite(matrix.data).all():
        raise NetworkError(f"{name}: the product of the weights in front of it is NaN or infinite; scale the weights down")
    matrix.eliminate_zeros()
    return matrix


def real(tensor, name) -> torch.Tensor:
    """A tensor in float64 on the CPU, without its gradient; an error with ``name`` if it is complex, sparse or has no values."""
    if tensor.is_complex():
        raise NetworkError(f"{name}: it holds complex numbers ({tensor.dtype}), and those of a network are real")
    if tensor.is_meta:
        raise NetworkError(f"{name}: it is on the device 'meta', which keeps no values: load the weights first")
    if tensor.layout != torch.strided:
        raise NetworkError(
            f"{name}: it holds a sparse tensor ({tensor.layout}); give it to_dense(): zeros become no synapses anyway"
        )
    return tensor.detach().cpu().to(torch.float64)


def values_of(tensor, name) -> np.ndarray:
    """A tensor as a float64 array of its own; an error with ``name`` if it is not `real`, or a value is NaN or infinite."""
    values = real(tensor, name).numpy().copy()
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        raise NetworkError(
            f"{name}: {broken} of its {values.size} weights or biases are NaN or infinite; was it trained at too high a rate?"
        )
    return values


def check_threshold(threshold):
    """A NetworkError if ``threshold`` is negative, NaN or no number."""
    try:
        valid = not isinstance(threshold, (bool, str)) and float(threshold) >= 0.0
    except (TypeError, ValueError, RuntimeError):
        valid = False
    if not valid:
        raise NetworkError(f"threshold must be a number of 0 or more, in the unit of the weights, not {threshold!r}")


def weights_of(tensor, name, threshold=0.0) -> np.ndarray:
    """`values_of` with 0 for all ``|w| <= threshold``, which is compared in the tensor's own type, as torch does."""
    values = values_of(tensor, name)
    values[(tensor.detach().abs() <= threshold).cpu().numpy()] = 0.0
    return values


def linear_map(module, at) -> LinearMap:
    """`nn.Linear`, which acts on the last axis of the features."""
    if at.shape[-1:] != (module.in_features,):
        raise NetworkError(f"{at.label}: Linear takes {module.in_features} features on the last axis, it is given {at.shape}")
    shapes = [tuple(tensor.shape) for tensor in (module.weight, module.bias) if tensor is not None]
    if shapes != [(module.out_features, module.in_features), (module.out_features,)][: len(shapes)]:
        raise NetworkError(f"{at.label}: weight and bias have the shapes {shapes}, which are not those of {module}")
    weight = weights_of(module.weight, at.label, at.threshold)
    return _on_last_axis(weight, None if module.bias is None else values_of(module.bias, at.label), at.shape)


def weight_map(weight, shape, name, threshold=0.0) -> LinearMap:
    """A weight tensor (outputs, inputs) without bias, on the last axis of the features."""
    if weight.ndim != 2:
        raise NetworkError(f"{name}: the input weights must have two axes (neurons, features), not shape {tuple(weight.shape)}")
    if shape[-1:] != (weight.shape[1],):
        raise NetworkError(f"{name}: the input weights take {weight.shape[1]} features on the last axis, they are given {shape}")
    return _on_last_axis(weights_of(weight, name, threshold), None, shape)


def _on_last_axis(weight, bias, shape):
    rows = math.prod(shape[:-1])
    return LinearMap(
        once_for_each(rows, sp.csr_array(weight)), None if bias is None else np.tile(bias, rows), (*shape[:-1], len(weight))
    )


def once_for_each(count, matrix):
    """The block-diagonal CSR array with ``matrix`` (CSR) on it ``count`` times: one map on each of ``count`` groups of features."""
    rows, columns = matrix.shape
    if count == 1:
        return matrix
    shape = (count * rows, count * columns)
    kind = index_type(count * matrix.nnz, *shape)
    group = np.arange(count, dtype=kind)[:, None]
    indptr = np.concatenate([np.zeros(1, kind), (group * kind(matrix.nnz) + matrix.indptr[1:]).ravel()])
    return csr(np.tile(matrix.data, count), (group * kind(columns) + matrix.indices).ravel(), indptr, shape)
