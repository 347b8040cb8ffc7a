"""The torch operations against NumPy's and high precision; gradients at the singularities."""

import mpmath
import numpy as np
import pytest
import torch

from eventsim.models import LIF
from eventsim.ops import NUMPY
from norse_bridge.ops import TORCH, log1p_over, phi, surrogate_ops

X = torch.tensor([0.0, 1e-12, -1e-12, 9.9e-9, 1.01e-8, 1e-5, -1e-3, 0.5, 3.0, 40.0], dtype=torch.float64)


@pytest.mark.parametrize("name", ["exp", "expm1", "absolute", "phi", "relu"])
def test_equal_numpy(name):
    ours, theirs = getattr(TORCH, name)(X).numpy(), getattr(NUMPY, name)(X.numpy())
    np.testing.assert_allclose(ours, theirs, rtol=1e-15)


def test_log1p_over_equals_numpy():
    x = X[X > -1]
    np.testing.assert_allclose(log1p_over(x).numpy(), NUMPY.log1p_over(x.numpy()), rtol=1e-15)


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (phi, lambda x: (1 - mpmath.exp(-x)) / x if x else mpmath.mpf(1)),
        (log1p_over, lambda x: mpmath.log1p(x) / x if x else mpmath.mpf(1)),
    ],
)
def test_values_and_gradients_through_zero(function, exact):
    """Without the safe branch the gradient at 0 is NaN; with a constant 1 there it would be 0 instead of -1/2."""
    x = X.clone().requires_grad_()
    function(x).sum().backward()
    with mpmath.workdps(60):
        for value, got, slope in zip(X.tolist(), function(X).tolist(), x.grad.tolist(), strict=True):
            h = mpmath.mpf(10) ** -20
            at = mpmath.mpf(value)
            derivative = mpmath.mpf(-0.5) if value == 0 else (exact(at + h) - exact(at - h)) / (2 * h)
            assert got == pytest.approx(float(exact(at)), rel=1e-14)
            assert slope == pytest.approx(float(derivative), abs=5e-8)


def test_exact_flow_is_differentiable_where_the_time_constants_meet():
    """d(coupling)/d(tau_syn) at tau_mem = tau_syn, against a central difference of NumPy's float64."""
    tau = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
    tau_mem = torch.tensor(10.0, dtype=torch.float64)
    p = LIF.Params(tau_mem=tau_mem, tau_syn=tau)
    dt = torch.tensor(1.0, dtype=torch.float64)
    LIF.exact(TORCH, dt, p).r.backward()
    sides = [LIF.exact(NUMPY, 1.0, LIF.Params(tau_mem=10.0, tau_syn=10.0 + h)).r for h in (1e-4, -1e-4)]
    assert tau.grad.item() == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-3)


def test_detach_closes_the_gate():
    z = torch.ones(3, requires_grad=True)
    assert surrogate_ops("super", 1.0).gate(z).requires_grad
    assert not surrogate_ops("super", 1.0, detach=True).gate(z).requires_grad
