"""What recurrent neurons receive: the sum over those that fire, in one order wherever it is formed."""

import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
import torch
from bridge_oracles import ordered_product

import norse_bridge as nb
from eventsim import SimulationError
from norse_bridge.fused import recurrent
from norse_bridge.fused.product_function import OuterSum, Product, multiply
from norse_bridge.layer import RecurrentLayer
from norse_bridge.neurons.li import FAMILY as LI_FAMILY
from norse_bridge.product import product

SHAPES = [(1, 1, 1), (1, 3, 5), (2, 40, 97), (16, 100, 96), (17, 5, 6), (33, 130, 200), (3, 0, 4)]


def spikes(*shape, dtype=torch.float32, density=0.3):
    return (torch.rand(shape) < density).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_spikes_are_summed_in_ascending_order(shape, dtype):
    torch.manual_seed(1)
    samples, inputs, outputs = shape
    x, weights = spikes(samples, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
    assert torch.equal(product(x, weights), ordered_product(x, weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_rounded_once_with_their_sum(dtype):
    """As by a fused multiply-add: exact for one input, and for more to a rounding of each sum."""
    torch.manual_seed(2)
    x, weights = torch.randn(9, 1, dtype=dtype), torch.randn(11, 1, dtype=dtype)
    assert torch.equal(product(x, weights), x * weights.T)
    x, weights = torch.randn(9, 50).to(dtype), torch.randn(11, 50).to(dtype)
    total = np.zeros((9, 11))
    if (
        dtype == torch.float32
    ):  # the product of two is exact in float64, and so the sum rounded to float32 is rounded (all but) once
        for j in range(50):
            total = (total + np.outer(x[:, j].double(), weights[:, j].double())).astype(np.float32).astype(np.float64)
        np.testing.assert_array_equal(product(x, weights).numpy(), total.astype(np.float32))
    torch.testing.assert_close(product(x, weights), x @ weights.T)


def test_bits_do_not_depend_on_the_other_samples_nor_on_threads():
    torch.manual_seed(3)
    x, weights, threads = spikes(40, 300), torch.randn(500, 300), torch.get_num_threads()
    whole = multiply(x, weights)
    assert torch.equal(whole[7], multiply(x[7], weights))
    assert torch.equal(whole[3:30], multiply(x[3:30], weights))
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(multiply(x, weights), whole)
    finally:
        torch.set_num_threads(threads)


def test_layouts_and_axes():
    x, weights = spikes(6, 4, 30), torch.randn(30, 20).T
    assert torch.equal(product(x, weights), multiply(x.reshape(24, 30), weights.contiguous()).reshape(6, 4, 20))
    view = spikes(30, 5).T
    assert torch.equal(product(view, weights), product(view.contiguous(), weights))
    assert torch.equal(product(torch._neg_view(-view), weights), product(view, weights))
    assert product(torch.zeros(0, 30), weights).shape == (0, 20)


def test_nan_and_infinite_inputs_reach_the_neurons():
    x = torch.zeros(2, 3)
    x[0, 1], x[1, 2] = torch.nan, torch.inf
    out = product(x, torch.ones(4, 3))
    assert out[0].isnan().all() and torch.isinf(out[1]).all()


def test_what_is_not_an_ordinary_product_is_torchs():
    x, weights = spikes(3, 5), torch.randn(4, 5)
    for given, w in ((x.half(), weights.half()), (x.bfloat16(), weights.bfloat16())):
        assert torch.equal(product(given, w), torch.nn.functional.linear(given, w))
    with pytest.raises(RuntimeError):
        product(x, torch.randn(4, 6))
    with pytest.raises(RuntimeError):
        product(x, weights.double())
    rows = torch.func.vmap(product, in_dims=(0, None))(x, weights)
    torch.testing.assert_close(rows, x @ weights.T)


def test_gradients_and_those_of_gradients():
    torch.manual_seed(4)
    x = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Product.apply, (x, weights))
    assert torch.autograd.gradgradcheck(Product.apply, (x, weights))
    (of_weights,) = torch.autograd.grad(product(x[0, 0], weights).sum(), weights)  # one sample without an axis for it
    torch.testing.assert_close(of_weights, x[0, 0].detach().expand(4, 5))


@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (33, 3, 6, 9), (17, 20, 30, 110), (40, 2, 150, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_has_the_bits_of_its_cell(shape, dtype):
    torch.manual_seed(5)
    steps, batch, inputs, hidden = shape
    layer = nb.LIFRecurrent(inputs, hidden).to(dtype)
    cell = nb.LIFRecurrentCell(inputs, hidden, input_weights=layer.input_weights, recurrent_weights=layer.recurrent_weights).to(
        dtype
    )
    x, state, rows = spikes(steps, batch, inputs, dtype=dtype, density=0.5), None, []
    x[steps // 2] = torch.rand(batch, inputs, dtype=dtype)  # not spikes alone
    for row in x:
        z, state = cell(row, state)
        rows.append(z)
    with nb.time_loop("fused"):
        out, end = layer(x)
    assert torch.equal(out, torch.stack(rows))
    assert all(torch.equal(a, b) for a, b in zip(end, state, strict=True))


def loss_of(layer, x):
    out, state = layer(x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    inner = state[0] if isinstance(state[0], tuple) else state
    return (out * weights).sum() + inner.v.sum() + 0.3 * inner.z.sum()


@pytest.mark.parametrize("limit", [recurrent.ROW_LIMIT, 1])
@pytest.mark.parametrize("kind", [nb.LIFRecurrent, nb.LSNNRecurrent, nb.LIFRefracRecurrent])
def test_gradients_of_a_layer_are_those_of_the_plain_loop(kind, limit, monkeypatch):
    """With as many steps at once as there is memory for, or one after another."""
    monkeypatch.setattr(recurrent, "ROW_LIMIT", limit)
    torch.manual_seed(6)
    layer = kind(30, 110).double()
    x, found = spikes(37, 20, 30, dtype=torch.float64, density=0.5).requires_grad_(), []
    for loop in ("plain", "fused"):
        with nb.time_loop(loop):
            found.append(torch.autograd.grad(loss_of(layer, x), [x, *layer.parameters()]))
    assert all(g.abs().sum() > 0 for g in found[0])
    for wanted, other in zip(*found, strict=True):
        torch.testing.assert_close(other, wanted, rtol=1e-9, atol=1e-11)


def test_a_way_back_can_be_gone_twice():
    layer, x = nb.LIFRecurrent(4, 6), spikes(40, 3, 4, density=0.7).requires_grad_()
    loss = loss_of(layer, x)
    first = torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)
    again = torch.autograd.grad(loss, [x, *layer.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_bits_of_a_layer_do_not_depend_on_threads():
    layer, x, threads, found = nb.LIFRecurrent(60, 90), spikes(40, 24, 60), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with nb.time_loop("fused"):
                out, state = layer(x)
            found.append([out, *state])
    finally:
        torch.set_num_threads(threads)
    assert found[0][0].sum() > 10
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_gradients_of_gradients_through_an_input_that_is_not_contiguous():
    layer = nb.LIFRecurrent(4, 6).double()
    x = torch.rand(3, 20, 4, dtype=torch.float64).transpose(0, 1).requires_grad_()
    found = []
    for loop in ("plain", "fused"):
        with nb.time_loop(loop):
            (first,) = torch.autograd.grad(layer(x)[1].v.sum(), x, create_graph=True)
            found.append((first, torch.autograd.grad(first.square().sum(), x)[0]))
    assert found[0][1].abs().sum() > 0
    torch.testing.assert_close(*found)


def test_no_samples_at_all():
    out, state = nb.LIFRecurrent(4, 6)(torch.zeros(5, 0, 4, requires_grad=True))
    assert out.shape == (5, 0, 6) and state.v.shape == (0, 6)
    out.sum().backward()


class _ReadoutState(NamedTuple):
    z: torch.Tensor
    v: torch.Tensor
    i: torch.Tensor


class _Readout(RecurrentLayer, family=LI_FAMILY._replace(RecurrentState=_ReadoutState)):
    """Neurons that feed their voltage back."""


def test_what_feeds_back_voltages_goes_through_the_plain_loop():
    """The compiled one keeps spikes, as bytes."""
    layer, x, found = _Readout(4, 6).double(), torch.rand(20, 2, 4, dtype=torch.float64), []
    for loop in ("plain", "auto"):
        with nb.time_loop(loop):
            found.append(torch.autograd.grad(layer(x)[0].square().sum(), layer.recurrent_weights)[0])
    torch.testing.assert_close(*found)
    with nb.time_loop("fused"), pytest.raises(SimulationError, match="spikes"):
        layer(x)


@pytest.mark.filterwarnings("ignore")  # that of torch about a young feature
def test_sparse_layouts_are_torchs():
    x, weights = spikes(6, 5), torch.randn(4, 5)
    for given, w in ((x.to_sparse_csr(), weights), (x, weights.to_sparse_csr())):
        assert torch.equal(product(given, w), torch.nn.functional.linear(given, w))


def test_inference_mode_has_the_bits_of_no_grad():
    layer, x = nb.LIFRecurrentCell(30, 50), spikes(7, 30)
    with torch.no_grad():
        wanted = layer(x)
    with torch.inference_mode():
        found = layer(x)
    assert torch.equal(wanted[0], found[0]) and all(torch.equal(a, b) for a, b in zip(wanted[1], found[1], strict=True))


def test_nothing_is_written_outside_of_its_array():
    """With Numba's bounds checked, in a process of its own, more neurons than a block has."""
    script = """
import torch, norse_bridge as nb
x = torch.rand(20, 2500, requires_grad=True)
nb.LIF()(x)[0].sum().backward()
assert x.grad.isfinite().all()
x = torch.rand(20, 3, 30, requires_grad=True)
layer = nb.LIFRecurrent(30, 110)
layer(x)[0].sum().backward()
assert x.grad.isfinite().all() and layer.recurrent_weights.grad.isfinite().all()
nb.LIFRecurrentCell(30, 110)(x[0])
print("done")
"""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "EVENTSIM_CACHE_DIR": "off"}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env=environment)
    assert ran.stdout.strip() == "done" and "Error" not in ran.stderr, ran.stderr


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 97), (64, 130, 100)], ids=str)
def test_the_gradient_of_weights_is_a_sum_of_outer_products(shape, dtype, density):
    rows, inputs, outputs = shape
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand((rows, inputs), generator=generator) < density) * torch.randint(1, 4, (rows, inputs), generator=generator)
    gradient = torch.randint(-8, 9, (rows, outputs), generator=generator)
    found = OuterSum(inputs, outputs, torch.empty((), dtype=dtype))
    for piece in range(2):  # what is added comes on top
        found.add(x[piece::2].to(dtype), gradient[piece::2].to(dtype))
    assert torch.equal(found.sum(), (gradient.T @ x).to(dtype))  # small whole numbers: no rounding


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_what_does_not_fire_has_no_effect_even_through_an_infinite_weight(density):
    torch.manual_seed(8)
    layer = nb.LIFRecurrent(50, 20)
    with torch.no_grad():
        layer.input_weights[:, 0] = torch.inf
    x = spikes(10, 8, 50, density=density)
    x[:, :, 0] = 0.0
    assert layer(x)[1].i.isfinite().all()
    x, gradient = spikes(64, 30, density=density), torch.randn(64, 20)
    gradient[3], x[3] = torch.inf, 0.0
    found = OuterSum(30, 20, gradient)
    found.add(x, gradient)
    assert found.sum().isfinite().all()
