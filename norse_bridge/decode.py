"""Decoders: spike trains, time first, into counts or times.

    sum_decode      n = sum over t of z_t
    ToSpikeTimes    t_k = the step of a train's k-th spike, inf where there is none;  dL/dz at that spike = -dL/dt_k

A spike that grows comes earlier: hence the sign of the gradient, which is Norse's.
"""

from __future__ import annotations

import math

import torch

from eventsim.errors import SimulationError


def sum_decode(tensor, dimension=0):
    """The sum over ``dimension``, which is time unless said otherwise: (time, ...) -> (...)."""
    return tensor.sum(dimension)


class ToSpikeTimes(torch.autograd.Function):
    """``ToSpikeTimes.apply(spikes, count)``: the steps of the first ``count`` spikes of each train, in order.

    (time, ...) -> (count, ...) in the type of the spikes, but at least float32, which counts further than half precision; inf
    where a train has fewer spikes. Any value but 0 is a spike. The gradient of a time goes, negated, to its spike; that of an inf
    goes nowhere. Works under torch.func (grad, vmap) as well.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(spike_input, spike_count):
        steps = spike_input.shape[0]
        dtype = torch.promote_types(spike_input.dtype, torch.float32)
        step = torch.arange(steps, dtype=dtype, device=spike_input.device)
        step = step.reshape(steps, *[1] * (spike_input.ndim - 1))
        times = torch.where(spike_input != 0, step, math.inf)  # (time, ...)
        found = times.topk(min(spike_count, steps), dim=0, largest=False, sorted=True).values
        missing = found.new_full((spike_count - found.shape[0], *found.shape[1:]), math.inf)
        return torch.cat([found, missing])  # (count, ...)

    @staticmethod
    def setup_context(ctx, inputs, output):
        spike_input, _ = inputs
        ctx.steps = spike_input.shape[0]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, gradient):
        (times,) = ctx.saved_tensors
        # What belongs to no spike, and may be NaN, goes into a row behind the last step, which is dropped.
        row = torch.where(torch.isinf(times), ctx.steps, times).to(torch.int64)
        blank = gradient.new_zeros((ctx.steps + 1, *gradient.shape[1:]))
        return blank.scatter(0, row, -gradient)[: ctx.steps], None


class SpikesToTimesDecoder(torch.nn.Module):
    """The times of the first spikes of each train: (time, batch, neurons) -> (spike_count, batch, neurons).

    spike_count : 1 or more; where a train has fewer spikes, its times are filled up with inf
    convert_indices_to_times : times in s, else in steps
    dt : s
    """

    def __init__(self, spike_count=1, convert_indices_to_times=True, dt=0.001):
        super().__init__()
        self.spike_count = int(spike_count)
        if self.spike_count < 1:
            raise SimulationError(f"SpikesToTimesDecoder: spike_count must be 1 or more, not {self.spike_count}")
        self.convert_indices_to_times, self.dt = convert_indices_to_times, dt

    def forward(self, spike_input):
        times = ToSpikeTimes.apply(spike_input, self.spike_count)
        return times * self.dt if self.convert_indices_to_times else times
