"""`eventsim.ops.Ops` for scalars inside Numba kernels, and named tuples loaded from and stored to arrays."""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from eventsim.jit import jit_borrowing as jit
from eventsim.ops import SMALL, Ops

REALS = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}


@jit
def _exp(x):
    return np.exp(x)


@jit
def _expm1(x):
    return np.expm1(x)


@jit
def _log1p(x):
    return np.log1p(x)


@jit
def _sqrt(x):
    return np.sqrt(x)


@jit
def _sin(x):
    return np.sin(x)


@jit
def _cos(x):
    return np.cos(x)


@jit
def _arctan(x):
    return np.arctan(x)


@jit
def _minimum(x, y):
    return x if x < y else y


@jit
def _absolute(x):
    return abs(x)


@jit
def _phi(x):
    return 1.0 - 0.5 * x if abs(x) < SMALL else -np.expm1(-x) / x


@jit
def _log1p_over(x):
    return 1.0 - 0.5 * x if abs(x) < SMALL else np.log1p(x) / x


@jit
def _select(condition, a, b):
    return a if condition else b


@jit
def _gate(z):
    return z


@functools.cache
def scalar_ops(dtype: np.dtype) -> Ops:
    """The operations on scalars of one type. phi and the like are in float64, for coefficients."""
    real = REALS[dtype]
    zero, one = real(0), real(1)

    @jit
    def fire(margin):
        return one if margin > zero else zero

    @jit
    def relu(x):
        return zero if x <= zero else x  # NaN stays NaN

    return Ops(
        exp=_exp,
        expm1=_expm1,
        log1p=_log1p,
        sqrt=_sqrt,
        sin=_sin,
        cos=_cos,
        arctan=_arctan,
        minimum=_minimum,
        absolute=_absolute,
        phi=_phi,
        log1p_over=_log1p_over,
        relu=relu,
        select=_select,
        fire=fire,
        gate=_gate,
    )


@functools.cache
def load(count: int, real):
    """A function ``(a, j) -> tuple`` of ``a[0, j] ... a[count - 1, j]``, each cast to ``real``."""
    last = count - 1
    one = jit(lambda a, j: (real(a[last, j]),))
    if count == 1:
        return one
    before = load(last, real)
    return jit(lambda a, j: before(a, j) + one(a, j))


@functools.cache
def store(count: int):
    """A function ``(a, j, values)`` that writes ``a[f, j] = values[f]``."""
    last = count - 1

    def one(a, j, values):
        a[last, j] = values[last]

    if count == 1:
        return jit(one)
    before = store(last)

    def all_of_them(a, j, values):
        before(a, j, values)
        a[last, j] = values[last]

    return jit(all_of_them)


@functools.cache
def load_row(count: int):
    """A function ``(a, j) -> tuple`` of ``a[j, 0] ... a[j, count - 1]``."""
    last = count - 1
    one = jit(lambda a, j: (a[j, last],))
    if count == 1:
        return one
    before = load_row(last)
    return jit(lambda a, j: before(a, j) + one(a, j))


@functools.cache
def store_row(count: int):
    """A function ``(a, j, values)`` that writes ``a[j, f] = values[f]``."""
    last = count - 1

    def one(a, j, values):
        a[j, last] = values[last]

    if count == 1:
        return jit(one)
    before = store_row(last)

    def all_of_them(a, j, values):
        before(a, j, values)
        a[j, last] = values[last]

    return jit(all_of_them)


@functools.cache
def cast(count: int, real):
    """A function ``values -> tuple`` of the first ``count`` values, each cast to ``real``."""
    last = count - 1
    one = jit(lambda values: (real(values[last]),))
    if count == 1:
        return one
    before = cast(last, real)
    return jit(lambda values: before(values) + one(values))


@functools.cache
def load_mixed(mask: tuple[bool, ...]):
    """A function ``(common, a, j) -> tuple``: where the mask holds ``a[f, j]``, elsewhere ``common[f]``."""
    last = len(mask) - 1
    one = jit((lambda common, a, j: (a[last, j],)) if mask[last] else (lambda common, a, j: (common[last],)))
    if last == 0:
        return one
    before = load_mixed(mask[:last])
    return jit(lambda common, a, j: before(common, a, j) + one(common, a, j))
