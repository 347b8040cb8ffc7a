"""Izhikevich: behaviours are constants, layers start from them, and the network does, too."""

import copy
import pickle

import numpy as np
import pytest
import torch
from bridge_oracles import Super

import norse_bridge as nb
from eventsim.errors import ModelError
from norse_bridge.neurons import izhikevich_behaviors

BEHAVIORS = {name: value for name, value in vars(izhikevich_behaviors).items() if isinstance(value, nb.IzhikevichSpikingBehavior)}


def izhikevich_plain(x, p, v, u, dt=0.001):
    """The step in float64, from the reference's text: (spikes, v, u) over time."""
    rows = []
    for now in x:
        k = p.tau_inv * dt
        v, u = v + k * (p.sq * v * v + p.mn * v + p.bias - u + now), u + k * p.a * (p.b * v - u)
        z = (v > p.v_th).astype(float)
        v, u = np.where(z, p.c, v), u + z * p.d
        rows.append((z, v, u))
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def test_there_are_all_behaviors():
    assert len(BEHAVIORS) == 20 and all(getattr(nb, name) is value for name, value in BEHAVIORS.items())
    assert nb.accomodation.s.u == -16.0 and nb.class_1_exc.p.bias == 108.0 and nb.dap.p.tau_inv == 100.0
    made = nb.create_izhikevich_spiking_behavior(0.02, 0.2, -65.0, 6.0, -70.0, -60.0)
    assert made.s.v == -70.0 and made.s.u == pytest.approx(-12.0) and made.p.tau_inv == 250.0


@pytest.mark.parametrize("name", ["tonic_spiking", "accomodation", "inhibition_induced_bursting"])
def test_a_layer_is_the_plain_recursion(name):
    b = BEHAVIORS[name]
    x = 15.0 * np.random.default_rng(6).random((400, 2, 3))
    out, states = nb.Izhikevich(b, record_states=True)(torch.from_numpy(x))
    z, v, u = izhikevich_plain(x, b.p, float(b.s.v), float(b.s.u))
    assert np.array_equal(out.detach().numpy(), z) and z.sum() > 10
    np.testing.assert_allclose(states.v.detach(), v, rtol=0, atol=1e-6)
    np.testing.assert_allclose(states.u.detach(), u, rtol=0, atol=1e-6)


def test_behaviors_are_never_changed():
    before = copy.deepcopy(nb.tonic_spiking)
    for layer in (nb.Izhikevich(nb.tonic_spiking), nb.IzhikevichRecurrent(3, 3, nb.tonic_spiking)):
        out, _ = layer(torch.rand(20, 2, 3) * 50.0)
        out.sum().backward()
        with torch.no_grad():
            for value in layer.parameter_tuple.buffers():
                value.add_(1)
    cell = nb.IzhikevichCell(nb.tonic_spiking)
    cell(torch.rand(2, 3))
    assert nb.tonic_spiking == before and not nb.tonic_spiking.s.v.requires_grad


def test_numbers_in_the_function_are_as_exact_as_those_of_a_layer():
    """Norse's parameters are Python numbers: in float64 the function, the layer and the recursion are one."""
    b, x = nb.phasic_bursting, 20.0 * torch.rand(50, 2, 3, dtype=torch.float64)
    cell, state, function_state = nb.IzhikevichCell(b), None, None
    for row in x:
        _, state = cell(row, state)
        _, function_state = nb.izhikevich_feed_forward_step(
            row, cell.initial_state(row) if function_state is None else function_state, b.p
        )
    assert torch.equal(state.v, function_state.v) and torch.equal(state.u, function_state.u)


def test_a_layer_knows_its_behavior_and_its_copies_do():
    cell = nb.IzhikevichCell(nb.rebound_burst)
    for one in (cell, copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert one.p.c == -52.0 and one.spiking_method.s.u == -16.0
        assert type(one.spiking_method.p) is nb.IzhikevichParameters
        state = one.initial_state(torch.zeros(2, 3))
        assert state.v == -64.0 and state.u.tolist() == [[-16.0] * 3] * 2
    cell.p = nb.tonic_spiking.p  # parameters without a state: from the reset on
    assert cell.initial_state(torch.zeros(2, 3)).v == -65.0
    assert cell.spiking_method.s == (-65.0, torch.tensor(0.2) * -65.0)


def test_what_is_no_behavior_is_refused():
    for form in (
        nb.IzhikevichCell,
        nb.Izhikevich,
        lambda b: nb.IzhikevichRecurrentCell(2, 3, b),
        lambda b: nb.IzhikevichRecurrent(2, 3, b),
    ):
        with pytest.raises(ModelError, match="IzhikevichSpikingBehavior, such as tonic_spiking"):
            form(nb.tonic_spiking.p)


def test_the_network_starts_where_the_layer_does():
    model = nb.SequentialState(torch.nn.Linear(2, 3), nb.IzhikevichCell(nb.accomodation))
    params = nb.to_network(model).population("layer1").neuron.params
    assert (params.v_start, params.u_start) == (-65.0, -16.0) and params.tau == pytest.approx(2.0)
    x = torch.zeros(300, 1, 2, dtype=torch.float64)
    out = nb.Lift(model.double())
    result = nb.simulate(model, x)
    assert torch.equal(result.outputs, out(x)[0].detach())


def test_gradients_are_those_of_the_plain_loop():
    """Of the input and of every parameter, the state to start from included; they flow through the reset."""
    torch.manual_seed(7)
    numbers = nb.tonic_bursting.p._asdict() | {"v_start": -60.0, "u_start": -12.0}
    del numbers["method"], numbers["alpha"]
    weights, x = torch.randn(120, 2, 3, dtype=torch.float64), 30.0 * torch.rand(120, 2, 3, dtype=torch.float64)
    gradients = []
    for plain in (True, False):
        f = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in numbers.items()}
        y = x.clone().requires_grad_()
        if plain:
            v, u, rows = f["v_start"] + 0 * y[0], f["u_start"] + 0 * y[0], []
            for now in y:
                k = f["tau_inv"] * 0.001
                v, u = (
                    v + k * (f["sq"] * v**2 + f["mn"] * v + f["bias"] - u + now),
                    u + k * f["a"] * (f["b"] * v - u),
                )
                z = Super.apply(v - f["v_th"], 5.0)
                v, u = (1 - z) * v + z * f["c"], (1 - z) * u + z * (u + f["d"])
                rows.append(z)
            out = torch.stack(rows)
        else:
            p = nb.IzhikevichParameters(**{name: f[name] for name in numbers if not name.endswith("start")}, alpha=5.0)
            state = nb.IzhikevichState(f["v_start"] + 0 * y[0], f["u_start"] + 0 * y[0])
            out, _ = nb.lift(nb.izhikevich_feed_forward_step, p)(y, state)
        assert out.sum() > 10
        gradients.append(torch.autograd.grad((weights * out).sum(), [y, *f.values()]))
    for wanted, found in zip(*gradients, strict=True):
        assert wanted.abs().sum() > 0
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
