"""SequentialState, RecurrentSequential and Lift."""

from collections import OrderedDict

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import NetworkError, SimulationError


def net():
    return nb.SequentialState(torch.nn.Linear(5, 6), nb.LIF(), torch.nn.Linear(6, 4), nb.LIFRecurrent(4, 3), nb.LI())


def test_equals_calling_one_after_another():
    model, x = net(), torch.rand(30, 2, 5) * 5
    out, state = model(x)
    y, s1 = model[1](model[0](x))
    y, s3 = model[3](model[2](y))
    y, s4 = model[4](y)
    assert torch.equal(out, y)
    assert [type(s) for s in state] == [type(None), nb.LIFFeedForwardState, type(None), nb.LIFState, nb.LIState]
    for mine, theirs in ((state[1], s1), (state[3], s3), (state[4], s4)):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_continues_from_a_state_and_returns_a_new_list():
    model, x = net(), torch.rand(30, 2, 5) * 5
    whole, _ = model(x)
    first, state = model(x[:11])
    kept = list(state)
    second, new = model(x[11:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert new is not state
    assert all(a is b for a, b in zip(kept, state, strict=True))
    with pytest.raises(SimulationError, match="2 entries, there are 5"):
        model(x, [None, None])


def test_return_hidden():
    model, x = net(), torch.rand(30, 2, 5) * 5
    out, state = model(x)
    model.return_hidden = True
    hidden, hidden_state = model(x)
    assert len(hidden) == 5
    assert torch.equal(hidden[0], model[0](x))
    assert torch.equal(hidden[-1], out)
    assert torch.equal(hidden_state[3].v, state[3].v)
    assert nb.SequentialState(nb.LIF(), return_hidden=True).return_hidden


def test_nested_and_named():
    x = torch.rand(30, 2, 5) * 5
    model = net()
    nested = nb.SequentialState(OrderedDict(front=nb.SequentialState(*model[:2]), back=nb.SequentialState(*model[2:])))
    out, state = nested(x)
    assert torch.equal(out, model(x)[0])
    assert isinstance(state[1], list)
    assert torch.equal(nested(x, state)[0], model(x, [*state[0], *state[1]])[0])
    assert nested.front[1] is model[1]


def test_torch_rnns_are_stateful_and_append_works():
    model = nb.SequentialState(torch.nn.GRU(5, 4), torch.nn.ReLU())
    assert model.append(nb.LI()) is model
    x = torch.rand(7, 2, 5)
    out, state = model(x)
    assert out.shape == (7, 2, 4)
    assert state[0].shape == (1, 2, 4)
    assert state[1] is None
    first, middle = model(x[:3])
    assert torch.allclose(torch.cat([first, model(x[3:], middle)[0]]), out, atol=1e-6)


def test_containers_and_modules_may_be_appended():
    model, x = nb.SequentialState(torch.nn.Linear(3, 4)), torch.rand(5, 2, 3) * 20
    model.append(nb.SequentialState(nb.LIF(), torch.nn.Linear(4, 2))).append(nb.LI())
    out, state = model(x)
    flat = nb.SequentialState(model[0], model[1][0], model[1][1], model[2])
    assert torch.equal(out, flat(x)[0])
    assert [type(s) for s in state] == [type(None), list, nb.LIState]
    assert torch.equal(model(x, state)[0], flat(x, [state[0], *state[1], state[2]])[0])


def test_an_lstm_hands_its_pair_of_states_along():
    model, x = nb.SequentialState(torch.nn.LSTM(3, 4), torch.nn.Dropout(0.0), nb.LI()), torch.rand(7, 2, 3)
    out, state = model(x)
    wanted, (h, c) = model[0](x)
    assert torch.equal(out, model[2](wanted)[0])
    assert torch.equal(state[0][0], h) and torch.equal(state[0][1], c)
    first, middle = model(x[:3])
    assert torch.allclose(torch.cat([first, model(x[3:], middle)[0]]), out, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.nn.RNNCell, torch.nn.GRUCell, torch.nn.LSTMCell])
def test_torch_cells_remember(kind):
    """In Norse SequentialState takes them for stateless: they forget everything after every step."""
    cell, x = kind(3, 4), torch.rand(6, 2, 3)
    over_time = {torch.nn.RNNCell: torch.nn.RNN, torch.nn.GRUCell: torch.nn.GRU, torch.nn.LSTMCell: torch.nn.LSTM}[kind](3, 4)
    over_time.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    wanted, last = over_time(x)
    model, state = nb.SequentialState(cell, torch.nn.Identity()), None
    for row, expected in zip(x, wanted, strict=True):
        out, state = model(row, state)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    outputs, state = nb.Lift(cell)(x)
    torch.testing.assert_close(outputs, wanted, rtol=1e-5, atol=1e-6)
    assert isinstance(state, tuple) == isinstance(last, tuple)


def test_a_module_may_watch_the_neurons_before_it():
    class Voltage(torch.nn.Module):
        watches_neurons = True

        def forward(self, x, neurons, state=None):
            return neurons.v, (0 if state is None else state) + 1

    model, x = nb.SequentialState(nb.LIFCell(), torch.nn.Identity(), Voltage(), Voltage()), torch.rand(2, 3)
    out, state = model(x)
    assert torch.equal(out, nb.LIFCell()(x)[1].v)
    assert model(x, state)[1][2:] == [2, 2]


def test_state_hooks():
    model, seen = net(), []
    hook = lambda module, inputs, output: seen.append((type(module), type(output[1])))  # noqa: E731
    model.register_forward_state_hooks(hook)
    with pytest.raises(SimulationError, match="remove_forward_state_hooks first"):
        model.register_forward_state_hooks(hook)
    model(torch.rand(3, 1, 5))
    assert seen == [(nb.LIF, nb.LIFFeedForwardState), (nb.LIFRecurrent, nb.LIFState), (nb.LI, nb.LIState)]
    model.remove_forward_state_hooks()
    model(torch.rand(3, 1, 5))
    assert len(seen) == 3
    model.register_forward_state_hooks(hook)
    model(torch.rand(3, 1, 5))
    assert len(seen) == 6


def test_lift_with_and_without_state():
    x = torch.rand(9, 2, 5) * 4
    cell = nb.LIFRecurrentCell(5, 4)
    weights = {"input_weights": cell.input_weights, "recurrent_weights": cell.recurrent_weights}
    wanted, last = nb.LIFRecurrent(5, 4, **weights)(x)
    out, state = nb.Lift(cell)(x)
    assert torch.equal(out, wanted)
    assert torch.equal(state.v, last.v)
    first, middle = nb.Lift(cell)(x[:4])
    for again, _ in (nb.Lift(cell)(x[4:], middle), nb.Lift(cell)((x[4:], middle))):
        assert torch.equal(torch.cat([first, again]), wanted)
    conv = torch.nn.Conv2d(1, 2, 3)
    image = torch.rand(6, 3, 1, 7, 7)
    assert torch.allclose(nb.Lift(conv)(image), torch.stack([conv(now) for now in image]))


def test_sequential_state_of_lifts():
    """In Norse SequentialState takes Lift for stateless and hands the pair (output, state) on."""
    model = nb.SequentialState(
        nb.Lift(torch.nn.Conv2d(1, 2, 3)), nb.Lift(nb.LIFCell()), torch.nn.Flatten(2), torch.nn.Linear(50, 3), nb.Lift(nb.LICell())
    )
    x = torch.rand(12, 2, 1, 7, 7)
    out, state = model(x)
    assert out.shape == (12, 2, 3)
    assert [s is None for s in state] == [True, False, True, True, False]
    nested = nb.SequentialState(nb.Lift(nb.SequentialState(torch.nn.Linear(5, 5), nb.LIFCell())))
    assert nested(torch.rand(3, 2, 5))[1][0][0] is None


def test_lift_of_a_function_is_the_layer():
    x = torch.rand(30, 2, 5) * 2.0
    p = nb.LIFParameters(v_th=torch.tensor(0.5))
    state = nb.LIFFeedForwardState(torch.zeros(2, 5), torch.zeros(2, 5))
    out, last = nb.lift(nb.lif_feed_forward_step, p)(x, state)
    wanted, wanted_last = nb.LIF(p)(x)
    assert wanted.sum() > 10 and torch.equal(out, wanted)
    assert all(torch.equal(a, b) for a, b in zip(last, wanted_last, strict=True))
    again, _ = nb.lift(nb.LIFCell(p))(x)  # the state has a default there
    assert torch.equal(again, wanted)
    with pytest.raises(SimulationError, match="length 1 or more"):
        nb.lift(nb.lif_feed_forward_step)(x[:0], state)


def test_dicts_of_sequences_are_lifted():
    class Both(torch.nn.Module):
        def forward(self, x):
            return {"sum": x["a"] + x["b"], "all": [x["a"], x["b"]]}

    a, b = torch.rand(5, 2, 3), torch.rand(5, 2, 3)
    out = nb.Lift(Both())({"a": a, "b": b})
    assert torch.equal(out["sum"], a + b) and torch.equal(out["all"][1], b)
    for wrong, why in (
        ({"a": a, "b": b[:4]}, r"\[5, 4\] steps"),
        ({"a": a, "b": b[:0]}, "input 'b'.* length 1"),
        ({}, r"\[\] steps"),
    ):
        with pytest.raises(SimulationError, match=f"Lift: .*{why}"):
            nb.Lift(Both())(wrong)


class Sum(torch.nn.Module):
    """The sum of its inputs so far."""

    def forward(self, x, state: torch.Tensor | None = None):
        total = x if state is None else x + state
        return total, total


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_modules_of_torchscript():
    """Their class has no `forward` with a signature."""
    linear, x = torch.nn.Linear(3, 4), 20 * torch.rand(6, 2, 3)
    wanted, last = nb.Lift(nb.SequentialState(linear, nb.LIFCell()))(x)
    for script in (torch.jit.script(linear), torch.jit.trace(linear, x[0])):
        assert not nb.lifting.is_stateful(script)
        out, state = nb.Lift(nb.SequentialState(script, nb.LIFCell()))(x)
        torch.testing.assert_close(out, wanted)
        torch.testing.assert_close(state[1].v, last[1].v)
        torch.testing.assert_close(nb.Lift(script)(x), linear(x))
    script = torch.jit.script(Sum())
    assert nb.lifting.is_stateful(script)
    torch.testing.assert_close(nb.Lift(nb.SequentialState(script))(x)[0], x.cumsum(0))


def test_a_forward_that_is_no_function_of_python_carries_no_state():
    class Absolute(torch.nn.Module):
        forward = torch.abs

    assert not nb.lifting.is_stateful(Absolute())


def test_lift_of_a_container_that_returns_all_outputs():
    model = nb.SequentialState(torch.nn.Linear(3, 4), nb.LIFCell(), return_hidden=True)
    x = torch.rand(5, 2, 3) * 20
    hidden, state = nb.Lift(model)(x)
    assert torch.allclose(hidden[0], model[0](x), atol=1e-5)
    spikes, last = nb.LIF()(hidden[0])
    assert spikes.sum() > 0 and torch.equal(hidden[1], spikes)
    assert torch.equal(state[1].v, last.v)


def feedback_by_hand(modules, x, places):
    """The outputs of the modules after every step, with those at ``places`` added to the next input."""
    cache, state, outputs = 0.0, None, []
    for row in x:
        a = modules[0](row + cache)
        b, state = modules[1](a, state)
        c = modules[2](b)
        outputs.append([a, b, c])
        cache = sum(outputs[-1][place] for place in places)
    return [torch.stack(column) for column in zip(*outputs, strict=True)]


def recurrent_net(**options):
    modules = torch.nn.Linear(3, 3), nb.LIFCell(nb.LIFParameters(v_th=torch.tensor(0.1))), torch.nn.Linear(3, 3)
    return modules, nb.RecurrentSequential(*modules, **options)


@pytest.mark.parametrize("place", [-1, 0, 1, -2])
def test_one_output_is_returned_and_fed_back(place):
    (modules, model), x = recurrent_net(output_modules=place), torch.rand(30, 2, 3) * 5
    wanted = feedback_by_hand(modules, x, [place])
    assert wanted[1].sum() > 5
    out, state = nb.Lift(model)(x)
    assert torch.equal(out, wanted[place])
    assert isinstance(state, nb.RecurrentSequentialState)
    assert torch.equal(state.cache, out[-1])
    assert [type(s) for s in state.state] == [type(None), nb.LIFFeedForwardState, type(None)]


@pytest.mark.parametrize("places", [[0, 2], (1, -1), [1]])
def test_several_outputs_are_fed_back_as_their_sum(places):
    """Norse fails in the second step."""
    (modules, model), x = recurrent_net(output_modules=places), torch.rand(30, 2, 3) * 5
    wanted = feedback_by_hand(modules, x, places)
    out, state = nb.Lift(model)(x)
    assert len(out) == len(state.cache) == len(places)
    for found, place in zip(out, places, strict=True):
        assert torch.allclose(found, wanted[place], atol=1e-5)


def test_feedback_starts_from_a_given_state_and_has_a_gradient():
    linear = torch.nn.Linear(2, 2)
    model, x, cache = nb.RecurrentSequential(linear), torch.rand(1, 2), torch.rand(1, 2, requires_grad=True)
    assert nb.RecurrentSequentialState() == (None, None)
    for given in (None, nb.RecurrentSequentialState()):
        assert torch.equal(model(x, given)[0], linear(x))
    out, state = model(x, nb.RecurrentSequentialState(cache))
    assert torch.equal(out, linear(x + cache))
    assert torch.allclose(model(x, state)[0], linear(x + linear(x + cache)))
    out.sum().backward()
    assert torch.allclose(cache.grad, linear.weight.sum(0, keepdim=True))


def test_feedback_nests():
    inner = nb.RecurrentSequential(torch.nn.Linear(2, 2))
    model, x, state = nb.SequentialState(inner, nb.LICell()), torch.rand(4, 1, 2), None
    for row in x:
        out, state = model(row, state)
    wanted, _ = nb.LI()(nb.Lift(inner)(x)[0])
    assert torch.equal(out, wanted[-1])
    assert isinstance(state[0], nb.RecurrentSequentialState)


def test_outputs_that_cannot_be_fed_back_are_refused():
    for wrong in (3, -4, [], [0, 3], "1", 1.0):
        with pytest.raises(NetworkError, match="from -3 to 2"):
            recurrent_net(output_modules=wrong)
    model = nb.RecurrentSequential(torch.nn.Linear(3, 1))
    _, state = model(torch.rand(2, 3))
    with pytest.raises(SimulationError, match=r"shape \(2, 1\) cannot be added to the input of shape \(2, 3\)"):
        model(torch.rand(2, 3), state)
