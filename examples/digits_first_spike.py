"""Classify scikit-learn's digits by times to first spikes, with exact gradients: whoever of ten neurons fires first wins.

The brighter a pixel the earlier it fires, once; a dark one does not fire at all, and one more input fires when the faintest pixels
do. Of each of 120 LIF neurons the first spike goes to ten more. Run it with ``python examples/digits_first_spike.py [SEED]``; it
needs torch and scikit-learn.
"""

import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_digits

import norse_bridge as norse
from norse_bridge.events import EventLIF, EventLIFFirst, first_spike_accuracy, fit_first_spikes

LATEST, LATE = 0.02, 0.08  # s: of inputs, and of outputs
P = norse.LIFParameters(tau_syn_inv=torch.tensor(25.0), tau_mem_inv=torch.tensor(25.0))  # 40 ms each


def spike_times(images):
    """(images, 64) from 0 to 16 -> (images, 65, 1) in s."""
    times = np.where(images > 0, LATEST * (1.0 - images / 16.0), np.inf)
    return torch.tensor(np.pad(times, ((0, 0), (0, 1)), constant_values=LATEST)[:, :, None])


def digits(count, seed):
    """``(training, validation, test)``, three fifths and a fifth each of so many images in the order of the seed."""
    every = load_digits()
    order = np.random.default_rng(seed).permutation(len(every.target))[:count]
    times, labels = spike_times(every.data[order]), torch.tensor(every.target[order])
    fifth = count // 5
    parts = slice(2 * fifth, None), slice(fifth, 2 * fifth), slice(0, fifth)
    return [(times[part], labels[part]) for part in parts]


def main(epochs=60, hidden=120, samples=1797, seed=0):
    """The shares of the images for validation and of those for the test that are classified well."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    training, validation, test = digits(samples, seed)
    net = torch.nn.Sequential(
        EventLIF(65, hidden, P, spikes=1, mean=8.0, std=1.0),
        EventLIFFirst(hidden, 10, P, late=LATE, lift=0.02, mean=10.0, std=4.0),
    ).double()
    with torch.no_grad():
        net[0].weights[:, -1] = 2.0  # whoever has not fired by then will soon
    options = {"early": 0.003, "early_tau": 0.01, "epochs": epochs, "rate": 1e-2, "jitter": 0.003}
    course = fit_first_spikes(net, training, validation, LATE, 0.0015, **options)
    with torch.no_grad():
        found = course.accuracies[-1], first_spike_accuracy(net(test[0]), test[1], LATE)
    print(f"seed {seed}: {100 * found[0]:.1f} % in validation, {100 * found[1]:.1f} % in the test", end=", ")
    print(f"after {time.perf_counter() - began:.0f} s")
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(seed=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
