"""The operations of `eventsim.ops.Ops` on torch tensors, differentiable.

`phi` and `log1p_over` divide by something that is 0 at the singularity. `torch.where` alone would let the NaN of the branch not
taken into the gradient, so that branch is fed a harmless 1 first.
"""

from __future__ import annotations

import torch

from eventsim.ops import SMALL, Ops
from norse_bridge.surrogate import heaviside, surrogate


def phi(x):
    """``(1 - exp(-x)) / x``, and ``1 - x/2`` near 0: value 1 and derivative -1/2 there. Dimensionless."""
    small = x.abs() < SMALL
    y = torch.where(small, 1.0, x)
    return torch.where(small, 1.0 - 0.5 * x, -torch.expm1(-y) / y)


def log1p_over(x):
    """``log1p(x) / x``, and ``1 - x/2`` near 0: value 1 and derivative -1/2 there. Dimensionless."""
    small = x.abs() < SMALL
    y = torch.where(small, 1.0, x)
    return torch.where(small, 1.0 - 0.5 * x, torch.log1p(y) / y)


def _identity(z):
    return z


def _detached(z):
    return z.detach()


TORCH = Ops(
    exp=torch.exp,
    expm1=torch.expm1,
    log1p=torch.log1p,
    sqrt=torch.sqrt,
    sin=torch.sin,
    cos=torch.cos,
    arctan=torch.arctan,
    minimum=torch.minimum,
    absolute=torch.abs,
    phi=phi,
    log1p_over=log1p_over,
    relu=torch.relu,
    select=torch.where,
    fire=heaviside,
    gate=_identity,
)


def surrogate_ops(method, alpha, detach=False) -> Ops:
    """`TORCH` that fires with the surrogate gradient ``method``; with ``detach`` no gradient passes through the reset."""
    fire = surrogate(method)
    return TORCH._replace(fire=lambda margin: fire(margin, alpha), gate=_detached if detach else _identity)
