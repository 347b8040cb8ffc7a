"""Learn the Yin-Yang data set by times to first spikes, with exact gradients: whoever of three neurons fires first wins.

A point (x, y) of the Yin-Yang symbol belongs to one of three classes: yin, yang, or the two dots. x, y, 1 - x and 1 - y become the
times of one spike each between 0 and 30 ms; a fifth input fires when the last of them may. Of each of 120 LIF neurons the first
spike goes to three more.

Data set: Kriener, Goeltz & Petrovici (2022), NICE '22, p. 107; the published points, which a rule and a seed make. Run it with
``python examples/yin_yang.py [SEED]``; it needs torch.
"""

import math
import sys
import time

import numpy as np
import torch

import norse_bridge as norse
from norse_bridge.events import EventLIF, EventLIFFirst, first_spike_accuracy, fit_first_spikes

LATEST, LATE = 0.03, 0.045  # s: of inputs, and of outputs
RADIUS, DOT = 0.5, 0.1  # of the symbol, whose centre is (0.5, 0.5), and of its dots
TRAINING, VALIDATION, TEST = 42, 41, 40  # the published seeds
P = norse.LIFParameters(tau_syn_inv=torch.tensor(50.0), tau_mem_inv=torch.tensor(50.0))  # 20 ms each


def class_of(x, y):
    """0 and 1: yang and yin, 2: a dot, -1: outside of the symbol."""
    left, right = math.hypot(x - RADIUS / 2, y - RADIUS), math.hypot(x - 3 * RADIUS / 2, y - RADIUS)
    if math.hypot(x - RADIUS, y - RADIUS) > RADIUS:
        return -1
    if min(left, right) <= DOT:
        return 2
    return int(left <= RADIUS / 2 or (y > RADIUS and right > RADIUS / 2))


def yin_yang(count, seed):
    """``(spike times (count, 5, 1) in s, labels (count,))``: a class is drawn, then points until one belongs to it."""
    generator, values, labels = np.random.RandomState(seed), [], []
    for _ in range(count):
        labels.append(generator.randint(3))
        while True:
            x, y = generator.rand(2)
            if class_of(x, y) == labels[-1]:
                break
        values.append((x, y, 1 - x, 1 - y, 1.0))
    return torch.tensor(LATEST * np.array(values)[:, :, None]), torch.tensor(labels)


def main(epochs=80, hidden=120, samples=5000, others=1000, seed=0):
    """The shares of the points for validation and of those for the test that are classified well."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        EventLIF(5, hidden, P, spikes=1, mean=7.5, std=1.8),
        EventLIFFirst(hidden, 3, P, late=LATE, lift=0.02, mean=6.0, std=4.0),
    ).double()
    validation, test = yin_yang(others, VALIDATION), yin_yang(others, TEST)
    options = {"early": 0.01, "early_tau": 0.01, "epochs": epochs}
    course = fit_first_spikes(net, yin_yang(samples, TRAINING), validation, LATE, 0.001, **options)
    with torch.no_grad():
        found = course.accuracies[-1], first_spike_accuracy(net(test[0]), test[1], LATE)
    print(f"seed {seed}: {100 * found[0]:.1f} % in validation, {100 * found[1]:.1f} % in the test", end=", ")
    print(f"after {time.perf_counter() - began:.0f} s")
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(seed=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
