"""What ``eventsim run`` tells about a run: tables on the screen, files in a folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from eventsim.errors import SimulationError, StorageError
from eventsim.networks import Example
from eventsim.plot import raster, traces
from eventsim.recordings.file import save_recording
from eventsim.table import text_table


class Run(NamedTuple):
    """A finished run: ``before``, ``after`` are the counters around the counted time; built, wall in s, duration in ms."""

    example: Example
    recording: Any
    before: Any
    after: Any
    duration: float
    built: float
    wall: float

    def counted(self, name: str) -> int:
        """How much a counter grew."""
        return getattr(self.after, name) - getattr(self.before, name)


class Rate(NamedTuple):
    """One population: ``active`` neurons fired at least once; ``rate`` in spikes/s per neuron."""

    population: str
    neurons: int
    spikes: int
    active: int
    rate: float


def rates(run: Run) -> list[Rate]:
    """The rates of the recorded populations over the counted time."""
    rows = []
    for name in run.example.record:
        data, size = run.recording.spikes[name], run.example.network.population(name).size
        spikes = len(data.times)
        rows.append(Rate(name, size, spikes, len(np.unique(data.neurons)), 1000.0 * spikes / (size * run.duration)))
    return rows


def print_report(run: Run) -> None:
    """Rates, activity, work and time, on the screen."""
    rows = rates(run)
    expected = run.example.expected
    head = ["population", "neurons", "spikes", "active", "spikes/s"] + (["expected", "deviation"] if expected else [])
    table = [[row.population, f"{row.neurons:,}", f"{row.spikes:,}", f"{row.active:,}", f"{row.rate:.3f}"] for row in rows]
    for line, row, value in zip(table, rows, expected, strict=False):
        line += [f"{value:.3f}", f"{100.0 * (row.rate / value - 1.0):+.1f} %" if value else "-"]
    click.echo()
    click.echo(text_table(head, table))
    click.echo()
    seconds = run.duration / 1000.0
    spikes, active = sum(row.spikes for row in rows), sum(row.active for row in rows)
    updates, possible = run.counted("updates"), run.counted("neuron_steps")
    facts = [
        ("spikes per biological second", f"{spikes / seconds:,.0f}"),
        ("neurons that fired", f"{active:,} of {sum(row.neurons for row in rows):,}"),
        ("synaptic events", f"{run.counted('synaptic_events'):,}"),
        ("neuron updates", f"{updates:,}" + (f" ({100.0 * updates / possible:.3g} % of neurons x steps)" if possible else "")),
        ("building, with compiling", f"{run.built:.2f} s"),
        ("simulating", f"{run.wall:.2f} s for {seconds:g} s: {run.wall / seconds:.2f} s per biological second"),
    ]
    width = max(len(name) for name, _ in facts)
    for name, fact in facts:
        click.echo(f"  {name.ljust(width)}  {fact}")


def make_folder(folder: Path) -> Path:
    """Make the folder for the results; a clear error where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--output: the folder {str(folder)!r} cannot be made ({error.strerror})") from error
    return folder


def write_results(run: Run, folder: Path) -> None:
    """Spikes and states, rates, numbers and pictures into ``folder``, and say where they are."""
    written = [name for name in ("recording.h5",) if (folder / name).exists()]
    if not written:
        save_recording(run.recording, folder / "spikes.npz")
        written = ["spikes.npz"]
    rows = rates(run)
    with open(folder / "rates.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("population", "neurons", "spikes", "active_neurons", "rate_spikes_per_s"))
        writer.writerows(row._replace(rate=round(row.rate, 6)) for row in rows)
    counters = {name: run.counted(name) for name in run.after._fields}
    results = {
        "network": run.example.name,
        "notes": run.example.notes,
        "dt_ms": run.example.dt,
        "duration_ms": run.duration,
        "wall_s": run.wall,
        "build_s": run.built,
        "counters": counters,
        "populations": [row._asdict() for row in rows],
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1, default=float) + "\n")
    written += ["rates.csv", "results.json"]
    try:
        raster(run.recording, run.example.network, folder / "raster.png", title=f"{run.example.name}: spikes and rates")
        written.append("raster.png")
        for name in run.recording.states:
            traces(run.recording, run.example.network, name, folder / f"states-{name}.png")
            written.append(f"states-{name}.png")
    except SimulationError as error:
        click.echo(f"no picture: {error}", err=True)
    click.echo(f"\nwritten to {folder}: {', '.join(written)}")
