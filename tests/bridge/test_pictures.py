"""The pictures: what is drawn is what was given."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed_figures():
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def drawn(axes):
    """The figure is rendered without a warning."""
    axes.figure.canvas.draw()
    return axes


def test_heatmap_2d():
    data = torch.rand(20, 6, requires_grad=True)
    axes = drawn(nb.plot_heatmap_2d(data))
    assert axes is pyplot.gca() and len(axes.figure.axes) == 1
    (image,) = axes.images
    assert np.array_equal(image.get_array(), data.detach().numpy().T)
    assert axes.get_aspect() == "auto" and image.get_interpolation() == "none"
    axes = pyplot.figure().add_subplot()
    assert nb.plot_heatmap_2d(data, axes, show_colorbar=True, cmap="gray", aspect="equal") is axes
    assert axes.images[0].cmap.name == "gray" and axes.get_aspect() == 1
    assert len(axes.figure.axes) == 2


def test_spikes_2d():
    spikes = (torch.rand(30, 4) < 0.3).float()
    for given in (spikes, spikes.to_sparse()):
        axes = drawn(nb.plot_spikes_2d(given, pyplot.figure().add_subplot()))
        assert np.array_equal(axes.images[0].get_array(), spikes.numpy().T)
        assert axes.images[0].cmap.name == "binary"
        assert all(tick == round(tick) for tick in axes.get_yticks())
    assert nb.plot_spikes_2d(spikes, cmap="Reds").images[-1].cmap.name == "Reds"


def test_histogram_2d():
    spikes = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    axes = drawn(nb.plot_histogram_2d(spikes, bins=2))
    assert [[bar.get_height() for bar in bars] for bars in axes.containers] == [[2, 1], [0, 3]]
    axes = nb.plot_histogram_2d(spikes[:, 0], pyplot.figure().add_subplot(), bins=2)
    assert [bar.get_height() for bar in axes.patches] == [2, 1]


def points(axes):
    """(time, height, width) of every point, and what its colour stands for."""
    (drawing,) = axes.collections
    return np.stack(drawing._offsets3d).T.tolist(), drawing.get_array().tolist()


def test_scatter_3d():
    spikes = torch.zeros(9, 3, 4)
    spikes[2, 1, 3] = spikes[7, 0, 2] = 1
    axes = drawn(nb.plot_scatter_3d(spikes))
    assert points(axes) == ([[2, 1, 3], [7, 0, 2]], [2, 7])
    assert len(axes.figure.axes) == 2
    given = pyplot.figure().add_subplot(projection="3d")
    assert nb.plot_scatter_3d(spikes, given, show_colorbar=False, s=3) is given
    assert len(given.figure.axes) == 1


def test_heatmap_3d():
    data = torch.zeros(9, 3, 4)
    data[2, 1, 3], data[7, 0, 2] = 0.5, -4.0
    axes = drawn(nb.plot_heatmap_3d(data))
    assert points(axes) == ([[2, 1, 3], [7, 0, 2]], [0.5, -4.0])
    assert len(axes.figure.axes) == 1
    assert len(nb.plot_heatmap_3d(data, show_colorbar=True, marker="o").figure.axes) == 2  # a figure of its own


def test_neuron_states_of_a_recorded_state_and_of_a_list():
    x = torch.rand(20, 2, 3) * 9
    _, recorded = nb.LIF(record_states=True)(x)
    cell, state, states = nb.LIFCell(), None, []
    for now in x:
        _, state = cell(now, state)
        states.append(state)
    for given in (recorded, states):
        axes = drawn(nb.plot_neuron_states(given, "v", "i", axes=pyplot.figure().add_subplot()))
        lines = np.stack([line.get_ydata() for line in axes.lines], axis=1)
        wanted = [value.detach().flatten(1).numpy() for value in (recorded.v, recorded.i)]
        assert np.array_equal(lines, np.concatenate(wanted, axis=1))
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["v", "i"]
    axes = nb.plot_neuron_states(recorded, label=False, axes=pyplot.figure().add_subplot(), linewidth=3)
    assert len(axes.lines) == 12 and axes.get_legend() is None and axes.lines[0].get_linewidth() == 3


def test_neuron_states_in_a_state():
    cell, state, states = nb.LIFRefracCell(), None, []
    for now in torch.rand(8, 1, 2):
        _, state = cell(now, state)
        states.append(state)
    axes = nb.plot_neuron_states(states, "v", "rho")
    assert len(axes.lines) == 4
    assert np.array_equal(axes.lines[0].get_ydata(), [s.lif.v[0, 0].item() for s in states])


def test_what_cannot_be_drawn_is_refused():
    _, states = nb.LIF(record_states=True)(torch.rand(5, 2))
    for call, message in (
        (lambda: nb.plot_heatmap_2d(torch.rand(5)), r"plot_heatmap_2d: data must have shape \(time, neurons\), not \(5,\)"),
        (lambda: nb.plot_spikes_2d(torch.rand(5, 2, 2)), r"plot_spikes_2d.*\(5, 2, 2\); choose one item of a batch"),
        (lambda: nb.plot_histogram_2d(torch.rand(5, 2, 2)), r"\(time, neurons\) or \(time,\)"),
        (lambda: nb.plot_scatter_3d(torch.rand(5, 2)), r"plot_scatter_3d.*\(time, height, width\)"),
        (lambda: nb.plot_heatmap_3d(torch.rand(5, 2)), r"plot_heatmap_3d.*\(time, height, width\)"),
        (lambda: nb.plot_neuron_states(states, "v", "w"), "have no w; they have v, i"),
        (lambda: nb.plot_neuron_states([]), "states is empty"),
    ):
        with pytest.raises(SimulationError, match=message):
            call()
    assert not pyplot.get_fignums()  # no empty figure is left behind


@pytest.mark.skipif(not hasattr(nb, "IzhikevichCell"), reason="norse_bridge has no Izhikevich neurons yet")
def test_izhikevich():
    axes = drawn(nb.plot_izhikevich(nb.tonic_spiking, current=14, time_print=60, time_current=10, timestep_print=0.25))
    voltage, current = axes.lines
    times = voltage.get_xdata()
    assert np.allclose(times, 0.25 * np.arange(1, 241))  # ms
    assert np.array_equal(current.get_ydata(), 14.0 * (times > 10))
    cell, state, wanted = nb.IzhikevichCell(nb.tonic_spiking, dt=0.001), None, []
    for now in 14.0 * (torch.from_numpy(times) > 10).float():
        _, state = cell(now[None], state)
        wanted.append(state.v.item())
    assert np.allclose(voltage.get_ydata(), wanted)  # tau_inv is 250: a step of 1 ms of the layer's is 0.25 ms of the neuron's
    assert (np.diff(voltage.get_ydata()) < -50).sum() >= 3  # it spikes


def test_without_matplotlib_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import torch, norse_bridge\n"
        "try:\n    norse_bridge.plot_spikes_2d(torch.zeros(3, 2))\n"
        "except norse_bridge.plot.SimulationError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "a plot needs matplotlib: pip install 'eventsim[plot]'"
