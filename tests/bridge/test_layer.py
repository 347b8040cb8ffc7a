"""What every layer does around the step: states, shapes, types, registration, gradients of parameters, sparse input, copies."""

import copy
import io
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import norse_bridge as nb
from eventsim.errors import ModelError, SimulationError
from norse_bridge.family import Refractory
from norse_bridge.layer import RecurrentSpikingLayer, SpikingLayer
from norse_bridge.neurons.lif import FAMILY
from norse_bridge.surrogate import METHODS


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 5, 4)])
def test_shapes_and_states(shape):
    x = torch.rand(6, *shape)
    out, state = nb.LIF()(x)
    assert out.shape == x.shape
    assert type(state) is nb.LIFFeedForwardState
    assert state.v.shape == state.i.shape == shape
    voltage, state = nb.LI()(x)
    assert voltage.shape == x.shape
    assert type(state) is nb.LIState
    assert torch.equal(voltage[-1], state.v)
    z, state = nb.LIFCell()(x[0])
    assert z.shape == state.v.shape == shape
    if len(shape) == 2:
        out, state = nb.LIFRecurrent(4, 7)(x)
        assert out.shape == (6, 2, 7)
        assert type(state) is nb.LIFState
        assert torch.equal(out[-1], state.z)


def test_initial_states_are_those_of_the_reference():
    p = nb.LIFParameters(v_leak=torch.tensor(-0.5))
    x = torch.rand(9, 2, 3)
    cell = nb.LIFCell(p).initial_state(x[0])
    assert (cell.v.shape, cell.i.shape) == ((), (2, 3))
    layer = nb.LIF(p).initial_state(x)
    assert (layer.v.shape, layer.i.shape) == ((2, 3), (2, 3))
    recurrent = nb.LIFRecurrent(3, 4, p).initial_state(x)
    assert recurrent.z.shape == recurrent.v.shape == recurrent.i.shape == (2, 4)
    assert nb.LIFRecurrentCell(3, 4, p).initial_state(x[0]).v.shape == (2, 4)
    for state in (cell, layer, recurrent):
        assert (state.v == -0.5).all()
        assert (state.i == 0).all()
        assert state.v.requires_grad
        assert state.v.dtype == state.i.dtype == torch.float32
    assert nb.LICell(nb.LIParameters(v_leak=2.0)).initial_state(x[0]).v == 2.0


def test_a_layer_can_be_continued_and_leaves_the_given_state_alone():
    x = torch.rand(40, 2, 5)
    for module in (nb.LIF(), nb.LI(), nb.LIFRecurrent(5, 5)):
        whole, last = module(x)
        first, state = module(x[:17])
        kept = copy.deepcopy(tuple(t.detach() for t in state))
        second, end = module(x[17:], state)
        assert torch.equal(whole, torch.cat([first, second]))
        assert all(torch.equal(a, b) for a, b in zip(last, end, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))


@pytest.mark.parametrize("make", [lambda **k: nb.LIF(**k), lambda **k: nb.LI(**k), lambda **k: nb.LIFRecurrent(5, 4, **k)])
def test_record_states(make):
    x = torch.rand(12, 2, 5)
    module = make(record_states=True)
    out, states = module(x)
    module.record_states = False
    for n in (1, 5, 12):
        part, last = module(x[:n])
        assert type(last) is type(states)
        for name in last._fields:
            assert torch.equal(getattr(states, name)[n - 1], getattr(last, name))
    assert torch.equal(out, part)


def test_dt_is_used():
    x = torch.ones(5, 1, 3)
    v = {dt: nb.LI(dt=dt)(x)[0] for dt in (0.001, 0.002)}
    assert nb.LIF().dt == 0.001
    assert not torch.equal(v[0.001], v[0.002])
    assert torch.equal(v[0.002][0], torch.full((1, 3), np.float32(0.002) * np.float32(100.0)))


@pytest.mark.parametrize("given", [torch.float32, torch.float64, torch.float16])
def test_type_follows_the_input_and_never_drops_below_the_parameters(given):
    x = torch.rand(3, 2, 4).to(given)
    out, state = nb.LIF()(x)
    assert out.dtype == state.v.dtype == state.i.dtype == given
    assert nb.LIF().double()(x.double())[0].dtype == torch.float64
    wide = nb.LIFParameters(v_th=torch.ones(4, dtype=torch.float64))
    assert nb.LIF(wide)(x)[0].dtype == torch.float64
    scalar = nb.LIFParameters(v_th=torch.tensor(1.0, dtype=torch.float64))
    assert nb.LIF(scalar)(x)[0].dtype == given


def test_state_dict_and_to():
    module = nb.SequentialState(torch.nn.Linear(3, 4), nb.LIF(nb.LIFParameters(v_th=0.3)), nb.LIFRecurrent(4, 5), nb.LI())
    other = nb.SequentialState(torch.nn.Linear(3, 4), nb.LIF(), nb.LIFRecurrent(4, 5), nb.LI())
    x = torch.rand(50, 2, 3) * 9
    assert not torch.equal(module(x)[0], other(x)[0])
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer))
    assert torch.equal(module(x)[0], other(x)[0])
    assert other[1].p.v_th.item() == pytest.approx(0.3)
    module.double()
    assert all(t.dtype == torch.float64 for m in (module[1], module[2], module[3]) for t in m.p if isinstance(t, torch.Tensor))
    assert module(x.double())[0].dtype == torch.float64
    assert module.to("meta")[1].p.v_th.device.type == "meta"


def test_everything_is_made_where_the_module_and_its_input_are():
    """On another device ("meta" follows the rules of one): no state or coefficient stays behind."""
    p = nb.LIFParameters(v_th=torch.ones(4), tau_mem_inv=torch.tensor(90.0, requires_grad=True))
    for module in (nb.LIF(p), nb.LIFRecurrent(4, 4, p), nb.LI(nb.LIParameters(v_leak=torch.ones(4)))):
        out, state = module.to("meta")(torch.rand(5, 2, 4, device="meta"))
        assert all(t.device.type == "meta" for t in (out, *state))


def test_a_state_dict_of_norse_loads():
    """Norse stores the weights alone; parameters then stay as they were constructed. A partial dict is still refused."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), nb.LIF(nb.LIFParameters(v_th=0.3)), nb.LIFRecurrent(4, 5))
    weights = {name: torch.full_like(t, 0.25) for name, t in module.state_dict().items() if "parameter_tuple" not in name}
    assert set(weights) == {"0.weight", "0.bias", "2.input_weights", "2.recurrent_weights"}
    module.load_state_dict(weights)
    assert (module[2].input_weights == 0.25).all()
    assert module[1].p.v_th.item() == pytest.approx(0.3)
    with pytest.raises(RuntimeError, match="v_leak"):
        module.load_state_dict(weights | {"1.parameter_tuple.v_th": torch.tensor(1.0)})


def test_nothing_shared_is_changed():
    before = [t.clone() for t in nb.LIFParameters() if isinstance(t, torch.Tensor)]
    module = nb.LIF()
    with torch.no_grad():
        for buffer in module.buffers():
            buffer.add_(1.0)
    assert module.p.v_th == 2.0
    after = [t for t in nb.LIFParameters() if isinstance(t, torch.Tensor)]
    assert all(torch.equal(a, b) and not b.requires_grad for a, b in zip(before, after, strict=True))
    assert nb.LIFCell().p.v_th == 1.0


def test_copies_and_pickles_are_independent():
    module = nb.LIFRecurrent(3, 4, nb.LIFParameters(v_th=torch.tensor(0.7, requires_grad=True)))
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    x = torch.rand(30, 2, 3) * 3
    for twin in (copy.deepcopy(module), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x)[0], module(x)[0])
        with torch.no_grad():
            twin.parameter_tuple.v_th.fill_(50.0)
        assert twin(x)[0].sum() == 0
        assert module.p.v_th.item() == pytest.approx(0.7)


def test_only_tensors_with_gradient_are_parameters():
    own = torch.nn.Parameter(torch.tensor(0.8))
    history = torch.tensor(4.6, requires_grad=True)
    module = nb.LIF(nb.LIFParameters(v_th=own, v_reset=torch.tensor(0.1, requires_grad=True), tau_mem_inv=history.exp()))
    names = dict(module.named_parameters())
    assert set(names) == {"parameter_tuple.v_th", "parameter_tuple.v_reset"}
    assert names["parameter_tuple.v_th"] is own
    module.p = module.p._replace(v_th=torch.tensor(2.0))
    assert set(dict(module.named_parameters())) == {"parameter_tuple.v_reset"}
    assert module.p.v_th == 2.0
    nb.LIF(nb.LIFParameters(tau_mem_inv=history.exp()))(torch.rand(5, 1, 2))[0].sum().backward()
    assert history.grad is not None


def test_parameters_that_are_not_numbers_are_refused():
    with pytest.raises(ModelError, match="v_th"):
        nb.LIF(nb.LIFParameters(v_th=(1.0, 2.0)))


MAKERS = [nb.LIFCell, nb.LIF, lambda p: nb.LIFRecurrentCell(3, 4, p), lambda p: nb.LIFRecurrent(3, 4, p)]
READOUTS = [nb.LICell, nb.LI, lambda p: nb.LILinearCell(3, 4, p)]


class OwnParameters(NamedTuple):
    """The fields of LIFParameters in another order, and one more."""

    method: str = "tanh"
    alpha: Any = 3.0
    v_reset: Any = 0.0
    v_th: Any = 0.4
    v_leak: Any = 0.0
    tau_mem_inv: Any = 100.0
    tau_syn_inv: Any = 200.0
    note: Any = 1.0


class SubParameters(nb.LIFParameters):
    pass


@pytest.mark.parametrize("make", [*MAKERS, *READOUTS])
@pytest.mark.parametrize("p", [(1, 2), 100, None, [0.1], nb.LIFParameters])
def test_parameters_that_are_no_named_tuple_are_refused(make, p):
    with pytest.raises(ModelError, match=rf"L\w+: p must be LIF?Parameters, .*\(tau_syn_inv, .*\), not a {type(p).__name__}$"):
        make(p)


@pytest.mark.parametrize("make", MAKERS)
def test_a_parameter_tuple_of_another_kind_is_refused_by_its_missing_fields(make):
    with pytest.raises(ModelError, match="^LIF.*the LIParameters given has no v_th, v_reset, method, alpha$"):
        make(nb.LIParameters())


@pytest.mark.parametrize("make", MAKERS)
def test_an_unknown_method_is_refused_when_the_layer_is_built_or_changed(make):
    for method in ("supr", "sigmoid", None):
        with pytest.raises(ModelError, match=f"^LIF.*{method}.*one of heaviside, super, .*circ_dist"):
            make(nb.LIFParameters(method=method))
    layer = make(nb.LIFParameters())
    with pytest.raises(ModelError, match="^LIF.*'supr'"):
        layer.p = layer.p._replace(method="supr")
    with pytest.raises(ModelError, match="not a tuple"):
        layer.p = (1, 2)
    assert layer.p.method == "super"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_layer(method):
    z, _ = nb.LIF(nb.LIFParameters(method=method, alpha=2.0))(torch.rand(5, 2, 3) * 9)
    assert set(z.unique().tolist()) <= {0.0, 1.0}


def test_subclasses_and_other_tuples_with_the_fields_are_parameters():
    x = torch.rand(40, 2, 3) * 3
    own = nb.LIF(OwnParameters())
    assert type(own.p) is OwnParameters
    wanted = nb.LIF(nb.LIFParameters(v_th=0.4))(x)[0]
    assert wanted.sum() > 0
    assert torch.equal(own(x)[0], wanted)
    sub = nb.LIF(SubParameters(v_th=0.4))
    assert type(sub.p) is SubParameters
    assert torch.equal(sub(x)[0], wanted)
    assert torch.equal(nb.LI(nb.LIFParameters())(x)[0], nb.LI()(x)[0])


def test_a_wrapped_neuron_is_looked_for_too():
    with pytest.raises(ModelError, match="Refrac: p must hold the neuron's parameters.*'lif'"):
        Refrac(nb.LIFParameters(), 0.001)
    with pytest.raises(ModelError, match="Refrac: .*the LIParameters given has no v_th"):
        Refrac(RefractoryParameters(nb.LIParameters()), 0.001)
    with pytest.raises(ModelError, match="RefracRecurrent: .*'supr'"):
        RefracRecurrent(3, 4, RefractoryParameters(nb.LIFParameters(method="supr")), 0.001)


def test_families_without_a_parameter_tuple_of_their_own_need_what_a_step_reads():
    class Free(SpikingLayer):
        family, over_time = FAMILY._replace(Parameters=None), True

    assert Free(OwnParameters(), 0.001)(torch.rand(3, 1, 2))[0].shape == (3, 1, 2)
    with pytest.raises(ModelError, match=r"Free: .*\(method, alpha\), not a tuple"):
        Free((1, 2), 0.001)
    with pytest.raises(ModelError, match="Free: .*LIParameters given has no method, alpha"):
        Free(nb.LIParameters(), 0.001)


@pytest.mark.parametrize(
    "make",
    [nb.LIFCell, nb.LIF, nb.LICell, nb.LI, lambda **k: nb.LIFRecurrentCell(5, 4, **k), lambda **k: nb.LIFRecurrent(5, 4, **k)],
)
def test_activation_sparse_is_taken_and_ignored(make):
    """Norse's keyword; sparse input gives the results of dense input whatever it says."""
    module = make(activation_sparse=lambda *_: pytest.fail("it was called"))
    x = (torch.rand(20, 3, 5) < 0.4).float() * 6
    x = x if module.over_time else x[0]
    out = module(x.to_sparse())[0]
    assert torch.equal(out.to_dense() if out.is_sparse else out, module(x)[0])
    with pytest.raises(TypeError, match="activation_sparze"):
        make(activation_sparze=None)


@pytest.mark.parametrize("kind", ["number", "per neuron"])
@pytest.mark.parametrize("name", ["tau_syn_inv", "tau_mem_inv", "v_leak"])
def test_gradients_of_parameters_are_finite_differences(name, kind):
    """Below threshold everything is smooth: gradcheck in float64, through the unit conversion and the Euler coefficients."""
    x = torch.randn(15, 2, 3, dtype=torch.float64)
    start = getattr(nb.LIParameters(), name).double() + 0.3
    start = (start.expand(3) * torch.tensor([0.9, 1.0, 1.1])).clone() if kind == "per neuron" else start
    layer = nb.LI().double()

    def run(value):
        layer.p = nb.LIParameters()._replace(**{name: value * 1.0})
        return layer(x)[0]

    assert torch.autograd.gradcheck(run, start.clone().requires_grad_(), eps=1e-5, atol=1e-7)


def test_a_registered_time_constant_learns():
    target = nb.LI(nb.LIParameters(tau_mem_inv=140.0))
    layer = nb.LI(nb.LIParameters(tau_mem_inv=torch.tensor(100.0, requires_grad=True)))
    x = torch.rand(50, 4, 3)
    wanted = target(x)[0].detach()
    optimizer = torch.optim.Adam(layer.parameters(), lr=2.0)
    for _ in range(80):
        optimizer.zero_grad()
        (layer(x)[0] - wanted).square().mean().backward()
        optimizer.step()
    assert layer.p.tau_mem_inv.item() == pytest.approx(140.0, abs=1.0)


def test_trainable_threshold_and_reset_get_the_surrogate_gradient():
    """One step from rest: dz/dv_th = -surrogate; dv/dv_reset = z."""
    p = nb.LIFParameters(v_th=torch.tensor(0.1, requires_grad=True), v_reset=torch.tensor(0.0, requires_grad=True), alpha=2.0)
    cell = nb.LIFCell(p)
    x = torch.tensor([[0.5, 3.0]])
    z, state = cell(x)
    margin = 0.1 * x - 0.1
    z.sum().backward(retain_graph=True)
    assert cell.parameter_tuple.v_th.grad.item() == pytest.approx(-(1 / (2 * margin.abs() + 1) ** 2).sum().item(), rel=1e-5)
    state.v.sum().backward()
    assert cell.parameter_tuple.v_reset.grad.item() == z.sum().item() == 1.0


def test_input_gradient_without_spikes_is_exact():
    x = torch.rand(10, 2, 3, dtype=torch.float64, requires_grad=True)
    layer = nb.LIF(nb.LIFParameters(v_th=1e9), record_states=True)
    assert torch.autograd.gradcheck(lambda x: layer(x)[1].v, x)


def test_backward_works_without_anything_to_train():
    """As in Norse, the initial voltage carries a gradient, so that a bare layer can be part of a graph."""
    for module in (nb.LIF(), nb.LI()):
        module(torch.rand(4, 2, 3))[0].sum().backward()


def test_custom_weights_are_copied_and_registered():
    w_in, w_rec = torch.randn(4, 3), torch.randn(4, 4)
    kept = w_rec.clone()
    layer = nb.LIFRecurrent(3, 4, input_weights=w_in, recurrent_weights=w_rec)
    assert torch.equal(w_rec, kept)
    assert not w_rec.requires_grad
    assert set(dict(layer.named_parameters())) == {"input_weights", "recurrent_weights"}
    assert torch.equal(layer.recurrent_weights, kept * (1 - torch.eye(4)))
    assert torch.equal(nb.LIFRecurrent(3, 4, recurrent_weights=w_rec, autapses=True).recurrent_weights, kept)
    with pytest.raises(SimulationError, match=r"recurrent_weights must have shape \(4, 4\)"):
        nb.LIFRecurrent(3, 4, recurrent_weights=w_in)


@pytest.mark.parametrize("autapses", [False, True])
def test_autapses_neither_act_nor_learn_unless_allowed(autapses):
    layer = nb.LIFRecurrent(3, 4, autapses=autapses, recurrent_weights=torch.full((4, 4), 2.0))
    x = torch.rand(30, 2, 3) * 4
    out, _ = layer(x)
    assert out.sum() > 0
    out.sum().backward()
    diagonal = layer.recurrent_weights.grad.diagonal()
    assert (diagonal != 0).any() if autapses else (diagonal == 0).all()
    with torch.no_grad():
        layer.recurrent_weights.fill_diagonal_(-100.0)
    assert torch.equal(layer(x)[0], out) != autapses


def test_random_weights_have_norses_spread():
    layer = nb.LIFRecurrent(400, 500)
    for weights in (layer.input_weights, layer.recurrent_weights):
        assert weights.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
        assert abs(weights.mean().item()) < 1e-3
    assert nb.LILinearCell(400, 500).input_weights.std().item() == pytest.approx(400**-0.5, rel=0.02)


def test_sparse_input_gives_sparse_spikes():
    x = (torch.rand(20, 3, 5) < 0.4).float() * 6
    for module in (nb.LIF(), nb.LIFRecurrent(5, 4)):
        wanted, state = module(x)
        out, sparse_state = module(x.to_sparse())
        assert out.is_sparse
        assert wanted.sum() > 0
        assert torch.equal(out.to_dense(), wanted)
        assert torch.equal(sparse_state.v, state.v)
    again, _ = module(x.to_sparse(), sparse_state)
    assert sparse_state.z.is_sparse
    assert torch.equal(again.to_dense(), module(x, state)[0])
    assert not nb.LI()(x.to_sparse())[0].is_sparse
    assert nb.LIFRecurrentCell(5, 4)(x[0].to_sparse())[1].z.is_sparse


def test_an_empty_sequence_is_refused():
    with pytest.raises(SimulationError, match="LIF: the input, of shape .0, 2, 3."):
        nb.LIF()(torch.zeros(0, 2, 3))


def test_layers_run_under_torch_func():
    layer = nb.LIFRecurrent(3, 4)
    x = torch.rand(20, 2, 3) * 4
    parameters = dict(layer.named_parameters())

    def loss(values):
        return torch.func.functional_call(layer, values, (x,))[0].sum()

    gradients = torch.func.grad(loss)(parameters)
    loss(parameters).backward()
    for name, parameter in layer.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, rtol=1e-5)
    assert torch.func.vmap(lambda x: nb.LIF()(x)[0], in_dims=1, out_dims=1)(x).equal(nb.LIF()(x)[0])


def test_li_linear_cell():
    cell = nb.LILinearCell(3, 4, dt=0.002)
    x = torch.randn(2, 3)
    out, state = cell(x)
    wanted, wanted_state = nb.LICell(dt=0.002)(x @ cell.input_weights.T)
    assert torch.allclose(out, wanted)
    assert torch.allclose(cell(x, state)[0], nb.LICell(dt=0.002)(x @ cell.input_weights.T, wanted_state)[0])


def test_bio_defaults():
    p = nb.LIFParameters.bio_default()
    out, state = nb.LIF(p, dt=1.0)(torch.full((200, 1, 1), 20.0))
    assert out.sum() > 3
    assert nb.LIParameters.bio_default().v_leak == -70.0


class RefractoryParameters(NamedTuple):
    lif: Any = nb.LIFParameters()
    rho_reset: Any = torch.as_tensor(5.0)


class RefractoryState(NamedTuple):
    lif: Any
    rho: Any


REFRACTORY = FAMILY._replace(
    refractory=Refractory(RefractoryState, RefractoryState, inner=lambda p: p.lif, period=lambda p: p.rho_reset)
)


class Refrac(SpikingLayer):
    family, over_time = REFRACTORY, True


class RefracRecurrent(RecurrentSpikingLayer):
    family, over_time = REFRACTORY, True


def test_the_one_layer_serves_a_family_with_a_refractory_period():
    """Against the reference's five lines for LIFRefrac; the earliest next spike comes rho_reset + 1 steps later."""
    p = RefractoryParameters(nb.LIFParameters(v_th=0.4))
    x = torch.rand(300, 2, 5) * 1.5
    out, states = Refrac(p, 0.001, record_states=True)(x)
    rho, state = torch.zeros(2, 5), nb.LIFFeedForwardState(torch.zeros(2, 5), torch.zeros(2, 5))
    for n, now in enumerate(x):
        z, new = nb.lif_feed_forward_step(now, state, nb.LIFParameters(v_th=torch.tensor(0.4)))
        m = (rho > 0).float()
        state = new._replace(v=(1 - m) * new.v + m * state.v)
        z = (1 - m) * z
        rho = (1 - z) * torch.relu(rho - m) + z * 5.0
        assert torch.equal(out[n], z)
        assert torch.equal(states.lif.v[n], state.v)
        assert torch.equal(states.rho[n], rho)
    gaps = torch.cat([torch.diff(torch.nonzero(train).flatten()) for train in out.flatten(1).T])
    assert gaps.min() == 6
    recurrent = RefracRecurrent(5, 4, p, 0.001)
    assert set(recurrent.state_dict()) >= {"parameter_tuple.lif.v_th", "parameter_tuple.rho_reset"}
    z, state = recurrent(x)
    assert isinstance(state.lif, nb.LIFState)
    assert torch.equal(state.lif.z, z[-1])
