"""Where the sparse update becomes the faster one: ``python docs/figures/updates.py`` (half a minute). Prints a table.

A population of LIF neurons receives one synapse each from a Poisson source, whose rate says which share of it is active in a step.
Microseconds of wall time a step, the least of five runs of 50 ms, after one that is not counted; one thread.
"""

from __future__ import annotations

import time

from eventsim import LIF, Network, OneToOne, PoissonSource, Population, Projection, Simulation

SIZES = (2_000, 20_000, 200_000)
SHARES = (1 / 3000, 1 / 1500, 1 / 700, 1 / 400, 1 / 200, 1 / 50)
DT, PIECE, REPEATS = 0.1, 50.0, 5  # ms, ms


def wall_time(size: int, share: float, update: str) -> float:
    """Microseconds a step."""
    neuron = LIF(tau_mem=20.0, tau_syn=5.0)
    network = Network(
        [Population("source", size, PoissonSource(1000.0 * share / DT)), Population("cells", size, neuron)],
        [Projection("source", "cells", OneToOne(), weight=0.2, delay=1.0)],
    )
    simulation = Simulation(network, DT, update=update, workers=1)
    simulation.run(PIECE)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        simulation.run(PIECE)
        times.append(time.perf_counter() - start)
    return 1e6 * min(times) * DT / PIECE


def main() -> None:
    """Print the table."""
    print(f"{'neurons':>9}  {'active share':>12}  {'dense (us)':>10}  {'sparse (us)':>11}  {'dense/sparse':>12}")
    for size in SIZES:
        for share in SHARES:
            dense, sparse = (wall_time(size, share, update) for update in ("dense", "sparse"))
            print(f"{size:>9,}  {f'1/{round(1 / share)}':>12}  {dense:10.2f}  {sparse:11.2f}  {dense / sparse:12.2f}")


if __name__ == "__main__":
    main()
