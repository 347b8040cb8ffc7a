"""The few operations beyond ``+ - *`` that a neuron model may use, for scalars and NumPy arrays.

A model's coefficient functions (``exact``, ``euler``, ``turning_time``) take an `Ops` as their first argument, so that the
same text runs on NumPy arrays (`NUMPY`), inside Numba kernels (`eventsim.cpu.scalar.scalar_ops`) and on torch tensors
(``norse_bridge.ops``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Ops(NamedTuple):
    """One backend's operations.

    exp, expm1, log1p, sqrt, sin, cos, arctan, minimum, absolute
        As in NumPy.
    phi
        ``(1 - exp(-x)) / x``, and ``1 - x/2`` where x is so small that both agree to rounding (also in the derivative).
    log1p_over
        ``log1p(x) / x``, and ``1 - x/2`` for small x; what inverts `phi`.
    relu
        ``max(x, 0)``.
    select
        ``select(c, a, b)``: a where c holds, b elsewhere.
    fire
        ``fire(margin)``: 1 where the margin is above 0, else 0, in the margin's type. The one place of a surrogate gradient.
    gate
        What the reset sees of the spikes: the identity, or a detached copy where no gradient shall pass through the reset.
    """

    exp: Any
    expm1: Any
    log1p: Any
    sqrt: Any
    sin: Any
    cos: Any
    arctan: Any
    minimum: Any
    absolute: Any
    phi: Any
    log1p_over: Any
    relu: Any
    select: Any
    fire: Any
    gate: Any


SMALL = 1e-8  # below it 1 - x/2 is (1 - exp(-x))/x to float64 rounding


def phi(x):
    """``(1 - exp(-x)) / x`` of an array or a scalar, without the singularity at 0. Dimensionless."""
    small = np.abs(x) < SMALL
    y = np.where(small, 1.0, x)
    return np.where(small, 1.0 - 0.5 * x, -np.expm1(-y) / y)[()]


def log1p_over(x):
    """``log1p(x) / x`` of an array or a scalar, without the singularity at 0. Dimensionless."""
    small = np.abs(x) < SMALL
    y = np.where(small, 1.0, x)
    return np.where(small, 1.0 - 0.5 * x, np.log1p(y) / y)[()]


def relu(x):
    """``max(x, 0)``, in the type of x."""
    return np.maximum(x, np.zeros_like(x))


def select(condition, a, b):
    """``a`` where the condition holds, else ``b``."""
    return np.where(condition, a, b)[()]


def fire(margin):
    """1 where ``margin > 0``, else 0, in the type of the margin."""
    margin = np.asarray(margin)
    return (margin > 0).astype(margin.dtype)[()]


def gate(z):
    """The spikes themselves."""
    return z


NUMPY = Ops(
    exp=np.exp,
    expm1=np.expm1,
    log1p=np.log1p,
    sqrt=np.sqrt,
    sin=np.sin,
    cos=np.cos,
    arctan=np.arctan,
    minimum=np.minimum,
    absolute=np.abs,
    phi=phi,
    log1p_over=log1p_over,
    relu=relu,
    select=select,
    fire=fire,
    gate=gate,
)
