"""Dense, sparse and auto against activity: ``python docs/figures/updates.py`` (some minutes). Prints a table.

A population of LIF neurons at rest receives spikes of Poisson sources, whose rate says which share of it is active in a step:
one source for each neuron, or one for each 20 with 20 synapses at random. Microseconds of processor time a step, one thread:
in the settled state, the least of several runs in turn, and over one second from the very start, each update alone (the last
ratio; run once, so that it shows what else the machine does).

``--dtype float64``, ``--sizes 2000,20000``, ``--weight 1.0`` (with which neurons fire and are predicted to) as wanted.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from eventsim import LIF, FixedOutDegree, Network, OneToOne, PoissonSource, Population, Projection, Simulation, SpikeSource

SHARES = (1e-4, 1e-3, 3e-3, 6e-3, 1e-2, 2e-2, 5e-2, 0.2, 0.5)
DT, SECOND, REPEATS, FAN_OUT = 0.1, 1000.0, 5, 20  # ms


def driven(size: int, share: float, rule: str, weight: float) -> Network:
    """The population and what drives it."""
    fan_out = 1 if rule == "one-to-one" else FAN_OUT
    sources = size // fan_out
    return Network(
        [
            Population("source", sources, PoissonSource(1000.0 * share / DT * size / (sources * fan_out))),
            Population("cells", size, LIF(tau_mem=20.0, tau_syn=5.0)),
        ],
        [Projection("source", "cells", OneToOne() if fan_out == 1 else FixedOutDegree(fan_out), weight=weight, delay=1.0)],
    )


def time_a_step(simulation: Simulation, duration: float) -> float:
    """Microseconds of processor time."""
    start = time.thread_time()
    simulation.run(duration)
    return 1e6 * (time.thread_time() - start) * DT / duration


def compile_all(dtype: str) -> None:
    """Have every kernel ready: a burst that nobody has announced makes auto turn from sparse to dense."""
    cells = Population("cells", 2000, LIF(tau_mem=20.0, tau_syn=5.0))
    network = Network(
        [Population("source", 2000, SpikeSource()), cells], [Projection("source", "cells", OneToOne(), weight=0.02, delay=1.0)]
    )
    burst = np.ones((500, 2000), np.uint8)
    simulation = Simulation(network, DT, workers=1, dtype=dtype, spikes={"source": burst})
    simulation.run(50.0)
    assert simulation.update_modes()["cells"] == "dense"


def measure(size: int, share: float, rule: str, weight: float, dtype: str) -> tuple[dict[str, float], float, str]:
    """Time a step of each update, auto from its start on over the better of both, and what auto has chosen."""
    network = driven(size, share, rule, weight)
    simulations = {update: Simulation(network, DT, update=update, workers=1, dtype=dtype) for update in ("dense", "sparse", "auto")}
    whole = {update: time_a_step(simulation, SECOND) for update, simulation in simulations.items()}
    with_start = whole["auto"] / min(whole["dense"], whole["sparse"])
    piece = min(200.0, max(5.0, round(DT * 3e4 / (1.0 + 4e-4 * size + 0.15 * size * share))))
    times: dict[str, list[float]] = {update: [] for update in simulations}
    for _ in range(REPEATS):
        for update, simulation in simulations.items():
            times[update].append(time_a_step(simulation, piece))
    return {update: min(found) for update, found in times.items()}, with_start, simulations["auto"].update_modes()["cells"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2000,20000,200000")
    parser.add_argument("--weight", type=float, default=0.02)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rule", default="one-to-one,random")
    given = parser.parse_args()
    compile_all(given.dtype)
    measure(2000, 0.001, "random", given.weight, given.dtype)
    print("synapses    neurons   share   dense (us)  sparse (us)  auto (us)  dense/sparse  auto/best  with start  chosen")
    for rule in given.rule.split(","):
        for size in map(int, given.sizes.split(",")):
            for share in SHARES:
                found, start, mode = measure(size, share, rule, given.weight, given.dtype)
                best = min(found["dense"], found["sparse"])
                print(
                    f"{rule:10} {size:>8,} {100 * share:6.2f} % "
                    f"{found['dense']:11.2f} {found['sparse']:12.2f} {found['auto']:10.2f} "
                    f"{found['dense'] / found['sparse']:13.2f} {found['auto'] / best:10.2f} {start:11.2f}  {mode}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
