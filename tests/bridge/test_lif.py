"""LIF and LI layers against an independent restatement: equal to the last bit in float32, equal gradients."""

import numpy as np
import pytest
import torch
from bridge_oracles import li_numpy, lif_naive, lif_numpy

import norse_bridge as nb
from norse_bridge.family import bind
from norse_bridge.neurons.lif import FAMILY

STEPS = 1000
VALUES = {
    "default": {"tau_syn_inv": 200.0, "tau_mem_inv": 100.0, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0},
    "odd": {"tau_syn_inv": 137.7, "tau_mem_inv": 83.3, "v_leak": -0.137, "v_th": 0.713, "v_reset": -0.31},
    "mV": {"tau_syn_inv": 500.0, "tau_mem_inv": 61.0, "v_leak": -65.1, "v_th": -50.3, "v_reset": -70.7},
}
SCALE = {"default": 0.8, "odd": 0.5, "mV": 30.0}


def drive(name, neurons=25):
    return (torch.rand(STEPS, neurons) < 0.15) * torch.randn(STEPS, neurons) * SCALE[name] + SCALE[name] * 0.3


def parameters(kind, values):
    return kind(**{name: torch.tensor(values[name]) for name in kind._fields if name in values})


def same(a, b):
    return np.array_equal(a.detach().numpy(), b)


@pytest.mark.parametrize("dt", [0.001, 0.0007])
@pytest.mark.parametrize("name", VALUES)
def test_lif_equals_the_restatement_bit_for_bit(name, dt):
    x, values = drive(name), VALUES[name]
    z, v, i = lif_numpy(x.numpy(), dt=dt, **values)
    out, states = nb.LIF(parameters(nb.LIFParameters, values), dt=dt, record_states=True)(x[:, None])
    assert 500 < z.sum() < 0.9 * z.size
    assert np.count_nonzero(out[:, 0].detach().numpy() != z) == 0
    assert same(states.v[:, 0], v)
    assert same(states.i[:, 0], i)


@pytest.mark.parametrize("name", VALUES)
def test_cell_and_function_equal_the_layer(name):
    x, values = drive(name), VALUES[name]
    p = parameters(nb.LIFParameters, values)
    cell, state, rows = nb.LIFCell(p), None, []
    function_state = nb.LIFFeedForwardState(p.v_leak, torch.zeros(25))
    for now in x:
        z, state = cell(now, state)
        z2, function_state = nb.lif_feed_forward_step(now, function_state, p)
        assert torch.equal(z, z2)
        rows.append(z)
    assert same(torch.stack(rows), lif_numpy(x.numpy(), **values)[0])
    assert torch.equal(state.v, function_state.v)


@pytest.mark.parametrize("name", VALUES)
def test_li_equals_the_restatement_bit_for_bit(name):
    x = drive(name)
    values = {key: VALUES[name][key] for key in nb.LIParameters._fields}
    v, i = li_numpy(x.numpy(), **values)
    out, state = nb.LI(parameters(nb.LIParameters, values))(x)
    assert same(out, v)
    assert same(state.i, i[-1])
    cell_state = None
    for now in x:
        cell_out, cell_state = nb.LICell(parameters(nb.LIParameters, values))(now, cell_state)
    assert same(cell_out, v[-1])


@pytest.mark.parametrize("number", [float, np.float64])
def test_numbers_may_stand_for_tensors(number):
    x, values = drive("odd"), VALUES["odd"]
    p = nb.LIFParameters(**{name: number(value) for name, value in values.items()})
    assert same(nb.LIF(p)(x)[0], lif_numpy(x.numpy(), **values)[0])


def test_per_neuron_parameters():
    x = drive("odd")
    values = {name: np.float32(value) * np.linspace(0.8, 1.2, 25, dtype=np.float32) for name, value in VALUES["odd"].items()}
    p = nb.LIFParameters(**{name: torch.from_numpy(value) for name, value in values.items()})
    z = lif_numpy(x.numpy(), **values)[0]
    assert same(nb.LIF(p)(x[:, None])[0][:, 0], z)


def test_recurrent_equals_the_naive_loop_in_value_and_gradient():
    """W_in x first, then W_rec z of the step before, no gradient through the reset; the same sums in the same order."""
    torch.manual_seed(3)
    x = (torch.rand(200, 3, 7) < 0.3).float()
    layer = nb.LIFRecurrent(7, 11, nb.LIFParameters(alpha=torch.tensor(5.0)))
    with torch.no_grad():
        layer.input_weights.mul_(1.5)
    w_in, w_rec = (w.detach().clone().requires_grad_() for w in (layer.input_weights, layer.recurrent_weights))
    state, rows = (torch.zeros(3, 11), torch.zeros(3, 11), torch.zeros(3, 11)), []
    for now in x:
        state = lif_naive(now, state, layer.p, w_in=w_in, w_rec=w_rec)
        rows.append(state[0])
    out, last = layer(x)
    assert out.sum() > 200
    assert torch.equal(out, torch.stack(rows))
    assert all(torch.equal(a, b) for a, b in zip(last, state, strict=True))
    score = torch.randn_like(out)
    (out * score).sum().backward()
    (torch.stack(rows) * score).sum().backward()
    assert torch.allclose(layer.input_weights.grad, w_in.grad, rtol=1e-4, atol=1e-5)
    off = ~torch.eye(11, dtype=torch.bool)
    assert torch.allclose(layer.recurrent_weights.grad[off], w_rec.grad[off], rtol=1e-4, atol=1e-5)


def test_recurrent_cell_and_function_equal_the_layer():
    x = (torch.rand(60, 3, 7) < 0.5).float()
    layer = nb.LIFRecurrent(7, 11)
    weights = {"input_weights": layer.input_weights, "recurrent_weights": layer.recurrent_weights}
    cell = nb.LIFRecurrentCell(7, 11, **weights)
    state = function_state = None
    zeros = torch.zeros(3, 11)
    function_state, rows = nb.LIFState(zeros, zeros, zeros), []
    for now in x:
        z, state = cell(now, state)
        z2, function_state = nb.lif_step(now, function_state, layer.input_weights, layer.recurrent_weights, nb.LIFParameters())
        assert torch.equal(z, z2)
        rows.append(z)
    out, last = layer(x)
    assert out.sum() > 0
    assert torch.equal(out, torch.stack(rows))
    for one in (state, function_state):
        assert all(torch.equal(a, b) for a, b in zip(last, one, strict=True))


def test_feed_forward_gradient_flows_through_the_reset():
    """The feed-forward step does not detach: its gradient is that of the naive step, and differs from the detached one."""
    x = torch.randn(40, 6, dtype=torch.float64).abs().requires_grad_()
    p = nb.LIFParameters(alpha=torch.tensor(3.0))
    out, _ = nb.LIF(p)(x)
    weights = torch.randn_like(out)
    ours = torch.autograd.grad((out * weights).sum(), x)[0]
    state, rows = (torch.zeros(6),) * 3, []
    for now in x:
        state = lif_naive(now, state, p)
        rows.append(state[0])
    assert out.sum() > 10
    assert torch.allclose(ours, torch.autograd.grad((torch.stack(rows) * weights).sum(), x)[0], rtol=1e-9, atol=1e-12)
    closed = FAMILY
    step = bind(closed, p, 0.001, torch.float64, detach=True)
    s, rows = closed.model.State(torch.zeros(6), torch.zeros(6)), []
    for now in x:
        s, _, z = step(s, None, (now,))
        rows.append(z)
    assert not torch.allclose(ours, torch.autograd.grad((torch.stack(rows) * weights).sum(), x)[0])


def test_current_encoder():
    p = parameters(nb.LIFParameters, VALUES["odd"])
    v, state_v = torch.full((5,), 0.2), np.full(5, 0.2, np.float32)
    current = torch.linspace(0, 3, 5)
    k = np.float32(0.001) * np.float32(83.3)
    for _ in range(300):
        z, v = nb.lif_current_encoder(current, v, p)
        state_v = state_v + k * ((np.float32(-0.137) - state_v) + current.numpy())
        fired = (state_v - np.float32(0.713) > 0).astype(np.float32)
        state_v = np.where(fired > 0, np.float32(-0.31), state_v)
        assert same(z, fired)
        assert same(v, state_v)


def test_li_step_is_linear_then_li():
    w, x = torch.randn(4, 6), torch.randn(3, 6)
    state = nb.LIState(torch.zeros(3, 4), torch.zeros(3, 4))
    out, new = nb.li_step(x, state, w)
    wanted, wanted_state = nb.li_feed_forward_step(torch.nn.functional.linear(x, w), state)
    assert torch.equal(out, wanted)
    assert torch.equal(new.i, wanted_state.i)


def test_the_functions_have_default_parameters():
    x, w = torch.rand(2, 3) * 20, torch.randn(3, 3)
    zero = torch.zeros(2, 3)
    for step, state, weights in (
        (nb.lif_feed_forward_step, nb.LIFFeedForwardState(zero, zero), ()),
        (nb.lif_step, nb.LIFState(zero, zero, zero), (w, w)),
    ):
        assert torch.equal(step(x, state, *weights)[0], step(x, state, *weights, nb.LIFParameters(), 0.001)[0])


def test_the_functions_take_sparse_input_and_give_sparse_spikes():
    x, z = (torch.rand(3, 4) < 0.5).float() * 20, (torch.rand(3, 5) < 0.5).float()
    v, i = torch.rand(3, 5), torch.rand(3, 5)
    weights = torch.rand(5, 4), torch.rand(5, 5)
    wanted, state = nb.lif_step(x, nb.LIFState(z, v, i), *weights)
    found, other = nb.lif_step(x.to_sparse(), nb.LIFState(z.to_sparse(), v, i), *weights)
    assert wanted.sum() > 0 and found.is_sparse and other.z is found and torch.equal(found.to_dense(), wanted)
    assert torch.equal(other.v, state.v) and torch.equal(other.i, state.i)
    wanted, state = nb.lif_feed_forward_step(x, nb.LIFFeedForwardState(v[:, :4], i[:, :4]))
    found, other = nb.lif_feed_forward_step(x.to_sparse(), nb.LIFFeedForwardState(v[:, :4], i[:, :4]))
    assert wanted.sum() > 0 and torch.equal(found.to_dense(), wanted) and torch.equal(other.v, state.v)
    assert not nb.li_feed_forward_step(x.to_sparse(), nb.LIState(v[:, :4], i[:, :4]))[0].is_sparse
