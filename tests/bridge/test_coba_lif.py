"""CobaLIF: against the plain recursion, in the recurrent form with an input that has an effect, and as a network."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError
from eventsim.models import CobaLIF

FAST = nb.CobaLIFParameters(
    tau_syn_exc_inv=torch.tensor(200.0),
    tau_syn_inh_inv=torch.tensor(100.0),
    c_m_inv=torch.tensor(40.0),
    v_thresh=torch.tensor(-15.0),
)


def coba_plain(x, w_in, w_rec, p, v, dt=0.001):
    """The recurrent step that the reference calls meant, in float64: (spikes, v) over time."""
    p = type(p)(*(float(value) if torch.is_tensor(value) else value for value in p))
    g_e = g_i = z = np.zeros_like(v)
    rows = []
    for now in x:
        g_e = g_e + now @ np.maximum(w_in, 0).T + z @ np.maximum(w_rec, 0).T
        g_i = g_i + now @ np.maximum(-w_in, 0).T + z @ np.maximum(-w_rec, 0).T
        g_e, g_i = g_e * (1 - dt * p.tau_syn_exc_inv), g_i * (1 - dt * p.tau_syn_inh_inv)
        v = v + dt * p.c_m_inv * (p.g_l * (p.v_rest - v) + g_e * (p.e_rev_E - v) + g_i * (p.e_rev_I - v))
        z = (v > p.v_thresh).astype(float)
        v = np.where(z, p.v_reset, v)
        rows.append((z, v))
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def cell_of(inputs, hidden, p=FAST, scale=1.0):
    cell = nb.CobaLIFCell(inputs, hidden, p).double()
    with torch.no_grad():
        cell.input_weights.mul_(scale)
        cell.recurrent_weights.mul_(scale)
    return cell


def test_the_cell_is_the_plain_recursion():
    torch.manual_seed(7)
    cell = cell_of(6, 9, scale=3.0)
    x = (torch.rand(400, 2, 6) < 0.2).double()
    out, last = nb.Lift(cell)(x)
    weights = (w.detach().numpy() for w in (cell.input_weights, cell.recurrent_weights))
    z, v = coba_plain(x.numpy(), *weights, FAST, np.full((2, 9), -20.0))
    assert np.array_equal(out.detach().numpy(), z) and 20 < z.sum() < 4000
    np.testing.assert_allclose(last.v.detach(), v[-1], rtol=0, atol=1e-4)  # rates are float32


def test_the_input_has_an_effect():
    cell = cell_of(3, 4)
    silent, _ = cell(torch.zeros(1, 3, dtype=torch.float64))
    _, excited = cell(torch.ones(1, 3, dtype=torch.float64))
    wanted = torch.relu(cell.input_weights).sum(1) * 0.8  # decayed once: dt tau_syn_exc_inv = 0.2
    torch.testing.assert_close(excited.g_e[0], wanted, rtol=1e-6, atol=0.0)
    assert silent.sum() == 0


def test_the_cell_starts_at_rest_and_has_norses_weights():
    """Norse starts at 0, above the default threshold of -10: every neuron fires in the first step."""
    torch.manual_seed(8)
    cell = nb.CobaLIFCell(400, 100)
    state = cell.initial_state(torch.zeros(2, 400))
    assert torch.equal(state.v, torch.full((2, 100), -20.0)) and state.z.sum() == 0
    assert cell(torch.zeros(2, 400))[0].sum() == 0
    assert cell.input_weights.std().item() == pytest.approx(1 / math.sqrt(400), rel=0.02)
    assert cell.recurrent_weights.std().item() == pytest.approx(0.1, rel=0.03)
    assert cell.autapses and cell.recurrent_weights.diagonal().abs().min() > 0


def test_gradients_reach_weights_and_every_parameter():
    torch.manual_seed(9)
    values = {name: value * torch.linspace(0.9, 1.1, 5) for name, value in FAST._asdict().items() if torch.is_tensor(value)}
    p = FAST._replace(alpha=5.0, **{name: value.requires_grad_() for name, value in values.items()})
    cell = nb.CobaLIFCell(4, 5, p)
    with torch.no_grad():
        cell.input_weights.add_(1.0)  # excitation has the better of it
    out, _ = nb.Lift(cell)((torch.rand(200, 3, 4) < 0.5).float())
    assert out.sum() > 10
    (out * torch.randn_like(out)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in cell.named_parameters()}
    assert len(gradients) == 11
    for name, gradient in gradients.items():
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().sum() > 0, name


def test_the_gradient_of_the_step_is_that_of_finite_differences():
    """Below the threshold nothing jumps: the gradient of v is checked numerically, in the weights and the state."""
    torch.manual_seed(10)
    p = FAST._replace(v_thresh=torch.tensor(1e3), method="heaviside")
    x = torch.rand(2, 3, dtype=torch.float64)

    def last_v(w_in, w_rec, v):
        state = nb.CobaLIFState(torch.ones(2, 4, dtype=torch.float64), v, *(torch.zeros(2, 4, dtype=torch.float64) for _ in "ei"))
        for _ in range(3):
            _, state = nb.coba_lif_step(x, state, w_in, w_rec, p)
        return state.v

    inputs = (torch.randn(4, 3), torch.randn(4, 4), torch.randn(2, 4) - 20.0)
    assert torch.autograd.gradcheck(last_v, tuple(value.double().requires_grad_() for value in inputs))


def net(kinds=20):
    torch.manual_seed(11)
    first = [torch.nn.Linear(15, 12), nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.3)))]
    model = nb.SequentialState(
        *first, torch.nn.Linear(12, 8), nb.Lift(cell_of(8, kinds, scale=2.0)), torch.nn.Linear(kinds, 3), nb.LI()
    )
    with torch.no_grad():
        model[0].weight.mul_(4.0)
    return model.double()


def test_the_network_has_a_projection_for_each_sign():
    model = net()
    network = nb.to_network(model)
    cells = network.population("layer2").neuron
    assert cells.model is CobaLIF and cells.method == "euler"
    by_port = {(p.source, p.port): p for p in network.projections if p.target == "layer2"}
    assert set(by_port) == {("layer1", "exc"), ("layer1", "inh"), ("layer2", "exc"), ("layer2", "inh")}
    w = model[3].lifted_module.input_weights.detach()
    c = by_port["layer1", "inh"].connectivity
    found = sp.csr_array((c.weights, c.targets, c.indptr), shape=(12, 20)).toarray()
    np.testing.assert_allclose(found, (torch.relu(-w) @ model[2].weight.detach()).T.numpy())
    biases = {i.port: i.value for i in network.inputs if i.target == "layer2"}
    np.testing.assert_allclose(biases["exc"], (torch.relu(w) @ model[2].bias.detach()).numpy())


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_dense_and_sparse_give_the_same_spikes(update):
    model = net()
    x = (torch.rand(300, 2, 15) < 0.2).double()
    model.return_hidden = True
    hidden, _ = model(x)
    result = nb.simulate(model, x, update=update)
    assert 0.01 < hidden[3].mean() < 0.6
    assert torch.count_nonzero(result.dense_spikes("layer2") != hidden[3]) == 0
    torch.testing.assert_close(result.outputs, hidden[-1].detach(), rtol=0, atol=1e-9)


def test_data_that_are_no_spikes_are_refused_in_front_of_it():
    with pytest.raises(SimulationError, match="0 and 1 in front of CobaLIFCell"):
        nb.simulate(nb.CobaLIFCell(3, 4), torch.rand(5, 1, 3))
