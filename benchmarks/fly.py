"""The fruit fly's brain on its connectome, sugar neurons stimulated: wall time of a biological second on one thread."""

from __future__ import annotations

import click

from benchmarks.networks import CONNECTOME, data_file
from benchmarks.report import Report
from benchmarks.simulators import Plan, compare, label, table

NAME = "fly"
PEERS: tuple[str, ...] = ("brian2", "brian2-cpp")
OPTIONS = [
    click.Option(["--connectome"], metavar="FILE", help=f"The .npz.  [default: {CONNECTOME} in EVENTSIM_DATA]"),
    click.Option(["--duration"], type=float, default=1000.0, show_default=True, help="ms of each run"),
    click.Option(["--warm-up"], type=float, default=200.0, show_default=True, help="ms before the first one"),
]


def measure(
    *, connectome: str | None, duration: float, warm_up: float, repeats: int, peers: tuple[tuple[str, str], ...] = ()
) -> Report:
    """Run it; see the module."""
    path = data_file(connectome, CONNECTOME, "--connectome")
    plan = Plan(NAME, {"connectome": path}, duration, warm_up, repeats, (1,), peers)
    results = compare(plan)
    runs = results["runs"][label(1)]
    seconds = duration / 1000.0
    results["spikes_per_biological_s"] = {name: [run["spikes"] / seconds for run in done] for name, done in results["runs"].items()}
    results["share_updated"] = sum(run["updates"] for run in runs) / sum(run["neuron_steps"] for run in runs)
    built = results["built"][label(1)]
    title = f"Fly: {built['neurons']:,} neurons, {built['synapses']:,} synapses, one thread"
    notes = [f"{100.0 * results['share_updated']:.3g} % of neurons x steps were updated by eventsim"]
    notes += [
        f"spikes per biological second, {name}: {', '.join(f'{value:,.0f}' for value in values)}"
        for name, values in results["spikes_per_biological_s"].items()
    ]
    settings = {**plan.plain(), "parameters": {"connectome": CONNECTOME if connectome is None else "FILE"}}
    return Report(settings, results, [table(title, results)], notes)
