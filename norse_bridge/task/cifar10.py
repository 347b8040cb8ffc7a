"""Photographs of ten kinds of things with a convolutional net of four layers.

The pixels of the three colours, normalised, are currents into the first convolution, the same in every step. Four convolutions of
64, 128, 256 and 256 maps with LIF neurons (threshold 0.4), three maxima over 2 x 2, a linear readout of the last 4,096 spikes
with leaky integrators; the highest voltage over time, with noise while training, is the score of a class. Half of the training
images are mirrored in each epoch.

\b
Example, small:
  python -m norse_bridge.task cifar10 --data cifar-10-batches-py --epochs 3 --seq-length 8 --train-samples 5000
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import click
import torch

from eventsim.images import LabelledImages
from norse_bridge.datasets.images import brightness, read_cifar10
from norse_bridge.lifting import Lift
from norse_bridge.neurons.li import LI
from norse_bridge.neurons.lif import LIF, LIFParameters
from norse_bridge.sequential import SequentialState
from norse_bridge.task.classification import Classifier, arrays, highest
from norse_bridge.task.course import common, follow, plan_of, settings_and_net
from norse_bridge.task.files import Source, data, find
from norse_bridge.task.options import COUNT, flag, option
from norse_bridge.task.report import Report

SOURCE = Source(
    ("cifar-10-batches-py", "cifar-10-python.tar.gz", "cifar10.npz"),
    """Data: get the file
  https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz
and give its path, that of the folder cifar-10-batches-py in it, or that of an .npz with x_train, y_train, x_test, y_test.""",
)
OPTIONS = [
    data(SOURCE),
    *common("images", epochs=100, batch_size=32, learning_rate=2e-3),
    option("seq-length", 128, "Steps of 1 ms for an image.", COUNT),
    click.Option(["--maps"], nargs=4, type=COUNT, default=(64, 128, 256, 256), show_default=True, help="Of the four convolutions."),
    flag("lr-step", False, "Whether the learning rate is a tenth after two thirds of the epochs."),
]
THRESHOLD, GAIN, NOISE, SMOOTHING = 0.4, 3.0, 1e-3, 0.2


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on CIFAR-10 and test."""
    return train(read_cifar10(find(options["data"], SOURCE)), options, out, report)


def train(images: LabelledImages, options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on colour images of 32 x 32 pixels in ten classes, by the options above: the results."""
    settings, model = settings_and_net("cifar10", options, settings_of(options, images), build)
    plan = plan_of(options, model)._replace(label_smoothing=SMOOTHING, top=5)
    if options["lr_step"]:
        schedule = torch.optim.lr_scheduler.StepLR(plan.optimizer, max(1, 2 * options["epochs"] // 3))
        plan = plan._replace(after=lambda epoch: schedule.step())
    sets = arrays(images.train, images.train_labels, mirrored), arrays(images.test, images.test_labels)
    return follow("cifar10", settings, model, plan, sets, options, out, report)


def mirrored(images):
    """Half of the images, by chance, with left and right exchanged: (batch, rows, columns, colours)."""
    chosen = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(chosen, images.flip(2), images)


def settings_of(options: dict[str, Any], images: LabelledImages) -> dict[str, Any]:
    """What `build` needs: the steps, the maps, and the training images' mean and standard deviation."""
    mean, deviation = brightness(images.train)
    return {"seq_length": options["seq_length"], "maps": tuple(options["maps"]), "mean": mean, "deviation": deviation}


class Photograph(torch.nn.Module):
    """Images uint8 (batch, rows, columns, colours) -> currents (time, batch, colours, rows, columns), the same in every step."""

    def __init__(self, steps, mean, deviation):
        super().__init__()
        self.steps, self.mean, self.deviation = steps, mean, deviation

    def forward(self, images):
        currents = (images.float() / 255.0 - self.mean) / self.deviation
        return currents.permute(0, 3, 1, 2).expand(self.steps, -1, -1, -1, -1)


def build(settings: dict[str, Any]) -> Classifier:
    """The untrained net."""
    parts: OrderedDict[str, torch.nn.Module] = OrderedDict()
    channels, p = 3, LIFParameters(v_th=torch.as_tensor(THRESHOLD))
    for number, maps in enumerate(settings["maps"], start=1):
        convolution = torch.nn.Conv2d(channels, maps, 3, padding=1)
        with torch.no_grad():  # a spike moves v by a tenth of its weight: with torch's own, deep layers would be silent
            convolution.weight *= GAIN
        parts[f"conv{number}"], parts[f"lif{number}"] = Lift(convolution), LIF(p)
        if number > 1:
            parts[f"pool{number}"] = Lift(torch.nn.MaxPool2d(2))  # 32 -> 16 -> 8 -> 4 pixels
        channels = maps
    parts |= {"flatten": torch.nn.Flatten(2), "readout": torch.nn.Linear(4 * 4 * channels, 10), "out": LI()}
    encode = Photograph(settings["seq_length"], settings["mean"], settings["deviation"])
    return Classifier(encode, SequentialState(parts), highest, NOISE)
