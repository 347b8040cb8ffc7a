"""How a rounding grows: ``python docs/figures/chaos.py`` (some seconds; needs the extra ``plot``). Prints its numbers.

Two exact runs of a network of 1,000 neurons, in one of which one given spike comes 1e-12 ms later: the largest distance between the
k-th spikes of the same neuron, in pieces of 2 ms. Layers, of which each drives the next one; weak coupling of neurons that fire by
themselves; strong balanced coupling. The rate is that of a straight line through the logarithm, below 1e-3 ms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eventsim import LIF, FixedInDegree, Network, Population, Projection, Simulation, Spikes, SpikeSource, Uniform
from eventsim.plot import new_figure

TARGET = Path(__file__).with_name("chaos.png")
DURATION, PIECE, MOVED, LARGE = 250.0, 2.0, 1e-12, 1e-3  # ms
SOURCES, RATE, EXCITATORY, INHIBITORY = 50, 0.2, 160, 40  # spikes/ms; neurons of a group
KINDS = {"layers": "#1f77b4", "weak": "#2ca02c", "strong": "#d62728"}
DELAY = Uniform(0.5, 1.0)


def group(name: str, size: int, drive: float) -> list[Population]:
    """Excitatory and inhibitory neurons, as two populations."""
    neuron = LIF(tau_mem=20.0, tau_syn=1.0, v_leak=drive, v_th=20.0, v_reset=10.0, refractory=2.0)
    sizes = {"e": size * EXCITATORY // (EXCITATORY + INHIBITORY), "i": size * INHIBITORY // (EXCITATORY + INHIBITORY)}
    return [Population(name + kind, n, neuron, initial={"v": Uniform(10.0, 20.0)}) for kind, n in sizes.items()]


def between(source: str, target: str, weight: float) -> list[Projection]:
    """From both populations of a group to both of another: 32 excitatory and 8 inhibitory synapses to each neuron."""
    parts = (("e", 32, weight), ("i", 8, -4.0 * weight))
    return [
        Projection(source + kind, target + other, FixedInDegree(n), weight=Uniform(*sorted((0.5 * w, 1.5 * w))), delay=DELAY)
        for kind, n, w in parts
        for other in "ei"
    ]


def network(kind: str, moved: float) -> Network:
    """One of the three; its first given spike comes so many ms later."""
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0.5, DURATION, round(SOURCES * RATE * DURATION)))
    numbers = rng.integers(0, SOURCES, len(times))
    times[0] += moved
    inputs = Population("inputs", SOURCES, SpikeSource(times, numbers))
    if kind == "layers":
        groups = [population for layer in range(5) for population in group(f"{layer}", 200, 12.0)]
        projections = [p for layer in range(4) for p in between(f"{layer}", f"{layer + 1}", 30.0)]
        first, outer = "0", 60.0
    else:
        groups = group("all", 1000, 24.0 if kind == "weak" else 18.0)
        projections = between("all", "all", 0.1 if kind == "weak" else 78.0)
        first, outer = "all", 78.0
    projections += [Projection("inputs", first + other, FixedInDegree(8), weight=outer, delay=DELAY) for other in "ei"]
    return Network([*groups, inputs], projections)


def spikes(kind: str, moved: float) -> dict[tuple[str, int], np.ndarray]:
    """The times of each neuron in ms."""
    made = network(kind, moved)
    names = [p.name for p in made.populations if p.name != "inputs"]
    found = Simulation(made, method="exact", seed=1, record=[Spikes(name) for name in names]).run(DURATION).spikes
    return {(name, j): found[name].times[found[name].neurons == j] for name in names for j in range(made.population(name).size)}


def distance(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Middles of the pieces in ms, and the largest distance in each in ms, 0 where there is none."""
    one, other = spikes(kind, 0.0), spikes(kind, MOVED)
    largest = np.zeros(round(DURATION / PIECE))
    for neuron, times in one.items():
        many = min(len(times), len(other[neuron]))
        apart = np.abs(times[:many] - other[neuron][:many])
        np.maximum.at(largest, np.minimum(times[:many] // PIECE, len(largest) - 1).astype(int), apart)
    return PIECE * (0.5 + np.arange(len(largest))), largest


def main() -> None:
    """Draw it and write the figure."""
    figure = new_figure(5.5, 3.5)
    axes = figure.subplots()
    for kind, color in KINDS.items():
        middle, largest = distance(kind)
        some = largest > 0.0
        axes.semilogy(middle[some], largest[some], ".-", color=color, label=kind, markersize=4, linewidth=1)
        small = some & (np.cumsum(largest >= LARGE) == 0)
        rate = np.polyfit(middle[small], np.log10(largest[small]), 1)[0] if small.sum() > 2 else 0.0
        print(f"{kind:7} {rate:7.3f} powers of ten per ms, {largest.max():.1e} ms at most")
    axes.axhline(1e-9, color="0.6", linestyle="--", linewidth=1)
    axes.set(xlabel="time (ms)", ylabel="distance of two runs (ms)", title="One input moved by 1e-12 ms")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(TARGET, dpi=90)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
