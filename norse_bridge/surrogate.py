"""Surrogate gradients: the forward pass is the step function H(x) = 1 where x > 0, the backward pass a smooth stand-in.

    method        d/dx in the backward pass          peak    width
    heaviside     0
    super         1 / (alpha |x| + 1)^2              1       ~ 1/alpha
    triangle      alpha max(0, 1 - |x|)              alpha   1
    tanh          1 - tanh(alpha x)^2                1       ~ 1/alpha
    circ          alpha^3 / (x^2 + alpha^2)^(3/2)    1       ~ alpha
    heavi_erfc    2 exp(-(alpha x)^2) / sqrt(pi)     1.128   ~ 1/alpha
    logistic      as tanh; fires with probability 1/2 + tanh(alpha x)/2
    circ_dist     as circ; fires with probability 1/2 + x / (2 sqrt(x^2 + alpha^2))
    adjoint       as super: Norse's name for a backward pass of its own, which is not the gradient

x is the margin v - v_th. No gradient flows to alpha. Every function works under torch.func (grad, vmap) as well.

Sources: Zenke & Ganguli (2018), Neural Comput. 30:1514, eq. 10 (super); Bellec et al. (2018), eq. 7 (triangle); Norse's reference
for the others.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError


def heaviside(data):
    """1 where ``data > 0``, else 0 (also at 0 and for NaN), in the type of the data. No gradient."""
    return (data > 0).to(data.dtype)


class SurrogateOps(NamedTuple):
    """What a derivative below is written in, besides ``+ - * /``: the same text for tensors and inside compiled loops.

    number : a constant as a number of the type of x; the others as in torch
    """

    number: Any
    absolute: Any
    relu: Any
    tanh: Any
    exp: Any
    sqrt: Any


def _number(value):
    return value


TORCH_SURROGATE = SurrogateOps(_number, torch.abs, torch.relu, torch.tanh, torch.exp, torch.sqrt)
ERFC_PEAK = 2.0 / math.sqrt(math.pi)


def _none(ops, x, alpha):
    return ops.number(0.0) * x


def _super(ops, x, alpha):
    one = ops.number(1.0)
    y = alpha * ops.absolute(x) + one
    return one / (y * y)


def _triangle(ops, x, alpha):
    return alpha * ops.relu(ops.number(1.0) - ops.absolute(x))


def _tanh(ops, x, alpha):
    y = ops.tanh(alpha * x)
    return ops.number(1.0) - y * y


def _circ(ops, x, alpha):
    q = x * x + alpha * alpha
    return alpha * alpha * alpha / (q * ops.sqrt(q))


def _erfc(ops, x, alpha):
    y = alpha * x
    return ops.number(ERFC_PEAK) * ops.exp(-(y * y))


DERIVATIVES = {
    "heaviside": _none,
    "super": _super,
    "adjoint": _super,
    "triangle": _triangle,
    "tanh": _tanh,
    "circ": _circ,
    "heavi_erfc": _erfc,
}
"""For each method that fires at the threshold: ``(ops, x, alpha) ->`` d/dx of the backward pass."""


def _step(x, alpha):
    return heaviside(x)


def _draw_logistic(x, alpha):
    return torch.bernoulli(0.5 + 0.5 * torch.tanh(alpha * x))


def _draw_circ(x, alpha):
    return torch.bernoulli(0.5 + 0.5 * x / torch.sqrt(x**2 + alpha**2))


def _surrogate(name, derivative, forward=_step):
    """An autograd function ``apply(x, alpha)`` with the given forward pass and d/dx in the backward pass."""

    def setup_context(ctx, inputs, output):
        x, alpha = inputs
        ctx.alpha = alpha.detach() if isinstance(alpha, torch.Tensor) else alpha
        ctx.save_for_backward(x)

    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * derivative(TORCH_SURROGATE, x, ctx.alpha), None

    def compute(x, alpha):
        return forward(x, alpha)

    # torch asks for the signature at every call; found here, that costs a third.
    compute.__signature__ = inspect.signature(compute)
    members = {
        "__module__": __name__,
        "__doc__": f"``{name}.apply(x, alpha)``: see the module's table.",
        "generate_vmap_rule": True,
        "forward": staticmethod(compute),
        "setup_context": staticmethod(setup_context),
        "backward": staticmethod(backward),
    }
    return type(name, (torch.autograd.Function,), members)


SuperSpike = _surrogate("SuperSpike", _super)
Triangle = _surrogate("Triangle", _triangle)
HeaviTanh = _surrogate("HeaviTanh", _tanh)
HeaviCirc = _surrogate("HeaviCirc", _circ)
HeaviErfc = _surrogate("HeaviErfc", _erfc)
Logistic = _surrogate("Logistic", _tanh, _draw_logistic)
CircDist = _surrogate("CircDist", _circ, _draw_circ)


def super_fn(x, alpha=100.0):
    """H(x); gradient ``1 / (alpha |x| + 1)^2``."""
    return SuperSpike.apply(x, alpha)


def triangle_fn(x, alpha=0.3):
    """H(x); gradient ``alpha max(0, 1 - |x|)``."""
    return Triangle.apply(x, alpha)


def heavi_tanh_fn(x, k):
    """H(x); gradient ``1 - tanh(k x)^2``."""
    return HeaviTanh.apply(x, k)


def heavi_circ_fn(x, k):
    """H(x); gradient ``k^3 / (x^2 + k^2)^(3/2)``."""
    return HeaviCirc.apply(x, k)


def heavi_erfc_fn(x, k):
    """H(x); gradient ``2 exp(-(k x)^2) / sqrt(pi)``."""
    return HeaviErfc.apply(x, k)


def logistic_fn(x, k):
    """1 with probability ``1/2 + tanh(k x)/2``; gradient ``1 - tanh(k x)^2``."""
    return Logistic.apply(x, k)


def circ_dist_fn(x, k):
    """1 with probability ``1/2 + x / (2 sqrt(x^2 + k^2))``; gradient ``k^3 / (x^2 + k^2)^(3/2)``."""
    return CircDist.apply(x, k)


METHODS = {
    "heaviside": lambda x, alpha: heaviside(x),
    "super": super_fn,
    "triangle": triangle_fn,
    "tanh": heavi_tanh_fn,
    "circ": heavi_circ_fn,
    "heavi_erfc": heavi_erfc_fn,
    "logistic": logistic_fn,
    "circ_dist": circ_dist_fn,
    "adjoint": super_fn,
}


RANDOM = ("logistic", "circ_dist")  # the methods that draw their spikes


def surrogate(method, label="threshold"):
    """The function ``(x, alpha) -> spikes`` called ``method`` in a parameter tuple. A ModelError, which begins with ``label``,
    names those that exist."""
    if not isinstance(method, str) or method not in METHODS:
        raise ModelError(f"{label}: there is no surrogate gradient {method!r}; method must be one of {', '.join(METHODS)}")
    return METHODS[method]


def threshold(x, method, alpha):
    """Spikes of the margin ``x``: 1 where x > 0, else 0, with the gradient of ``method``. Shape and type of x."""
    return surrogate(method)(x, alpha)


def sign(x, method, alpha):
    """``2 threshold(x) - 1``: 1 where x > 0, else -1, with twice the gradient of ``method``. Shape and type of x."""
    return 2.0 * threshold(x, method, alpha) - 1.0
