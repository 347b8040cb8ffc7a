"""The functions of LIF over time and for sparse spikes, and ada_lif_step."""

import numpy as np
import torch

import norse_bridge as nb

torch.manual_seed(0)
W_IN, W_REC = 3 * torch.randn(5, 4), torch.randn(5, 5)
X = (torch.rand(80, 2, 4) < 0.3).float()
ZEROS = torch.zeros(2, 5)
REST = nb.LIFState(ZEROS, ZEROS, ZEROS)


def test_lif_step_integral_returns_all_spikes():
    """Norse returns those of the last step, against its docstring."""
    out, state = nb.lif_step_integral(X, REST, W_IN, W_REC)
    layer = nb.LIFRecurrent(4, 5, input_weights=W_IN, recurrent_weights=W_REC, autapses=True)
    wanted, last = layer(X)
    assert out.shape == (80, 2, 5) and torch.equal(out, wanted) and torch.equal(state.v, last.v) and out.sum() > 20


def test_lif_feed_forward_integral_is_the_layer():
    x, p = torch.rand(80, 2, 5), nb.LIFParameters(v_th=torch.tensor(0.5))
    out, state = nb.lif_feed_forward_integral(x, nb.LIFFeedForwardState(ZEROS, ZEROS), p)
    wanted, last = nb.LIF(p)(x)
    assert torch.equal(out, wanted) and torch.equal(state.i, last.i) and out.sum() > 20


def test_sparse_steps_are_the_dense_ones():
    state, dense = REST._replace(z=ZEROS.to_sparse()), REST
    refrac, refrac_dense = nb.LIFRefracState(state, ZEROS), nb.LIFRefracState(dense, ZEROS)
    feed, feed_dense = (nb.LIFFeedForwardState(ZEROS, ZEROS) for _ in range(2))
    total = 0
    for row in X:
        z, state = nb.lif_step_sparse(row.to_sparse(), state, W_IN, W_REC)
        wanted, dense = nb.lif_step(row, dense, W_IN, W_REC)
        assert z.is_sparse and state.z.is_sparse and torch.equal(z.to_dense(), wanted) and torch.equal(state.i, dense.i)
        z, refrac = nb.lif_refrac_step_sparse(row.to_sparse(), refrac, W_IN, W_REC)
        wanted, refrac_dense = nb.lif_refrac_step(row, refrac_dense, W_IN, W_REC)
        assert z.is_sparse and refrac.lif.z.is_sparse and torch.equal(z.to_dense(), wanted)
        assert torch.equal(refrac.rho, refrac_dense.rho)
        x = 3 * torch.nn.functional.pad(row, (0, 1))
        z, feed = nb.lif_feed_forward_step_sparse(x.to_sparse(), feed)
        wanted, feed_dense = nb.lif_feed_forward_step(x, feed_dense)
        assert z.is_sparse and torch.equal(z.to_dense(), wanted) and torch.equal(feed.v, feed_dense.v)
        total += z.to_dense().sum() + dense.z.sum()
    assert total > 20


def test_the_gradient_flows_through_the_reset_of_a_sparse_step():
    """One neuron that fires at v': v = v' - z v', so that dv/dv' = 1 - z - v' dz/dv' where it flows and 1 - z where it does not."""
    found = {}
    for step in (nb.lif_step, nb.lif_step_sparse):
        i = torch.tensor([[20.0]], requires_grad=True)
        zero = torch.zeros(1, 1)
        z, state = step(
            torch.ones(1, 1).to_sparse() if step is nb.lif_step_sparse else zero + 1, nb.LIFState(zero, zero, i), zero, zero
        )
        assert state.v.item() == 0.0
        state.v.sum().backward()
        found[step] = i.grad.item()
    assert found[nb.lif_step] == 0.0 and found[nb.lif_step_sparse] < 0.0


def test_ada_lif_step_against_the_plain_recursion():
    p = nb.LSNNParameters(tau_adapt_inv=torch.tensor(20.0), beta=torch.tensor(0.4), v_reset=torch.tensor(-0.2))
    weights = W_IN.double(), W_REC.double()
    zero = torch.zeros(2, 5, dtype=torch.float64)
    state, v, i, b, z = nb.LSNNState(zero, zero, zero, zero), *(np.zeros((2, 5)) for _ in range(4))
    total = 0
    for row in X.double():
        out, state = nb.ada_lif_step(row, state, *weights, p)
        v, i, b, before = v + 0.1 * (-v + i - b), 0.8 * i, 0.98 * b, z
        z = (v > 1.0).astype(float)
        v, b = v - z * 1.2, b + 0.4 * z
        i = i + row.numpy() @ weights[0].numpy().T + before @ weights[1].numpy().T
        assert np.array_equal(out.numpy(), z)
        for found, wanted in zip(state[1:], (v, i, b), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        total += z.sum()
    assert total > 20
