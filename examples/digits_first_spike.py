"""Classify scikit-learn's digits with neurons of which only the first spike counts, with exact gradients of spike times.

The brighter a pixel the earlier it fires, once; a dark one does not fire at all. Of each of 100 LIF neurons the first spike goes to
ten leaky integrators, and the greatest voltage wins. Run it with ``python examples/digits_first_spike.py``; it needs torch and
scikit-learn, and writes digits_first_spike.png if matplotlib is there.
"""

import importlib.util
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from tqdm import tqdm

from norse_bridge.events import EventLI, EventLIF, push_silent

LATEST = 0.02  # s, when the faintest pixels fire
TESTS = 360  # images


def spike_times(images):
    """(images, 64) from 0 to 16 -> (images, 64, 1) in s."""
    times = LATEST * (1.0 - images / 16.0)
    return torch.tensor(np.where(images > 0, times, np.inf)[:, :, None], dtype=torch.float32)


def picture(losses, accuracies, path):
    """The curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(losses)
    left.set(xlabel="epoch", ylabel="loss")
    right.plot([100 * accuracy for accuracy in accuracies])
    right.set(xlabel="epoch", ylabel="accuracy on the test set (%)")
    figure.savefig(path)


def main(epochs=30, hidden=100, samples=1797, seed=0, path="digits_first_spike.png"):
    """The share of the test images that is classified well."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))[:samples]
    times, labels = spike_times(digits.data[order]), torch.tensor(digits.target[order])
    tests = TESTS * samples // 1797
    test_times, test_labels, times, labels = times[:tests], labels[:tests], times[tests:], labels[tests:]
    net = torch.nn.Sequential(EventLIF(64, hidden, spikes=1), EventLI(hidden, 10))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses, accuracies = [], []
    with tqdm(range(epochs), unit="epoch") as bar:
        for _ in bar:
            total = 0.0
            for batch in torch.randperm(len(labels)).split(64):
                spikes = net[0](times[batch])  # (batch, hidden, 1)
                loss = torch.nn.functional.cross_entropy(4.0 * net[1](spikes), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                push_silent(net[0].weights, spikes, 0.02)
                total += loss.item() * len(batch) / len(labels)
            schedule.step()
            with torch.no_grad():
                accuracy = (net(test_times).argmax(1) == test_labels).double().mean().item()
            losses.append(total)
            accuracies.append(accuracy)
            bar.set_postfix(loss=f"{total:.4f}", accuracy=f"{100 * accuracy:.1f} %")
    print(f"accuracy on {tests} test images: {100 * accuracies[-1]:.1f} % after {time.perf_counter() - began:.0f} s")
    if importlib.util.find_spec("matplotlib"):
        picture(losses, accuracies, path)
    return accuracies[-1]


if __name__ == "__main__":
    main()
