"""Pictures: what they show, not how they look."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from eventsim.errors import SimulationError
from eventsim.models import LIF
from eventsim.network import Network, Population
from eventsim.plot import raster, traces
from eventsim.recording import Recording, SpikeData, StateData
from eventsim.stimuli import SpikeSource

NETWORK = Network((Population("big", 100_000, LIF()), Population("small", 10, LIF()), Population("input", 5, SpikeSource())))


def spikes(times, neurons, batch=None):
    return SpikeData(np.array(times, float), np.array(neurons), np.zeros(len(times), int) if batch is None else np.array(batch))


@pytest.fixture
def recording():
    return Recording(
        start=0.0,
        stop=100.0,
        dt=0.1,
        spikes={"big": spikes([1.0, 2.0, 50.0], [7, 99_999, 7]), "small": spikes([10.0, 20.0], [0, 9]), "input": spikes([], [])},
        states={"small": StateData(np.arange(5.0), np.array([0, 3]), {"v": np.zeros((5, 2)), "i": np.ones((5, 2))})},
    )


def dots(axes):
    """How many dots each population has."""
    return [len(line.get_xdata()) for line in axes.lines if line.get_marker() == "."]


def test_every_spike_of_a_few_neurons_is_drawn(recording, tmp_path):
    figure = raster(recording, NETWORK, tmp_path / "r.png", title="Title")
    assert (tmp_path / "r.png").stat().st_size > 5000
    assert dots(figure.axes[0]) == [3, 2, 0]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["big\n2 of 100,000\nthat fired", "small  10", "input  5"]


def test_rates_stand_beside_and_below(recording):
    figure = raster(recording, NETWORK)
    _, over_time, bars = figure.axes
    widths = [patch.get_width() for patch in bars.patches]
    assert widths == pytest.approx([3 / 100_000 / 0.1, 2 / 10 / 0.1, 0.0])
    total = [patch.get_data() for patch in over_time.patches]
    for data, count, size in zip(total, (3, 2, 0), (100_000, 10, 5), strict=True):
        assert np.sum(data.values * np.diff(data.edges)) / 1000.0 * size == pytest.approx(count)
    assert over_time.get_xlabel() == "time (ms)" and "spikes/s" in over_time.get_ylabel()


def test_at_most_so_many_rows(recording):
    crowd = spikes(np.full(100_000, 5.0), np.arange(100_000))
    crowded = Recording(0.0, 100.0, 0.1, {"big": crowd})
    assert dots(raster(crowded, NETWORK, max_neurons=500).axes[0]) == [500]


def test_one_item_of_a_batch(recording):
    both = Recording(0.0, 10.0, 0.1, {"small": spikes([1.0, 2.0, 3.0], [0, 1, 2], batch=[0, 1, 1])})
    assert [dots(raster(both, NETWORK, batch=item).axes[0]) for item in (0, 1)] == [[1], [2]]


def test_into_axes_of_ones_own(recording):
    figure = Figure()
    axes = figure.add_subplot()
    assert raster(recording, NETWORK, axes=axes) is figure
    assert dots(axes) == [3, 2, 0]


def test_traces_of_every_state(recording, tmp_path):
    figure = traces(recording, NETWORK, "small", tmp_path / "s.png")
    assert (tmp_path / "s.png").exists()
    assert [axes.get_ylabel() for axes in figure.axes] == ["v (unit of v)", "i (unit of i)"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    batch = Recording(0.0, 5.0, 1.0, states={"small": StateData(np.arange(5.0), np.array([0]), {"v": np.zeros((5, 3, 1))})})
    assert len(traces(batch, NETWORK, "small", batch=2).axes[0].lines) == 1


def test_nothing_to_draw(recording):
    with pytest.raises(SimulationError, match="no spikes"):
        raster(Recording(0.0, 1.0, 0.1), NETWORK)
    with pytest.raises(SimulationError, match="no states of 'big'"):
        traces(recording, NETWORK, "big")


def test_without_matplotlib_the_error_says_what_to_install(recording, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SimulationError, match=r"eventsim\[plot\]"):
        raster(recording, NETWORK)


def test_pyplot_stays_out():
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []
