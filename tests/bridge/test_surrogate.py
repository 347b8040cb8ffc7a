"""Surrogate gradients: forward pass, the table of derivatives, double backward, torch.func."""

import math

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import ModelError
from norse_bridge.surrogate import METHODS, CircDist, HeaviCirc, HeaviErfc, HeaviTanh, Logistic, SuperSpike, Triangle

X = torch.tensor([-3.0, -1.0, -0.3, -1e-6, 0.0, 1e-6, 0.3, 1.0, 3.0], dtype=torch.float64)

DERIVATIVES = {
    "super": lambda x, a: 1 / (a * abs(x) + 1) ** 2,
    "triangle": lambda x, a: a * max(0.0, 1 - abs(x)),
    "tanh": lambda x, a: 1 - math.tanh(a * x) ** 2,
    "circ": lambda x, a: a**3 / (x * x + a * a) ** 1.5,
    "heavi_erfc": lambda x, a: 2 * math.exp(-((a * x) ** 2)) / math.sqrt(math.pi),
    "logistic": lambda x, a: 1 - math.tanh(a * x) ** 2,
    "circ_dist": lambda x, a: a**3 / (x * x + a * a) ** 1.5,
    "adjoint": lambda x, a: 1 / (a * abs(x) + 1) ** 2,
}
DETERMINISTIC = [name for name in METHODS if name not in ("logistic", "circ_dist")]


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_forward_is_a_strict_step(method):
    x = torch.tensor([-1.0, -1e-30, -0.0, 0.0, 1e-30, 1.0, math.nan], requires_grad=method != "heaviside")
    z = nb.threshold(x, method, 100.0)
    assert z.tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert z.dtype == torch.float32


@pytest.mark.parametrize("alpha", [0.5, 2.0, 100.0])
@pytest.mark.parametrize("method", DERIVATIVES)
def test_backward_is_the_table(method, alpha):
    x = X.clone().requires_grad_()
    upstream = torch.arange(1.0, len(X) + 1, dtype=torch.float64)
    nb.threshold(x, method, alpha).backward(upstream)
    wanted = [u * DERIVATIVES[method](value, alpha) for u, value in zip(upstream.tolist(), X.tolist(), strict=True)]
    assert x.grad.tolist() == pytest.approx(wanted, rel=1e-12, abs=1e-300)


def test_default_alphas():
    x = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    nb.super_fn(x).backward()
    assert x.grad.item() == pytest.approx(1 / 51**2)
    x.grad = None
    nb.triangle_fn(x).backward()
    assert x.grad.item() == pytest.approx(0.15)


@pytest.mark.parametrize("function", [nb.heavi_tanh_fn, nb.heavi_circ_fn, nb.heavi_erfc_fn])
def test_named_functions_are_the_methods(function):
    method = {"heavi_tanh_fn": "tanh", "heavi_circ_fn": "circ", "heavi_erfc_fn": "heavi_erfc"}[function.__name__]
    slopes = [torch.func.vmap(torch.func.grad(f))(X) for f in (lambda x: function(x, 3.0), lambda x: nb.threshold(x, method, 3.0))]
    assert torch.equal(*slopes)


def test_heaviside_has_no_gradient_and_alpha_gets_none():
    assert not nb.threshold(X.clone().requires_grad_(), "heaviside", 1.0).requires_grad
    alpha = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = X.clone().requires_grad_()
    nb.threshold(x, "super", alpha).sum().backward()
    assert alpha.grad is None
    assert x.grad[4] == 1.0


def test_sign_is_twice_the_threshold_less_one():
    x = X.clone().requires_grad_()
    y = nb.sign(x, "super", 2.0)
    assert y.tolist() == [-1, -1, -1, -1, -1, 1, 1, 1, 1] and y.dtype == X.dtype
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([2 * DERIVATIVES["super"](value, 2.0) for value in X.tolist()])


def test_unknown_method_is_named():
    with pytest.raises(ModelError, match="'sigmoid'.*super.*circ_dist"):
        nb.threshold(X, "sigmoid", 1.0)


@pytest.mark.parametrize(
    ("function", "probability"),
    [
        (nb.logistic_fn, lambda x, k: 0.5 + 0.5 * math.tanh(k * x)),
        (nb.circ_dist_fn, lambda x, k: 0.5 + 0.5 * x / math.sqrt(x * x + k * k)),
    ],
)
def test_random_spikes_have_the_right_probability(function, probability):
    n = 20000
    for value in (-0.7, 0.0, 0.2, 1.5):
        p = probability(value, 0.8)
        z = function(torch.full((n,), value), 0.8)
        assert set(z.unique().tolist()) <= {0.0, 1.0}
        assert abs(z.mean().item() - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-9


@pytest.mark.parametrize("cls", [SuperSpike, Triangle, HeaviTanh, HeaviCirc, HeaviErfc, Logistic, CircDist])
def test_second_derivative_is_that_of_the_table(cls):
    x = torch.tensor([0.31, -0.47], dtype=torch.float64, requires_grad=True)

    def slope(y):
        return torch.autograd.grad(cls.apply(y, 1.7).sum(), y, create_graph=True)[0]

    assert torch.autograd.gradcheck(slope, x)


def test_torch_func_and_vmap():
    slopes = torch.func.vmap(torch.func.grad(lambda x: nb.super_fn(x, 2.0)))(X)
    assert torch.equal(slopes, 1 / (2 * X.abs() + 1) ** 2)
