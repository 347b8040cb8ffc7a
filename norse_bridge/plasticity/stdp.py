"""STDP: weights that change by the order of pre- and postsynaptic spikes, with one trace a neuron.

    t_pre' = t_pre + dt tau_pre_inv (a_pre z_pre - t_pre)      t_post' = t_post + dt tau_post_inv (a_post z_post - t_post)
    w' = w + A+(w) sum_batch z_post t_pre'  -  A-(w) sum_batch t_post' z_pre      then, with hardbound, w' in [w_min, w_max]

The traces come first, so that spikes of one step count in both sums. A+ and A- by ``stdp_algorithm``:

    additive             eta_plus                           eta_minus
    additive_step        eta_plus H(w_max - w)              eta_minus H(w - w_min)
    multiplicative_pow   eta_plus max(0, w_max - w)^mu      eta_minus max(0, w - w_min)^mu
    multiplicative_relu  eta_plus max(0, w_max - w)         eta_minus max(0, w - w_min)

Source: Morrison, Diesmann & Gerstner (2008), Biol. Cybern. 98:459; the order of the update is Norse's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError, SimulationError
from norse_bridge.surrogate import heaviside

ALGORITHMS = ("additive", "additive_step", "multiplicative_pow", "multiplicative_relu")


@dataclass(frozen=True, eq=False)
class STDPParameters:
    """What an STDP rule needs; checked when it is made, and never changed after that (`dataclasses.replace` makes another one).

    a_pre, a_post : height of the traces
    tau_pre_inv, tau_post_inv : 1/s, above 0
    w_min, w_max : bounds of the weights
    eta_plus, eta_minus : learning rates
    stdp_algorithm : how the change depends on the weight; see the module's table
    mu : exponent of multiplicative_pow, at least 0
    hardbound : whether weights are cut off at their bounds
    convolutional : taken and ignored; `stdp_step_conv2d` works with any parameters
    stride, padding, dilation : of the convolution, a number or a pair
    """

    a_pre: Any = torch.as_tensor(1.0)
    a_post: Any = torch.as_tensor(1.0)
    tau_pre_inv: Any = torch.as_tensor(1.0 / 50e-3)
    tau_post_inv: Any = torch.as_tensor(1.0 / 50e-3)
    w_min: Any = 0.0
    w_max: Any = 1.0
    eta_plus: Any = 1e-3
    eta_minus: Any = 1e-3
    stdp_algorithm: str = "additive"
    mu: Any = 0.0
    hardbound: bool = True
    convolutional: bool = False
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1

    def __post_init__(self):
        if self.stdp_algorithm not in ALGORITHMS:
            raise ModelError(f"STDPParameters: stdp_algorithm must be one of {', '.join(ALGORITHMS)}, not {self.stdp_algorithm!r}")
        for name in ("a_pre", "a_post", "tau_pre_inv", "tau_post_inv", "eta_plus", "eta_minus", "mu"):
            _check(name, getattr(self, name), torch.isfinite, "finite")
        for name in ("tau_pre_inv", "tau_post_inv"):
            _check(name, getattr(self, name), lambda value: value > 0, "above 0")
        _check("mu", self.mu, lambda value: value >= 0, "at least 0")
        if not (torch.as_tensor(self.w_min) <= torch.as_tensor(self.w_max)).all():
            raise ModelError(f"STDPParameters: w_min must not be above w_max; they are {self.w_min} and {self.w_max}")
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            _check(name, getattr(self, name), lambda value, least=least: value >= least, f"{least} or more")

    def A_plus(self, w):
        """The learning rate of potentiation at the weights w, of a shape that broadcasts to theirs."""
        return self._rate(self.eta_plus, self.w_max - w)

    def A_minus(self, w):
        """The learning rate of depression at the weights w, of a shape that broadcasts to theirs."""
        return self._rate(self.eta_minus, w - self.w_min)

    def bounding_func(self, w):
        """The weights w within their bounds if these are hard, else as they are."""
        if not self.hardbound:
            return w
        low, high = (torch.as_tensor(bound, dtype=w.dtype, device=w.device) for bound in (self.w_min, self.w_max))
        return torch.minimum(torch.maximum(w, low), high)

    def _rate(self, eta, room):
        """eta as the distance to the bound allows; beyond the bound the distance counts as 0."""
        if self.stdp_algorithm == "additive":
            return eta
        if self.stdp_algorithm == "additive_step":
            return eta * heaviside(room)
        if self.stdp_algorithm == "multiplicative_pow":
            return eta * torch.relu(room) ** self.mu
        return eta * torch.relu(room)


def _check(name, value, holds, wanted):
    if isinstance(value, str) or not holds(torch.as_tensor(value)).all():
        raise ModelError(f"STDPParameters: {name} must be {wanted}, not {value}")


class STDPState(NamedTuple):
    """t_pre, t_post: the traces, in the shapes of z_pre and z_post."""

    t_pre: Any
    t_post: Any

    def decay(self, z_pre, z_post, tau_pre_inv, tau_post_inv, a_pre, a_post, dt=0.001):
        """The traces one step later: a new state."""
        return STDPState(
            self.t_pre + dt * tau_pre_inv * (a_pre * z_pre - self.t_pre),
            self.t_post + dt * tau_post_inv * (a_post * z_post - self.t_post),
        )


DEFAULT = STDPParameters()


def stdp_step_linear(z_pre, z_post, w, state_stdp, p_stdp=DEFAULT, dt=0.001):
    """One step of the weights of a linear map: ``(w, STDPState)``, both new.

    z_pre: (batch, inputs); z_post: (batch, neurons); w: (neurons, inputs); dt in s. What the batch asks for is summed.
    """
    if z_pre.ndim != 2 or z_post.ndim != 2 or z_pre.shape[0] != z_post.shape[0] or w.shape != (z_post.shape[1], z_pre.shape[1]):
        raise SimulationError(
            "stdp_step_linear: z_pre, z_post and w must have the shapes (batch, inputs), (batch, neurons) and (neurons, inputs), "
            f"not {tuple(z_pre.shape)}, {tuple(z_post.shape)} and {tuple(w.shape)}"
        )
    return _step(z_pre, z_post, w, state_stdp, p_stdp, dt, lambda post, pre: post.T @ pre)


def stdp_step_conv2d(z_pre, z_post, w, state_stdp, p_stdp=DEFAULT, dt=0.001):
    """One step of the weights of a convolution with the stride, padding and dilation of p: ``(w, STDPState)``, both new.

    z_pre: (batch, in channels, H, W); z_post: (batch, out channels, H', W'), the shape of the convolution's result; w: (out
    channels, in channels, kh, kw); dt in s. A weight changes by the sum over the batch and all places where it acts.
    """
    geometry = p_stdp.stride, p_stdp.padding, p_stdp.dilation
    if z_pre.ndim == w.ndim == 4 and z_pre.shape[1] == w.shape[1]:
        wanted = tuple(torch.nn.functional.conv2d(z_pre.to("meta"), w.to("meta", z_pre.dtype), None, *geometry).shape)
    else:
        wanted = None
    if wanted != tuple(z_post.shape):
        raise SimulationError(
            f"stdp_step_conv2d: z_pre {tuple(z_pre.shape)} convolved with w {tuple(w.shape)}, stride, padding and dilation "
            f"{geometry}, does not give the shape of z_post, {tuple(z_post.shape)}"
        )

    def by_weight(post, pre):
        return torch.nn.grad.conv2d_weight(pre, w.shape, post, *geometry)

    return _step(z_pre, z_post, w, state_stdp, p_stdp, dt, by_weight)


def _step(z_pre, z_post, w, state, p, dt, by_weight):
    """One step, where ``by_weight(post, pre)`` sums the products of post- and presynaptic values for each weight."""
    state = state.decay(z_pre, z_post, p.tau_pre_inv, p.tau_post_inv, p.a_pre, p.a_post, dt)
    change = p.A_plus(w) * by_weight(z_post, state.t_pre) - p.A_minus(w) * by_weight(state.t_post, z_pre)
    return p.bounding_func(w + change), state
