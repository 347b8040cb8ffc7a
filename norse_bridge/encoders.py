"""Encoders as modules: the functions of `norse_bridge.encode` with their settings kept."""

from __future__ import annotations

from typing import ClassVar

import torch

from norse_bridge.encode import (
    constant_current_lif_encode,
    euclidean_distance,
    gaussian_rbf,
    poisson_encode,
    poisson_encode_step,
    population_encode,
    signed_poisson_encode,
    signed_poisson_encode_step,
    spike_latency_encode,
    spike_latency_lif_encode,
)
from norse_bridge.family import Family
from norse_bridge.layer import SpikingLayer
from norse_bridge.neurons.lif import DEFAULT, FAMILY


class PoissonEncoder(torch.nn.Module):
    """`poisson_encode` as a module: (...) -> (seq_length, ...)."""

    def __init__(self, seq_length, f_max=100, dt=0.001):
        super().__init__()
        self.seq_length, self.f_max, self.dt = seq_length, f_max, dt

    def forward(self, x):
        return poisson_encode(x, self.seq_length, self.f_max, self.dt)


class PoissonEncoderStep(torch.nn.Module):
    """`poisson_encode_step` as a module: (...) -> (...)."""

    def __init__(self, f_max=1000, dt=0.001):
        super().__init__()
        self.f_max, self.dt = f_max, dt

    def forward(self, x):
        return poisson_encode_step(x, self.f_max, self.dt)


class SignedPoissonEncoder(torch.nn.Module):
    """`signed_poisson_encode` as a module: (...) -> (seq_length, ...)."""

    def __init__(self, seq_length, f_max=100, dt=0.001):
        super().__init__()
        self.seq_length, self.f_max, self.dt = seq_length, f_max, dt

    def forward(self, x):
        return signed_poisson_encode(x, self.seq_length, self.f_max, self.dt)


class SignedPoissonEncoderStep(torch.nn.Module):
    """`signed_poisson_encode_step` as a module: (...) -> (...)."""

    def __init__(self, f_max=1000, dt=0.001):
        super().__init__()
        self.f_max, self.dt = f_max, dt

    def forward(self, x):
        return signed_poisson_encode_step(x, self.f_max, self.dt)


class ConstantCurrentLIFEncoder(torch.nn.Module):
    """`constant_current_lif_encode` as a module: (...) -> (seq_length, ...). Tensors in p that require a gradient are trained."""

    family: ClassVar[Family] = FAMILY
    p = SpikingLayer.p

    def __init__(self, seq_length, p=DEFAULT, dt=0.001):
        super().__init__()
        self.seq_length, self.dt = seq_length, dt
        self.p = p

    def forward(self, input_currents):
        return constant_current_lif_encode(input_currents, self.seq_length, self.p, self.dt)


class SpikeLatencyLIFEncoder(ConstantCurrentLIFEncoder):
    """`spike_latency_lif_encode` as a module: (...) -> (seq_length, ...). Tensors in p that require a gradient are trained."""

    def forward(self, input_current):
        return spike_latency_lif_encode(input_current, self.seq_length, self.p, self.dt)


class SpikeLatencyEncoder(torch.nn.Module):
    """`spike_latency_encode` as a module: (time, ...) -> (time, ...)."""

    def forward(self, input_spikes):
        return spike_latency_encode(input_spikes)


class PopulationEncoder(torch.nn.Module):
    """`population_encode` as a module: (...) -> (..., out_features)."""

    def __init__(self, out_features, scale=None, kernel=gaussian_rbf, distance_function=euclidean_distance):
        super().__init__()
        self.out_features, self.scale = out_features, scale
        self.kernel, self.distance_function = kernel, distance_function

    def forward(self, input_tensor):
        return population_encode(input_tensor, self.out_features, self.scale, self.kernel, self.distance_function)
