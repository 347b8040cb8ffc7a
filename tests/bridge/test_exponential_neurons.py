"""LIFEx, LIFAdEx and its refractory form: the functions beside the layers, and where Norse is mended."""

import numpy as np
import pytest
import torch
from bridge_oracles import Super

import norse_bridge as nb
from eventsim.errors import ModelError

DOUBLE = {"dtype": torch.float64}


def test_bio_default_of_lif_ex_is_no_nan():
    """delta_T = 0 in Norse is 0 exp(v/0): NaN as soon as v is above v_th. The limit is a LIF neuron."""
    p = nb.LIFExParameters.bio_default()
    assert p.delta_T == 0.0 and p.v_th == -55.0
    x = torch.rand(300, 2, 3) * 40.0
    out, states = nb.LIFEx(p, dt=1.0, record_states=True)(x)
    wanted, lif_states = nb.LIF(nb.LIFParameters.bio_default(), dt=1.0, record_states=True)(x)
    assert torch.equal(out, wanted) and torch.equal(states.v, lif_states.v) and out.sum() > 20


def test_the_gradient_of_delta_t_is_finite_where_it_is_0():
    delta = torch.tensor([0.0, 0.3], requires_grad=True)
    out, state = nb.lif_ex_feed_forward_step(torch.ones(1, 2), p=nb.LIFExParameters(delta_T=delta))
    state.v.sum().backward()
    assert torch.isfinite(delta.grad).all() and delta.grad[1] > 0


def test_numbers_may_stand_for_tensors():
    for step, p in (
        (nb.lif_ex_feed_forward_step, nb.LIFExParameters(0.3, 137.0, 90.0, 0.1, 0.8, -0.1)),
        (nb.lif_adex_feed_forward_step, nb.LIFAdExParameters(1, 0.1, 0.3, 2.0, 137.0, 90.0, 0.1, 0.8, -0.1)),
    ):
        tensors = type(p)(*(torch.tensor(float(v)) if isinstance(v, (int, float)) else v for v in p))
        for found, wanted in zip(step(torch.ones(2, 3), p=p)[1], step(torch.ones(2, 3), p=tensors)[1], strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0.0)


def test_functions_begin_at_0_without_a_state_and_can_be_lifted():
    x = torch.rand(50, 2, 3) * 2.0
    out, state = nb.lift(nb.lif_adex_feed_forward_step)(x)
    wanted, last = nb.LIFAdEx()(x)
    assert torch.equal(out, wanted) and torch.equal(state.a, last.a) and out.sum() > 10


def test_current_encoders_are_steps_without_a_synapse():
    torch.manual_seed(4)
    x, v, a = 10 * torch.randn(1000, **DOUBLE), torch.randn(1000, **DOUBLE), torch.randn(1000, **DOUBLE)
    rise = 0.1 * (-v + 0.5 * torch.exp((v - 1.0) / 0.5) + x)
    z, new = nb.lif_ex_current_encoder(x, v)
    fired = v + rise > 1.0
    assert torch.equal(z > 0, fired) and 50 < fired.sum() < 950
    torch.testing.assert_close(new, torch.where(fired, 0.0, v + rise), rtol=1e-7, atol=1e-7)
    z, new, b = nb.lif_adex_current_encoder(x, v, a)
    fired = v + rise - 0.1 * a > 1.0
    assert torch.equal(z > 0, fired)
    torch.testing.assert_close(new, torch.where(fired, 0.0, v + rise - 0.1 * a), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(b, a + 0.002 * (4.0 * v - a) + 0.02 * z, rtol=1e-7, atol=1e-7)  # Norse: no dt, and no a +


def test_only_spikes_that_are_fired_lift_the_adaptation():
    """Drive so strong that the held neuron would cross its threshold in every step: Norse's a then rises in every step."""
    p = nb.LIFAdExRefracParameters(nb.LIFAdExParameters(adaptation_current=torch.tensor(0.0), adaptation_spike=torch.tensor(10.0)))
    x = torch.full((60, 1, 1), 200.0, **DOUBLE)
    cell, state, a, fired = nb.LIFAdExRefracCell(p), None, 0.0, []
    for t in range(60):
        z, state = cell(x[t], state)
        fired.append(bool(z))
        a = a - 0.002 * a + 10.0 * fired[-1]
        assert state.lif_adex.a.item() == pytest.approx(a, rel=1e-6)
    assert np.diff(np.flatnonzero(fired)).tolist() == [6] * 9  # rho_reset + 1


@pytest.mark.parametrize(("kind", "inner"), [("LIFRefrac", "LIF"), ("LIFAdExRefrac", "LIFAdEx")])
def test_compute_refractory_update(kind, inner):
    """The values of Norse 1.1.0, for both kinds of state."""
    zeros, State = torch.zeros(3), getattr(nb, f"{inner}State")
    neuron = State(zeros, torch.tensor([0.1, 0.2, 0.3]), *([zeros] * (len(State._fields) - 2)))
    state = getattr(nb, f"{kind}State")(neuron, torch.tensor([0.0, 2.0, 1.0]))
    p = getattr(nb, f"{kind}Parameters")()
    v, z, rho = nb.compute_refractory_update(state, torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.5, 0.6, 0.7]), p)
    assert v.tolist() == pytest.approx([0.5, 0.2, 0.3]) and z.tolist() == [1.0, 0.0, 0.0] and rho.tolist() == [5.0, 1.0, 0.0]


def test_compute_refractory_update_is_the_step_of_lif_refrac():
    torch.manual_seed(5)
    state = nb.LIFRefracFeedForwardState(
        nb.LIFFeedForwardState(torch.rand(4, 50), 10 * torch.rand(4, 50)), 1.0 * torch.randint(0, 4, (4, 50))
    )
    x = torch.rand(4, 50)
    free_z, free = nb.lif_feed_forward_step(x, state.lif)
    v, z, rho = nb.compute_refractory_update(state, free_z, free.v)
    wanted_z, wanted = nb.lif_refrac_feed_forward_step(x, state)
    assert torch.equal(z, wanted_z) and torch.equal(v, wanted.lif.v) and torch.equal(rho, wanted.rho) and 0 < z.sum() < free_z.sum()


def test_default_bio_parameters():
    for model, kind in (
        ("iaf", nb.IAFParameters),
        ("li", nb.LIParameters),
        ("lif", nb.LIFParameters),
        ("lifEx", nb.LIFExParameters),
        ("lif_adex", nb.LIFAdExParameters),
        ("LSNN", nb.LSNNParameters),
    ):
        assert kind(**nb.default_bio_parameters(model)) == kind.bio_default()
    assert nb.LIFAdExParameters.bio_default()[:4] == (0.0, torch.tensor(0.01), 2.0, torch.tensor(0.01))
    assert nb.default_bio_parameters("lif", v_th=-50.0)["v_th"] == -50.0
    with pytest.raises(ModelError, match="'qif', only of iaf, li, lif"):
        nb.default_bio_parameters("qif")


def adex_plain(x, p, dt=0.001):
    """LIFAdEx in differentiable torch operations, from the reference's text: spikes over time."""
    v, i, a = p.v_leak + torch.zeros_like(x[0]), torch.zeros_like(x[0]), torch.zeros_like(x[0])
    spikes = []
    for now in x:
        i = i + now
        upswing = p.delta_T * torch.exp((v - p.v_th) / p.delta_T)
        v, a = (
            v + dt * p.tau_mem_inv * ((p.v_leak - v) + upswing + i - a),
            a + dt * p.tau_ada_inv * (p.adaptation_current * (v - p.v_leak) - a),
        )
        i = i - dt * p.tau_syn_inv * i
        z = Super.apply(v - p.v_th, p.alpha)
        v, a = (1 - z) * v + z * p.v_reset, a + z * p.adaptation_spike
        spikes.append(z)
    return torch.stack(spikes)


def test_gradients_are_those_of_the_plain_loop():
    """Of the input and of every parameter; they flow through the reset."""
    torch.manual_seed(6)
    numbers = {name: float(value) for name, value in nb.LIFAdExParameters()._asdict().items() if name not in ("method", "alpha")}
    numbers |= {"v_leak": 0.1, "v_reset": -0.1, "tau_ada_inv": 30.0, "adaptation_spike": 0.3}
    weights, gradients = torch.randn(80, 2, 3, **DOUBLE), []
    x = 1.5 * torch.rand(80, 2, 3, **DOUBLE)
    for plain in (True, False):
        fields = {name: torch.tensor(value, requires_grad=True, **DOUBLE) for name, value in numbers.items()}
        p, y = nb.LIFAdExParameters(**fields, alpha=5.0), x.clone().requires_grad_()
        out = (
            adex_plain(y, p)
            if plain
            else nb.lift(nb.lif_adex_feed_forward_step, p)(y, nb.LIFAdExFeedForwardState(p.v_leak, 0, 0))[0]
        )
        assert 10 < out.sum() < 400
        gradients.append(torch.autograd.grad((weights * out).sum(), [y, *fields.values()]))
    for wanted, found in zip(*gradients, strict=True):
        assert wanted.abs().sum() > 0
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)
