"""A long run with all spikes recorded to a file: whether memory stays flat, how large the file is, and what writing costs.

One biological hour of a sparse balanced network, in one call of ``run``. What writing costs is measured apart from it: the same
network records to a file and in memory, in turn, each in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.pairs import in_turn, median, ratio
from benchmarks.process import Child, Failed, say
from benchmarks.report import Report, Table
from eventsim.table import bytes_text

NAME = "long"
PEERS: tuple[str, ...] = ()
COMMAND = [sys.executable, "-m", "benchmarks.recorded"]
MINUTE = 60_000.0  # ms; memory is compared with that after the first one
SHOWN = (1.0, 5.0, 15.0, 30.0, 60.0)  # biological minutes
OPTIONS = [
    click.Option(["--neurons"], type=int, default=1000, show_default=True),
    click.Option(["--threads"], type=int, default=1, show_default=True),
    click.Option(["--duration"], type=float, default=3600.0, show_default=True, help="s of biological time"),
    click.Option(["--part"], type=float, default=120.0, show_default=True, help="s of each run that is compared"),
    click.Option(["--folder"], type=click.Path(), help="Where the recordings go for a while.  [default: for temporary files]"),
]


def _spikes_in(path: Path) -> int:
    """The spikes that a recording holds."""
    try:
        import h5py
    except ImportError as error:
        raise Failed("needs h5py: pip install '.[io]'") from error
    with h5py.File(path) as file:
        return sum(len(group["timestamps"]) for group in file["spikes"].values())


def whole_run(request: dict[str, Any], duration: float, folder: Path) -> dict[str, Any]:
    """One run to a file, and what the process held on the way. duration : ms"""
    say(f"{duration / 1000:g} biological seconds to a file ...")
    path = folder / "whole.h5"
    with Child("eventsim", COMMAND) as child:
        child.ask({"build": request})
        run = child.ask({"run_ms": duration, "settings": {"to": str(path)}})
    found = _spikes_in(path)
    path.unlink()
    if found != run["spikes"]:
        raise Failed(f"the file holds {found:,} spikes, the simulation counted {run['spikes']:,}")
    first = next((held for at, held in run["held"] if at >= min(MINUTE, duration / 2.0)), run["held"][-1][1])
    return {**run, "memory_first": first, "growth": run["held"][-1][1] / first - 1.0}


def what_writing_costs(request: dict[str, Any], part: float, repeats: int, folder: Path) -> dict[str, Any]:
    """Runs of ``part`` ms to a file and in memory, in turn."""
    say(f"{part / 1000:g} biological seconds to a file and in memory, {repeats} times ...")
    with Child("file", COMMAND) as file, Child("memory", COMMAND) as memory:
        for child in (file, memory):
            child.ask({"build": request})
            child.ask({"run_ms": part / 10.0})

        def to_file() -> dict[str, Any]:
            with tempfile.TemporaryDirectory(dir=folder) as inner:
                return file.ask({"run_ms": part, "settings": {"to": str(Path(inner) / "part.h5")}})

        runs = in_turn({"file": to_file, "memory": lambda: memory.ask({"run_ms": part})}, repeats)
    times = {name: [run["wall_s"] for run in done] for name, done in runs.items()}
    return {"runs": runs, "ratio": ratio(times["file"], times["memory"])._asdict()}


def measure(*, neurons: int, threads: int, duration: float, part: float, folder: str | None, repeats: int) -> Report:
    """Run it; see the module."""
    request = {"network": "balanced", "parameters": {"neurons": neurons}, "threads": threads, "dtype": "float32", "seed": 1}
    try:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            whole = whole_run(request, 1000.0 * duration, Path(name))
            cost = what_writing_costs(request, 1000.0 * part, repeats, Path(name))
    except FileNotFoundError as error:
        raise Failed(f"--folder {folder}: there is no such folder") from error
    held = whole["held"]
    rows = []
    for minutes in [m for m in SHOWN if m * MINUTE < held[-1][0]] + [held[-1][0] / MINUTE]:
        at, memory = next(entry for entry in held if entry[0] >= min(minutes * MINUTE, held[-1][0]))
        rows.append((f"{at / 1000:,.0f} s", bytes_text(memory), f"{100 * (memory / whole['memory_first'] - 1):+.1f} %"))
    notes = [
        f"{whole['spikes']:,} spikes in {whole['wall_s']:.1f} s, {duration / whole['wall_s']:.0f} times faster than real time",
        f"file: {bytes_text(whole['file_bytes'])}, {whole['file_bytes'] / max(1, whole['spikes']):.1f} bytes a spike",
        f"to a file takes {cost['ratio']['median']:.3f} times as long as in memory, "
        f"{median([run['wall_s'] for run in cost['runs']['file']]):.2f} s for {part:g} s",
    ]
    settings = {"neurons": neurons, "threads": threads, "duration": duration, "part": part, "repeats": repeats}
    return Report(
        settings,
        {"whole": whole, "cost": cost},
        [Table("Memory held", ("after", "memory", "against the first minute"), rows)],
        notes,
    )
