"""VGG with LIF neurons in the place of ReLU, time first (Simonyan and Zisserman, 2015, table 1: configurations A, B, D, E).

    features: n x (conv 3 x 3, LIF), max pool, ...; mean pool to 7 x 7; two hidden layers of 4096 LIF neurons; a linear readout

Weights stand at the places, and under the names, that they have in Norse.
"""

from __future__ import annotations

import torch

from eventsim.errors import ModelError
from norse_bridge.lifting import Lift
from norse_bridge.nets.weights import initialise, load_weights, saved_weights
from norse_bridge.neurons.lif import LIF
from norse_bridge.sequential import SequentialState

# Numbers of maps, and "M" for a pool.
A = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
B = (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
E = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M")
SIDE, MAPS, HIDDEN = 7, 512, 4096


class VGG(torch.nn.Module):
    """Images over time -> values over time: (time, batch, 3, height, width) -> (time, batch, num_classes).

    Parameters
    ----------
    features : a module of 512 maps over time, such as `make_layers` makes
    num_classes : values of the readout
    init_weights : whether to draw the weights as torchvision does, else they are torch's defaults

    Each call begins at rest, as in Norse. ``features`` and ``classifier`` are `SequentialState`: called one after another they can
    be continued from a state.
    """

    def __init__(self, features, num_classes=1000, init_weights=True):
        super().__init__()
        self.features = features
        self.avgpool = Lift(torch.nn.AdaptiveAvgPool2d((SIDE, SIDE)))
        self.classifier = SequentialState(
            Lift(torch.nn.Linear(MAPS * SIDE * SIDE, HIDDEN)),
            LIF(),
            Lift(torch.nn.Dropout()),
            Lift(torch.nn.Linear(HIDDEN, HIDDEN)),
            LIF(),
            Lift(torch.nn.Dropout()),
            Lift(torch.nn.Linear(HIDDEN, num_classes)),
        )
        if init_weights:
            initialise(self)

    def forward(self, x):
        z = self.features(x)
        z = z[0] if isinstance(z, tuple) else z  # (time, batch, 512, ...); a stateless module returns no state
        z = self.avgpool(z).flatten(2)  # (time, batch, 512 * 49)
        return self.classifier(z)[0]


def make_layers(cfg, batch_norm=False):
    """The convolutional layers of a VGG: a `SequentialState` (time, batch, 3, ...) -> (spikes (time, batch, maps, ...), state).

    cfg : for each layer the number of its maps, or "M" for a max pool of 2 x 2
    batch_norm : whether a BatchNorm2d follows each convolution; it sees one step at a time
    """
    layers = []
    channels = 3
    for entry in cfg:
        if entry == "M":
            layers.append(Lift(torch.nn.MaxPool2d(2, 2)))
            continue
        if not isinstance(entry, int):
            raise ModelError(f"make_layers: cfg holds numbers of maps and 'M' for a max pool, not {entry!r}")
        layers.append(Lift(torch.nn.Conv2d(channels, entry, 3, padding=1)))
        if batch_norm:
            layers.append(Lift(torch.nn.BatchNorm2d(entry)))
        layers.append(LIF())
        channels = entry
    return SequentialState(*layers)


def _vgg(name, cfg, batch_norm, pretrained, num_classes, init_weights):
    saved = saved_weights(pretrained, name)
    return load_weights(VGG(make_layers(cfg, batch_norm), num_classes, init_weights and saved is None), saved, name)


def vgg11(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`VGG` with 11 layers that have weights. pretrained: False, or the path of a saved state dict; progress: not used."""
    return _vgg("vgg11", A, False, pretrained, num_classes, init_weights)


def vgg11_bn(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`vgg11` with batch norms."""
    return _vgg("vgg11_bn", A, True, pretrained, num_classes, init_weights)


def vgg13(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`VGG` with 13 layers that have weights; arguments as for `vgg11`."""
    return _vgg("vgg13", B, False, pretrained, num_classes, init_weights)


def vgg13_bn(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`vgg13` with batch norms."""
    return _vgg("vgg13_bn", B, True, pretrained, num_classes, init_weights)


def vgg16(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`VGG` with 16 layers that have weights; arguments as for `vgg11`."""
    return _vgg("vgg16", D, False, pretrained, num_classes, init_weights)


def vgg16_bn(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`vgg16` with batch norms."""
    return _vgg("vgg16_bn", D, True, pretrained, num_classes, init_weights)


def vgg19(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`VGG` with 19 layers that have weights; arguments as for `vgg11`."""
    return _vgg("vgg19", E, False, pretrained, num_classes, init_weights)


def vgg19_bn(pretrained=False, progress=True, *, num_classes=1000, init_weights=True):
    """`vgg19` with batch norms."""
    return _vgg("vgg19_bn", E, True, pretrained, num_classes, init_weights)
