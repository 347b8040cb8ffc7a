"""Learn the Yin-Yang data set with exact gradients in continuous time: spike times in, the greatest voltage wins.

A point (x, y) of the Yin-Yang symbol belongs to one of three classes: yin, yang, or the two dots. x, y, 1 - x and 1 - y become the
times of one spike each between 0 and 30 ms; a fifth input fires at 0. Behind 200 LIF neurons stand three leaky integrators.

Data set: Kriener, Goeltz & Petrovici (2022), NICE '22, p. 107; no file is needed. Run it with ``python examples/yin_yang.py``; it
needs torch, and writes yin_yang.png if matplotlib is there.
"""

import importlib.util
import time

import numpy as np
import torch
from tqdm import tqdm

import norse_bridge as norse
from norse_bridge.events import EventLI, EventLIF, push_silent

LATEST = 0.03  # s
RADIUS, DOT = 0.5, 0.1  # of the symbol, whose centre is (0.5, 0.5), and of its dots
P = norse.LIFParameters(tau_mem_inv=torch.tensor(50.0))  # 20 ms; tau_syn is 5 ms
LI = norse.LIParameters(tau_mem_inv=torch.tensor(50.0))


def class_of(points):
    """0 in yin, 1 in yang, 2 in a dot, -1 outside of the symbol; points : (n, 2)"""
    x, y = points[:, 0] - RADIUS, points[:, 1] - RADIUS
    left, right = np.hypot(x + RADIUS / 2, y), np.hypot(x - RADIUS / 2, y)  # distances from the centres of the halves
    yin = ((left <= RADIUS / 2) & (left > DOT)) | ((y > 0) & (right > RADIUS / 2))
    inside = np.where(np.minimum(left, right) <= DOT, 2, np.where(yin, 0, 1))
    return np.where(np.hypot(x, y) <= RADIUS, inside, -1)


def yin_yang(count, seed):
    """``(spike times (count, 5, 1) in s, labels (count,))``: as many points of each class as of the others, nearly."""
    generator = np.random.default_rng(seed)
    labels, points, missing = np.arange(count) % 3, np.zeros((count, 2)), np.arange(count)
    while len(missing):
        drawn = generator.random((len(missing), 2))
        fits = class_of(drawn) == labels[missing]
        points[missing[fits]] = drawn[fits]
        missing = missing[~fits]
    values = np.concatenate([points, 1 - points, np.zeros((count, 1))], 1)
    return torch.tensor(LATEST * values[:, :, None], dtype=torch.float32), torch.tensor(labels)


def picture(losses, accuracies, path):
    """The curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(losses)
    left.set(xlabel="epoch", ylabel="loss")
    right.plot([100 * (1 - accuracy) for accuracy in accuracies])
    right.set(xlabel="epoch", ylabel="error on the test set (%)", yscale="log")
    figure.savefig(path)


def main(epochs=40, hidden=200, samples=5000, tests=1000, seed=0, path="yin_yang.png"):
    """The share of the test points that is classified well."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    times, labels = yin_yang(samples, 42)
    test_times, test_labels = yin_yang(tests, 40)
    net = torch.nn.Sequential(EventLIF(5, hidden, P, mean=10.0, std=3.0), EventLI(hidden, 3, LI))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses, accuracies = [], []
    with tqdm(range(epochs), unit="epoch") as bar:
        for _ in bar:
            total = 0.0
            for batch in torch.randperm(samples).split(100):
                spikes = net[0](times[batch])  # (batch, hidden, spikes)
                loss = torch.nn.functional.cross_entropy(4.0 * net[1](spikes), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                push_silent(net[0].weights, spikes, 0.05)
                total += loss.item() * len(batch) / samples
            schedule.step()
            with torch.no_grad():
                accuracy = (net(test_times).argmax(1) == test_labels).double().mean().item()
            losses.append(total)
            accuracies.append(accuracy)
            bar.set_postfix(loss=f"{total:.4f}", accuracy=f"{100 * accuracy:.1f} %")
    print(f"accuracy on {tests} test points: {100 * accuracies[-1]:.1f} % after {time.perf_counter() - began:.0f} s")
    if importlib.util.find_spec("matplotlib"):
        picture(losses, accuracies, path)
    return accuracies[-1]


if __name__ == "__main__":
    main()
