"""The STDP sensor: one exponentially decaying trace for each pre- and postsynaptic neuron.

    a_pre' = a_pre (1 - dt tau_c_inv) + eta_p z_pre      a_post' = a_post (1 - dt tau_ac_inv) + eta_m z_post

a_pre is read when a postsynaptic spike comes: it measures what is causal, pre before post, and decays with tau_c_inv. a_post is
read when a presynaptic spike comes: it measures what is anti-causal, and decays with tau_ac_inv. (Norse lets both decay with
tau_c_inv, and never reads tau_ac_inv.) Source: Friedmann et al. (2017), IEEE Trans. Biomed. Circuits Syst. 11:128.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch


class STDPSensorParameters(NamedTuple):
    """eta_p, eta_m: what a pre-, postsynaptic spike adds; tau_ac_inv, tau_c_inv in 1/s: of the anti-causal and the causal trace."""

    eta_p: Any = torch.as_tensor(1.0)
    eta_m: Any = torch.as_tensor(1.0)
    tau_ac_inv: Any = torch.as_tensor(1.0 / 100e-3)
    tau_c_inv: Any = torch.as_tensor(1.0 / 100e-3)


class STDPSensorState(NamedTuple):
    """a_pre, the causal trace, and a_post, the anti-causal one, in the shapes of z_pre and z_post."""

    a_pre: Any
    a_post: Any


DEFAULT = STDPSensorParameters()


def stdp_sensor_step(z_pre, z_post, state, p=DEFAULT, dt=0.001):
    """The traces one step later: a new STDPSensorState. z_pre: (batch, inputs); z_post: (batch, neurons); dt in s."""
    return STDPSensorState(
        a_pre=state.a_pre * (1.0 - dt * p.tau_c_inv) + p.eta_p * z_pre,
        a_post=state.a_post * (1.0 - dt * p.tau_ac_inv) + p.eta_m * z_post,
    )
