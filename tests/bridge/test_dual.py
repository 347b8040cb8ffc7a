"""Dual numbers in Numba: every operation has torch's value and gradient."""

import numpy as np
import pytest
import torch

from eventsim.jit import jit
from norse_bridge.fused.dual import dual_ops, pull, value_of
from norse_bridge.fused.rows import seeds
from norse_bridge.ops import surrogate_ops

REAL = np.dtype(np.float64)
OPS = dual_ops(REAL, "super", False)
SEEDS = seeds((0, 1, None))  # a, b with derivatives, c without
PULL = pull(2)
ALPHA = 3.0
TORCH = surrogate_ops("super", ALPHA)

EXPRESSIONS = {
    "add": lambda ops, a, b, c: a + b + c,
    "subtract": lambda ops, a, b, c: c - a - b,
    "multiply": lambda ops, a, b, c: a * b * c * a,
    "divide": lambda ops, a, b, c: a / b + c / a + b / c,
    "negate": lambda ops, a, b, c: -(a * b) - (-c),
    "exp": lambda ops, a, b, c: ops.exp(a * b),
    "expm1": lambda ops, a, b, c: ops.expm1(a - b),
    "log1p": lambda ops, a, b, c: ops.log1p(a * a + b * b),
    "phi": lambda ops, a, b, c: ops.phi(a * b),
    "phi at 0": lambda ops, a, b, c: ops.phi(a - a) * b,
    "log1p_over": lambda ops, a, b, c: ops.log1p_over(a * a) * b,
    "log1p_over at 0": lambda ops, a, b, c: ops.log1p_over(b - b) + a,
    "minimum": lambda ops, a, b, c: ops.minimum(a * b, b) + ops.minimum(a, b),
    "absolute": lambda ops, a, b, c: ops.absolute(a - b) + ops.absolute(b - a),
    "relu": lambda ops, a, b, c: ops.relu(a - b) + ops.relu(b - a),
    "select": lambda ops, a, b, c: ops.select(a > b, a * b, b) + ops.select(a <= b, a, a * b),
    "fire": lambda ops, a, b, c: ops.fire(a - b) * a + ops.fire(b - a),
    "gate": lambda ops, a, b, c: ops.gate(ops.fire(a)) * b,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("values", [(0.3, 1.2, -0.7), (-0.8, -1.1, 2.0)])
def test_value_and_gradient_are_those_of_torch(name, values):
    expression = EXPRESSIONS[name]
    function = jit(expression)

    @jit
    def derive(numbers):
        a, b, c = SEEDS(numbers, ALPHA)
        result = function(OPS, a, b, c)
        return value_of(result), PULL((result, a), (b,), (1.0, 0.0, 0.0))

    value, gradient = derive(values)
    a, b = (torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in values[:2])
    wanted = expression(TORCH, a, b, torch.tensor(values[2], dtype=torch.float64))
    wanted.backward()
    assert value == pytest.approx(wanted.item(), rel=1e-14, abs=1e-15)
    assert gradient == pytest.approx([0.0 if t.grad is None else t.grad.item() for t in (a, b)], rel=1e-12, abs=1e-14)


def test_float32_stays_float32():
    ops = dual_ops(np.dtype(np.float32), "super", True)

    @jit
    def derive(numbers, alpha):
        a, b, c = SEEDS(numbers, alpha)
        result = ops.exp(a * b) + ops.phi(c * a) - ops.relu(b) / a + ops.gate(ops.fire(a)) * b
        return value_of(result), PULL((result, a), (b,), (alpha, alpha, alpha))

    value, gradient = derive((np.float32(0.3), np.float32(1.2), np.float32(-0.7)), np.float32(3.0))
    assert derive.nopython_signatures[0].return_type.types[0].name == "float32"
    assert str(derive.nopython_signatures[0].return_type.types[1].dtype) == "float32"
    assert np.isfinite([value, *gradient]).all()


def test_what_does_not_depend_on_an_input_has_no_derivative():
    """0 * inf would be NaN: a derivative that is not there is never multiplied."""

    @jit
    def derive(numbers):
        a, b, c = SEEDS(numbers, ALPHA)
        return PULL((a * c, b), (c,), (1.0, np.inf, np.inf))

    assert derive((2.0, 3.0, 4.0)) == (4.0, np.inf)
