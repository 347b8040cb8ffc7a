"""How time and memory grow with neurons and with synapses, over three decades, each size in a fresh process.

Exponents are slopes of a least-squares line through the logarithms: 1 means proportional. Fixed costs make the slope over all sizes
smaller than that of the last decade, so that both are given. Memory is the peak of a process beyond what it held before building;
sizes that need less than a few MiB reuse what the process has, and are left out of its line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from benchmarks.pairs import median
from benchmarks.process import Child, say
from benchmarks.report import Report, Table
from benchmarks.silence import values
from eventsim.table import bytes_text

NAME = "growth"
PEERS: tuple[str, ...] = ()
QUANTITIES = {"built_s": 0.0, "run_s": 0.0, "memory": 4 * 2**20}
"""What is fitted, and below which a value says nothing."""
OPTIONS = [
    click.Option(["--neurons"], default="1000,10000,100000,1000000", show_default=True, help="Sizes, at --fixed-degree."),
    click.Option(["--fixed-degree"], type=int, default=50, show_default=True, help="Synapses of a neuron while neurons grow."),
    click.Option(["--degrees"], default="10,100,1000,10000", show_default=True, help="Synapses of a neuron, at --fixed-neurons."),
    click.Option(["--fixed-neurons"], type=int, default=10_000, show_default=True, help="Neurons while synapses grow."),
    click.Option(["--threads"], type=int, default=1, show_default=True),
    click.Option(["--duration"], type=float, default=100.0, show_default=True, help="ms of each run"),
]


def exponent(sizes: Sequence[float], measured: Sequence[float], least: float = 0.0) -> float | None:
    """The slope of a least-squares line through the logarithms of what is above ``least``; None with fewer than two points."""
    points = [(np.log(size), np.log(value)) for size, value in zip(sizes, measured, strict=True) if value > least]
    return float(np.polyfit(*zip(*points, strict=True), 1)[0]) if len(points) > 1 else None


def one_size(neurons: int, in_degree: int, threads: int, duration: float, repeats: int) -> dict[str, Any]:
    """Build and run one size in a process of its own; the median of several runs."""
    say(f"{neurons:,} neurons, {neurons * in_degree:,} synapses ...")
    parameters = {"neurons": neurons, "in_degree": in_degree}
    request = {"network": "uniform", "parameters": parameters, "threads": threads, "update": "auto", "dtype": "float32", "seed": 1}
    request["forget_peak"] = True
    with Child("eventsim", [sys.executable, "-m", "benchmarks.engine"]) as child:
        built = child.ask({"build": request})
        child.ask({"run_ms": 20.0})
        runs = [child.ask({"run_ms": duration}) for _ in range(repeats)]
    return {
        "neurons": neurons,
        "synapses": built["synapses"],
        "built_s": built["built_s"],
        "run_s": median([run["wall_s"] for run in runs]),
        "memory": runs[-1]["memory"] - built["memory_before"],
        "built": built,
        "runs": runs,
    }


def series(points: list[dict[str, Any]], by: str) -> dict[str, Any]:
    """The points of one series with the exponents over all sizes and over the last decade (the last two sizes)."""
    sizes = [point[by] for point in points]
    fitted = {}
    for quantity, least in QUANTITIES.items():
        measured = [point[quantity] for point in points]
        fitted[quantity] = {"all": exponent(sizes, measured, least), "last": exponent(sizes[-2:], measured[-2:], least)}
    return {"by": by, "points": points, "exponents": fitted}


def _table(title: str, found: dict[str, Any], duration: float) -> Table:
    rows = [
        (
            f"{p['neurons']:,}",
            f"{p['synapses']:,}",
            f"{p['built_s']:.3f}",
            f"{p['run_s']:.4f}",
            bytes_text(max(0, p["memory"])),
        )
        for p in found["points"]
    ]
    for which in ("all", "last"):
        exponents = [found["exponents"][quantity][which] for quantity in QUANTITIES]
        rows.append((f"exponent, {which}", "", *("~" if value is None else f"{value:.2f}" for value in exponents)))
    return Table(title, ("neurons", "synapses", "built (s)", f"{duration:g} ms (s)", "memory"), rows)


def measure(
    *, neurons: str, fixed_degree: int, degrees: str, fixed_neurons: int, threads: int, duration: float, repeats: int
) -> Report:
    """Run it; see the module."""
    sizes, counts = sorted(values(neurons, int, "--neurons")), sorted(values(degrees, int, "--degrees"))
    by_neurons = series([one_size(size, fixed_degree, threads, duration, repeats) for size in sizes], "neurons")
    by_synapses = series([one_size(fixed_neurons, degree, threads, duration, repeats) for degree in counts], "synapses")
    settings = {"neurons": sizes, "fixed_degree": fixed_degree, "degrees": counts, "fixed_neurons": fixed_neurons}
    settings |= {"threads": threads, "duration": duration, "repeats": repeats}
    tables = [
        _table(f"More neurons, {fixed_degree} synapses each", by_neurons, duration),
        _table(f"More synapses, {fixed_neurons:,} neurons", by_synapses, duration),
    ]
    return Report(settings, {"neurons": by_neurons, "synapses": by_synapses}, tables)
