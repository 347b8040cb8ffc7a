"""Spatial receptive fields as layers: convolutions whose kernels are given by a few numbers.

The kernels are computed from the parameters in every forward pass, which is little beside most convolutions: what is trained,
loaded, copied or moved are the parameters alone, and gradients are right in whatever order forward and backward passes come.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from eventsim.errors import ModelError
from norse_bridge.receptive_fields import COLUMNS, combination_indices, derivative_pairs, fields_of, values_of

TRAINABLE = ("scales", "angles", "ratios", "x", "y")
POSITIVE = ("scales", "ratios")


class _SpatialReceptiveFields(torch.nn.Module):
    """A convolution with n receptive fields as kernels: (batch, in_channels, H, W) -> (batch, out_channels, H', W').

    in_channels : number of channels
    size : of a kernel, in points along each side
    columns : scales, angles, ratios, x, y, each (n), or (values) with ``picked``; copied. They are kept as ``raw_scales`` and so
        on; with optimize_log those of `POSITIVE` that are trained as logarithms, ``log_scales``, so that they stay positive
    trained : the names of those that are trained
    orders : n pairs (dx, dy)
    picked : (n, 5), which value of each column a field takes; None: each field has its own
    aggregate : whether a field is applied to the sum of all channels, giving n channels, or to each channel by itself, giving
        in_channels n of them, those of the first channel first
    domain : half the width of a kernel, in the unit of x and y and of the square root of the scale
    bias : (out_channels), or None; a Parameter is trained
    stride, padding, dilation : as in `torch.nn.functional.conv2d`
    """

    def __init__(
        self,
        in_channels,
        size,
        columns,
        trained,
        orders,
        picked,
        optimize_log,
        aggregate,
        domain,
        bias,
        stride,
        padding,
        dilation,
    ):
        super().__init__()
        self.in_channels, self.size, self.domain, self.aggregate = int(in_channels), int(size), domain, aggregate
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.orders = orders
        self.register_buffer("picked", picked, persistent=False)
        self.logarithmic = tuple(name for name in POSITIVE if optimize_log and name in trained)
        for name, values in zip(TRAINABLE, columns, strict=True):
            self._hold(name, values.detach().clone(), name in trained)
        self.groups = 1 if aggregate else self.in_channels
        self.out_channels = len(orders) * self.groups
        if bias is not None and tuple(getattr(bias, "shape", ())) != (self.out_channels,):
            raise ModelError(f"{type(self).__name__}: bias must be None or a tensor of shape ({self.out_channels},), not {bias!r}")
        if isinstance(bias, torch.nn.Parameter):
            self.bias = bias
        else:
            self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _hold(self, name, values, trained):
        if not (torch.isfinite(values) & ((values > 0) | (name not in POSITIVE))).all():
            wanted = "finite and above 0" if name in POSITIVE else "finite"
            raise ModelError(f"{type(self).__name__}: {name} must be {wanted}, not {values.tolist()}")
        if name in self.logarithmic:
            self.register_parameter(f"log_{name}", torch.nn.Parameter(torch.log(values)))
        elif trained:
            self.register_parameter(f"raw_{name}", torch.nn.Parameter(values))
        else:
            self.register_buffer(f"raw_{name}", values)

    def _values(self, name):
        return torch.exp(getattr(self, f"log_{name}")) if name in self.logarithmic else getattr(self, f"raw_{name}")

    # What the fields have in common, or each for itself: differentiable functions of what is trained.
    scales = property(lambda self: self._values("scales"), doc="Variances as they are now, in the unit of domain^2.")
    angles = property(lambda self: self._values("angles"), doc="Angles as they are now, in rad.")
    ratios = property(lambda self: self._values("ratios"), doc="Ratios as they are now.")
    x = property(lambda self: self._values("x"), doc="Centres along columns as they are now, in the unit of domain.")
    y = property(lambda self: self._values("y"), doc="Centres along rows as they are now, in the unit of domain.")

    def _rows(self):
        """(scale, angle, ratio, x, y) of every field: (n, 5)."""
        columns = [self._values(name) for name in TRAINABLE]
        if self.picked is not None:
            columns = [column[index] for column, index in zip(columns, self.picked.unbind(1), strict=True)]
        return torch.stack(columns, dim=1)

    @property
    def rf_parameters(self):
        """The rows (scale, angle, ratio, x, y, dx, dy) of the fields as they are now: (n, 7)."""
        rows = self._rows()
        return torch.cat([rows, torch.tensor(self.orders, dtype=rows.dtype, device=rows.device)], dim=1)

    @property
    def weights(self):
        """The kernels as they are now: (out_channels, in_channels, size, size), without aggregate (out_channels, 1, size, size);
        differentiable."""
        fields = fields_of(self._rows(), self.orders, self.size, self.domain)[:, None]
        return fields.expand(-1, self.in_channels, -1, -1) if self.aggregate else fields.repeat(self.in_channels, 1, 1, 1)

    def forward(self, x):
        geometry = self.stride, self.padding, self.dilation, self.groups
        return torch.nn.functional.conv2d(x, self.weights, self.bias, *geometry)  # (batch, out_channels, H', W')

    def extra_repr(self):
        return (
            f"{self.in_channels}, {self.out_channels}, size={self.size}, aggregate={self.aggregate}, domain={self.domain}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}"
        )


class SpatialReceptiveField2d(_SpatialReceptiveFields):
    """A convolution with a receptive field for each row (scale, angle, ratio, x, y, dx, dy) of ``rf_parameters``, (n, 7).

    With optimize_fields the first five columns are trained, each field's by itself; optimize_log: scales and ratios as logarithms.
    The other arguments are those of `_SpatialReceptiveFields`.
    """

    def __init__(
        self,
        in_channels,
        size,
        rf_parameters,
        aggregate=True,
        domain=8,
        optimize_fields=True,
        optimize_log=True,
        *,
        bias=None,
        stride=1,
        padding=0,
        dilation=1,
    ):
        if rf_parameters.ndim != 2 or rf_parameters.shape[1] != len(COLUMNS):
            raise ModelError(
                f"SpatialReceptiveField2d: rf_parameters must have the shape (n, 7), with the columns {', '.join(COLUMNS)}, not "
                f"{tuple(rf_parameters.shape)} (in release 1.1.0 of Norse x and y are missing)"
            )
        columns, orders = values_of(*rf_parameters[:, :5].unbind(1)), derivative_pairs(rf_parameters[:, 5:])
        trained = TRAINABLE if optimize_fields else ()
        options = optimize_log, aggregate, domain, bias, stride, padding, dilation
        super().__init__(in_channels, size, columns, trained, orders, None, *options)


class _CombinedReceptiveFields(_SpatialReceptiveFields):
    """A convolution with a receptive field for each combination of the values, as `spatial_parameters` lists them.

    Which combinations there are is settled at the beginning: a ratio of 1 is then a circle, whatever training makes of it.

    scales, angles, ratios, x, y, derivatives : as in `spatial_parameters`
    optimize_scales, ... optimize_y : what is trained; optimize_log: scales and ratios as logarithms
    The other arguments are those of `_SpatialReceptiveFields`.
    """

    one_by_one: ClassVar[bool]

    def __init__(
        self,
        in_channels,
        size,
        scales,
        angles,
        ratios,
        derivatives,
        x=0,
        y=0,
        optimize_scales=True,
        optimize_angles=True,
        optimize_ratios=True,
        optimize_x=True,
        optimize_y=True,
        optimize_log=True,
        *,
        aggregate=True,
        domain=8,
        bias=None,
        stride=1,
        padding=0,
        dilation=1,
    ):
        columns = values_of(scales, angles, ratios, x, y)
        flags = optimize_scales, optimize_angles, optimize_ratios, optimize_x, optimize_y
        trained = [name for name, flag in zip(TRAINABLE, flags, strict=True) if flag]
        pairs = derivative_pairs(derivatives)
        *indices, order = combination_indices(columns, len(pairs), include_replicas=False)
        picked = torch.stack(indices, dim=1)
        if self.one_by_one:
            columns = [column[index] for column, index in zip(columns, indices, strict=True)]
            picked = None
        orders = [pairs[row] for row in order.tolist()]
        options = optimize_log, aggregate, domain, bias, stride, padding, dilation
        super().__init__(in_channels, size, columns, trained, orders, picked, *options)


class SampledSpatialReceptiveField2d(_CombinedReceptiveFields):
    """Receptive fields of all combinations of the values, which are trained together: a scale is the same in all fields that it
    is part of. Parameters: `_CombinedReceptiveFields`."""

    one_by_one = False


class ParameterizedSpatialReceptiveField2d(_CombinedReceptiveFields):
    """Receptive fields of all combinations of the values, which are then trained field by field: each has values of its own.
    Parameters: `_CombinedReceptiveFields`."""

    one_by_one = True
