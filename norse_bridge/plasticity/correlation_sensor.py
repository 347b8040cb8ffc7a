"""The correlation sensor of BrainScaleS-2: at each synapse, how causal and how anti-causal its spikes are.

    c' = c - (1 - pp) dt tau_c_inv c + eta_p z_pre      ac' = ac - pp dt tau_ac_inv ac + eta_m z_post
    pp' = H(pp + z_post - z_pre)

pp is 1 after a postsynaptic spike, 0 after a presynaptic one, and stays where both come together. The causal trace c decays
while the last spike was presynaptic, the anti-causal trace ac while it was postsynaptic. z_pre is the same for all synapses of an
input, z_post for all synapses of a neuron. Source: Friedmann et al. (2017), IEEE Trans. Biomed. Circuits Syst. 11:128; the
equations are Norse's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.errors import SimulationError
from norse_bridge.surrogate import heaviside


class CorrelationSensorParameters(NamedTuple):
    """eta_p, eta_m: what a pre-, postsynaptic spike adds; tau_ac_inv, tau_c_inv in 1/s: of the anti-causal and the causal trace."""

    eta_p: Any = torch.as_tensor(1.0)
    eta_m: Any = torch.as_tensor(1.0)
    tau_ac_inv: Any = torch.as_tensor(1.0 / 100e-3)
    tau_c_inv: Any = torch.as_tensor(1.0 / 100e-3)


class CorrelationSensorState(NamedTuple):
    """post_pre (pp), correlation_trace (c), anti_correlation_trace (ac): all (batch, inputs, neurons)."""

    post_pre: Any
    correlation_trace: Any
    anti_correlation_trace: Any


DEFAULT = CorrelationSensorParameters()


def correlation_sensor_step(z_pre, z_post, state, p=DEFAULT, dt=0.001):
    """The sensors one step later: a new CorrelationSensorState. z_pre: (batch, inputs); z_post: (batch, neurons); dt in s."""
    wanted = (*z_pre.shape, z_post.shape[-1])
    if z_pre.shape[:-1] != z_post.shape[:-1] or any(value.shape != wanted for value in state):
        raise SimulationError(
            f"correlation_sensor_step: z_pre {tuple(z_pre.shape)}, z_post {tuple(z_post.shape)} and the state "
            f"{[tuple(value.shape) for value in state]} must have the shapes (batch, inputs), (batch, neurons) and "
            "three times (batch, inputs, neurons)"
        )
    pre, post = z_pre.unsqueeze(-1), z_post.unsqueeze(-2)  # (batch, inputs, 1), (batch, 1, neurons)
    pp, c, ac = state
    return CorrelationSensorState(
        post_pre=heaviside(pp + post - pre),
        correlation_trace=c - (1.0 - pp) * dt * p.tau_c_inv * c + p.eta_p * pre,
        anti_correlation_trace=ac - pp * dt * p.tau_ac_inv * ac + p.eta_m * post,
    )


def correlation_based_update(ts, linear_update, weights, correlation_state, learning_rate, ts_frequency):
    """The weights after step number ``ts``: ``weights + learning_rate * linear_update(c, ac)`` at every multiple of
    ``ts_frequency`` (0 is one), else the weights as they are.

    linear_update : a module (batch, 2 inputs neurons) -> (batch, neurons inputs); it sees both traces, flattened, the causal one
        first. What it says is averaged over the batch. No gradient flows to it or to the traces.
    weights : (neurons, inputs); never changed in place
    correlation_state : its two traces are set to 0 **in place** after an update: only the weights are returned, and the sensors
        must start anew for whoever holds the state.
    """
    if ts_frequency < 1:
        raise SimulationError(f"correlation_based_update: ts_frequency must be 1 or more, not {ts_frequency}")
    traces = correlation_state.correlation_trace, correlation_state.anti_correlation_trace
    if any(trace.shape[-2:] != weights.shape[::-1] for trace in traces):
        raise SimulationError(
            f"correlation_based_update: the traces {[tuple(trace.shape) for trace in traces]} must have the shape (batch, inputs, "
            f"neurons), and weights, {tuple(weights.shape)}, the shape (neurons, inputs)"
        )
    if ts % ts_frequency != 0:
        return weights
    with torch.no_grad():
        seen = torch.cat([trace.reshape(-1, weights.numel()) for trace in traces], dim=1)  # (batch, 2 inputs neurons)
        change = linear_update(seen).mean(0)
    for trace in traces:
        trace.zero_()
    return weights + learning_rate * change.reshape(weights.shape)
