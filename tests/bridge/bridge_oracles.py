"""Norse's LIF and LI written out once more, from the reference's text, in plain float32 NumPy and in naive torch: test oracles."""

from __future__ import annotations

import numpy as np
import torch


def lif_numpy(x, tau_syn_inv, tau_mem_inv, v_leak, v_th, v_reset, dt=0.001):
    """LIF over time in float32: x (time, neurons) -> (z, v, i), all (time, neurons). Every operation rounds to float32."""
    f = np.float32
    k_mem, k_syn = f(dt) * f(tau_mem_inv), f(dt) * f(tau_syn_inv)
    leak, th, reset = f(v_leak), f(v_th), f(v_reset)
    v, i = np.full(x.shape[1:], leak, f), np.zeros(x.shape[1:], f)
    rows = []
    for now in x.astype(f):
        i = i + now
        v = v + k_mem * ((leak - v) + i)
        i = i + (-k_syn) * i
        z = (v - th > 0).astype(f)
        v = (f(1) - z) * v + z * reset
        assert v.dtype == i.dtype == f
        rows.append((z, v, i))
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def li_numpy(x, tau_syn_inv, tau_mem_inv, v_leak, dt=0.001):
    """LI over time in float32: x (time, neurons) -> (v, i)."""
    _, v, i = lif_numpy(x, tau_syn_inv, tau_mem_inv, v_leak, np.inf, 0.0, dt)
    return v, i


def ordered_product(x, weights):
    """``W x``, summed over ascending inputs, each product and each sum rounded."""
    total = torch.zeros(*x.shape[:-1], len(weights), dtype=x.dtype)
    for j in range(x.shape[-1]):
        total = total + x[..., j : j + 1] * weights[:, j]
    return total


def lif_naive(x, state, p, dt=0.001, w_in=None, w_rec=None):
    """One LIF step in differentiable torch ops, in the order of the reference: (z, v, i). Recurrent if weights are given."""
    z, v, i = state
    if w_in is None:
        i = i + x
    else:
        i = i + ordered_product(x, w_in) + ordered_product(z, w_rec)
    v = v + dt * p.tau_mem_inv * ((p.v_leak - v) + i)
    i = i + (-dt * p.tau_syn_inv) * i
    z = Super.apply(v - p.v_th, float(p.alpha))
    gate = z if w_in is None else z.detach()
    v = (1 - gate) * v + gate * p.v_reset
    return z, v, i


class Super(torch.autograd.Function):
    """SuperSpike once more."""

    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g / (ctx.alpha * x.abs() + 1) ** 2, None
