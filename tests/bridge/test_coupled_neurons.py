"""LIFMC and LIFMCRefrac: the coupling is a parameter and acts; a network cannot have it."""

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import NetworkError, SimulationError

CELLS = (nb.LIFMCRecurrentCell, nb.LIFMCRefracRecurrentCell)


@pytest.mark.parametrize("kind", CELLS)
def test_the_coupling_is_a_parameter_of_its_own(kind):
    given = 0.1 * torch.randn(4, 4)
    before = given.clone()
    cell = kind(3, 4, g_coupling=given)
    assert "g_coupling" in dict(cell.named_parameters()) and "g_coupling" in cell.state_dict()
    state, x = None, torch.rand(60, 2, 3) * 3.0
    total = 0.0
    for row in x:
        z, state = cell(row, state)
        total = total + z.sum()
    assert total > 5
    total.backward()
    with torch.no_grad():
        cell.g_coupling.add_(1.0)
    assert cell.g_coupling.grad.abs().sum() > 0 and torch.equal(given, before)
    assert kind(3, 50).g_coupling.std().item() == pytest.approx(50**-0.5, rel=0.05)


@pytest.mark.parametrize("kind", CELLS)
def test_autapses_do_not_act_unless_allowed(kind):
    torch.manual_seed(1)
    cell = kind(3, 4)
    assert cell.recurrent_weights.diagonal().abs().sum() == 0
    with torch.no_grad():
        cell.recurrent_weights.fill_diagonal_(100.0)
    x = torch.rand(2, 3)
    state = cell.initial_state(x)
    neuron = state.lif if kind is nb.LIFMCRefracRecurrentCell else state
    fired = neuron._replace(z=torch.ones(2, 4))
    _, found = cell(x, state._replace(lif=fired) if neuron is not state else fired)
    assert (found.lif if neuron is not state else found).i.abs().max() < 50.0


@pytest.mark.parametrize("kind", CELLS)
def test_what_is_wrong_is_refused(kind):
    with pytest.raises(SimulationError, match=r"g_coupling must have shape \(4, 4\)"):
        kind(3, 4, g_coupling=torch.zeros(3, 4))
    with pytest.raises(NetworkError, match=r"module '1' \(LIFMC.*g_coupling"):
        nb.to_network(torch.nn.Sequential(torch.nn.Linear(2, 3), kind(3, 4)))


def test_without_coupling_lif_mc_is_lif():
    torch.manual_seed(2)
    w_in, w_rec = 3 * torch.randn(4, 3), torch.randn(4, 4)
    one = nb.LIFMCRecurrentCell(3, 4, g_coupling=torch.zeros(4, 4), input_weights=w_in, recurrent_weights=w_rec)
    other = nb.LIFRecurrentCell(3, 4, input_weights=w_in, recurrent_weights=w_rec)
    x = torch.rand(100, 2, 3)
    assert torch.equal(nb.Lift(one)(x)[0], nb.Lift(other)(x)[0]) and nb.Lift(one)(x)[0].sum() > 10


def test_the_coupling_moves_a_neuron_after_its_reset():
    zeros = torch.zeros(1, 2)
    g = torch.tensor([[0.0, 500.0], [0.0, 0.0]])  # neuron 1 lifts neuron 0 by half of its voltage in 1 ms
    state = nb.LIFState(zeros, torch.tensor([[0.0, 0.8]]), torch.tensor([[20.0, 0.0]]))
    z, new = nb.lif_mc_step(zeros, state, torch.zeros(2, 2), torch.zeros(2, 2), g)
    assert z.tolist() == [[1.0, 0.0]]
    assert new.v[0].tolist() == pytest.approx([0.5 * 0.72, 0.72])
    z, new = nb.lif_mc_feed_forward_step(zeros, nb.LIFFeedForwardState(state.v, zeros), g)
    assert new.v[0].tolist() == pytest.approx([0.4 * 0.9, 0.72])
