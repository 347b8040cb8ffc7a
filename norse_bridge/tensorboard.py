"""Forward hooks that write what neurons do to TensorBoard.

``module.register_forward_hook(hook_spike_activity_sum("hidden", writer))``, or `SequentialState.register_forward_state_hooks` for
all its neurons; writer is a ``torch.utils.tensorboard.SummaryWriter``, for which the package tensorboard has to be installed. Each
hook counts its own calls; the count is the step in TensorBoard. What a module returns may be spikes, or ``(spikes, state)``.
"""

from __future__ import annotations

import itertools

import torch

from norse_bridge.family import dense


def hook_spike_activity_mean(key, writer):
    """A hook that writes the mean of all spikes as a scalar called ``key``."""
    return _hook(lambda z, step: writer.add_scalar(key, z.mean(), step))


def hook_spike_activity_sum(key, writer):
    """A hook that writes the number of all spikes as a scalar called ``key``."""
    return _hook(lambda z, step: writer.add_scalar(key, z.sum(), step))


def hook_spike_histogram_mean(key, writer):
    """A hook that writes a histogram called ``key`` over neurons: of each one's mean over the first axis, which is time for layers
    over time and the batch for cells."""
    return _hook(lambda z, step: writer.add_histogram(key, z.mean(0), step))


def hook_spike_histogram_sum(key, writer):
    """A hook that writes a histogram called ``key`` over neurons: of each one's sum over the first axis, which is time for layers
    over time and the batch for cells."""
    return _hook(lambda z, step: writer.add_histogram(key, z.sum(0), step))


def hook_spike_image(key, writer):
    """A hook that writes spikes as an image called ``key``, a pixel each: rows are the first axis (time, or the batch of a cell),
    columns all others. Of four axes or more, such as (batch, maps, height, width), each (height, width) is a tile."""

    def write(z, step):
        if z.ndim < 4:
            writer.add_image(key, z.reshape(len(z), -1), step, dataformats="HW")
        else:
            writer.add_images(key, z.flatten(0, -3).unsqueeze(1), step)

    return _hook(write)


def _hook(write):
    """A forward hook that calls ``write(spikes, step)`` with step = 0, 1, ..."""
    steps = itertools.count()

    def hook(module, inputs, output):
        z = (output[0] if isinstance(output, tuple) else output).detach()
        z = dense(z)
        with torch.no_grad():
            write(z, next(steps))

    return hook
