"""LConv2d: one 2-d convolution for all time steps of a sequence of images."""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError


class LConv2d(torch.nn.Conv3d):
    """A 2-d convolution without bias at every step: (time, batch, channels, height, width) -> the same axes.

    As in Norse this is a Conv3d whose kernel is one step deep: its weights have the shape (out, in / groups, height, width, 1).
    It is computed as a Conv2d over time and batch together, which gives the same numbers.

    kernel_size, stride, padding, dilation : numbers, or pairs of them (height, width); padding may be "valid" or "same", too
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, device=None, dtype=None):
        super().__init__(
            in_channels,
            out_channels,
            (*_pair(kernel_size), 1),
            (*_pair(stride), 1),
            padding if isinstance(padding, str) else (*_pair(padding), 0),
            (*_pair(dilation), 1),
            groups,
            bias=False,
            device=device,
            dtype=dtype,
        )

    def forward(self, input_tensor):
        if input_tensor.ndim != 5:
            raise SimulationError(
                f"LConv2d: the input must have the axes (time, batch, channels, height, width), not the shape"
                f" {tuple(input_tensor.shape)}"
            )
        padding = self.padding if isinstance(self.padding, str) else self.padding[:2]
        images = input_tensor.flatten(0, 1)  # (time * batch, channels, height, width)
        kernel = self.weight.squeeze(-1)
        out = torch.nn.functional.conv2d(images, kernel, None, self.stride[:2], padding, self.dilation[:2], self.groups)
        return out.unflatten(0, input_tensor.shape[:2])


def _pair(value):
    """A number as (value, value); a pair as it is."""
    return (value, value) if isinstance(value, int) else tuple(value)
