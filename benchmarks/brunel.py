"""Brunel's balanced random network with delta synapses, 10,000 neurons and as many million synapses."""

from __future__ import annotations

import click

from benchmarks.report import Report
from benchmarks.simulators import Plan, compare, label, table

NAME = "brunel"
PEERS: tuple[str, ...] = ("nest", "brian2", "brian2-cpp")
OPTIONS = [
    click.Option(["--neurons"], type=int, default=10_000, show_default=True),
    click.Option(["--threads"], type=int, default=1, show_default=True),
    click.Option(["--duration"], type=float, default=1000.0, show_default=True, help="ms of each run"),
    click.Option(["--warm-up"], type=float, default=200.0, show_default=True, help="ms before the first one"),
]


def measure(
    *, neurons: int, threads: int, duration: float, warm_up: float, repeats: int, peers: tuple[tuple[str, str], ...] = ()
) -> Report:
    """Run it; see the module."""
    plan = Plan(NAME, {"neurons": neurons}, duration, warm_up, repeats, (threads,), peers)
    results = compare(plan)
    count = results["built"][label(threads)]["synapses"]
    title = f"Brunel: {neurons:,} neurons, {count:,} synapses, {threads} thread{'s' * (threads > 1)}"
    return Report(plan.plain(), results, [table(title, results)])
