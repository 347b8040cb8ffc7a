"""Sum pooling, which torch has not: y[p] = sum over the window at p of x, zero padding included."""

from __future__ import annotations

import torch


class SumPool2d(torch.nn.Module):
    """The sum over a sliding window: (batch, channels, height, width) -> the same with fewer pixels; batch may be missing.

    Parameters
    ----------
    kernel_size : number, or (height, width)
    stride : number, or (down, across); None: the kernel's
    padding : number, or (height, width): zeros on both sides, as many as you like
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def forward(self, x):
        down, across = (self.padding, self.padding) if isinstance(self.padding, int) else self.padding
        padded = torch.nn.functional.pad(x, (across, across, down, down))
        return torch.nn.functional.avg_pool2d(padded, self.kernel_size, self.stride, divisor_override=1)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
