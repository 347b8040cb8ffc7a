"""Training by first spikes: the loop that every such program would write again."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tqdm import tqdm

from norse_bridge.events.training import first_spike_loss


class Course(NamedTuple):
    """What a training did: the mean loss of each epoch, and the accuracy after it on the data for validation."""

    losses: list[float]
    accuracies: list[float]


def first_spike_accuracy(first, labels, late):
    """The share of samples whose right neuron fires, and before all others. Where none fires nothing is right.

    first : (batch, classes), s; labels : (batch,); late : s, before which a neuron has fired (`event_lif_first`)
    """
    earliest, who = first.detach().min(1)
    return ((who == labels) & (earliest < late)).to(torch.float64).mean().item()


def fit_first_spikes(
    net, training, validation, late, tau, *, early=0.0, early_tau=1.0, epochs=50, batch=100, rate=5e-3, jitter=0.0, quiet=False
) -> Course:
    """Train ``net`` in place by `first_spike_loss` with Adam, whose rate goes to 0 as a cosine.

    net : a module, (batch, inputs, spikes) -> (batch, classes), s, with an `EventLIFFirst` at its end
    training, validation : (spike times, labels); the second is only looked at
    late, tau, early, early_tau : of `first_spike_accuracy` and `first_spike_loss`
    jitter : s, the standard deviation of what is added to the times of the input, anew in each batch; against learning by heart
    quiet : no progress bar

    The order of samples and the jitter are drawn from torch's generator: `torch.manual_seed` repeats them.
    """
    times, labels = training
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
    course = Course([], [])
    with tqdm(range(epochs), unit="epoch", disable=quiet) as bar:
        for _ in bar:
            total = 0.0
            for some in torch.randperm(len(labels)).split(batch):
                given = times[some]
                if jitter:
                    given = (given + jitter * torch.randn_like(given)).clamp(min=0.0)
                loss = first_spike_loss(net(given), labels[some], tau, early=early, early_tau=early_tau)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(some) / len(labels)
            schedule.step()
            with torch.no_grad():
                accuracy = first_spike_accuracy(net(validation[0]), validation[1], late)
            course.losses.append(total)
            course.accuracies.append(accuracy)
            bar.set_postfix(loss=f"{total:.4f}", accuracy=f"{100 * accuracy:.1f} %")
    return course
