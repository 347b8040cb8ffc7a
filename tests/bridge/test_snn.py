"""SNN, SNNCell, SNNRecurrent, SNNRecurrentCell: modules for a step function of one's own, subclassed as one does it in Norse."""

import copy
import inspect
from typing import Any, NamedTuple

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError

STEPS, BATCH, INPUTS, HIDDEN = 30, 2, 4, 5


class Decay(NamedTuple):
    rate: Any = torch.as_tensor(100.0)


class Trace(NamedTuple):
    y: Any


def follow(x, state, p, dt):
    """y' = y + dt rate (x - y)."""
    y = state.y + dt * p.rate * (x - state.y)
    return y, Trace(y)


class Follower(nb.SNN):
    """A user's class: the fallback is a method, handed to the constructor bound."""

    def __init__(self, p=Decay(), **kwargs):  # noqa: B008
        super().__init__(follow, self.initial_state, p, **kwargs)

    def initial_state(self, x):
        return Trace(torch.zeros_like(x[0]))


class FollowerCell(nb.SNNCell):
    def __init__(self, p=Decay(), **kwargs):  # noqa: B008
        super().__init__(activation=follow, state_fallback=self.initial_state, p=p, **kwargs)

    def initial_state(self, x):
        return Trace(torch.zeros_like(x))


def at_rest(x):
    zeros = torch.zeros(BATCH, HIDDEN)
    return nb.LIFState(zeros, zeros, zeros)


def test_a_users_step_over_time_is_exact():
    """A constant input x from 0: y_n = x (1 - (1 - dt rate)^n)."""
    x = torch.full((STEPS, BATCH, INPUTS), 2.0, dtype=torch.float64)
    out, state = Follower(dt=0.002)(x)
    wanted = 2.0 * (1.0 - 0.8 ** torch.arange(1, STEPS + 1, dtype=torch.float64))
    torch.testing.assert_close(out, wanted[:, None, None].expand_as(out), rtol=1e-6, atol=0)  # dt rate is a float32
    assert type(state) is Trace and torch.equal(state.y, out[-1])


def test_layer_cell_and_states():
    x = torch.rand(STEPS, BATCH, INPUTS)
    out, states = Follower(record_states=True)(x)
    assert type(states) is Trace and torch.equal(states.y, out)
    cell, state = FollowerCell(), None
    for n, row in enumerate(x):
        y, state = cell(row, state)
        assert torch.equal(y, out[n])
    first, state = Follower()(x[:7])
    assert torch.equal(torch.cat([first, Follower()(x[7:], state)[0]]), out)


def test_the_modules_run_the_steps_of_this_package():
    x = torch.rand(STEPS, BATCH, INPUTS) * 3
    layer = nb.SNN(
        nb.lif_feed_forward_step,
        lambda x: nb.LIFFeedForwardState(torch.zeros_like(x[0]), torch.zeros_like(x[0])),
        nb.LIFParameters(),
    )
    wanted = nb.LIF()(x)[0]
    assert wanted.sum() > 0 and torch.equal(layer(x)[0], wanted)
    torch.manual_seed(1)
    recurrent = nb.SNNRecurrent(nb.lif_step, at_rest, INPUTS, HIDDEN, nb.LIFParameters())
    torch.manual_seed(1)
    model = nb.LIFRecurrent(INPUTS, HIDDEN)
    found, state = recurrent(x)
    wanted, other = model(x)
    assert wanted.sum() > 0 and torch.equal(found, wanted) and all(map(torch.equal, state, other))
    cell = nb.SNNRecurrentCell(
        nb.lif_step, at_rest, INPUTS, HIDDEN, nb.LIFParameters(), recurrent.input_weights, recurrent.recurrent_weights
    )
    state = None
    for n, row in enumerate(x):
        z, state = cell(row, state)
        assert torch.equal(z, wanted[n])
    grads = []
    for module in (recurrent, model):
        module(x)[1].v.square().sum().backward()
        grads.append((module.input_weights.grad, module.recurrent_weights.grad))
    torch.testing.assert_close(*grads)
    assert grads[0][1].abs().sum() > 0 and (grads[0][1].diagonal() == 0).all()


def test_weights_are_copied_registered_and_without_autapses():
    given = torch.ones(HIDDEN, INPUTS), torch.ones(HIDDEN, HIDDEN)
    for autapses in (False, True):
        module = nb.SNNRecurrentCell(nb.lif_step, at_rest, INPUTS, HIDDEN, nb.LIFParameters(), *given, autapses)
        assert (module.input_size, module.hidden_size) == (INPUTS, HIDDEN)
        assert set(dict(module.named_parameters())) == {"input_weights", "recurrent_weights"}
        assert module.recurrent_weights.diagonal().sum() == (HIDDEN if autapses else 0)
    assert all((weights == 1).all() for weights in given)
    with pytest.raises(SimulationError, match="recurrent_weights must have shape"):
        nb.SNNRecurrent(nb.lif_step, at_rest, INPUTS, HIDDEN, nb.LIFParameters(), None, given[0])


def test_parameters_are_registered_trained_and_copied():
    layer = Follower(Decay(torch.nn.Parameter(torch.tensor(50.0))))
    x = torch.ones(3, 1, 1)
    layer(x)[0].sum().backward()
    (parameter,) = layer.parameters()
    assert parameter is layer.p.rate and parameter.grad > 0
    assert list(layer.state_dict()) == ["parameter_tuple.rate"]
    assert Follower().double().p.rate.dtype == torch.float64 and Decay().rate.dtype == torch.float32
    other = copy.deepcopy(layer)
    other.p = Decay(0.0)
    assert other(x)[0].sum() == 0 and layer(x)[0].sum() > 0
    assert other.state_fallback.__self__ is other
    other.p = 3
    assert other.p == 3 and not list(other.state_dict())
    other.p = Decay()
    assert list(other.state_dict()) == ["parameter_tuple.rate"]
    assert nb.SNNCell(lambda x, s, p, dt: (p, s), lambda x: 0, {"any": 1})(x) == ({"any": 1}, 0)


def test_sparse_input():
    x = (torch.rand(STEPS, BATCH, INPUTS) < 0.4).float()
    wanted, _ = Follower()(x)
    assert torch.equal(Follower()(x.to_sparse())[0], wanted)
    seen = []

    def follow_sparse(x, state, p, dt):
        seen.append(x.is_sparse)
        out, state = follow(x.to_dense(), state, p, dt)
        return out.to_sparse(), state

    given = nb.SNN(follow, lambda x: Trace(torch.zeros(BATCH, INPUTS)), Decay(), activation_sparse=follow_sparse)
    found, state = given(x.to_sparse())
    assert seen == [True] * STEPS and found.is_sparse and not state.y.is_sparse
    assert torch.equal(found.to_dense(), wanted) and torch.equal(given(x)[0], wanted) and len(seen) == STEPS


def test_in_a_sequence_of_modules_and_printed():
    net = nb.SequentialState(torch.nn.Linear(INPUTS, HIDDEN), FollowerCell(), nb.Lift(torch.nn.Identity()))
    x = torch.rand(BATCH, INPUTS)
    _, state = net(x)
    assert type(state[1]) is Trace
    assert "p=Decay(rate=tensor(1.)), dt=0.001" in repr(FollowerCell(Decay(1.0)))
    assert (
        repr(nb.SNNRecurrentCell(nb.lif_step, at_rest, 1, 2, None))
        == "SNNRecurrentCell(input_size=1, hidden_size=2, p=None, autapses=False, dt=0.001)"
    )
    assert list(inspect.signature(nb.SNN).parameters)[:3] == ["activation", "state_fallback", "p"]


def test_states_may_be_anything_of_tensors():
    layer = nb.SNN(lambda x, s, p, dt: (x, {"sum": s["sum"] + x}), lambda x: {"sum": torch.zeros(3)}, None, record_states=True)
    x = torch.ones(2, 3)
    assert layer(x)[1]["sum"].tolist() == [[1.0] * 3, [2.0] * 3]


def test_a_sequence_without_steps_is_refused():
    with pytest.raises(SimulationError, match="Follower: the input, of shape"):
        Follower()(torch.ones(0, 3), Trace(torch.ones(3)))
