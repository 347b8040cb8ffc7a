"""What silence costs: run time against the number of silent neurons, and against the share of neurons that receive input in a step.

The second table compares update="dense", "sparse" and "auto" in turn, each after a run in which auto settles; the last column is
auto's time relative to the better of the other two. Neurons receive weak input and do not fire; sources fire at given times, so
that next to nothing but updates and deliveries is timed. One thread.
"""

from __future__ import annotations

import time
from typing import Any

import click
import numpy as np

from benchmarks.pairs import in_turn, median, ratio
from benchmarks.process import Failed, say
from benchmarks.report import Report, Table
from eventsim import LIF, Connectivity, FixedProbability, Network, PoissonSource, Population, Projection, Simulation, SpikeSource

NAME = "silence"
PEERS: tuple[str, ...] = ()
DT = 0.1  # ms
UPDATES = ("dense", "sparse", "auto")
BLOCKS = 10_000  # sources, each of which reaches a ten-thousandth of the neurons
PIECE = {"events": 1_000_000, "least": 400, "most": 2000}  # spikes of sources in a timed run; its steps
SETTLE = 512  # steps before the first timed run, at least: auto has then decided seven times
OPTIONS = [
    click.Option(["--silent"], default="100000,1000000", show_default=True, help="Numbers of silent neurons."),
    click.Option(["--neurons"], default="20000,200000", show_default=True, help="Sizes of the population of the sweep."),
    click.Option(
        ["--activity"],
        default="0.0001,0.0003,0.001,0.002,0.005,0.01,0.03,0.1,0.5",
        show_default=True,
        help="Shares of the neurons that receive something in a step.",
    ),
    click.Option(["--duration"], type=float, default=2000.0, show_default=True, help="ms of each run beside silent neurons"),
]


def values(text: str, kind: type, option: str) -> list[Any]:
    """Numbers separated by commas."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) <= 0:
        raise Failed(f"{option} must be numbers above 0, separated by commas, not {text!r}")
    return found


def beside_silence(silent: int) -> Network:
    """A core of 1,000 neurons that fire at a few spikes/s, and ``silent`` neurons of the same kind that nothing reaches."""
    neuron = LIF(tau_mem=20.0, tau_syn=5.0, v_leak=-60.0, v_th=-50.0, v_reset=-60.0, refractory=2.0)
    return Network(
        [Population("source", 100, PoissonSource(10.0)), Population("core", 1000, neuron), Population("silent", silent, neuron)],
        [
            Projection("source", "core", FixedProbability(0.1), weight=12.0, delay=1.0),
            Projection("core", "core", FixedProbability(0.05), weight=0.5, delay=1.5),
        ],
    )


def reached(neurons: int, activity: float, steps: int, seed: int = 1) -> Network:
    """``neurons`` neurons of which a share of ``activity`` receives one input in each of ``steps`` steps.

    The weight keeps the mean voltage at half the threshold, or is 1 (a sixth of it at the peak) where input is rarer.
    """
    random = np.random.default_rng(seed)
    blocks = min(BLOCKS, neurons)
    order = random.permutation(neurons)
    indptr = np.linspace(0, neurons, blocks + 1).astype(np.int64)
    count = max(1, round(activity * blocks))
    fired = np.concatenate([random.choice(blocks, count, replace=False) for _ in range(steps)])
    times = np.repeat(np.arange(1, steps + 1) * DT, count)
    weight = min(1.0, 0.5 / (activity / DT * 5.0))
    source = Population("source", blocks, SpikeSource(times, fired))
    cells = Population("cells", neurons, LIF(tau_mem=20.0, tau_syn=5.0))
    connectivity = Connectivity(indptr, order, None, None, neurons)
    return Network([source, cells], [Projection("source", "cells", connectivity, weight=weight, delay=DT)])


def timed(simulation: Simulation, ms: float) -> float:
    """Seconds of wall time of a run."""
    begin = time.perf_counter()
    simulation.run(ms)
    return time.perf_counter() - begin


def silent_neurons(numbers: list[int], duration: float, repeats: int) -> dict[str, Any]:
    """Times beside each number of silent neurons, in turn, and ratios to the first."""
    sides = {}
    for silent in numbers:
        say(f"building a core beside {silent:,} silent neurons ...")
        simulation = Simulation(beside_silence(silent), DT, seed=1, workers=1)
        simulation.run(200.0)
        sides[str(silent)] = lambda simulation=simulation: timed(simulation, duration)
    times = in_turn(sides, repeats)
    first = str(numbers[0])
    return {
        "wall_s": times,
        "median_s": {silent: median(walls) for silent, walls in times.items()},
        "ratios": {
            f"{silent} / {first}": ratio(walls, times[first])._asdict() for silent, walls in times.items() if silent != first
        },
    }


def piece(neurons: int, activity: float) -> int:
    """Steps of a timed run: many where little happens."""
    return int(np.clip(PIECE["events"] / max(1.0, activity * min(BLOCKS, neurons)), PIECE["least"], PIECE["most"]))


def activity_point(neurons: int, activity: float, repeats: int) -> dict[str, Any]:
    """All updates at one size and activity, in turn; microseconds a step."""
    steps = piece(neurons, activity)
    settle = max(SETTLE, steps)
    network = reached(neurons, activity, settle + repeats * steps)
    simulations = {update: Simulation(network, DT, seed=1, update=update, workers=1) for update in UPDATES}
    for simulation in simulations.values():
        simulation.run(settle * DT)
    before = simulations["sparse"].counters
    sides = {name: lambda simulation=simulation: timed(simulation, steps * DT) for name, simulation in simulations.items()}
    times = in_turn(sides, repeats)
    after = simulations["sparse"].counters
    better = [min(dense, sparse) for dense, sparse in zip(times["dense"], times["sparse"], strict=True)]
    medians = {name: median(walls) for name, walls in times.items()}
    best = min(("dense", "sparse"), key=medians.__getitem__)
    return {
        "neurons": neurons,
        "activity": activity,
        "steps": steps,
        "wall_s": times,
        "us_per_step": {name: 1e6 * wall / steps for name, wall in medians.items()},
        "updates_share": (after.updates - before.updates) / (after.neuron_steps - before.neuron_steps),
        "auto_is": simulations["auto"].update_modes()["cells"],
        "better": best,
        "auto / better": ratio(times["auto"], times[best])._asdict(),
        "auto / least of each pair": ratio(times["auto"], better)._asdict(),
    }


def _tables(beside: dict[str, Any], points: list[dict[str, Any]]) -> list[Table]:
    rows = []
    for number, (silent, seconds) in enumerate(beside["median_s"].items()):
        found = [r["median"] for pair, r in beside["ratios"].items() if pair.startswith(f"{silent} / ")]
        rows.append((f"{int(silent):,}", f"{1000.0 * seconds:.2f}", "1" if number == 0 else f"{found[0]:.3f}"))
    sweep = [
        (
            f"{point['neurons']:,}",
            f"{100.0 * point['activity']:.4g} %",
            *(f"{point['us_per_step'][update]:.2f}" for update in UPDATES),
            point["auto_is"],
            f"{point['auto / better']['median']:.3f}",
        )
        for point in points
    ]
    return [
        Table("An active core beside silent neurons", ("silent neurons", "run (ms)", "to the first"), rows),
        Table(
            "Activity: microseconds a step",
            ("neurons", "receive in a step", *UPDATES, "auto settled on", "auto / better"),
            sweep,
        ),
    ]


def measure(*, silent: str, neurons: str, activity: str, duration: float, repeats: int) -> Report:
    """Run it; see the module."""
    numbers, sizes, shares = (
        values(silent, int, "--silent"),
        values(neurons, int, "--neurons"),
        values(activity, float, "--activity"),
    )
    if max(shares) > 1.0:
        raise Failed(f"--activity must be shares of the neurons, at most 1, not {max(shares)}")
    beside = silent_neurons(numbers, duration, repeats)
    points = []
    for size in sizes:
        for share in shares:
            say(f"{size:,} neurons, {100.0 * share:g} % active ...")
            points.append(activity_point(size, share, repeats))
    worst = max(points, key=lambda point: point["auto / better"]["median"])
    results = {"silent": beside, "activity": points, "worst": {k: worst[k] for k in ("neurons", "activity", "auto / better")}}
    settings = {"silent": numbers, "neurons": sizes, "activity": shares, "duration": duration, "repeats": repeats, "dt": DT}
    where = f"{worst['neurons']:,} neurons, {100.0 * worst['activity']:g} % active"
    note = f"worst auto: {worst['auto / better']['median']:.3f} times the better of dense and sparse, at {where}"
    return Report(settings, results, _tables(beside, points), [note])
