"""The grid engine comes to the exact one at first order in dt; where nothing is fed back, a spike lies at the next grid point."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from exact.single_neurons import MODELS
from shorter import shorter

from eventsim import Network, OneToOne, Population, Projection, Simulation, Spikes, SpikeSource, Uniform

FIGURE = Path(__file__).resolve().parents[2] / "docs" / "figures" / "convergence.py"
STEPS = [2.0**-k for k in range(11)]  # ms
# Of these a spike moves continuously with the arrivals before it. Else an arrival on the other side of a spike, or of the end of a
# refractory period, is one that is lost: rare, but then the distance is what it was worth, however small dt is.
CONTINUOUS = ("LIF", "LIFSubtract", "LIFExcInh", "LIFAlpha", "AdaLIF", "LSNN")


@pytest.fixture(scope="module")
def figure():
    """The script of the figure in docs/exact.md."""
    pytest.importorskip("matplotlib")
    return runpy.run_path(str(FIGURE), run_name="figure")


def test_the_figure_shows_all_models(figure):
    assert set(figure["CASES"]) == {model.name for model in MODELS}
    assert tuple(figure["STEPS"]) == tuple(STEPS)


@pytest.mark.parametrize("name", shorter([(m.name,) for m in MODELS], lambda name: name in ("LIFDelta", "LIF", "LSNN", "QIF")))
def test_the_order_is_one(figure, name):
    distances = np.abs(figure["distances"](name))
    assert distances.shape == (len(STEPS), figure["SIZE"], figure["COMPARED"])
    assert 0.98 < figure["order"](STEPS, distances.mean(axis=(1, 2))) < 1.02
    if name in CONTINUOUS:
        assert 0.97 < figure["order"](STEPS, distances.max(axis=(1, 2))) < 1.03
    chosen = figure["network"](name)
    exact, grid = figure["spikes"](chosen, method="exact"), figure["spikes"](chosen, dt=STEPS[-1], dtype="float64")
    assert [len(times) for times in grid] == [len(times) for times in exact]


ONCE = 1000.0  # ms: a refractory period longer than the run, so that no spike acts on what follows
SIZE = 200


def driven(model) -> Network:
    """Neurons without synapses among them, which fire by themselves sooner or later; 1.6 is above every threshold.

    Nothing pulls them down, so that they stay above the threshold, once they are, until the grid sees it.
    """
    drives = {"slope": (0.03, 0.3), "drive": (0.6, 3.0), "v_leak": (1.6, 3.0)}
    field = next(name for name in drives if name in model.Params._fields)
    initial = {"v": Uniform(-1.0, 0.9)}
    if model.name == "LSNN":
        initial["b"] = Uniform(1.0, 1.5)
    for current in ("i", "exc"):
        if current in model.State._fields:
            initial[current] = Uniform(0.0, 2.0)
    times, neurons = np.repeat(np.arange(1.0, 30.0), 10), np.random.default_rng(2).integers(0, SIZE, 290)
    times, neurons = np.unique(np.stack([times, neurons]), axis=1)
    cells = Population("cells", SIZE, model(refractory=ONCE, **{field: np.linspace(*drives[field], SIZE)}), initial=initial)
    given = Population("given", SIZE, SpikeSource(times, neurons.astype(np.int64)))
    return Network([cells, given], [Projection("given", "cells", OneToOne(), weight=0.2, delay=2.0)])


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_without_feedback_a_spike_lies_at_the_next_grid_point(model):
    """So that it is late by [0, dt), and by 0 where an arrival makes it, which lies on the grid."""
    network = driven(model)
    exact = Simulation(network, method="exact", seed=4, record=[Spikes("cells")]).run(60.0).spikes["cells"]
    assert sorted(exact.neurons) == list(range(SIZE))
    wanted = exact.times[np.argsort(exact.neurons)]
    for dt in STEPS:
        grid = Simulation(network, dt, dtype="float64", seed=4, record=[Spikes("cells")]).run(60.0).spikes["cells"]
        assert sorted(grid.neurons) == list(range(SIZE))
        found = grid.times[np.argsort(grid.neurons)]
        np.testing.assert_array_equal(found, np.ceil(wanted / dt) * dt)
        late = found - wanted
        assert np.all((late >= 0.0) & (late < dt)) and late.max() > 0.9 * dt
