"""Spoken words with recurrent neurons: ten words, background noise, and all other words as one class.

A second of sound becomes the logarithm of its power in 80 mel bands, every 10 ms, normalised clip by clip: currents into 128
recurrent neurons (LIF or LSNN; or an LSTM of torch). A linear readout with leaky integrators tells the class by its voltage at
the end.

\b
Example:
  python -m norse_bridge.task speech-commands --data speech_commands --model lsnn --epochs 5 --simulate
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from norse_bridge.datasets.mel import mel_spectrogram
from norse_bridge.datasets.speech_commands import LABELS, URL, SpeechCommandsDataset, prepare_dataset
from norse_bridge.neurons.li import LI
from norse_bridge.neurons.lif import LIFRecurrent
from norse_bridge.neurons.lsnn import LSNNRecurrent
from norse_bridge.sequential import SequentialState
from norse_bridge.task.classification import Classifier, Samples, last
from norse_bridge.task.course import check_simulation, common, follow, plan_of, settings_and_net
from norse_bridge.task.files import Source, data, find
from norse_bridge.task.options import choice
from norse_bridge.task.report import Report

SOURCE = Source(
    ("speech_commands",),
    f"""Data: get and unpack the file
  {URL}
and give the path of the folder with its words.""",
)
BANDS, NEURONS, LEAST_POWER = 80, 128, 1e-6
MODELS: dict[str, Callable[..., torch.nn.Module]] = {"lif": LIFRecurrent, "lsnn": LSNNRecurrent, "lstm": torch.nn.LSTM}
OPTIONS = [
    data(SOURCE),
    *common("sounds", epochs=10, batch_size=16, learning_rate=1e-4),
    choice("model", "lif", "The recurrent neurons.", MODELS),
]


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on Speech Commands and test."""
    check_simulation(options, "an LSTM has no spikes" if options["model"] == "lstm" else "")
    training, _, testing = (samples(SpeechCommandsDataset(part, bands)) for part in prepare_dataset(find(options["data"], SOURCE)))
    return train(training, testing, options, out, report)


def train(training: Samples, testing: Samples, options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on currents (bands, time) with labels from 0 to 11, by the options above: the results."""
    settings, model = settings_and_net("speech-commands", options, {"model": options["model"]}, build)
    return follow("speech-commands", settings, model, plan_of(options, model), (training, testing), options, out, report)


def bands(waveform):
    """A second of sound (1, samples) -> normalised logarithms of the power (bands, time)."""
    power = torch.log(LEAST_POWER + mel_spectrogram(waveform, waveform.shape[-1], n_mels=BANDS)[0])
    return (power - power.mean()) / (LEAST_POWER + power.std())


def samples(dataset) -> Samples:
    """The pairs of a data set, read when they are asked for."""

    def get(rows):
        x, labels = zip(*(dataset[int(row)] for row in rows), strict=True)
        return torch.stack(x), torch.tensor(labels)

    return Samples(len(dataset), get)


def over_time(x):
    """(batch, bands, time) -> (time, batch, bands)"""
    return x.permute(2, 0, 1)


def build(settings: dict[str, Any]) -> Classifier:
    """The untrained net."""
    parts = OrderedDict(
        neurons=MODELS[settings["model"]](BANDS, NEURONS), readout=torch.nn.Linear(NEURONS, len(LABELS), bias=False), out=LI()
    )
    return Classifier(over_time, SequentialState(parts), last)
