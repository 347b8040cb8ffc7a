"""The grid engine converges to the exact one: ``python docs/figures/convergence.py`` (a minute; needs the extra ``plot``).

One network for each model that runs in both: neurons that fire by themselves, each at a rate of its own, coupled weakly. It runs
on the grid with dt = 1, 1/2, ... 1/1024 ms and in continuous time, and the first spikes of every neuron are compared one by one.
Prints the order of the mean and of the largest distance: the slope of a straight line through their logarithms against that of dt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eventsim import FixedInDegree, Network, Population, Projection, Simulation, Spikes, Uniform
from eventsim.models import BUILT_IN
from eventsim.plot import COLORS, new_figure

TARGET = Path(__file__).with_name("convergence.png")
SIZE, DURATION, COMPARED = 300, 60.0, 2  # neurons, ms, spikes of each neuron
STEPS = tuple(2.0**-k for k in range(11))  # ms
REFRACTORY, DELAY = 2.0, 3.0  # ms, multiples of every step
DRIVEN = {"v_leak": (1.2, 2.0)}
CASES = {  # what makes neurons fire by themselves: parameters from .. to; and the weight of a synapse. Thresholds lie at 1.
    "IAF": ({"slope": (0.04, 0.1)}, 0.003),
    "IAFSubtract": ({"slope": (0.04, 0.1)}, 0.003),
    "LIFDelta": (DRIVEN, 0.003),
    "LIF": (DRIVEN, 0.01),
    "LIFResetAll": (DRIVEN, 0.01),
    "LIFSubtract": (DRIVEN, 0.01),
    "LIFExcInh": ({"v_leak": (1.5, 2.5)}, 0.01),
    "LIFAlpha": (DRIVEN, 0.01),
    "AdaLIF": ({"v_leak": (1.5, 2.5), "beta": (0.1, 0.1)}, 0.01),
    "LSNN": ({"v_leak": (1.5, 2.5), "beta": (0.1, 0.1)}, 0.01),
    "QIF": ({"drive": (1.0, 2.0)}, 0.003),
}
DRAWN = ("IAF", "LIFDelta", "LIF", "LIFAlpha", "AdaLIF", "QIF")


def network(name: str) -> Network:
    """Weakly coupled neurons of a model."""
    ranges, weight = CASES[name]
    neuron = BUILT_IN[name](refractory=REFRACTORY, **{field: np.linspace(*ends, SIZE) for field, ends in ranges.items()})
    return Network(
        [Population("cells", SIZE, neuron, initial={"v": Uniform(0.0, 0.9)})],
        [Projection("cells", "cells", FixedInDegree(10), weight=weight, delay=DELAY)],
    )


def spikes(chosen: Network, **how) -> list[np.ndarray]:
    """The spike times of each neuron, in ms."""
    found = Simulation(chosen, seed=1, record=[Spikes("cells")], **how).run(DURATION).spikes["cells"]
    return [found.times[found.neurons == neuron] for neuron in range(SIZE)]


def first(trains: Sequence[np.ndarray]) -> np.ndarray:
    """The spikes that are compared, (neurons, `COMPARED`)."""
    return np.array([times[:COMPARED] for times in trains])


def distances(name: str, steps: Sequence[float] = STEPS) -> np.ndarray:
    """How much later than in continuous time each spike comes on each grid, ms, (steps, neurons, `COMPARED`)."""
    chosen = network(name)
    exact = first(spikes(chosen, method="exact"))
    return np.array([first(spikes(chosen, dt=dt, dtype="float64")) - exact for dt in steps])


def order(steps: Sequence[float], distance: np.ndarray) -> float:
    """The power of dt that a distance goes with, by least squares: (steps,)."""
    return float(np.polyfit(np.log(steps), np.log(distance), 1)[0])


def main() -> None:
    """Draw the mean and the largest distances, and write the figure."""
    figure = new_figure(9.0, 3.8)
    mean_axes, largest_axes = figure.subplots(1, 2, sharex=True, sharey=True)
    print(f"{SIZE * COMPARED} spikes of each model\n{'':12}{'order of the mean':>18}{'of the largest':>16}{'mean / dt':>11}")
    for name in CASES:
        found = np.abs(distances(name)).reshape(len(STEPS), -1)
        mean, largest = found.mean(axis=1), found.max(axis=1)
        print(f"{name:12}{order(STEPS, mean):>18.3f}{order(STEPS, largest):>16.3f}{mean[-1] / STEPS[-1]:>11.2f}")
        if name in DRAWN:
            color = COLORS[DRAWN.index(name)]
            for axes, values in ((mean_axes, mean), (largest_axes, largest)):
                axes.loglog(STEPS, values, "o-", color=color, label=name, markersize=3.5, linewidth=1.0)
    for axes, title in ((mean_axes, "mean"), (largest_axes, "largest")):
        axes.loglog(STEPS, STEPS, "--", color="0.5", label="dt", linewidth=1.0)
        axes.set_xscale("log", base=2)
        axes.set_title(f"{title} distance of {SIZE * COMPARED} spikes (ms)", fontsize="medium")
        axes.set_xlabel("dt (ms)")
        axes.spines[["top", "right"]].set_visible(False)
    mean_axes.legend(frameon=False)
    figure.savefig(TARGET, dpi=80)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
