"""What a benchmark hands back: tables for the screen, and everything measured as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import load, machine, now, versions
from benchmarks.process import Failed
from eventsim.table import text_table


@dataclass(frozen=True)
class Table:
    """A table with a line above it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]

    def text(self) -> str:
        """As it is printed."""
        return f"{self.title}\n\n{text_table(self.head, self.rows)}"


@dataclass(frozen=True)
class Report:
    """A finished benchmark.

    Attributes
    ----------
    settings : what was asked for
    results : every raw figure, medians and ratios
    tables : what is printed
    notes : lines below the tables
    """

    settings: dict[str, Any]
    results: dict[str, Any]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default=())


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.name
    raise TypeError(f"a report holds a {type(value).__name__}, which JSON cannot")


def publish(name: str, command: str, report: Report, path: str | None, started: dict[str, Any]) -> None:
    """Print a report and write it to ``path``, if one is given. started: what `header` returned before the benchmark began."""
    for table in report.tables:
        click.echo(table.text() + "\n")
    for note in report.notes:
        click.echo(f"  {note}")
    if path is None:
        return
    content = {
        "benchmark": name,
        "command": command,
        **started,
        "load_average_after": load(),
        "settings": report.settings,
        "results": report.results,
    }
    try:
        Path(path).write_text(json.dumps(content, indent=1, default=_plain, allow_nan=False) + "\n")
    except OSError as error:
        raise Failed(f"--json: {path} cannot be written ({error.strerror})") from error
    click.echo(f"  written to {path}")


def header() -> dict[str, Any]:
    """When and where a benchmark runs."""
    return {"date": now(), "versions": versions(), "machine": machine()}
