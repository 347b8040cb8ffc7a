"""The cortical microcircuit: time, memory, building, rates; beside NEST, on several threads, beside a busy process.

RTF is wall time per biological time, after the warm-up.
"""

from __future__ import annotations

from typing import Any

import click

from benchmarks.networks import example
from benchmarks.pairs import median
from benchmarks.process import Failed
from benchmarks.report import Report, Table
from benchmarks.simulators import Plan, compare, label, table
from eventsim.table import bytes_text

NAME = "microcircuit"
PEERS: tuple[str, ...] = ("nest",)
OPTIONS = [
    click.Option(["--scale"], type=float, default=1.0, show_default=True, help="Share of neurons and in-degrees."),
    click.Option(["--drive"], type=click.Choice(["poisson", "dc"]), default="poisson", show_default=True),
    click.Option(["--weights"], type=click.Choice(["float16", "float32"]), default="float32", show_default=True),
    click.Option(["--threads"], default="2", show_default=True, help="Numbers of threads, run in turn: 1,2"),
    click.Option(["--busy"], is_flag=True, help="Also run the most threads beside a process that keeps a core busy."),
    click.Option(["--duration"], type=float, default=1000.0, show_default=True, help="ms of each run"),
    click.Option(["--warm-up"], type=float, default=500.0, show_default=True, help="ms before the first one"),
]


def numbers(text: str) -> tuple[int, ...]:
    """ "1,2" as numbers."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise Failed(f"--threads must be numbers above 0, such as 2 or 1,2, not {text!r}")
    return found


def population_rates(runs: list[dict[str, Any]], duration: float, chosen: Any) -> dict[str, dict[str, float]]:
    """Spikes/s of each population over all runs, and by how much they differ from the published ones."""
    found = {}
    for name, expected in zip(chosen.record, chosen.expected, strict=True):
        spikes = sum(run["spikes_of"][name] for run in runs)
        rate = spikes / (chosen.network.population(name).size * len(runs) * duration / 1000.0)
        found[name] = {"rate": rate, "published": expected, "deviation": rate / expected - 1.0}
    return found


def facts(results: dict[str, Any], threads: tuple[int, ...], duration: float) -> dict[str, dict[str, Any]]:
    """For each number of threads what the times and sizes amount to."""
    found = {}
    for count in threads:
        name = label(count)
        built, runs = results["built"][name], results["runs"][name]
        held = built["bytes"]["synapses"] + built["bytes"]["segments"]
        found[name] = {
            "synapses": built["synapses"],
            "bytes_per_synapse": held / built["synapses"],
            "peak_memory": runs[-1]["memory"],
            "peak_memory_per_synapse": runs[-1]["memory"] / built["synapses"],
            "kernels_s": built["kernels_s"],
            "built_s": built["built_s"],
            "built_with_kernels_s": built["kernels_s"] + built["built_s"],
            "synaptic_events_per_s_and_core": median([run["synaptic_events"] / run["wall_s"] / count for run in runs]),
            "neuron_steps_per_s_and_core": median([run["neuron_steps"] / run["wall_s"] / count for run in runs]),
            "ns_per_synaptic_event": median([1e9 * run["wall_s"] * count / max(1, run["synaptic_events"]) for run in runs]),
        }
    return found


def _facts_table(found: dict[str, dict[str, Any]]) -> Table:
    head = ("side", "kernels (s)", "built (s)", "bytes/synapse", "peak memory", "events/s and core", "core ns/event")
    rows = [
        (
            name,
            f"{fact['kernels_s']:.2f}",
            f"{fact['built_s']:.2f}",
            f"{fact['bytes_per_synapse']:.2f}",
            bytes_text(fact["peak_memory"]),
            f"{fact['synaptic_events_per_s_and_core']:.3g}",
            f"{fact['ns_per_synaptic_event']:.2f}",
        )
        for name, fact in found.items()
    ]
    return Table("Building, memory, work", head, rows)


def measure(
    *,
    scale: float,
    drive: str,
    weights: str,
    threads: str,
    busy: bool,
    duration: float,
    warm_up: float,
    repeats: int,
    peers: tuple[tuple[str, str], ...] = (),
) -> Report:
    """Run it; see the module."""
    parameters: dict[str, Any] = {"scale": scale} | ({} if drive == "poisson" else {"drive": drive})
    counts = numbers(threads)
    plan = Plan(NAME, parameters, duration, warm_up, repeats, counts, peers, busy)
    plan.settings["weight_dtype"] = weights
    results = compare(plan)
    chosen = example(NAME, parameters)
    results["facts"] = facts(results, counts, duration)
    results["populations"] = population_rates(results["runs"][label(counts[0])], duration, chosen)
    rows = [
        (name, f"{found['rate']:.3f}", f"{found['published']:.3f}", f"{100.0 * found['deviation']:+.1f} %")
        for name, found in results["populations"].items()
    ]
    synapses = results["facts"][label(counts[0])]["synapses"]
    title = f"Microcircuit, scale {scale:g}, {drive} drive: {chosen.network.size:,} neurons, {synapses:,} synapses"
    tables = [
        table(title, results),
        _facts_table(results["facts"]),
        Table("Rates", ("population", "spikes/s", "published", "deviation"), rows),
    ]
    notes = [
        *chosen.notes,
        "kernels: time until a small network of the same kind has made its first step (compiling, or loading what is on disk)",
    ]
    notes += [
        f"{name}: {1.0 / found['median']:.2f} times as fast as {label(counts[0])}"
        for name, found in ((pair.split(" / ")[0], found) for pair, found in results["ratios"].items())
        if name.startswith("eventsim")
    ]
    return Report(plan.plain(), results, tables, notes)
