"""The figure of the README: ``python docs/figures/make.py`` (under a minute; needs the extra ``plot``). Prints its numbers.

Left: the cortical microcircuit at a tenth of its size. Right: what silent neurons cost. A core of 1,000 neurons is driven by
100 sources; neurons without a synapse are added. Wall time of one biological second, the least of five runs of 200 ms, after
one that is not counted; one thread.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from eventsim import LIF, FixedProbability, Network, PoissonSource, Population, Projection, Simulation, Spikes
from eventsim.networks import microcircuit
from eventsim.plot import new_figure, raster

TARGET = Path(__file__).with_name("overview.png")
SILENT = (0, 1_000, 10_000, 100_000, 1_000_000)
WAYS = {"dense": ("#d62728", "s-"), "sparse": ("#1f77b4", "o-"), "auto": ("0.4", "x:")}
SECOND, PIECE, REPEATS = 1000.0, 200.0, 5  # ms, ms


def network_with_silent(silent: int) -> Network:
    """A core of 1,000 neurons that fire at a few spikes/s, and ``silent`` neurons of the same kind that nothing reaches."""
    neuron = LIF(tau_mem=20.0, tau_syn=5.0, v_leak=-60.0, v_th=-50.0, v_reset=-60.0, refractory=2.0)
    populations = [Population("source", 100, PoissonSource(10.0)), Population("core", 1000, neuron)]
    if silent:
        populations.append(Population("silent", silent, neuron))
    projections = [
        Projection("source", "core", FixedProbability(0.1), weight=12.0, delay=1.0),
        Projection("core", "core", FixedProbability(0.05), weight=0.5, delay=1.5),
    ]
    return Network(populations, projections)


def wall_time(silent: int, way: str) -> tuple[float, str]:
    """Seconds of wall time for a biological second, and a line about the run."""
    simulation = Simulation(network_with_silent(silent), dt=0.1, seed=1, update=way, workers=1)
    simulation.run(PIECE)
    before, times = simulation.counters, []
    for _ in range(REPEATS):
        start = time.perf_counter()
        simulation.run(PIECE)
        times.append(time.perf_counter() - start)
    after = simulation.counters
    seconds = min(times) * SECOND / PIECE
    updates, spikes = after.updates - before.updates, after.spikes - before.spikes
    return seconds, f"{silent:>9,} silent  {way:6}  {seconds:8.3f} s  {updates:>13,} updates  {spikes:,} spikes"


def draw_silent(axes) -> None:
    """Wall time against the number of silent neurons."""
    for way, (color, style) in WAYS.items():
        seconds = []
        for silent in SILENT:
            value, line = wall_time(silent, way)
            print(line)
            seconds.append(value)
        axes.loglog(np.maximum(SILENT, 300), seconds, style, color=color, label=way, markersize=5)
    axes.set_xticks([300, *SILENT[1:]], ["0", "1 k", "10 k", "100 k", "1 M"])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.set_xlabel("silent neurons added")
    axes.set_ylabel("wall time of a biological second (s)")
    axes.set_title("What silent neurons cost", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="update")


def main() -> None:
    """Draw both halves and write the figure."""
    figure = new_figure(10.0, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    example = microcircuit(scale=0.1)
    simulation = Simulation(example.network, example.dt, record=[Spikes(name) for name in example.record])
    simulation.run(200.0)
    recording = simulation.run(300.0)
    raster(recording, example.network, axes=left, max_neurons=1000)
    left.set_yticks(left.get_yticks(), [label.get_text().split("\n")[0] for label in left.get_yticklabels()])
    left.set_title("Spikes of the cortical microcircuit, scale 0.1", fontsize="medium")
    draw_silent(right)
    figure.savefig(TARGET, dpi=90)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
