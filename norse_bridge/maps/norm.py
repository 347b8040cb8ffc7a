"""Batch normalisation with fixed statistics, which is linear.

y = (x - mean) / sqrt(var + eps) weight + bias        for each channel
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp

from eventsim.errors import NetworkError
from norse_bridge.linear_maps import LinearMap, values_of


def batch_norm_map(module, at, axes) -> LinearMap:
    """`nn.BatchNorm1d`, `nn.BatchNorm2d` and `nn.BatchNorm3d` in eval mode; axes : the numbers of axes that features may have."""
    label = at.label
    if at.lead > 1:
        raise NetworkError(f"{label}: it would take the batch of (time, batch, ...) for channels: put it into Lift")
    if len(at.shape) not in axes or at.shape[0] != module.num_features:
        numbers = " or ".join(str(n) for n in axes)
        wanted = f"{numbers} axes, the first with {module.num_features} channels"
        raise NetworkError(f"{label}: it takes features with {wanted}, it is given {at.shape}; is input_shape right?")
    if module.running_mean is None or module.running_var is None:
        raise NetworkError(f"{label}: without running statistics it has no fixed numbers to export; use track_running_stats=True")
    if module.training:
        raise NetworkError(f"{label}: in training mode its statistics are those of each batch; call eval() on the model first")
    scale = 1.0 / np.sqrt(values_of(module.running_var, label) + module.eps)
    scale = scale if module.weight is None else scale * values_of(module.weight, label)
    shift = -scale * values_of(module.running_mean, label)
    shift = shift if module.bias is None else shift + values_of(module.bias, label)
    pixels = math.prod(at.shape[1:])
    matrix = sp.csr_array(sp.diags_array(np.repeat(scale, pixels)))
    return LinearMap(matrix, np.repeat(shift, pixels), at.shape)
