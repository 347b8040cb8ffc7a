"""Pictures of recordings: spike rasters with rates, and state traces. Needs matplotlib (the extra ``plot``).

Figures are made without pyplot: no global state, no window, any thread, any backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import SimulationError
from eventsim.models.model import Neuron

COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
SPARSE = 0.2  # a population of which a smaller share fired is drawn by those that fired alone
TWO_LINES = 0.1  # share of the raster's height that a label of two or three lines needs
SMALLEST_BAND = 0.04  # share of the raster's height that even the smallest population gets


def new_figure(width: float = 9.0, height: float = 6.0) -> Any:
    """An empty matplotlib figure of the given size in inches, without pyplot."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SimulationError("a plot needs matplotlib: pip install 'eventsim[plot]'") from error
    return Figure(figsize=(width, height), layout="constrained")


class Band(NamedTuple):
    """What of one population stands in a raster: its rows are drawn between ``bottom`` and ``top``, shares of the height."""

    name: str
    neurons: np.ndarray
    size: int
    only_active: bool
    bottom: float
    top: float

    @property
    def label(self) -> str:
        """The tick label: the name, and how many are shown; in one line where the band is too low for more."""
        gap = "\n" if self.top - self.bottom > TWO_LINES else "  "
        if len(self.neurons) == self.size:
            return f"{self.name}{gap}{self.size:,}"
        return f"{self.name}{gap}{len(self.neurons):,} of {self.size:,}" + (f"{gap}that fired" if self.only_active else "")


def _chosen(fired: np.ndarray, size: int, limit: int) -> tuple[np.ndarray, bool]:
    """The neurons to draw, and whether only those that fired were considered: evenly spaced, at most ``limit``."""
    only_active = 0 < len(fired) < SPARSE * size and size > limit
    candidates = fired if only_active else np.arange(size)
    picks = np.unique(np.linspace(0, len(candidates) - 1, min(limit, len(candidates))).round().astype(np.int64))
    return candidates[picks], only_active


def _bands(recording, network, names, max_neurons: int, batch: int) -> list[Band]:
    """Stack the populations from top to bottom, in the network's order, with heights that follow their sizes."""
    sizes = np.array([network.population(name).size for name in names], dtype=np.float64)
    shares = np.maximum(sizes / sizes.sum(), SMALLEST_BAND)
    shares /= shares.sum()
    tops = 1.0 - np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    bands = []
    for name, share, top in zip(names, shares, tops, strict=True):
        data = recording.spikes[name]
        size = network.population(name).size
        fired = np.unique(data.neurons[data.batch == batch])
        neurons, only_active = _chosen(fired, size, max(1, int(max_neurons * share)))
        bands.append(Band(name, neurons, size, only_active, top - share, top))
    return bands


def _draw_spikes(axes, recording, bands, colors, batch: int) -> None:
    for band, color in zip(bands, colors, strict=True):
        data = recording.spikes[band.name]
        times, neurons = data.times[data.batch == batch], data.neurons[data.batch == batch]
        row = np.minimum(np.searchsorted(band.neurons, neurons), len(band.neurons) - 1)
        shown = band.neurons[row] == neurons
        y = band.bottom + (row[shown] + 0.5) / len(band.neurons) * (band.top - band.bottom)
        dots = min(4.0, max(0.8, 250.0 / max(1, len(y)) ** 0.5))  # points: fewer spikes, larger dots
        axes.plot(times[shown], y, ".", markersize=dots, color=color, markeredgewidth=0.0, rasterized=True)
        axes.axhline(band.bottom, color="0.8", linewidth=0.5)
    axes.set_yticks([0.5 * (band.bottom + band.top) for band in bands], [band.label for band in bands])
    axes.set_xlim(recording.start, recording.stop + 0.5 * recording.dt)
    axes.set_ylim(0.0, 1.0)


def raster(recording, network, path=None, *, axes=None, max_neurons: int = 1500, batch: int = 0, title: str | None = None) -> Any:
    """Draw who fired when: one dot a spike, populations stacked; below it the rates over time, beside it the mean rates.

    Parameters
    ----------
    recording : Recording
        Its ``spikes`` are drawn, population by population.
    network : Network
        Gives the sizes and the order of the populations.
    path : where to write the picture (.png, .pdf, .svg), or None
    axes : matplotlib axes that take the dots alone (no rates), or None for a figure of its own
    max_neurons : about how many rows are drawn in all
        Evenly spaced neurons of each population; where few of many fired, those that fired.
    batch : which item of the batch is drawn

    Returns
    -------
    The matplotlib figure.
    """
    names = [population.name for population in network.populations if population.name in recording.spikes]
    if not names:
        raise SimulationError("raster: the recording holds no spikes of this network; record=(Spikes(NAME), ...) records them")
    bands = _bands(recording, network, names, max_neurons, batch)
    colors = [COLORS[number % len(COLORS)] for number in range(len(names))]
    if axes is not None:
        _draw_spikes(axes, recording, bands, colors, batch)
        axes.set_xlabel("time (ms)")
        return axes.figure
    figure = new_figure()
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(3, 1))
    dots = figure.add_subplot(grid[0, 0])
    over_time = figure.add_subplot(grid[1, 0], sharex=dots)
    bars = figure.add_subplot(grid[0, 1], sharey=dots)
    _draw_spikes(dots, recording, bands, colors, batch)
    dots.tick_params(labelbottom=False)
    dots.set_ylabel("neurons")
    _draw_rates(over_time, bars, recording, bands, colors, batch)
    figure.suptitle(title or "Spikes and rates")
    if path is not None:
        figure.savefig(Path(path), dpi=150)
    return figure


def _draw_rates(over_time, bars, recording, bands, colors, batch: int) -> None:
    """Rates of whole populations: over time in ``over_time``, their means in ``bars``. Spikes/s per neuron."""
    duration = recording.stop - recording.start
    if recording.dt:
        steps = round(duration / recording.dt)
        edges = recording.start + recording.dt * (np.linspace(0, steps, min(steps, 200) + 1).round() + 0.5)  # between grid points
    else:
        edges = np.linspace(recording.start, recording.stop, 201)
    for band, color in zip(bands, colors, strict=True):
        data = recording.spikes[band.name]
        times = data.times[data.batch == batch]
        rate = 1000.0 * np.histogram(times, edges)[0] / (band.size * np.diff(edges))
        over_time.stairs(rate, edges, baseline=None, color=color, linewidth=0.9, label=band.name)
        mean = 1000.0 * len(times) / (band.size * duration)
        middle = 0.5 * (band.bottom + band.top)
        bars.barh(middle, mean, height=0.6 * (band.top - band.bottom), color=color)
        bars.annotate(f" {mean:.3g}", (mean, middle), va="center", fontsize="small")
    bars.tick_params(labelleft=False)
    bars.set_title("mean (spikes/s)", fontsize="medium")
    bars.margins(x=0.45)
    bars.set_xlim(left=0.0)
    for axes in (over_time, bars):
        axes.spines[["top", "right"]].set_visible(False)
    over_time.set_xlabel("time (ms)")
    over_time.set_ylabel("rate (spikes/s)")
    over_time.set_ylim(bottom=0.0)


def traces(recording, network, population: str, path=None, *, max_neurons: int = 8, batch: int = 0) -> Any:
    """Draw the recorded states of one population over time: a panel a state, a line a neuron. Returns the figure.

    Parameters as in `raster`; ``population`` names whose states are drawn, ``max_neurons`` how many lines at most.
    """
    if population not in recording.states:
        have = ", ".join(recording.states) or "none"
        raise SimulationError(
            f"traces: no states of {population!r} were recorded (recorded: {have}); use record=(States(NAME), ...)"
        )
    data = recording.states[population]
    neuron = network.population(population).neuron
    units = neuron.model.units if isinstance(neuron, Neuron) else {}
    figure = new_figure(9.0, 1.2 + 2.0 * len(data.values))
    panels = figure.subplots(len(data.values), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, data.values.items(), strict=True):
        values = values if values.ndim == 2 else values[:, batch]
        for column in range(min(max_neurons, values.shape[1])):
            axes.plot(data.times, values[:, column], linewidth=0.9, label=f"neuron {data.neurons[column]}")
        axes.set_ylabel(f"{name} ({units[name]})" if name in units else name)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(fontsize="x-small", ncols=4, loc="upper right", frameon=False)
    panels[-1].set_xlabel("time (ms)")
    figure.suptitle(f"States of {population}")
    if path is not None:
        figure.savefig(Path(path), dpi=150)
    return figure
