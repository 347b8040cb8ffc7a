"""SequentialState, Lift and the encoders."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError


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


def test_poisson_encoder_statistics():
    """Counts of independent Bernoulli trials: mean within 5 sigma, variance p (1 - p), no memory over time."""
    x = torch.tensor([0.0, 0.1, 0.5, 1.0, 20.0]).expand(400, 5)
    steps = 500
    z = nb.PoissonEncoder(steps, f_max=100)(x)
    assert z.shape == (steps, 400, 5)
    assert z.dtype == torch.float32
    for k, value in enumerate(x[0].tolist()):
        p = min(0.1 * value, 1.0)
        train = z[:, :, k]
        assert abs(train.mean().item() - p) <= 5 * math.sqrt(p * (1 - p) / train.numel())
        assert train.var(dim=0).mean().item() == pytest.approx(p * (1 - p), rel=0.02, abs=1e-12)
        overlap = (train[1:] * train[:-1]).mean().item()
        assert overlap == pytest.approx(p * p, abs=5 * math.sqrt((p * p + 1e-12) / train.numel()))


def test_poisson_encoding_is_reproducible_and_has_norses_defaults():
    x = torch.full((2000,), 0.5)
    draws = [nb.poisson_encode(x, 20, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)
    assert draws[0].mean().item() == pytest.approx(0.05, abs=0.006)
    step = nb.poisson_encode_step(x, generator=torch.Generator().manual_seed(7))
    assert step.shape == x.shape
    assert step.mean().item() == pytest.approx(0.5, abs=0.06)
    assert nb.poisson_encode(x, 20, f_max=100, dt=0.002).mean().item() == pytest.approx(0.1, abs=0.01)


def test_constant_current_encoder():
    current = torch.tensor([[0.5, 1.5, 4.0]])
    z = nb.ConstantCurrentLIFEncoder(200)(current)
    assert z.shape == (200, 1, 3)
    v, wanted = np.zeros(3, np.float32), []
    for _ in range(200):
        v = v + np.float32(0.001) * np.float32(100) * ((np.float32(0) - v) + current[0].numpy())
        fired = v - np.float32(1) > 0
        v = np.where(fired, np.float32(0), v)
        wanted.append(fired)
    assert np.array_equal(z[:, 0].numpy(), np.stack(wanted))
    assert z.sum(0)[0, 0] == 0 < z.sum(0)[0, 1] < z.sum(0)[0, 2]


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
