"""Training by first spikes: the loop that every such program would write again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from tqdm import tqdm

from norse_bridge.events.arrays import milliseconds_of
from norse_bridge.events.checks import check_count, check_first, check_number, labels_of, samples_of
from norse_bridge.events.training import check_loss, first_spike_loss


class Course(NamedTuple):
    """What a training did: the mean loss of each epoch, and the accuracy after it on the data for validation."""

    losses: list[float]
    accuracies: list[float]


def first_spike_accuracy(first, labels, late):
    """The share of samples whose right neuron fires, and before all others. Where none fires nothing is right, nor is a tie.

    first : (batch, classes), s; labels : (batch,); late : s, before which a neuron has fired (`event_lif_first`)
    """
    milliseconds_of(late, "first_spike_accuracy", "late")
    check_first(first, "first_spike_accuracy")
    labels = labels_of(labels, *first.shape, "first_spike_accuracy")
    others = first.detach().clone()
    right = others.gather(1, labels[:, None])[:, 0]
    others.scatter_(1, labels[:, None], float("inf"))
    return ((right < others.amin(1)) & (right < late)).to(torch.float64).mean().item()


@contextlib.contextmanager
def _only_looked_at(net) -> Iterator[None]:
    """Nothing of ``net`` changes by calling it: eval mode, no gradients; then every module is in the mode that it had."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(modes[0][1])  # for modules that do something there
        for module, mode in modes:
            module.training = mode


def _checked(net, training, validation):
    """Both data with labels in int64, of classes that ``net`` has."""
    label, found = "fit_first_spikes", []
    for name, data in (("training", training), ("validation", validation)):
        times, labels = samples_of(data, label, name)
        with _only_looked_at(net):
            first = net(times[:1])
        check_first(first, f"{label}: what the net gives")
        found.append((times, labels_of(labels, len(times), first.shape[1], label, f"the labels of {name}")))
    return found


def fit_first_spikes(
    net, training, validation, late, tau, *, early=0.0, early_tau=1.0, epochs=50, batch=100, rate=5e-3, jitter=0.0, quiet=False
) -> Course:
    """Train ``net`` in place by `first_spike_loss` with Adam, whose rate goes to 0 as a cosine.

    net : a module, (batch, inputs, spikes) -> (batch, classes), s, with an `EventLIFFirst` at its end
    training, validation : (spike times, labels); the second is only looked at, with the net in eval mode
    late, tau, early, early_tau : of `first_spike_accuracy` and `first_spike_loss`
    jitter : s, the standard deviation of what is added to the times of the input, anew in each batch; against learning by heart
    epochs, batch, rate : passes over the data, samples of a step, Adam's rate at first
    quiet : no progress bar

    The net is trained in the mode, train or eval, that each of its modules has. What cannot be is refused with a SimulationError
    before the first step.
    The order of samples and the jitter are drawn from torch's generator: `torch.manual_seed` repeats them.
    """
    label = "fit_first_spikes"
    check_loss(label, tau, early, early_tau)
    check_number(late, label, "late")
    check_number(jitter, label, "jitter")
    check_number(rate, label, "rate", "finite number")
    check_count(epochs, label, "epochs", 0)
    check_count(batch, label, "batch", 1)
    (times, labels), (unseen, wanted) = _checked(net, training, validation)
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
            with _only_looked_at(net):
                accuracy = first_spike_accuracy(net(unseen), wanted, late)
            course.losses.append(total)
            course.accuracies.append(accuracy)
            bar.set_postfix(loss=f"{total:.4f}", accuracy=f"{100 * accuracy:.1f} %")
    return course
