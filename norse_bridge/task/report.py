"""What a task tells while it trains: a progress bar, and figures that become curves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm


def refresh() -> float:
    """Seconds between two looks of a bar: in a file each is a line."""
    return 0.5 if sys.stderr.isatty() else 30.0


class Report:
    """``report(step, **figures)``: progress has come to ``step``; the figures (numbers by name) belong to it.

    curves : for each figure ``(steps, values)``, two lists; unit : what a step is ("batch", "epoch", "episode")
    """

    def __init__(self) -> None:
        self.curves: dict[str, tuple[list[int], list[float]]] = {}
        self.unit = "step"
        self._bar: Any = None

    def expect(self, total: int | None, unit: str) -> None:
        """Begin a bar: ``total`` steps (None where nobody knows), each a ``unit``."""
        self.close()
        self.unit = unit
        self._bar = tqdm(total=total, unit=f" {unit}", mininterval=refresh(), delay=0.5)

    def __call__(self, step: int, **figures: float) -> None:
        for name, value in figures.items():
            steps, values = self.curves.setdefault(name, ([], []))
            steps.append(int(step))
            values.append(float(value))
        if self._bar is not None:
            if figures:
                shown = {name: f"{values[-1]:.4g}" for name, (_, values) in self.curves.items()}
                self._bar.set_postfix(shown, refresh=False)
            self._bar.update(step - self._bar.n)

    def watch(self, items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
        """The items one after another, ``total`` in all, with a bar of its own that says ``what`` goes on."""
        self.close()
        yield from tqdm(items, desc=what, total=total, mininterval=refresh(), delay=0.5, leave=False)

    def say(self, text: str) -> None:
        """A line on the screen, beside the bar."""
        with tqdm.external_write_mode():
            click.echo(text)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def draw(self, path: Path, title: str) -> None:
        """The curves as a picture, one below the other. An ImportError without matplotlib."""
        from matplotlib.figure import Figure  # without pyplot: no window, nothing global

        figure = Figure(figsize=(7.0, 1.0 + 2.0 * len(self.curves)), layout="constrained")
        rows = figure.subplots(len(self.curves), sharex=True, squeeze=False)[:, 0]
        for axes, (name, (steps, values)) in zip(rows, self.curves.items(), strict=True):
            axes.plot(steps, values, marker="." if len(steps) < 50 else None)
            axes.set_ylabel(name.replace("_", " "))
            axes.grid(alpha=0.3)
        rows[-1].set_xlabel(self.unit)
        figure.suptitle(title)
        figure.savefig(path, dpi=100)
