"""The exact engine: events/s on one core in balanced networks, beside NEST's precise models, and what an event costs as networks
grow.

An event is a spike that reaches a synapse. Neurons are driven above their threshold by a constant current and balanced by
inhibition; they fire irregularly at some 20 spikes/s. Where drives are spread few are above it, and the same network is less
active, at some 2 and 0.2 spikes/s. Everything runs on one thread. With ``--noise`` a neuron has Poisson input besides.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from benchmarks.growth import exponent
from benchmarks.pairs import median
from benchmarks.process import Child, Failed, say
from benchmarks.report import Report, Table
from benchmarks.silence import values
from benchmarks.simulators import Plan, compare, label, table
from eventsim.table import bytes_text

NAME = "exact"
PEERS: tuple[str, ...] = ("nest",)
SYNAPSES = ("delta", "exponential")
OPTIONS = [
    click.Option(["--neurons"], type=int, default=10_000, show_default=True, help="Of the networks beside NEST."),
    click.Option(["--in-degree"], type=int, default=100, show_default=True, help="Synapses of a neuron."),
    click.Option(["--noise"], type=float, default=0.0, show_default=True, help="Poisson input of a neuron, spikes/s."),
    click.Option(
        ["--drives"], default="22:0,10:11.5,10:10.05", show_default=True, help="mV and their spread, of the networks beside NEST."
    ),
    click.Option(["--sizes"], default="1000,10000,100000,1000000", show_default=True, help="Neurons, for the cost of an event."),
    click.Option(["--duration"], type=float, default=200.0, show_default=True, help="ms of each run"),
    click.Option(["--warm-up"], type=float, default=100.0, show_default=True, help="ms before the first one"),
    click.Option(["--most-events"], type=float, default=2e7, show_default=True, help="A run of large networks is so short."),
]
RATE = 20.0  # spikes/s of a neuron, about, by which the length of a run is chosen


def drives_of(text: str) -> list[tuple[float, float]]:
    """``MV:SPREAD,...`` as pairs."""
    try:
        return [(float(drive), float(spread)) for drive, spread in (pair.split(":") for pair in text.split(","))]
    except ValueError as error:
        raise Failed(f"--drives {text}: give pairs MV:SPREAD with commas between them") from error


def one_activity(plan: Plan) -> dict[str, Any]:
    """A network beside its peers, with events in a second."""
    found = compare(plan)
    runs = found["runs"][label(1)]
    for name, clock in (("events_per_s", "wall_s"), ("events_per_cpu_s", "cpu_s")):
        found[name] = median([run["synaptic_events"] / run[clock] for run in runs])
    return found


def one_size(neurons: int, synapses: str, in_degree: int, noise: float, duration: float, repeats: int) -> dict[str, Any]:
    """Build and run one size in a process of its own; ns of an event, the median of several runs."""
    say(f"{neurons:,} neurons, {synapses} ...")
    parameters = {"neurons": neurons, "in_degree": in_degree, "synapses": synapses, "noise": noise}
    request = {"network": "balanced", "parameters": parameters, "threads": 1, "method": "exact", "seed": 1, "forget_peak": True}
    with Child("eventsim", [sys.executable, "-m", "benchmarks.engine"]) as child:
        built = child.ask({"build": request})
        child.ask({"run_ms": 20.0})
        runs = [child.ask({"run_ms": duration}) for _ in range(repeats)]
    return {
        "neurons": neurons,
        "synapses": built["synapses"],
        "built_s": built["built_s"],
        "ns_per_event": median([1e9 * run["wall_s"] / run["synaptic_events"] for run in runs]),
        "cpu_ns_per_event": median([1e9 * run["cpu_s"] / run["synaptic_events"] for run in runs]),
        "rate": sum(run["spikes"] for run in runs) / (repeats * duration / 1000.0 * neurons),
        "duration": duration,
        "memory": runs[-1]["memory"] - built["memory_before"],
        "built": built,
        "runs": runs,
    }


def _growth_table(synapses: str, points: list[dict[str, Any]], slope: float | None) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            f"{p['neurons']:,}",
            f"{p['synapses']:,}",
            f"{p['built_s']:.2f}",
            bytes_text(max(0, p["memory"])),
            f"{p['rate']:.1f}",
            f"{p['ns_per_event']:.1f}",
            f"{p['cpu_ns_per_event']:.1f}",
        )
        for p in points
    ]
    rows.append(("exponent", "", "", "", "", "", "~" if slope is None else f"{slope:.2f}"))
    head = ("neurons", "synapses", "built (s)", "memory", "spikes/s", "ns/event", "ns/event of processor time")
    return Table(f"What an event costs, {synapses} synapses", head, rows)


def measure(
    *,
    neurons: int,
    in_degree: int,
    noise: float,
    drives: str,
    sizes: str,
    duration: float,
    warm_up: float,
    most_events: float,
    repeats: int,
    peers: tuple[tuple[str, str], ...] = (),
) -> Report:
    """Run it; see the module."""
    counts = sorted(values(sizes, int, "--sizes"))
    results: dict[str, Any] = {}
    tables: list[Table] = []
    for synapses in SYNAPSES:
        activities = []
        for drive, spread in drives_of(drives):
            parameters = {"neurons": neurons, "in_degree": in_degree, "synapses": synapses, "noise": noise}
            parameters |= {"drive": drive, "spread": spread}
            plan = Plan("balanced", parameters, duration, warm_up, repeats, (1,), peers, settings={"method": "exact", "seed": 1})
            beside = one_activity(plan)
            activities.append({"drive": drive, "spread": spread, **beside})
            title = f"{neurons:,} neurons, {in_degree} synapses each, {synapses}, {drive:g} +- {spread:g} mV"
            speed = f"{beside['events_per_s'] / 1e6:.1f} million events/s, {beside['events_per_cpu_s'] / 1e6:.1f} of processor time"
            tables.append(table(f"{title}: {speed}", beside))
        found = {"activities": activities}
        points = []
        for count in counts:
            events = count * in_degree * (RATE + noise / in_degree) / 1000.0  # in a ms
            points.append(one_size(count, synapses, in_degree, noise, min(duration, most_events / events), repeats))
        found["growth"] = points
        found["exponent"] = exponent([p["neurons"] for p in points], [p["cpu_ns_per_event"] for p in points])
        tables.append(_growth_table(synapses, points, found["exponent"]))
        results[synapses] = found
    settings = {"neurons": neurons, "in_degree": in_degree, "noise": noise, "drives": drives, "sizes": counts, "duration": duration}
    settings |= {"warm_up": warm_up, "most_events": most_events, "repeats": repeats, "peers": [name for name, _ in peers]}
    return Report(settings, results, tables)
