"""The compiled time loops: the bits of the plain loop forward, its gradient backward, for every family and however they are cut."""

import itertools
import warnings
from dataclasses import replace

import pytest
import torch
from shorter import shorter
from torch.utils import _pytree as pytree

import norse_bridge as nb
from eventsim.errors import SimulationError
from eventsim.models import LIF as LIF_MODEL
from eventsim.models.lif import State
from norse_bridge.fused.kernels import LENGTH, SPACING

T32, T64 = torch.float32, torch.float64


def number(value):
    return torch.tensor(value)


LSNN_P = nb.LSNNParameters(tau_adapt_inv=number(50.0), beta=number(0.2), v_th=number(0.3), alpha=5.0)
LIF_P = nb.LIFParameters(v_leak=number(-0.1), v_th=number(0.4), v_reset=number(-0.2), alpha=number(5.0))
REFRAC_P = nb.LIFRefracParameters(LIF_P, number(3.0))
BOX_P = nb.LIFBoxParameters(v_th=number(0.2), alpha=number(5.0))
ADEX_P = nb.LIFAdExParameters(v_th=number(0.6), alpha=5.0)
LAYERS = {
    "LIF": lambda: nb.LIF(LIF_P),
    "LI": lambda: nb.LI(),
    "IAF": lambda: nb.IAF(nb.IAFParameters(v_th=number(2.0), v_reset=number(-0.5), alpha=number(5.0))),
    "LSNN": lambda: nb.LSNN(LSNN_P),
    "LIFBox": lambda: nb.LIFBox(BOX_P),
    "LIFBox subtract": lambda: nb.LIFBox(BOX_P._replace(reset_method=nb.reset_subtract)),
    "LIBox": lambda: nb.LIBox(),
    "LIFEx": lambda: nb.LIFEx(nb.LIFExParameters(v_th=number(0.6), alpha=5.0)),
    "LIFAdEx": lambda: nb.LIFAdEx(ADEX_P),
    "Izhikevich": lambda: nb.Izhikevich(nb.tonic_spiking),
}
RECURRENT = {
    "LIF": lambda: nb.LIFRecurrent(6, 9, LIF_P),
    "LSNN": lambda: nb.LSNNRecurrent(6, 9, LSNN_P),
    "LIFRefrac": lambda: nb.LIFRefracRecurrent(6, 9, REFRAC_P),
    "LIFAdExRefrac": lambda: nb.LIFAdExRefracRecurrent(6, 9, nb.LIFAdExRefracParameters(ADEX_P, number(2.0))),
    "Izhikevich": lambda: nb.IzhikevichRecurrent(6, 9, nb.tonic_spiking),
}
EXACT = [name for name in LAYERS if name not in ("LIFEx", "LIFAdEx")]  # exp differs in its last bits between torch and Numba
DRIVE = {"Izhikevich": 40.0}
ALL = [*LAYERS, *(f"{name} recurrent" for name in RECURRENT)]
WHOLE = ("LIF", "LSNN", "LIF recurrent")  # of which every run of the tests takes all cases


def flat(values):
    return [inner for value in values for inner in (flat(value) if isinstance(value, tuple) else [value])]


def make(name):
    torch.manual_seed(3)
    if not name.endswith(" recurrent"):
        return LAYERS[name]()
    layer = RECURRENT[name.removesuffix(" recurrent")]()
    with torch.no_grad():
        layer.input_weights.mul_(DRIVE.get(name.split()[0], 2.0))
    return layer


def drive(name, *shape, dtype=T64):
    """Inputs that make a neuron fire now and then."""
    if name.endswith(" recurrent"):
        return (torch.rand(*shape, dtype=dtype) < 0.4).to(dtype)
    return DRIVE.get(name, 1.0) * torch.rand(*shape, dtype=dtype)


def both(layer, *given):
    """What the layer gives by the plain and by the compiled loop."""
    with nb.time_loop("plain"):
        wanted = layer(*given)
    with nb.time_loop("fused"):
        return wanted, layer(*given)


def assert_equal(found, wanted, bits):
    for one, other in zip(flat(found), flat(wanted), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        assert torch.equal(one, other) if bits else torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "dtype", "record"),
    shorter(
        itertools.product(ALL, (T32, T64), (False, True)), lambda name, dtype, record: name in WHOLE or record == (dtype is T32)
    ),
)
def test_spikes_and_states_are_those_of_the_plain_loop(name, dtype, record):
    layer = make(name).to(dtype)
    layer.record_states = record
    x = drive(name, 70, 3, 6, dtype=dtype)
    wanted, found = both(layer, x)
    assert wanted[0].abs().sum() > 2
    assert torch.equal(found[0], wanted[0])
    assert_equal(found, wanted, bits=name in EXACT or name.removesuffix(" recurrent") in ("LIF", "LSNN", "LIFRefrac", "Izhikevich"))


def gradients(layer, x, state, loss):
    """The gradients of everything that has one."""
    asked = [x, *(s for s in flat(state) if s.requires_grad), *layer.parameters()]
    found = torch.autograd.grad(loss(layer(x, state)), asked, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(asked, found, strict=True)]


def trainable(p):
    """The parameters with a gradient, one value for each neuron where that is possible."""
    fixed = ("method", "alpha", "reset_method")
    return type(p)(
        *(
            trainable(v) if isinstance(v, tuple) else v if name in fixed else torch.as_tensor(v, dtype=T64).clone().requires_grad_()
            for name, v in p._asdict().items()
        )
    )


@pytest.mark.parametrize(
    ("name", "record"), shorter(itertools.product(ALL, (False, True)), lambda name, record: name in WHOLE or record)
)
def test_gradients_are_those_of_the_plain_loop(name, record):
    """Of inputs, states at the beginning, weights and all parameters; through outputs, last states and recorded states."""
    layer = make(name).double()
    layer.p = trainable(layer.p)
    layer.record_states = record
    x = drive(name, 40, 3, 6).requires_grad_()
    state = pytree.tree_map(lambda s: s.detach().requires_grad_(), layer.initial_state(x))
    torch.manual_seed(5)
    weights = [torch.randn_like(t) for t in flat(layer(x, state))]

    def loss(result):
        return sum((w * r).sum() for w, r in zip(weights, flat(result), strict=True))

    with nb.time_loop("plain"):
        wanted = gradients(layer, x, state, loss)
    with nb.time_loop("fused"):
        found = gradients(layer, x, state, loss)
    assert len(wanted) == len(found) >= 2
    for one, other in zip(found, wanted, strict=True):
        scale = other.abs().max().clamp(min=1.0)
        assert torch.allclose(one / scale, other / scale, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "method",
    shorter(
        [(name,) for name in ("heaviside", "super", "adjoint", "triangle", "tanh", "circ", "heavi_erfc")],
        lambda method: method in ("super", "tanh", "heavi_erfc"),
    ),
)
def test_every_surrogate_gradient(method):
    layer = nb.LIF(LIF_P._replace(method=method, alpha=number(0.7))).double()
    x = torch.rand(50, 2, 5, dtype=T64, requires_grad=True)
    weights, found = torch.randn(50, 2, 5, dtype=T64), []
    for kind in ("plain", "fused"):
        with nb.time_loop(kind):
            out, state = layer(x)
            found.append(torch.autograd.grad((weights * out).sum() + state.v.sum(), x)[0])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("steps", [1, SPACING - 1, SPACING, SPACING + 1, 3 * SPACING])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (LENGTH - 1,), (LENGTH + 1,), (2, 3, LENGTH // 2)])
def test_any_number_of_steps_and_neurons(steps, shape):
    torch.manual_seed(4)
    layer, x = nb.LSNN(LSNN_P), torch.rand(steps, *shape, requires_grad=True)
    weights, results = torch.randn(steps, *shape), []
    for kind in ("plain", "fused"):
        with nb.time_loop(kind):
            out, state = layer(x)
            results.append((out, *state, torch.autograd.grad((weights * out).sum() + state.v.sum() + state.i.sum(), x)[0]))
    for wanted, found in zip(*results[0:2], strict=True):
        assert torch.allclose(wanted, found, rtol=1e-4, atol=1e-6)
    assert torch.equal(results[0][0], results[1][0])


def test_parameters_of_each_neuron_and_each_sample():
    p = LIF_P._replace(tau_mem_inv=torch.linspace(50.0, 150.0, 7, requires_grad=True), v_th=torch.rand(3, 7) + 0.2)
    layer, x = nb.LIF(p), torch.rand(60, 3, 7)
    (out, state), (found, end) = both(layer, x)
    assert torch.equal(out, found) and out.sum() > 10 and torch.equal(state.v, end.v)
    grads = []
    for result in (out, found):
        grads.append(
            torch.autograd.grad((result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum(), layer.p.tau_mem_inv)[0]
        )
    assert grads[0].shape == (7,) and grads[0].abs().sum() > 0
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_bits_do_not_depend_on_threads():
    x = torch.rand(200, 6, 1000, requires_grad=True)
    p = LIF_P._replace(tau_syn_inv=number(200.0).requires_grad_())
    layer, results, threads = nb.LIF(p), [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with nb.time_loop("fused"):
                out, state = layer(x)
                results.append([out, *state, *torch.autograd.grad(out.sum(), [x, layer.p.tau_syn_inv])])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("recurrent", [False, True])
def test_gradients_of_gradients(recurrent):
    layer = make("LIF recurrent" if recurrent else "LIF").double()
    x, weights = torch.rand(12, 2, 6, dtype=T64, requires_grad=True), torch.randn(12, 2, 9 if recurrent else 6, dtype=T64)
    found = []
    for kind in ("plain", "fused"):
        with nb.time_loop(kind):
            (first,) = torch.autograd.grad((weights * layer(x)[0]).sum(), x, create_graph=True)
            found.append((first, torch.autograd.grad(first.square().sum(), x)[0]))
    assert found[0][1].abs().sum() > 0
    torch.testing.assert_close(*found)


def test_inputs_of_all_kinds():
    layer = nb.LIF(LIF_P)
    x = torch.rand(7, 30, 3).transpose(0, 1)  # not contiguous
    state = nb.LIFFeedForwardState(torch.tensor(0.1), torch.zeros(3, dtype=T64))
    for given in (
        (x,),
        (x, state),
        (x.double(), None),
        (x.expand(30, 7, 3), nb.LIFFeedForwardState(torch.zeros(7, 1), torch.ones(3))),
    ):
        wanted, found = both(layer, *given)
        assert_equal(found, wanted, bits=True)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], both(layer, x)[0][0])
    given = torch.rand(20, 4)  # a layer of unbatched input
    assert_equal(*both(layer, given), bits=True)


def test_a_model_of_ones_own_is_compiled_too():
    """A leak that grows with the square of v: a step function that no file of this package holds."""

    def advance(s, k, p):
        return State(s.v + k.v * ((p.v_leak - s.v * s.v) + k.r * s.i), s.i + k.i * s.i)

    family = nb.LIF.family._replace(model=replace(LIF_MODEL, name="Squared", advance=advance))

    class Squared(nb.layer.Layer, family=family):
        """Over time."""

    layer, x, found = Squared(LIF_P), torch.rand(60, 2, 5, requires_grad=True), []
    for kind in ("plain", "fused"):
        with nb.time_loop(kind):
            out, state = layer(x)
            found.append((out, *state, *torch.autograd.grad(out.sum() + state.v.sum(), x)))
    assert found[0][0].sum() > 3
    assert all(torch.equal(a, b) for a, b in zip(*(one[:3] for one in found), strict=True))
    torch.testing.assert_close(found[0][3], found[1][3], rtol=1e-4, atol=1e-6)


def test_what_cannot_be_compiled_goes_through_the_plain_loop_and_says_so():
    def advance(s, k, p):
        return State(torch.sin(s.v), s.i + k.i * s.i)

    family = nb.LIF.family._replace(model=replace(LIF_MODEL, name="Sine", advance=advance))

    class Sine(nb.layer.Layer, family=family):
        """Over time."""

    layer, x = Sine(LIF_P), torch.rand(5, 2, 3)
    with pytest.warns(RuntimeWarning, match=r"plain loop of torch: Sine: Numba cannot compile"):
        found = layer(x)
    with nb.time_loop("plain"):
        assert_equal(found, layer(x), bits=True)
    with nb.time_loop("fused"), pytest.raises(SimulationError, match="Sine"):
        layer(x)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda layer, x: (nb.LIF(LIF_P._replace(method="logistic")), x), "draws its spikes"),
        (lambda layer, x: (layer, x.to(torch.bfloat16)), "float32 and float64"),
        (lambda layer, x: (layer.to("meta"), x.to("meta")), "on the CPU"),
    ],
)
def test_why_a_loop_cannot_be_compiled_is_said(change, why):
    layer, x = change(nb.LIF(LIF_P), torch.rand(5, 2, 3))
    with nb.time_loop("fused"), pytest.raises(SimulationError, match=why):
        layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layer(x)[0].shape == x.shape


def test_an_unknown_loop_is_refused_and_the_choice_ends_with_its_context():
    with pytest.raises(SimulationError, match="auto, fused, plain"), nb.time_loop("fast"):
        pass
    with pytest.raises(ZeroDivisionError), nb.time_loop("fused"):
        raise ZeroDivisionError
    assert nb.LIF(LIF_P._replace(method="logistic"))(torch.rand(5, 2, 3))[0].shape == (5, 2, 3)


def both_kinds(function):
    """What a function gives by the plain and by the compiled loop."""
    found = []
    for kind in ("plain", "fused"):
        with nb.time_loop(kind):
            found.append(function())
    return found


@pytest.mark.parametrize("name", ["LIF", "LSNN", "LIF recurrent"])
def test_gradients_of_gradients_of_parameters_and_states(name):
    """What is saved for the way back depends on one another (dt/tau and tau): nothing may count twice."""
    layer = make(name).double()
    layer.p = trainable(layer.p)
    x = drive(name, 8, 2, 6).requires_grad_()
    state = pytree.tree_map(lambda s: s.detach().requires_grad_(), layer.initial_state(x))

    def derive():
        out, end = layer(x, state)
        asked = [x, state.v, *layer.parameters()]
        first = torch.autograd.grad(out.sum() + end.v.square().sum(), asked, create_graph=True, allow_unused=True)
        first = [g for g in first if g is not None]
        second = torch.autograd.grad(sum(g.square().sum() for g in first), asked, allow_unused=True)
        return first + [torch.zeros(()) if g is None else g for g in second]

    wanted, found = both_kinds(derive)
    assert sum(g.abs().sum() for g in wanted) > 0
    torch.testing.assert_close(found, wanted)


def test_layouts_that_are_not_plain_memory():
    layer, x = nb.LIF(LIF_P), torch.rand(30, 2, 8)
    for view in (torch._neg_view(-x), x[..., ::2], x.transpose(0, 1).contiguous().transpose(0, 1), x[:1].expand(30, 2, 8)):
        assert_equal(*both(layer, view), bits=True)
    x = torch.rand(30, 4, 2, requires_grad=True)

    def derive():
        (g,) = torch.autograd.grad(layer(x.transpose(1, 2))[0], x, torch._neg_view(-torch.linspace(0, 1, 240).view(30, 2, 4)))
        (h,) = torch.autograd.grad(layer(x[..., ::2])[0].sum(), x, create_graph=True)
        return g, h, torch.autograd.grad(h.square().sum(), x)[0]

    wanted, found = both_kinds(derive)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)

    def saved_in_another_layout():
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t.t().contiguous().t() if t.ndim == 2 else t):
            out, _ = layer(x)
        return torch.autograd.grad((out * torch.linspace(0, 1, 240).view_as(out)).sum(), x)

    wanted, found = both_kinds(saved_in_another_layout)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("recurrent", [False, True])
def test_results_belong_to_whom_they_are_given(recurrent):
    """Spikes and states may be changed in place, and nothing else changes with them."""
    layer = make("LIF recurrent" if recurrent else "LIF")
    layer.record_states = not recurrent
    x = torch.rand(20, 2, 6, requires_grad=True)

    def derive():
        out, state = layer(x)
        before, kept = out.detach().clone(), state.v.detach().clone()
        state.v.mul_(0.0)
        state[0].zero_()
        assert torch.equal(out, before)
        out.mul_(2.0)
        return before, kept, torch.autograd.grad(out.sum(), x)[0]

    if recurrent:
        wanted, found = both_kinds(derive)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    else:
        with nb.time_loop("fused"):
            derive()


def test_weights_that_do_not_fit_are_refused_as_by_torch():
    layer, x = make("LIF recurrent"), torch.rand(5, 2, 6)
    layer.input_weights = torch.nn.Parameter(torch.rand(8, 6))
    with pytest.raises(RuntimeError):
        layer(x)
    with nb.time_loop("fused"), pytest.raises(SimulationError, match="do not fit"):
        layer(x)
    with pytest.raises(RuntimeError):
        make("LIF recurrent")(x.double())


def test_a_batch_of_gradients_at_once():
    layer, x = nb.LIF(LIF_P).double(), torch.rand(6, 1, 3, dtype=T64, requires_grad=True)
    out, _ = layer(x)
    directions = torch.eye(18, dtype=T64).view(18, 6, 1, 3)
    (rows,) = torch.autograd.grad(out, x, directions, is_grads_batched=True, retain_graph=True)
    for direction, row in zip(directions, rows, strict=True):
        torch.testing.assert_close(torch.autograd.grad(out, x, direction, retain_graph=True)[0], row)


@pytest.mark.filterwarnings("ignore")  # those of torch about tracing
def test_a_layer_can_be_traced():
    traced = torch.jit.trace(nb.LIF(LIF_P), torch.rand(5, 2, 3), check_trace=False)
    x = torch.rand(5, 2, 3)
    assert torch.equal(traced(x)[0], nb.LIF(LIF_P)(x)[0])


def test_contexts_that_overlap_end_properly():
    first, second = nb.time_loop("plain"), nb.time_loop("fused")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(SimulationError, match="draws"):
        nb.LIF(LIF_P._replace(method="logistic"))(torch.rand(5, 2, 3))
    second.__exit__(None, None, None)
    assert nb.LIF(LIF_P._replace(method="logistic"))(torch.rand(5, 2, 3))[0].shape == (5, 2, 3)


def test_nan_stays_nan():
    for layer in (nb.LIF(LIF_P), nb.Lift(nb.LIFRefracCell(REFRAC_P)), nb.LIFRefracRecurrent(3, 3, REFRAC_P)):
        x = torch.rand(10, 2, 3)
        x[4, 0, 1] = torch.nan
        (wanted, state), (found, end) = both(layer, x)
        assert torch.equal(wanted, found)
        assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(flat(state), flat(end), strict=True))
        assert flat(end)[-2].isnan().any() or flat(end)[0].isnan().any()


@pytest.mark.parametrize("layer", [nb.LIF, nb.LSNN, nb.LIFRefracCell, nb.LI], ids=lambda layer: layer.__name__)
def test_one_neuron_without_axes(layer):
    layer = nb.Lift(layer()) if layer is nb.LIFRefracCell else layer()
    x = torch.rand(20) * 5
    out, _ = layer(x)
    with nb.time_loop("plain"):
        expected, _ = layer(x)
    assert out.shape == (20,) and torch.equal(out, expected)
