"""MobileNetV2 with LIF neurons in the place of ReLU6, time first (Sandler et al., 2018, table 2).

Weights stand at the places, and under the names, that they have in Norse.
"""

from __future__ import annotations

import torch

from eventsim.errors import ModelError
from norse_bridge.lifting import Lift
from norse_bridge.nets.weights import initialise, load_weights, saved_weights
from norse_bridge.neurons.lif import LIF
from norse_bridge.sequential import SequentialState

# Table 2: expansion t, maps c, repetitions n, stride s of the first one.
SETTING = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST, LAST = 32, 1280


class ConvBNReLU(SequentialState):
    """Convolution without bias, norm, LIF: (time, batch, in_planes, ...) -> (spikes (time, batch, out_planes, ...), state).

    norm_layer : ``maps ->`` a module, such as `nn.BatchNorm2d`; it sees one step at a time. The convolution is padded so that with
    stride 1 the size stays.
    """

    def __init__(self, in_planes, out_planes, norm_layer, kernel_size=3, stride=1, groups=1):
        padding = (kernel_size - 1) // 2
        conv = torch.nn.Conv2d(in_planes, out_planes, kernel_size, stride, padding, groups=groups, bias=False)
        super().__init__(Lift(conv), Lift(norm_layer(out_planes)), LIF())


class InvertedResidual(torch.nn.Module):
    """Expand to ``inp * expand_ratio`` maps, convolve each map with a 3 x 3 kernel, project to ``oup`` maps:
    (time, batch, inp, ...) -> (values (time, batch, oup, ...), state). The input is added where shapes allow (stride 1, inp = oup).

    stride : 1 or 2; expand_ratio 1 leaves the expansion out; norm_layer : as for `ConvBNReLU`
    """

    def __init__(self, inp, oup, stride, expand_ratio, norm_layer):
        super().__init__()
        if stride not in (1, 2):
            raise ModelError(f"InvertedResidual: stride must be 1 or 2, not {stride!r}")
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        hidden = int(round(inp * expand_ratio))
        expand = [] if expand_ratio == 1 else [ConvBNReLU(inp, hidden, norm_layer, kernel_size=1)]
        self.conv = SequentialState(
            *expand,
            ConvBNReLU(hidden, hidden, norm_layer, stride=stride, groups=hidden),
            Lift(torch.nn.Conv2d(hidden, oup, 1, bias=False)),
            Lift(norm_layer(oup)),
        )

    def forward(self, x, state=None):
        out, state = self.conv(x, state)
        return (x + out if self.use_res_connect else out), state


class MobileNetV2(torch.nn.Module):
    """Images over time -> values over time: (time, batch, 3, height, width) -> (time, batch, num_classes).

    Parameters
    ----------
    num_classes : values of the readout
    width_mult : factor on all numbers of maps
    inverted_residual_setting : rows (expansion, maps, repetitions, stride of the first); None: those of the paper
    round_nearest : numbers of maps are multiples of this
    block : the class of the blocks; None: `InvertedResidual`
    norm_layer : ``maps ->`` a norm; None: `nn.BatchNorm2d`

    Each call begins at rest, as in Norse. ``features`` is a `SequentialState` and can be continued from a state.
    """

    def __init__(
        self, num_classes=1000, width_mult=1.0, inverted_residual_setting=None, round_nearest=8, block=None, norm_layer=None
    ):
        super().__init__()
        block = InvertedResidual if block is None else block
        norm_layer = torch.nn.BatchNorm2d if norm_layer is None else norm_layer
        setting = _checked(SETTING if inverted_residual_setting is None else inverted_residual_setting)
        channels = _multiple(FIRST * width_mult, round_nearest)
        self.last_channel = _multiple(LAST * max(1.0, width_mult), round_nearest)
        layers = [ConvBNReLU(3, channels, norm_layer, stride=2)]
        for expansion, maps, repetitions, stride in setting:
            maps = _multiple(maps * width_mult, round_nearest)
            for n in range(repetitions):
                layers.append(block(channels, maps, stride if n == 0 else 1, expansion, norm_layer))
                channels = maps
        layers.append(ConvBNReLU(channels, self.last_channel, norm_layer, kernel_size=1))
        self.features = SequentialState(*layers)
        self.pool = Lift(torch.nn.AdaptiveAvgPool2d(1))
        self.classifier = torch.nn.Sequential(Lift(torch.nn.Dropout(0.2)), Lift(torch.nn.Linear(self.last_channel, num_classes)))
        initialise(self)

    def forward(self, x):
        z, _ = self.features(x)  # (time, batch, last_channel, ...)
        return self.classifier(self.pool(z).flatten(2))


def _checked(setting):
    if len(setting) == 0 or any(len(row) != 4 for row in setting):
        raise ModelError(
            "MobileNetV2: inverted_residual_setting must be rows of four numbers (expansion, maps, repetitions, stride), "
            f"not {setting!r}"
        )
    return setting


def _multiple(maps, divisor):
    """The multiple of ``divisor`` that is nearest to ``maps``, at least one, and not more than a tenth below it."""
    near = max(divisor, int(maps + divisor / 2) // divisor * divisor)
    return near if near >= 0.9 * maps else near + divisor


def mobilenet_v2(
    pretrained=False,
    progress=True,
    *,
    num_classes=1000,
    width_mult=1.0,
    inverted_residual_setting=None,
    round_nearest=8,
    block=None,
    norm_layer=None,
):
    """`MobileNetV2`. pretrained: False, or the path of a saved state dict; progress: not used; the rest as for the class."""
    saved = saved_weights(pretrained, "mobilenet_v2")
    net = MobileNetV2(num_classes, width_mult, inverted_residual_setting, round_nearest, block, norm_layer)
    return load_weights(net, saved, "mobilenet_v2")
