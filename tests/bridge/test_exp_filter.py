"""ExpFilter: the closed form of its impulse response, pieces of a sequence, and its parameters."""

import copy
import math

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError


def one_to_one(**options):
    """A filter without bias that adds up nothing: each output filters its own input."""
    return nb.ExpFilter(2, 2, input_weights=torch.eye(2, dtype=torch.float64), bias=False, **options)


def test_an_impulse_decays_as_the_exponential():
    x = torch.zeros(8, 1, 2, dtype=torch.float64)
    x[0, 0, 0] = x[3, 0, 1] = 1.0
    y = one_to_one(tau_filter_inv=250.0, dt=0.002)(x)
    t = torch.arange(8, dtype=torch.float64)
    torch.testing.assert_close(y[:, 0, 0], torch.exp(-0.5 * t), rtol=1e-14, atol=0)
    torch.testing.assert_close(y[3:, 0, 1], torch.exp(-0.5 * t[:5]), rtol=1e-14, atol=0)
    assert y[:3, 0, 1].abs().sum() == 0


def test_a_step_is_the_equation():
    assert nb.exp_filter_step(torch.tensor(2.0), torch.tensor(3.0), 0.25) == 3.5


def test_norses_call_returns_the_output_alone():
    module, x = nb.ExpFilter(3, 4), torch.randn(6, 2, 3)
    out = module(x)
    assert isinstance(out, torch.Tensor) and out.shape == (6, 2, 4)
    assert torch.equal(out[0], module.linear(x)[0])
    with_state, last = module(x, None)
    assert torch.equal(with_state, out)
    assert torch.equal(last, out[-1])


def test_a_sequence_may_come_in_pieces():
    module, x = nb.ExpFilter(3, 4, 100.0), torch.randn(20, 2, 3)
    first, state = module(x[:7], None)
    second, _ = module(x[7:], state)
    torch.testing.assert_close(torch.cat([first, second]), module(x))
    model = nb.SequentialState(module, nb.LIF())
    whole, _ = model(20 * x)
    first, state = model(20 * x[:7])
    second, _ = model(20 * x[7:], state)
    assert whole.sum() > 0
    assert torch.equal(torch.cat([first, second]), whole)


def test_rates_are_trained_and_may_differ_between_outputs():
    rate = torch.tensor([100.0, 700.0], requires_grad=True)
    module = one_to_one(tau_filter_inv=rate)
    x = torch.ones(3, 1, 2, dtype=torch.float64)
    out = module(x)
    a = torch.exp(-0.001 * rate.detach()).double()
    torch.testing.assert_close(out[:, 0].detach(), torch.stack([a**0, 1 + a, 1 + a + a**2]))
    out.sum().backward()
    names = dict(module.named_parameters())
    assert set(names) == {"linear.weight", "rate.tau_filter_inv"}
    wanted = -0.001 * a * (1 + 1 + 2 * a)
    torch.testing.assert_close(names["rate.tau_filter_inv"].grad, wanted.float())
    fixed = one_to_one(tau_filter_inv=torch.tensor([100.0, 700.0])).double()
    assert set(fixed.state_dict()) == {"linear.weight", "rate.tau_filter_inv"}
    torch.testing.assert_close(fixed(x), out.detach())
    assert torch.equal(copy.deepcopy(fixed)(x), fixed(x))


def test_weights_are_copied_and_checked():
    weights = torch.nn.Parameter(torch.ones(4, 3))
    module = nb.ExpFilter(3, 4, input_weights=weights)
    assert module.linear.weight is not weights
    assert torch.equal(module.linear.weight, weights)
    torch.nn.init.zeros_(module.linear.weight)
    assert torch.equal(weights, torch.ones(4, 3))
    assert set(module.state_dict()) == {"linear.weight", "linear.bias"}  # the names of Norse
    with pytest.raises(SimulationError, match=r"input_weights must have shape \(4, 3\) \(outputs, inputs\), not \(3, 4\)"):
        nb.ExpFilter(3, 4, input_weights=torch.ones(3, 4))
    with pytest.raises(SimulationError, match="ExpFilter: .* first axis over time"):
        module(torch.ones(0, 1, 3))


def test_what_is_printed_has_the_factor():
    assert f"parameter={math.exp(-1.0)}" in str(nb.ExpFilter(3, 4))
