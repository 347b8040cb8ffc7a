"""Write what Norse's nets compute to tests/data/norse_nets.npz, from which tests/bridge/test_nets.py compares.

Run it with a Python that has Norse, numpy and torch, and not this package::

    python tests/tools/norse_nets.py tests/data/norse_nets.npz

Only inputs and outputs are stored. The weights are drawn again by `weights_of`, which the test imports from here; they and the
inputs are few bits long, so that sums of products are exact in float32, in any order.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

STEPS, BATCH = 20, 2
SETTING = [[1, 16, 1, 1], [2, 32, 2, 2]]  # a small MobileNetV2, with and without expansion, stride 2, one residual connection


def weights_of(net, scale, seed=3):
    """Give every parameter of a net new values, in place and in the order of their names: multiples of 1/8, the scales of norms
    among 4 ... 12."""
    rng = np.random.RandomState(seed)
    with torch.no_grad():
        for _, parameter in sorted(net.named_parameters()):
            values = rng.randint(-8, 9, size=tuple(parameter.shape)) / 8.0
            parameter.copy_(torch.from_numpy(values).float() * scale)
        for _, module in sorted(net.named_modules()):
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.copy_(torch.from_numpy(rng.randint(4, 13, size=tuple(module.weight.shape))).float())
    return net.eval()


def images(channels, size, seed=5):
    """Inputs (STEPS, BATCH, channels, size, size): multiples of 1/4 in [0, 4]."""
    rng = np.random.RandomState(seed)
    return torch.from_numpy(rng.randint(0, 17, size=(STEPS, BATCH, channels, size, size)) / 4.0).float()


def small_vgg(namespace, make_layers, batch_norm):
    """A VGG of few maps, with a classifier that takes them; made of one package's modules."""
    with torch.device("meta"):  # the real classifier takes half a gigabyte
        net = namespace.VGG(make_layers([], False), 3)
    net.features = make_layers([4, "M", 6, "M"], batch_norm)
    net.classifier[1], net.classifier[4] = namespace.LIF(), namespace.LIF()
    net.classifier[0].lifted_module = torch.nn.Linear(6 * 7 * 7, 10)
    net.classifier[3].lifted_module = torch.nn.Linear(10, 8)
    net.classifier[6].lifted_module = torch.nn.Linear(8, 3)
    return net


def nets(namespace, make_layers):
    """``{name: (net, images)}`` of one package: Norse's, or ours."""
    return {
        "ConvNet": (weights_of(namespace.ConvNet(1, 16), 0.5), images(1, 16)),
        "ConvNet4": (weights_of(namespace.ConvNet4(2, 17), 0.25), images(2, 17)),
        "VGG": (weights_of(small_vgg(namespace, make_layers, False), 0.5), images(3, 28)),
        "VGG with norms": (weights_of(small_vgg(namespace, make_layers, True), 0.5), images(3, 28)),
        "MobileNetV2": (weights_of(namespace.MobileNetV2(3, 0.5, SETTING), 0.5), images(3, 16)),
    }


def main(path):
    """Write the file."""
    import norse
    import norse.torch
    from norse.torch.models.vgg import make_layers

    found = {"version": np.array(norse.__version__)}
    for name, (net, x) in nets(norse.torch, make_layers).items():
        with torch.no_grad():
            out = net(x).numpy()
        print(name, out.shape, "not 0:", (out != 0).mean(), "values:", len(np.unique(out)))
        found[name] = out
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
