"""Short-term plasticity: synapses whose resources x deplete with every spike, and of which a share u is released.

    u' = u - dt tau_f_inv u + U (1 - u) z      output = u' x z      x' = x + dt tau_d_inv (1 - x) - output

The output takes u after the spike and x before it. Source: Tsodyks, Pawelzik & Markram (1998), Neural Comput. 10:821; the
order of the update is Norse's.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class TsodyksMakramParameters(NamedTuple):
    """tau_f_inv (facilitation), tau_s_inv (not used, as in Norse), tau_d_inv (depression) in 1/s; U: what a spike adds to u."""

    tau_f_inv: Any = 1.0 / 50e-3
    tau_s_inv: Any = 1.0 / 20e-3
    tau_d_inv: Any = 1.0 / 750e-3
    U: Any = 0.45


class TsodyksMakramState(NamedTuple):
    """u: share that is released; x: resources, 1 when rested; both in the shape of the spikes."""

    u: Any
    x: Any


def stp_step(z, s, p, dt=0.001):
    """One step: ``(output, TsodyksMakramState)``. z: spikes (batch, ...), dt in s; the output has their shape."""
    u = s.u - dt * p.tau_f_inv * s.u + p.U * (1.0 - s.u) * z
    out = u * s.x * z
    return out, TsodyksMakramState(u, s.x + dt * p.tau_d_inv * (1.0 - s.x) - out)
