"""Spatial receptive fields: affine Gaussian kernels and their directional derivatives; the scales of temporal ones.

    g(r) = exp(-(r - r0)^T C^-1 (r - r0) / 2) / (2 pi sqrt(det C))      C = scale R diag(ratio^2, ratio^-2) R^T

R turns by the angle, r0 = (x, y). Kernels are sampled at the points of linspace(-domain, domain, size)^2: columns run along x,
rows along y. A receptive field is g divided by its sum over these points; it is then derived dx times along the angle and dy
times across it, by differences between neighbouring points, and each derivative is multiplied by the scale.

Numbers may stand for tensors of one value. Everything works on stacks, too, and is differentiable.

Source: Lindeberg (2021), Heliyon 7:e05897; conventions and normalisation are Norse's.
"""

from __future__ import annotations

import math

import torch

from eventsim.errors import ModelError

COLUMNS = ("scale", "angle", "ratio", "x", "y", "dx", "dy")


def covariance_matrix(sigma1, sigma2, phi):
    """``R(phi) diag(sigma1^2, sigma2^2) R(phi)^T``, (..., 2, 2), of standard deviations and an angle in rad, each (...)."""
    sigma1, sigma2, phi = torch.broadcast_tensors(*_tensors(sigma1, sigma2, phi))
    cos, sin = torch.cos(phi), torch.sin(phi)
    along, across = sigma1**2, sigma2**2
    mixed = (along - across) * cos * sin
    rows = along * cos**2 + across * sin**2, mixed, mixed, along * sin**2 + across * cos**2
    return torch.stack(rows, dim=-1).unflatten(-1, (2, 2))


def gaussian_kernel(size, c, x, y, domain=8):
    """The normal density with covariance c (..., 2, 2) and mean (x, y), each (...), at the points: (..., size, size)."""
    c, x, y = _tensors(c, x, y)
    return torch.exp(_log_gaussian(size, c, x, y, domain)).to(c.dtype)


def calculate_normalization(dx, scale, gamma=1):
    """``scale^(gamma + dx (1 - gamma))``: the factor of scale-normalised derivatives of order dx; ``scale`` for gamma = 1."""
    return scale ** (gamma + dx * (1 - gamma))


def derive_kernel(kernel, angle):
    """The derivative of (..., size, size) kernels in the direction of the angle (rad, (...)), a point being one unit wide.

    Central differences; one-sided ones at the edges.
    """
    if min(kernel.shape[-2:]) < 2:
        raise ModelError(f"derive_kernel: a kernel needs 2 by 2 points or more to have a derivative, not {tuple(kernel.shape)}")
    (angle,) = _tensors(angle, like=kernel)
    along_y, along_x = torch.gradient(kernel, dim=(-2, -1))
    return torch.cos(angle)[..., None, None] * along_x + torch.sin(angle)[..., None, None] * along_y


def derive_spatial_receptive_field_single(field, scale, angle, dx, dy):
    """The field (..., size, size) derived dx times along the angle and dy times across it, times the scale each time.

    scale, angle : numbers, or of shape (...)
    dx, dy : numbers, or of shape (...); for one axis, lists of numbers
    """
    scale, angle = _tensors(scale, angle, like=field)
    factor = calculate_normalization(1, scale)[..., None, None]
    for order, direction in ((dx, angle), (dy, angle + math.pi / 2)):
        highest = max(order) if isinstance(order, (list, tuple)) else int(torch.as_tensor(order).max())
        order = torch.as_tensor(order, device=field.device)[..., None, None]
        for done in range(highest):
            field = torch.where(order > done, derive_kernel(field, direction) * factor, field)
    return field


def derive_spatial_receptive_field(field, scale, angle, derivatives):
    """One field (size, size) derived in several ways: (derivatives, size, size). ``derivatives``: as in `spatial_parameters`."""
    pairs = derivative_pairs(derivatives)
    return torch.stack([derive_spatial_receptive_field_single(field, scale, angle, dx, dy) for dx, dy in pairs])


def spatial_receptive_field(scale, angle, ratio, x, y, size, dx=0, dy=0, domain=10):
    """The receptive field of these parameters, numbers or each (...): (..., size, size)."""
    scale, angle, ratio, x, y = torch.broadcast_tensors(*_tensors(scale, angle, ratio, x, y))
    wide = ratio.to(torch.float64)  # in float32 the determinant of a narrow kernel's covariance has few digits left
    c = covariance_matrix(wide, 1.0 / wide, angle.to(torch.float64)) * scale[..., None, None]
    # Divided by its sum in this way, a kernel that is 0 at all points is no 0 / 0.
    field = torch.softmax(_log_gaussian(size, c, x, y, domain).flatten(-2), dim=-1).unflatten(-1, (size, size))
    return derive_spatial_receptive_field_single(field.to(scale.dtype), scale, angle, dx, dy)


def spatial_receptive_fields_with_derivatives(combinations, size, domain=1):
    """The receptive fields of the rows (scale, angle, ratio, x, y, dx, dy) of ``combinations``, (n, 7): (n, size, size)."""
    if combinations.ndim != 2 or combinations.shape[1] != len(COLUMNS):
        raise ModelError(
            f"spatial_receptive_fields_with_derivatives: combinations must have the shape (n, 7), with the columns "
            f"{', '.join(COLUMNS)}, not {tuple(combinations.shape)}"
        )
    return fields_of(combinations[:, :5], derivative_pairs(combinations[:, 5:]), size, domain)


def spatial_parameters(scales, angles, ratios, derivatives, x=0, y=0, include_replicas=False):
    """All combinations of the values, as rows (scale, angle, ratio, x, y, dx, dy): (n, 7). The last column runs fastest.

    scales, angles, ratios, x, y : (values), or numbers
    derivatives : a list of pairs (dx, dy); or a number n for all pairs up to n without (n, n), and (0, 0) alone for n = 0
    include_replicas : whether a ratio of 1, a circle, comes with all angles instead of the first one only; without replicas
        circles come last
    """
    columns, pairs = values_of(scales, angles, ratios, x, y), derivative_pairs(derivatives)
    *indices, order = combination_indices(columns, len(pairs), include_replicas)
    rows = torch.stack([column[index] for column, index in zip(columns, indices, strict=True)], dim=1)
    return torch.cat([rows, torch.tensor(pairs, dtype=rows.dtype, device=rows.device)[order]], dim=1)


def spatio_temporal_parameters(scales, angles, ratios, derivatives, temporal_scales, include_replicas=False):
    """The rows of `spatial_parameters` at x = y = 0, each with every temporal scale in an eighth column: (n * scales, 8)."""
    rows = spatial_parameters(scales, angles, ratios, derivatives, include_replicas=include_replicas)
    (times,) = values_of(temporal_scales, like=rows)
    return torch.cat([rows.repeat_interleave(len(times), dim=0), times.repeat(len(rows))[:, None]], dim=1)


def temporal_scale_distribution(n_scales, min_scale=1, max_scale=None, c=1.41421):
    """``n_scales`` temporal scales (standard deviations) at equal ratios: (n_scales).

    They begin at sqrt(min_scale); each is c times the one before, or, with a max_scale, the last is sqrt(max_scale).
    """
    if not (min_scale > 0 and (max_scale is None or max_scale >= min_scale) and c > 0):
        raise ModelError(
            f"temporal_scale_distribution: min_scale and c must be above 0, max_scale not below min_scale; they are {min_scale}, "
            f"{c} and {max_scale}"
        )
    if max_scale is not None:
        if n_scales < 2:
            raise ModelError(f"temporal_scale_distribution: from min_scale to max_scale it takes 2 scales or more, not {n_scales}")
        c = (max_scale / min_scale) ** (0.5 / (n_scales - 1))
    return math.sqrt(min_scale) * torch.as_tensor(c, dtype=torch.get_default_dtype()) ** torch.arange(n_scales)


def derivative_pairs(derivatives):
    """The pairs (dx, dy) that ``derivatives`` of `spatial_parameters` stands for, as ints."""
    if isinstance(derivatives, torch.Tensor):
        derivatives = derivatives.tolist()
    pairs = [(derivatives,)] if isinstance(derivatives, (int, float)) else list(derivatives)
    good = bool(pairs) and all(isinstance(pair, (tuple, list)) and all(k >= 0 and k == k // 1 for k in pair) for pair in pairs)
    if good and len(pairs[0]) == 1:
        n = int(pairs[0][0])
        return [(i, j) for i in range(n + 1) for j in range(n + 1) if (i, j) != (n, n) or n == 0]
    if not good or any(len(pair) != 2 for pair in pairs):
        raise ModelError(f"derivatives must be a whole number, 0 or more, or a list of pairs (dx, dy) of such, not {derivatives!r}")
    return [(int(dx), int(dy)) for dx, dy in pairs]


def values_of(*columns, like=None):
    """Each column, a number or a tensor, as (values)."""
    return [torch.atleast_1d(column) for column in _tensors(*columns, like=like)]


def combination_indices(columns, orders, include_replicas):
    """Which values the rows of `spatial_parameters` take: for each of the five columns, and for the orders, an index (n)."""
    device = columns[0].device
    scales, angles, ratios, x, y = (torch.arange(len(column), device=device) for column in columns)
    circle = torch.zeros_like(columns[2], dtype=torch.bool) if include_replicas else columns[2] == 1
    blocks = (angles, ratios[~circle]), (angles[:1], ratios[circle])
    last = torch.arange(orders, device=device)
    return torch.cat([torch.cartesian_prod(scales, a, r, x, y, last) for a, r in blocks]).unbind(1)


def fields_of(parameters, orders, size, domain):
    """The receptive fields (n, size, size) of rows (scale, angle, ratio, x, y), (n, 5), with n pairs (dx, dy) of ints."""
    dx, dy = zip(*orders, strict=True)
    return spatial_receptive_field(*parameters.unbind(1), size, dx, dy, domain)


def _log_gaussian(size, c, x, y, domain):
    """The logarithm of the normal density at the points, float64 (..., size, size)."""
    c, x, y = (value.to(torch.float64) for value in (c, x, y))
    points = torch.linspace(-domain, domain, size, dtype=c.dtype, device=c.device)
    along_x, along_y = points - x[..., None, None], points[:, None] - y[..., None, None]  # (..., 1, size), (..., size, 1)
    xx, xy, yy = (c[..., i, j, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    det = xx * yy - xy**2
    distance = (yy * along_x**2 - 2.0 * xy * along_x * along_y + xx * along_y**2) / det
    return -0.5 * distance - torch.log(2.0 * math.pi * torch.sqrt(det))


def _tensors(*values, like=None):
    """Numbers as tensors of the type and on the device of ``like``, or of the first tensor among them; tensors as they are."""
    like = next((v for v in values if isinstance(v, torch.Tensor) and v.dtype.is_floating_point), None) if like is None else like
    dtype, device = (torch.get_default_dtype(), None) if like is None else (like.dtype, like.device)
    return [torch.as_tensor(v, dtype=dtype, device=device) for v in values]
