"""LConv2d: one 2-d convolution for all time steps of a sequence of images."""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError
from norse_bridge.lifting import Lift
from norse_bridge.maps.windows import tuple_of


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
            (*tuple_of(kernel_size, 2), 1),
            (*tuple_of(stride, 2), 1),
            padding if isinstance(padding, str) else (*tuple_of(padding, 2), 0),
            (*tuple_of(dilation, 2), 1),
            groups,
            bias=False,
            device=device,
            dtype=dtype,
        )

    @property
    def _geometry(self):
        """stride, padding, dilation and groups of the convolution of one step."""
        padding = self.padding if isinstance(self.padding, str) else self.padding[:2]
        return self.stride[:2], padding, self.dilation[:2], self.groups

    def forward(self, input_tensor):
        if input_tensor.ndim != 5:
            raise SimulationError(
                f"LConv2d: the input must have the axes (time, batch, channels, height, width), not the shape"
                f" {tuple(input_tensor.shape)}"
            )
        images = input_tensor.flatten(0, 1)  # (time * batch, channels, height, width)
        kernel = self.weight.squeeze(-1)
        out = torch.nn.functional.conv2d(images, kernel, None, *self._geometry)
        return out.unflatten(0, input_tensor.shape[:2])

    def exported_as(self):
        """The convolution of one step, which `to_network` takes."""
        conv = torch.nn.Conv2d(self.in_channels, self.out_channels, self.kernel_size[:2], *self._geometry, bias=False)
        conv.weight = torch.nn.Parameter(self.weight.detach().squeeze(-1))
        return Lift(conv)
