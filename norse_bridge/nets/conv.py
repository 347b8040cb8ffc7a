"""ConvNet and ConvNet4: Norse's two small convolutional nets for images of digits.

    z0 = pool LIF(conv1 x)      z1 = pool LIF(10 conv2 z0)      z2 = LIF(fc1 flatten z1)      v = LI(W_out z2)

Both convolutions are 5 x 5 without padding, both pools take the maximum of 2 x 2. Many steps go through a convolution at once;
only the neurons are stepped over time.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from typing import ClassVar

import torch

from eventsim.errors import ModelError, SimulationError
from norse_bridge.lifting import Lift, lift
from norse_bridge.neurons.li import LI, LILinearCell
from norse_bridge.neurons.lif import LIF, LIFParameters
from norse_bridge.sequential import SequentialState

KERNEL, POOL, CLASSES = 5, 2, 10
GAIN = 10.0  # what Norse multiplies the second convolution with
IMAGES = 2048  # that go through a convolution at once: a longer sequence takes no more memory, unless gradients need it
SMALLEST = 16  # pixels: 16 -> 12 -> 6 -> 2 -> 1


class DigitNet(torch.nn.Module):
    """Two convolutions, one hidden layer, a readout of ten: (time, batch, channels, size, size) -> voltages (time, batch, 10).

    Parameters
    ----------
    num_channels : of the images
    feature_size : their height and width in pixels, 16 or more
    method : the surrogate gradient of all LIF neurons
    dtype : the result has this type at least; weights are made in torch's default type, `.to()` changes them

    Each call begins at rest, as in Norse. Norse's state dicts load.
    """

    maps: ClassVar[tuple[int, int]]
    hidden: ClassVar[int]
    v_th: ClassVar[float]  # of the convolutional neurons

    def __init__(self, num_channels=1, feature_size=28, method="super", dtype=torch.float32):
        super().__init__()
        if feature_size < SMALLEST:
            raise ModelError(f"{type(self).__name__}: feature_size must be {SMALLEST} pixels or more, not {feature_size}")
        self.features = ((feature_size - KERNEL + 1) // POOL - KERNEL + 1) // POOL
        self.dtype = dtype
        first, second = self.maps
        self.conv1 = torch.nn.Conv2d(num_channels, first, KERNEL)
        self.conv2 = torch.nn.Conv2d(first, second, KERNEL)
        self.fc1 = torch.nn.Linear(self.features**2 * second, self.hidden)
        p = LIFParameters(method=method)
        early = p._replace(v_th=torch.as_tensor(self.v_th))
        self.lif0, self.lif1, self.lif2 = LIF(early), LIF(early), LIF(p)
        self.out = LILinearCell(self.hidden, CLASSES)

    def forward(self, x):
        if x.ndim != 5:
            shape = "(time, batch, channels, size, size)"
            raise SimulationError(f"{type(self).__name__}: the input must have shape {shape}, not {tuple(x.shape)}")
        states = (None, None, None, None)
        voltages = []
        for part in x.split(max(1, IMAGES // max(1, x.shape[1]))):
            v, states = self._steps(part, *states)
            voltages.append(v)
        v = torch.cat(voltages)
        return v.to(torch.promote_types(v.dtype, self.dtype))

    def _steps(self, x, s0, s1, s2, s_out):
        """Some steps from given states: (voltages, states)."""
        z, s0 = self.lif0(_at_once(self.conv1, x), s0)  # (time, batch, maps, size - 4, size - 4)
        z = _at_once(_pool, z)
        z, s1 = self.lif1(GAIN * _at_once(self.conv2, z), s1)
        z = _at_once(_pool, z).flatten(2)  # (time, batch, maps * features^2)
        z, s2 = self.lif2(self.fc1(z), s2)  # (time, batch, hidden)
        v, s_out = lift(self.out)(z, s_out)
        return v, (s0, s1, s2, s_out)

    def sequential(self):
        """The same net as a `SequentialState` with weights of its own, which can be continued from a state and converted by
        `to_network`; the gain of 10 stands in the weights of its second convolution."""
        parts = deepcopy(self)
        linear = torch.nn.Linear(self.hidden, CLASSES, bias=False)
        linear.weight = parts.out.input_weights
        with torch.no_grad():
            parts.conv2.weight *= GAIN
            parts.conv2.bias *= GAIN
        return SequentialState(
            OrderedDict(
                conv1=Lift(parts.conv1),
                lif0=parts.lif0,
                pool1=Lift(torch.nn.MaxPool2d(POOL)),
                conv2=Lift(parts.conv2),
                lif1=parts.lif1,
                pool2=Lift(torch.nn.MaxPool2d(POOL)),
                flatten=torch.nn.Flatten(2),
                fc1=parts.fc1,
                lif2=parts.lif2,
                readout=linear,
                out=LI(parts.out.integrator.p, dt=parts.out.integrator.dt),
            )
        )


def _at_once(function, x):
    """A function of (batch, ...) on all steps of (time, batch, ...) in one call."""
    return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _pool(x):
    return torch.nn.functional.max_pool2d(x, POOL)


class ConvNet(DigitNet):
    """`DigitNet` of 20 and 50 maps and 500 hidden neurons, all with threshold 1."""

    maps, hidden, v_th = (20, 50), 500, 1.0


class ConvNet4(DigitNet):
    """`DigitNet` of 32 and 64 maps with threshold 0.7, and 1024 hidden neurons with threshold 1."""

    maps, hidden, v_th = (32, 64), 1024, 0.7
