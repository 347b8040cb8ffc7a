"""Neurons whose synapses change by what their correlation sensors measure, learning one label.

Poisson spikes of one random pattern drive recurrent LIF neurons for an episode. Every ``update_every`` steps a fixed random linear
map turns the traces of the sensors into changes of the weights (`correlation_based_update`). Leaky integrators read the spikes,
and the highest voltages of an episode are the scores of the labels. The weights that each episode begins with, and those of the
readout, are trained by gradient descent so that the pattern gets its label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from norse_bridge.encode import poisson_encode
from norse_bridge.neurons.li import LILinearCell
from norse_bridge.plasticity.correlation_sensor import correlation_based_update
from norse_bridge.plasticity.lif_correlation import LIFCorrelation
from norse_bridge.task.options import COUNT, POSITIVE, option
from norse_bridge.task.report import Report
from norse_bridge.task.saving import save_model

INPUTS, NEURONS, LABELS = 100, 8, 2
OPTIONS = [
    option("episodes", 100, "Number of episodes, each with spikes of its own.", COUNT),
    option("timesteps", 500, "Steps of 1 ms in an episode.", COUNT),
    option("learning-rate", 0.2, "Of Adam.", POSITIVE),
]


class CorrelationNetwork(torch.nn.Module):
    """Spikes (time, batch, inputs) -> scores (batch, labels)."""

    def __init__(self, inputs=INPUTS, neurons=NEURONS, labels=LABELS, update_every=50, update_rate=0.1):
        super().__init__()
        self.update_every, self.update_rate = update_every, update_rate
        self.neurons = LIFCorrelation(inputs, neurons)
        self.readout = LILinearCell(neurons, labels)
        self.input_weights = torch.nn.Parameter(torch.randn(neurons, inputs) / inputs**0.5)
        self.recurrent_weights = torch.nn.Parameter(torch.randn(neurons, neurons) / neurons**0.5)
        # No gradient reaches these: see correlation_based_update.
        self.input_update = torch.nn.Linear(2 * inputs * neurons, inputs * neurons).requires_grad_(False)
        self.recurrent_update = torch.nn.Linear(2 * neurons * neurons, neurons * neurons).requires_grad_(False)

    def forward(self, x):
        w_in, w_rec, state, read, voltages = self.input_weights, self.recurrent_weights, None, None, []
        for step, row in enumerate(x, start=1):
            z, state = self.neurons(row, w_in, w_rec, state)  # (batch, neurons)
            v, read = self.readout(z, read)
            voltages.append(v)
            _, at_inputs, between = state
            w_in = correlation_based_update(step, self.input_update, w_in, at_inputs, self.update_rate, self.update_every)
            w_rec = correlation_based_update(step, self.recurrent_update, w_rec, between, self.update_rate, self.update_every)
        return torch.stack(voltages).amax(0)


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, float]:
    """Train, save the net, return the losses of the first and the last episode."""
    report.expect(options["episodes"], "episode")
    network, losses = train(options["episodes"], options["timesteps"], options["learning_rate"], options["random_seed"], report)
    save_model(out / "model.pt", "correlation-experiment", network, {})
    return {"first_loss": losses[0], "loss": losses[-1]}


def train(episodes=100, timesteps=500, learning_rate=0.2, seed=0, report=None):
    """Train a `CorrelationNetwork`: ``(network, losses)``, with the loss of every episode, the negative log likelihood.

    timesteps : length of an episode, in steps of 1 ms
    seed : of the network, the pattern, its label and all spikes; random numbers of the process stay as they are
    report : called as ``report(episode, loss=...)``, episodes counted from 1
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CorrelationNetwork()
        pattern, label = torch.rand(1, INPUTS), torch.randint(LABELS, (1,))
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=learning_rate)
        losses = []
        for episode in range(1, episodes + 1):
            scores = network(poisson_encode(pattern, timesteps))
            loss = torch.nn.functional.cross_entropy(scores, label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if report is not None:
                report(episode, loss=losses[-1])
    return network, losses
