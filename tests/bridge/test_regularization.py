"""Sums for a term of the loss: one a sequence, in the module or in the state of a SequentialState."""

import copy
import gc
import pickle
import weakref

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError

Z = torch.tensor([[1.0, 0.0, 1.0]])
STATE = nb.LIFFeedForwardState(v=torch.tensor([[0.5, 0.2, 0.0]]), i=torch.zeros(1, 3))


def sequence(cell, linear, steps=6, batch=2):
    """Steps of LIF neurons behind a linear map: the spikes and the sum after the last one, and the spikes of all."""
    state, trains = None, []
    for _ in range(steps):
        z, state = nb.LIFCell()(linear(torch.rand(batch, 4)), state)
        trains.append(z)
        z, total = cell(z, state)
    return z, total, torch.stack(trains)


def positive_map():
    linear = torch.nn.Linear(4, 3)
    torch.nn.init.uniform_(linear.weight, 3, 6)
    return linear


def test_accumulators():
    assert nb.spike_accumulator(Z, STATE) == 2
    assert nb.spike_accumulator(Z, None, torch.tensor(5.0)) == 7
    assert nb.spike_accumulator(Z.to_sparse(), None) == 2
    assert torch.equal(nb.voltage_accumulator(Z, STATE), STATE.v)
    assert torch.equal(nb.voltage_accumulator(Z, STATE, torch.tensor(1.0)), 1 + STATE.v)
    z, total = nb.regularize_step(Z, STATE)
    assert z is Z and total == 2
    z, total = nb.regularize_step(Z, STATE, nb.voltage_accumulator, torch.tensor(1.0))
    assert torch.equal(total, 1 + STATE.v)


def test_voltages_of_refractory_neurons_and_of_none():
    """Norse's voltage_accumulator fails on states that hold the neurons' state."""
    cell = nb.LIFRefracCell()
    z, s = cell(torch.ones(1, 3))
    assert torch.equal(nb.voltage_accumulator(z, s), s.lif.v)
    for wrong in (None, torch.ones(3), [STATE]):
        with pytest.raises(SimulationError, match=f"must have a field v; a {type(wrong).__name__} has none"):
            nb.voltage_accumulator(Z, wrong)


def test_the_sum_runs_from_step_to_step():
    cell = nb.RegularizationCell(state=torch.tensor(3.0))
    assert [cell(Z, STATE)[1].item() for _ in range(3)] == [5, 7, 9]
    assert cell.state == 9
    cell.reset()
    assert cell(Z, STATE)[1] == 5
    own = nb.RegularizationCell(lambda z, s, state: (state or 0) + 1)  # any accumulator, with any state
    assert [own(Z, STATE)[1] for _ in range(3)] == [1, 2, 3]


def test_gradients_reach_every_step_of_the_sum():
    linear, cell = positive_map(), nb.RegularizationCell()
    _, total, trains = sequence(cell, linear)
    assert total > 0
    assert torch.equal(total, trains.sum())
    wanted = torch.autograd.grad(trains.sum(), linear.weight, retain_graph=True)[0]
    assert wanted.abs().sum() > 0
    torch.testing.assert_close(torch.autograd.grad(total, linear.weight)[0], wanted)


@pytest.mark.parametrize("through", ["sum", "spikes"])
def test_a_new_sum_starts_after_a_backward_pass(through):
    """In Norse the sum goes on for ever, and the second backward pass fails: the graph of the first sequence is gone."""
    linear, cell = positive_map(), nb.RegularizationCell()
    for _ in range(3):
        z, total, trains = sequence(cell, linear)
        assert torch.equal(total, trains.sum())
        (total if through == "sum" else z.sum()).backward()
    sequence(cell, linear)[1].backward()


def test_without_gradients_the_sum_goes_on_until_it_is_reset():
    linear, cell = positive_map(), nb.RegularizationCell()
    with torch.no_grad():
        _, first, a = sequence(cell, linear)
        _, second, b = sequence(cell, linear)
        assert torch.equal(second, a.sum() + b.sum()) and first > 0
        cell.reset()
        _, third, c = sequence(cell, linear)
    assert torch.equal(third, c.sum())


def test_nothing_keeps_a_sequence_alive():
    linear, cell = positive_map(), nb.RegularizationCell()
    graph = weakref.ref(sequence(cell, linear)[1])
    assert graph() is cell.state
    cell.reset()
    gc.collect()
    assert graph() is None


def test_copies_start_anew():
    """A running sum cannot be copied: torch refuses tensors with a history."""
    cell = nb.RegularizationCell(state=torch.tensor(1.0))
    sequence(cell, positive_map())
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert other(Z, STATE)[1] == 3
    assert cell.state.requires_grad


def regularized():
    return nb.SequentialState(
        positive_map(), nb.LIFCell(), nb.RegularizationCell(), nb.RegularizationCell(nb.voltage_accumulator), torch.nn.Linear(3, 2)
    )


def test_in_a_sequential_state_the_sum_is_in_the_state():
    """In Norse the cell does not work there."""
    model, state = regularized(), None
    x = torch.rand(6, 2, 4)
    voltages = torch.zeros(2, 3)
    for row in x:
        out, state = model(row, state)
        voltages = voltages + state[1].v
    wanted, last = nb.Lift(nb.SequentialState(*model[:2]))(x)
    assert wanted.sum() > 0
    assert torch.equal(state[2], wanted.sum())
    assert torch.equal(state[3], voltages)
    assert torch.equal(state[1].v, last[1].v)
    assert torch.equal(out, model[4](wanted[-1]))
    assert model[2].state is None
    (state[2] + state[3].sum()).backward()
    assert model[0].weight.grad.abs().sum() > 0
    assert torch.equal(model(x[0])[1][2], wanted[0].sum())  # a new sequence, a new sum
    assert torch.equal(nb.Lift(model)(x)[1][2], wanted.sum())


def test_a_first_value_counts_in_a_sequential_state_too():
    model = nb.SequentialState(nb.LIFCell(), nb.RegularizationCell(state=torch.tensor(10.0)))
    _, state = model(torch.zeros(1, 3))
    assert state[1] == 10


def test_voltages_need_neurons_before_the_cell():
    cell = nb.RegularizationCell(nb.voltage_accumulator)
    for model in (torch.nn.Linear(3, 3), cell), (nb.LIF(), nb.Lift(cell)):
        with pytest.raises(SimulationError, match=r"must have a field v; a NoneType has none; .* Lift\(SequentialState\(LIFCell"):
            nb.SequentialState(*model)(torch.ones(4, 1, 3))


def test_over_time_no_voltage_is_lost():
    """A layer over time gives the state of its last step, unless it records those of all."""
    x, cell = torch.rand(6, 2, 3), nb.RegularizationCell(nb.voltage_accumulator)
    for layers in [nb.LIF()], [nb.LIF(), torch.nn.Dropout()]:
        with pytest.raises(
            SimulationError, match=r"spikes of shape \(6, 2, 3\) and voltages of shape \(2, 3\) .*record_states=True"
        ):
            nb.SequentialState(*layers, cell)(x)
    _, (_, wanted) = nb.Lift(nb.SequentialState(nb.LIFCell(), cell))(x)
    _, (states, voltages) = nb.SequentialState(nb.LIF(record_states=True), cell)(x)
    assert torch.equal(voltages, states.v) and voltages.shape == (6, 2, 3)
    torch.testing.assert_close(voltages.sum(0), wanted)
    spikes, (_, counted) = nb.SequentialState(nb.LIF(), nb.RegularizationCell())(20 * x)
    assert torch.equal(counted, spikes.sum()) and counted > 0


def test_sums_under_torch_func():
    model = regularized()
    weight, x = model[0].weight.detach(), torch.rand(5, 2, 4)

    def loss(weight, x):
        state = None
        for row in x:
            _, state = torch.func.functional_call(model, {"0.weight": weight}, (row, state))
        return state[2]

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(weight, x[:, :, None])
    torch.testing.assert_close(each.sum(0), torch.func.grad(loss)(weight, x))
    assert each.abs().sum() > 0
