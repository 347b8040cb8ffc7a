"""Handwritten digits with a convolutional net, as images of constant currents.

The pixels, normalised over all training images, drive one LIF neuron each with a constant current (ConstantCurrentLIFEncoder);
its spikes go through ConvNet4; the highest voltage of a readout over time is the score of its digit.

\b
Example:
  python -m norse_bridge.task mnist --data mnist.npz --epochs 1 --seq-length 10 --simulate
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from eventsim.errors import ModelError
from eventsim.images import LabelledImages
from norse_bridge.datasets.images import brightness, read_digits
from norse_bridge.encoders import ConstantCurrentLIFEncoder, SpikeLatencyLIFEncoder
from norse_bridge.nets.conv import ConvNet4
from norse_bridge.surrogate import RANDOM
from norse_bridge.task.classification import Classifier, arrays, highest
from norse_bridge.task.course import check_simulation, common, follow, plan_of, settings_and_net
from norse_bridge.task.files import Source, data, find
from norse_bridge.task.options import COUNT, POSITIVE, choice, flag, option
from norse_bridge.task.report import Report
from norse_bridge.task.saving import save_model

SOURCE = Source(
    ("mnist.npz", "mnist"),
    """Data: get the file
  https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz
and give its path, or the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz of
  https://ossci-datasets.s3.amazonaws.com/mnist/
and give the path of their folder.""",
)
METHODS = ("super", "triangle", "tanh", "circ", "heavi_erfc", *RANDOM)  # those with a gradient
OWN_OPTIONS = [
    *common("images", epochs=10, batch_size=32, learning_rate=2e-3),
    option("seq-length", 200, "Steps of 1 ms for an image.", COUNT),
    choice("method", "super", "The surrogate gradient.", METHODS),
    option("alpha", 100.0, "Its parameter; for super and tanh the inverse of its width.", POSITIVE),
    option("input-scale", 1.0, "Factor of the currents.", POSITIVE),
    flag("only-first-spike", False, "Whether only the first spike of each pixel counts."),
    flag("only-output", False, "Whether only the readout is trained."),
    flag("clip-grad", False, "Whether the entries of gradients are clipped."),
    option("grad-clip-value", 1.0, "Their greatest absolute value.", POSITIVE),
    option("model-save-interval", 50, "Epochs after which the model is saved as model-epochN.pt, too.", COUNT),
]
OPTIONS = [data(SOURCE), *OWN_OPTIONS]


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on MNIST and test."""
    return train("mnist", read_digits(find(options["data"], SOURCE)), options, out, report)


def train(task: str, images: LabelledImages, options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on grey square images of ten classes, by the options above, for the task called so: the results."""
    by_chance = options["method"] in RANDOM
    check_simulation(options, "with this --method neurons fire by chance, in eventsim they do not" if by_chance else "")
    settings, model = settings_and_net(task, options, settings_of(options, images), build)
    size = images.train.shape[1]
    if settings["size"] != size:
        raise ModelError(f"--load: the model takes images of {settings['size']} x {settings['size']} pixels, not {size} x {size}")
    trained = model.network.out if options["only_output"] else model

    def after(epoch):
        if options["save_model"] and epoch % options["model_save_interval"] == 0:
            save_model(out / f"model-epoch{epoch}.pt", task, model, settings)

    plan = plan_of(options, trained)._replace(clip=options["grad_clip_value"] if options["clip_grad"] else None, after=after)
    sets = arrays(images.train, images.train_labels), arrays(images.test, images.test_labels)
    return follow(task, settings, model, plan, sets, options, out, report)


def settings_of(options: dict[str, Any], images: LabelledImages) -> dict[str, Any]:
    """What `build` needs: of the options, and of the training images their size, mean and standard deviation."""
    height, width = images.train.shape[1:]
    if height != width:
        raise ModelError(f"the images have {height} x {width} pixels; this net takes square ones")
    mean, deviation = brightness(images.train)
    chosen = {name: options[name] for name in ("seq_length", "method", "alpha", "input_scale", "only_first_spike")}
    return chosen | {"size": int(height), "mean": mean, "deviation": deviation}


class Pixels(torch.nn.Module):
    """Grey images uint8 (batch, rows, columns) -> spikes (time, batch, 1, rows, columns)."""

    def __init__(self, encoder, scale, mean, deviation):
        super().__init__()
        self.encoder, self.scale, self.mean, self.deviation = encoder, scale, mean, deviation

    def forward(self, images):
        currents = self.scale * (images.float() / 255.0 - self.mean) / self.deviation
        return self.encoder(currents.unsqueeze(1))


def build(settings: dict[str, Any]) -> Classifier:
    """The untrained net."""
    kind = SpikeLatencyLIFEncoder if settings["only_first_spike"] else ConstantCurrentLIFEncoder
    encode = Pixels(kind(settings["seq_length"]), settings["input_scale"], settings["mean"], settings["deviation"])
    network = ConvNet4(feature_size=settings["size"], method=settings["method"])
    for layer in (network.lif0, network.lif1, network.lif2):
        layer.p = layer.p._replace(alpha=torch.as_tensor(settings["alpha"]))
    return Classifier(encode, network, highest)
