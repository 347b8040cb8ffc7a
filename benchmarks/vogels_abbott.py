"""The self-sustained network of Vogels and Abbott, 4,000 neurons, with currents (CUBA) or conductances (COBA).

As benchmarks 1 and 2 of Brette et al. (2007).
"""

from __future__ import annotations

from typing import Any

import click

from benchmarks.report import Report
from benchmarks.simulators import Plan, compare, label, table

NAME = "vogels-abbott"
PEERS: tuple[str, ...] = ("brian2", "brian2-cpp", "nest")
OPTIONS = [
    click.Option(["--neurons"], type=int, default=4000, show_default=True),
    click.Option(["--synapses"], type=click.Choice(["cuba", "coba"]), default="cuba", show_default=True),
    click.Option(["--delay"], type=float, default=0.1, show_default=True, help="ms; the usual ones are 0.1 and 0.8"),
    click.Option(["--threads"], type=int, default=1, show_default=True),
    click.Option(["--duration"], type=float, default=1000.0, show_default=True, help="ms of each run"),
    click.Option(["--warm-up"], type=float, default=200.0, show_default=True, help="ms before the first one"),
]


def measure(
    *,
    neurons: int,
    synapses: str,
    delay: float,
    threads: int,
    duration: float,
    warm_up: float,
    repeats: int,
    peers: tuple[tuple[str, str], ...] = (),
) -> Report:
    """Run it; see the module."""
    parameters: dict[str, Any] = {"neurons": neurons}
    parameters |= {} if synapses == "cuba" else {"synapses": synapses}
    parameters |= {} if delay == 0.1 else {"delay": delay}
    plan = Plan(NAME, parameters, duration, warm_up, repeats, (threads,), peers)
    results = compare(plan)
    count = results["built"][label(threads)]["synapses"]
    title = f"Vogels-Abbott, {synapses.upper()}, delay {delay:g} ms: {neurons:,} neurons, {count:,} synapses"
    notes = ["brian2-cpp is a program that is run anew each time: timed by itself after a warm-up in the same run"]
    named = [name for name, _ in peers]
    return Report(plan.plain(), results, [table(title, results)], notes if "brian2-cpp" in named else [])
