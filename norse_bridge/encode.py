"""Encoders: numbers into spike trains, time first."""

from __future__ import annotations

import torch

from norse_bridge.neurons.lif import DEFAULT, LIFParameters, lif_current_encoder


def poisson_encode(input_values, seq_length, f_max=100, dt=0.001, generator=None):
    """Independent spikes with probability ``dt f_max x`` a step: (...) -> float32 (seq_length, ...).

    input_values in [0, 1]; f_max in spikes/s at 1; dt in s. Nothing is clipped: a probability above 1 is 1.
    """
    shape = (seq_length, *input_values.shape)
    draw = torch.rand(shape, device=input_values.device, generator=generator)
    return (draw < dt * f_max * input_values).float()  # (time, ...)


def poisson_encode_step(input_values, f_max=1000, dt=0.001, generator=None):
    """One step of `poisson_encode`, with another default rate: (...) -> float32 (...)."""
    draw = torch.rand(input_values.shape, device=input_values.device, generator=generator)
    return (draw < dt * f_max * input_values).float()


def constant_current_lif_encode(input_current, seq_length, p=DEFAULT, dt=0.001):
    """The spikes of LIF membranes under a constant current: (...) -> (seq_length, ...). v starts at 0, as in Norse."""
    v = torch.zeros_like(input_current)
    spikes = []
    for _ in range(seq_length):
        z, v = lif_current_encoder(input_current, v, p, dt)
        spikes.append(z)
    return torch.stack(spikes)  # (time, ...)


class PoissonEncoder(torch.nn.Module):
    """`poisson_encode` as a module."""

    def __init__(self, seq_length, f_max=100, dt=0.001):
        super().__init__()
        self.seq_length, self.f_max, self.dt = seq_length, f_max, dt

    def forward(self, x):
        return poisson_encode(x, self.seq_length, self.f_max, self.dt)


class ConstantCurrentLIFEncoder(torch.nn.Module):
    """`constant_current_lif_encode` as a module."""

    def __init__(self, seq_length, p: LIFParameters = DEFAULT, dt=0.001):
        super().__init__()
        self.seq_length, self.p, self.dt = seq_length, p, dt

    def forward(self, input_tensor):
        return constant_current_lif_encode(input_tensor, self.seq_length, self.p, self.dt)
