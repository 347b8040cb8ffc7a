"""Logic on spikes: tensors of 0 and 1, of any shape, numbers or bool.

    and     x y                      or        H(x + y)
    xor     abs(x - y)               muller_c  H(x1 x2 + (x1 + x2) y)
    posedge (1 - z_prev) z

H is the step function with the surrogate gradient of `super_fn`; the other gradients are those of the equations.
"""

from __future__ import annotations

import torch

from norse_bridge.surrogate import super_fn


def logical_and(x, y):
    """1 where both are 1: ``x y``."""
    return x * y


def logical_or(x, y):
    """1 where one or both are 1: ``H(x + y)``."""
    return super_fn(x + y)


def logical_xor(x, y):
    """1 where one is 1 and the other 0: ``abs(x - y)``."""
    return x ^ y if x.dtype == y.dtype == torch.bool else (x - y).abs()


def muller_c(y_prev, x_1, x_2):
    """The output of a Muller C-element: what the inputs are where they agree, else the output y_prev of before."""
    return super_fn(x_1 * x_2 + (x_1 + x_2) * y_prev)


def posedge_detector(z, z_prev):
    """1 where z is 1 and z_prev, that of the step before, was 0: ``(1 - z_prev) z``."""
    return z & ~z_prev if z.dtype == z_prev.dtype == torch.bool else (1 - z_prev) * z
