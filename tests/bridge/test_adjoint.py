"""The adjoint functions: the values of the step and its gradient, with less kept in between."""

import inspect
import pickle

import pytest
import torch
from torch.utils._pytree import tree_leaves

import norse_bridge as nb

BATCH, INPUTS, HIDDEN = 3, 4, 5
ALPHA = 5.0


def uniform(*shape):
    return torch.rand(*shape, dtype=torch.float64)


def lif_state():
    return nb.LIFState(uniform(BATCH, HIDDEN).round(), uniform(BATCH, HIDDEN), uniform(BATCH, HIDDEN))


def lif_feed_forward_state():
    return nb.LIFFeedForwardState(uniform(BATCH, HIDDEN), uniform(BATCH, HIDDEN))


def rho():
    return torch.tensor([0.0, 0.0, 1.0, 2.0, 0.0], dtype=torch.float64).expand(BATCH, HIDDEN)


LIF_P = nb.LIFParameters(v_th=torch.tensor(0.6), alpha=ALPHA)
REFRAC_P = nb.LIFRefracParameters(LIF_P, torch.tensor(2.0))
LSNN_P = nb.LSNNParameters(v_th=torch.tensor(0.6), alpha=ALPHA)
SPARSE = nb.LIFFeedForwardSparseAdjointFunction, nb.LIFSparseAdjointFunction, nb.LIFSparseAdjointRefracFunction
CASES = {  # the step, its adjoint step, its function, a state, parameters
    "lif feed-forward": (
        nb.lif_feed_forward_step,
        nb.lif_feed_forward_adjoint_step,
        nb.LIFFeedForwardAdjointFunction,
        lif_feed_forward_state,
        LIF_P,
    ),
    "lif feed-forward sparse": (
        nb.lif_feed_forward_step,
        nb.lif_feed_forward_adjoint_step_sparse,
        nb.LIFFeedForwardSparseAdjointFunction,
        lif_feed_forward_state,
        LIF_P,
    ),
    "lif": (nb.lif_step, nb.lif_adjoint_step, nb.LIFAdjointFunction, lif_state, LIF_P),
    "lif sparse": (nb.lif_step, nb.lif_adjoint_step_sparse, nb.LIFSparseAdjointFunction, lif_state, LIF_P),
    "refrac feed-forward": (
        nb.lif_refrac_feed_forward_step,
        nb.lif_refrac_feed_forward_adjoint_step,
        nb.LIFAdjointRefracFeedForwardFunction,
        lambda: nb.LIFRefracFeedForwardState(lif_feed_forward_state(), rho()),
        REFRAC_P,
    ),
    "refrac": (
        nb.lif_refrac_step,
        nb.lif_refrac_adjoint_step,
        nb.LIFAdjointRefracFunction,
        lambda: nb.LIFRefracState(lif_state(), rho()),
        REFRAC_P,
    ),
    "refrac sparse": (
        nb.lif_refrac_step,
        nb.lif_refrac_adjoint_step_sparse,
        nb.LIFSparseAdjointRefracFunction,
        lambda: nb.LIFRefracState(lif_state(), rho()),
        REFRAC_P,
    ),
    "mc": (nb.lif_mc_step, nb.lif_mc_adjoint_step, nb.LIFMCAdjointFunction, lif_state, LIF_P),
    "mc refrac": (
        nb.lif_mc_refrac_step,
        nb.lif_mc_refrac_adjoint,
        nb.LIFMCRefracAdjointFunction,
        lambda: nb.LIFRefracState(lif_state(), rho()),
        REFRAC_P,
    ),
    "lsnn feed-forward": (
        nb.lsnn_feed_forward_step,
        nb.lsnn_feed_forward_adjoint_step,
        nb.LSNNFeedForwardAdjointFunction,
        lambda: nb.LSNNFeedForwardState(*lif_feed_forward_state(), uniform(BATCH, HIDDEN)),
        LSNN_P,
    ),
    "lsnn": (
        nb.lsnn_step,
        nb.lsnn_adjoint_step,
        nb.LSNNAdjointFunction,
        lambda: nb.LSNNState(*lif_state(), uniform(BATCH, HIDDEN)),
        LSNN_P,
    ),
}


def requires_grad(values):
    """The tuple with its tensors as leaves of their own that require a gradient."""
    return nb.tree_map_only(torch.Tensor, lambda tensor: tensor.detach().clone().requires_grad_(), values)


def tensors(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def arguments(name):
    """``(input, state, weights, parameters)`` of a case, all of them leaves with a gradient, the input in the case's layout."""
    step, _, function, state, p = CASES[name]
    recurrent = "input_weights" in inspect.signature(step).parameters
    weights = (uniform(HIDDEN, INPUTS), uniform(HIDDEN, HIDDEN)) if recurrent else ()
    weights += (0.1 * uniform(HIDDEN, HIDDEN),) if "g_coupling" in inspect.signature(step).parameters else ()
    x = uniform(BATCH, INPUTS if recurrent else HIDDEN).round() * 2.0
    x = x.to_sparse() if function in SPARSE else x
    return x.requires_grad_(), requires_grad(state()), requires_grad(weights), requires_grad(p)


def apply(function, x, state, weights, p):
    """The function as one calls it in Norse: with the fields of the state one after the other."""
    fields = state if function is nb.LIFSparseAdjointRefracFunction else tensors(state)
    return function.apply(x, *fields, *weights, p, 0.001)


def dense(tensor):
    return tensor.to_dense() if tensor.is_sparse else tensor


def weighted(outputs):
    """A number that every output has its own part in."""
    return sum((dense(out) * torch.linspace(-1.0, k + 1.0, out.numel()).reshape(out.shape)).sum() for k, out in enumerate(outputs))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_step(name):
    step, adjoint, function, _, _ = CASES[name]
    x, state, weights, p = arguments(name)
    of = tensors((x, state, weights, p))
    z, new = step(x, state, *weights, p, 0.001)
    outputs = [z, *(leaf for leaf in tensors(new) if leaf is not z)]
    wanted = torch.autograd.grad(weighted(outputs), of, allow_unused=True)
    assert dense(z).sum() > 0 and sum(dense(g).abs().sum() > 0 for g in wanted if g is not None) >= 8
    again, other = adjoint(x, state, *weights, p, 0.001)
    assert type(other) is type(new) and again.layout == z.layout
    for found in ([again, *(leaf for leaf in tensors(other) if leaf is not again)], apply(function, x, state, weights, p)):
        assert [out.layout for out in found] == [out.layout for out in outputs]
        assert all(torch.equal(dense(a), dense(b)) for a, b in zip(found, outputs, strict=True))
        for a, b in zip(torch.autograd.grad(weighted(found), of, allow_unused=True), wanted, strict=True):
            assert (a is None) == (b is None) and (a is None or torch.equal(dense(a), dense(b)))


def test_without_spikes_the_gradient_is_exact():
    """Two steps below the threshold: d v / d x = k_mem ((1 - k_syn) + (1 - k_mem)). Norse's has k_syn in the place of k_mem."""
    x = torch.full((1, 1), 0.1, dtype=torch.float64, requires_grad=True)
    state = nb.LIFFeedForwardState(torch.zeros_like(x), torch.zeros_like(x))
    p = nb.LIFParameters(tau_mem_inv=100.0, tau_syn_inv=200.0, method="heaviside")
    _, state = nb.lif_feed_forward_adjoint_step(x, state, p)
    _, state = nb.lif_feed_forward_adjoint_step(torch.zeros_like(x), state, p)
    state.v.sum().backward()
    assert x.grad.item() == pytest.approx(0.1 * ((1 - 0.2) + (1 - 0.1)), rel=1e-12)


def test_less_is_kept_between_the_passes():
    x, state, weights, p = arguments("lif")
    kept = {}
    for step in (nb.lif_step, nb.lif_adjoint_step):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, saved=saved: saved.append(t) or t, lambda t: t):
            step(x, state, *weights, p)
        given = {t.data_ptr() for t in tensors((x, state, weights, p))}
        kept[step] = [t for t in saved if t.data_ptr() not in given and t.numel() > 1]
    assert len(kept[nb.lif_step]) >= 3 and not kept[nb.lif_adjoint_step]


def test_random_spikes_are_the_same_in_the_backward_pass():
    p = nb.LIFParameters(method="logistic", alpha=0.5)
    x = torch.zeros(50, 20, requires_grad=True)
    state = nb.LIFFeedForwardState(torch.ones(50, 20), torch.zeros(50, 20))
    grads = []
    for step in (nb.lif_feed_forward_step, nb.lif_feed_forward_adjoint_step):
        torch.manual_seed(3)
        z, new = step(x, state, p)
        torch.rand(7)
        grads.append(torch.autograd.grad(new.v.sum(), x)[0])
    assert 0.2 < z.mean() < 0.8 and torch.equal(*grads)


def test_the_second_derivative_and_torch_func():
    x, state, weights, p = arguments("lif feed-forward")

    def voltage(step):
        return lambda x: step(x, state, p)[1].v.square().sum()

    plain, adjoint = voltage(nb.lif_feed_forward_step), voltage(nb.lif_feed_forward_adjoint_step)
    hessian = torch.autograd.functional.hessian
    assert hessian(plain, x).abs().sum() > 0
    assert torch.equal(hessian(adjoint, x), hessian(plain, x))
    assert torch.equal(torch.func.grad(adjoint)(x), torch.func.grad(plain)(x))
    assert torch.equal(torch.func.vmap(adjoint)(x.expand(2, *x.shape)), torch.stack([plain(x), plain(x)]))


def test_default_parameters_and_keywords():
    v = torch.full((2, 3), 0.5)
    z, state = nb.lif_feed_forward_adjoint_step(input=v, s=nb.LIFFeedForwardState(v, v), dt=0.002)
    wanted, other = nb.lif_feed_forward_step(v, nb.LIFFeedForwardState(v, v), dt=0.002)
    assert torch.equal(z, wanted) and torch.equal(state.v, other.v)
    assert torch.equal(
        nb.LIFFeedForwardAdjointFunction.apply(v, v, v)[2], nb.lif_feed_forward_step(v, other._replace(v=v, i=v))[1].i
    )
    assert pickle.loads(pickle.dumps(nb.lif_adjoint_step)) is nb.lif_adjoint_step
    assert pickle.loads(pickle.dumps(nb.LIFAdjointFunction)) is nb.LIFAdjointFunction


def test_the_method_adjoint_is_the_gradient_of_super():
    x = torch.rand(50, 2, 6) * 2.0
    grads = []
    for method in ("super", "adjoint"):
        y = x.clone().requires_grad_()
        out, _ = nb.LIF(nb.LIFParameters(method=method, alpha=5.0))(y)
        (out * torch.linspace(-1.0, 1.0, out.numel()).reshape(out.shape)).sum().backward()
        grads.append(y.grad)
    assert grads[0].abs().sum() > 0
    torch.testing.assert_close(*grads)
