"""STORE and RECALL: remember one bit over seconds, among others that come and go (Bellec et al., 2018, supplement).

Recurrent neurons see bits, one in each period, and the commands to store one and to recall it later
(`norse_bridge.MemoryStoreRecallDataset`); leaky integrators read them. The mean voltage of the readout over the period of a recall
is the logit of a bit. The loss is the binary cross entropy of these; what is minimised is

    loss + regularization_factor * mean over neurons of (rate / regularization_target - 1)^2

Each epoch ends with the loss on data that are never trained on; training stops when that is 0.05 (--stop-at).

Neurons that adapt carry the memory: a spike lifts their threshold by beta, and it falls back within tau_adapt. The values here are
after Bellec et al., in units of v_th. Norse's defaults (1.8, 800 s) let a threshold only rise, and its narrow surrogate gradient
(SuperSpike with alpha = 100) lets little through where neurons are silent.

\b
Example:
  python -m norse_bridge.task memory --neuron-model lsnn --simulate
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from norse_bridge.datasets import MemoryStoreRecallDataset
from norse_bridge.neurons.li import LI
from norse_bridge.neurons.lif import LIFParameters, LIFRecurrent
from norse_bridge.neurons.lsnn import FAMILY, LSNNParameters, LSNNRecurrent
from norse_bridge.sequential import SequentialState
from norse_bridge.task.classification import Classifier
from norse_bridge.task.comparison import compare, in_words
from norse_bridge.task.options import COUNT, POSITIVE, choice, option, seconds, simulation
from norse_bridge.task.report import Report
from norse_bridge.task.saving import save_model

NEURON_MODELS = ("lsnn", "lif", "lsnnlif")
BITS = 2  # outputs: one for each value of the bit
POPULATIONS = 4  # of the data: see norse_bridge.datasets.memory
OTHER_DATA = 1 << 32  # what the seed of the data for the test differs by

OPTIONS = [
    choice("neuron-model", "lsnnlif", "Which neurons remember.", NEURON_MODELS),
    option("neurons", 64, "Recurrent neurons; of lsnnlif, half adapt.", COUNT),
    option("batch-size", 128, "Samples in a step of training.", COUNT),
    option("learning-rate", 0.01, "Of Adam.", POSITIVE),
    option("seq-length", 200, "Steps in a period.", COUNT),
    option("seq-periods", 12, "Periods in a repetition, which stores and recalls once.", click.IntRange(2)),
    option("seq-repetitions", 1, "Repetitions in a sample.", COUNT),
    option("samples", 512, "Samples in an epoch, and as many others to test.", COUNT),
    option("population-size", 5, "Input neurons for each of the four signals.", COUNT),
    option("poisson-rate", 100.0, "Spikes/s of an input that tells a bit.", POSITIVE),
    option("regularization-factor", 1e-2, "Weight of the neurons' rates in what is minimised.", click.FloatRange(0.0)),
    option("regularization-target", 10.0, "Spikes/s that a neuron is to fire with.", POSITIVE),
    option("max-epochs", 300, "Epochs at most.", COUNT),
    option("stop-at", 0.05, "Loss on the test samples at which training ends.", click.FloatRange(0.0)),
    option("tau-adapt", 1.2, "Time constant of the threshold, in s.", POSITIVE),
    option("beta", 0.15, "What a spike adds to the threshold, which rests at 1."),
    seconds(),
    *simulation(64),
]


class AdaptingNeurons(LSNNRecurrent, family=FAMILY._replace(detach=False)):
    """`LSNNRecurrent` whose gradient passes through resets and, above all, through the jumps of the threshold: Norse's recurrent
    step keeps it out of both, so that nothing that is to be remembered for longer than a synapse's current can be learnt."""


class MemoryNetwork(torch.nn.Module):
    """Spikes (time, batch, inputs) -> voltages (time, batch, 2) and the spikes of its neurons (time, batch, neurons).

    neuron_model : "lsnn", neurons that adapt; "lif", neurons that do not; "lsnnlif", half of each in one recurrent population
    inputs, neurons : numbers of them
    tau_adapt : s; beta : what a spike adds to the threshold; dt : s
    """

    def __init__(self, neuron_model="lsnnlif", inputs=20, neurons=64, tau_adapt=1.2, beta=0.15, dt=0.001):
        super().__init__()
        weights = torch.randn(neurons, inputs)  # bits at 100 spikes/s move v about as far as the threshold
        self.neurons: LIFRecurrent | LSNNRecurrent
        if neuron_model == "lif":
            p = LIFParameters(method="triangle", alpha=0.3)
            self.neurons = LIFRecurrent(inputs, neurons, p, input_weights=weights, dt=dt)
        else:
            adapting = torch.arange(neurons) < (neurons if neuron_model == "lsnn" else neurons // 2)
            q = LSNNParameters(tau_adapt_inv=torch.tensor(1 / tau_adapt), beta=beta * adapting, method="triangle", alpha=0.3)
            self.neurons = AdaptingNeurons(inputs, neurons, q, input_weights=weights, dt=dt)
        self.weights, self.readout = torch.nn.Linear(neurons, BITS), LI(dt=dt)

    def exported_as(self):
        """The layers of forward, for `norse_bridge.to_network` and `simulate`."""
        return SequentialState(OrderedDict(neurons=self.neurons, weights=self.weights, readout=self.readout))

    def forward(self, x):
        spikes, _ = self.neurons(x)
        return self.readout(self.weights(spikes))[0], spikes


def recalled_logits(voltages, y):
    """The mean voltages of the periods in which a bit is to be recalled, (recalls, 2).

    voltages : (time, batch, 2); y : (batch, periods, 2)
    """
    means = voltages.unflatten(0, (y.shape[1], -1)).mean(1)  # (periods, batch, 2)
    return means.transpose(0, 1)[y.sum(-1) > 0]


def recall_loss(voltages, y):
    """``(loss, accuracy)`` of all recalls. voltages: (time, batch, 2); y: (batch, periods, 2)."""
    logits, wanted = recalled_logits(voltages, y), y[y.sum(-1) > 0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype))
    return loss, (logits.argmax(-1) == wanted.argmax(-1)).float().mean()


def rate_loss(spikes, target, dt):
    """The mean over neurons of (rate / target - 1)^2. spikes: (time, batch, neurons); target: 1/s; dt: s."""
    return (spikes.mean((0, 1)) / (dt * target) - 1).square().mean()


class Trained(NamedTuple):
    """network : a `MemoryNetwork`; tests : its test data; losses, accuracies : of every epoch, on these"""

    network: Any
    tests: Any
    losses: list
    accuracies: list


def train(
    *,
    neuron_model="lsnnlif",
    neurons=64,
    batch_size=128,
    learning_rate=0.01,
    seq_length=200,
    seq_periods=12,
    seq_repetitions=1,
    samples=512,
    population_size=5,
    poisson_rate=100.0,
    regularization_factor=1e-2,
    regularization_target=10.0,
    max_epochs=300,
    stop_at=0.05,
    tau_adapt=1.2,
    beta=0.15,
    dt=0.001,
    random_seed=1234,
    report=None,
) -> Trained:
    """Train a `MemoryNetwork`; the arguments are those of the command line.

    random_seed : of the network and all data; random numbers of the process stay as they are
    report : called as ``report(epoch, loss=..., accuracy=..., training_loss=..., rate=...)``, epochs counted from 1; rate in 1/s
    """
    sequence = (seq_length, seq_periods, seq_repetitions, population_size, poisson_rate, dt)
    data = MemoryStoreRecallDataset(samples, *sequence, seed=random_seed)
    tests = MemoryStoreRecallDataset(samples, *sequence, seed=random_seed + OTHER_DATA)
    losses: list[float] = []
    accuracies: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        network = MemoryNetwork(neuron_model, POPULATIONS * population_size, neurons, tau_adapt, beta, dt)
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
        for epoch in range(1, max_epochs + 1):
            pairs = batches(data, batch_size, shuffle=True)
            training_loss, rate = train_epoch(network, optimizer, pairs, regularization_factor, regularization_target, dt)
            loss, accuracy = evaluate(network, tests, batch_size)
            losses.append(loss)
            accuracies.append(accuracy)
            if report is not None:
                report(epoch, loss=loss, accuracy=accuracy, training_loss=training_loss, rate=rate)
            if loss <= stop_at:
                break
    return Trained(network, tests, losses, accuracies)


def train_epoch(network, optimizer, pairs, factor, target, dt):
    """One pass over ``pairs`` of spikes and targets: the means of the loss and of the neurons' rate (1/s)."""
    losses, rates = [], []
    for x, y in pairs:
        voltages, spikes = network(x)
        loss, _ = recall_loss(voltages, y)
        optimizer.zero_grad()
        (loss + factor * rate_loss(spikes, target, dt)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        rates.append(spikes.mean().item() / dt)
    return sum(losses) / len(losses), sum(rates) / len(rates)


def batches(data, batch_size, shuffle=False):
    """The pairs of a data set as batches: x (time, batch, inputs), y (batch, periods, 2)."""
    for x, y in torch.utils.data.DataLoader(data, batch_size, shuffle):
        yield x.transpose(0, 1), y


def evaluate(network, data, batch_size):
    """``(loss, accuracy)`` of a network on a data set."""
    with torch.no_grad():
        rows = [(len(y), *recall_loss(network(x)[0], y)) for x, y in batches(data, batch_size)]
    return tuple(sum(row[0] * row[n].item() for row in rows) / len(data) for n in (1, 2))


ARGUMENTS = [name for name in inspect.signature(train).parameters if name != "report"]


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train, save the network, simulate it if wanted; the figures of the last epoch."""
    report.expect(options["max_epochs"], "epoch")
    trained = train(**{name: options[name] for name in ARGUMENTS}, report=report)
    names = ("neuron_model", "neurons", "tau_adapt", "beta", "dt")
    settings = {name: options[name] for name in names} | {"inputs": POPULATIONS * options["population_size"]}
    save_model(out / "model.pt", "memory", trained.network, settings)
    figures = {"loss": trained.losses[-1], "accuracy": trained.accuracies[-1], "epochs": len(trained.losses)}
    if options["simulate"]:
        found = simulated(trained.network, trained.tests, options["simulate_samples"], getattr(torch, options["simulate_type"]))
        report.say(in_words(found))
        figures |= found
    return figures


def simulated(network, data, samples, dtype):
    """The first samples of a data set once more, in torch and in eventsim: the figures of `compare`; a decision is a recall."""
    x, y = next(iter(batches(data, samples)))
    model = Classifier(torch.nn.Identity(), copy.deepcopy(network).exported_as(), lambda voltages: recalled_logits(voltages, y))
    return compare(model, [(x, y[y.sum(-1) > 0].argmax(-1))], dtype)
