"""Pictures of spikes and states, as Norse draws them. Needs matplotlib (the extra ``plot``).

Every function draws into the given axes, or into pyplot's current ones, and returns them; ``matplotlib.pyplot.show()`` then shows
the figure. Tensors are detached and may be sparse or on any device; time is the first axis.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch

from eventsim.errors import SimulationError
from norse_bridge.family import dense
from norse_bridge.pytree import stack_states


def plot_heatmap_2d(data, axes=None, show_colorbar=False, **kwargs):
    """Values as colours: time to the right, neurons downwards.

    data : (time, neurons); show_colorbar : whether to add a bar of colours; kwargs : for matplotlib's ``Axes.imshow``
    """
    values = _array(data, (2,), "plot_heatmap_2d: data", "(time, neurons)")
    axes = _pyplot().gca() if axes is None else axes
    image = axes.imshow(values.T, **({"aspect": "auto", "interpolation": "none"} | kwargs))
    if show_colorbar:
        axes.figure.colorbar(image, ax=axes)
    return axes


def plot_spikes_2d(spikes, axes=None, **kwargs):
    """Spikes as black boxes: time to the right, neurons downwards.

    spikes : (time, neurons); kwargs : for matplotlib's ``Axes.imshow``
    """
    values = _array(spikes, (2,), "plot_spikes_2d: spikes", "(time, neurons)")
    axes = plot_heatmap_2d(torch.from_numpy(values), axes, **({"cmap": "binary"} | kwargs))
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def plot_histogram_2d(spikes, axes=None, **kwargs):
    """How often each value occurs, for each neuron.

    spikes : (time, neurons) or (time,); kwargs : for matplotlib's ``Axes.hist``
    """
    values = _array(spikes, (1, 2), "plot_histogram_2d: spikes", "(time, neurons) or (time,)")
    axes = _pyplot().gca() if axes is None else axes
    axes.hist(values, **kwargs)
    return axes


def plot_heatmap_3d(spikes, show_colorbar=False, **kwargs):
    """All values other than 0 as squares in space and time, coloured by their value, in axes of their own.

    spikes : (time, height, width); show_colorbar : whether to add a bar of colours; kwargs : for matplotlib's ``Axes3D.scatter``
    """
    values = _array(spikes, (3,), "plot_heatmap_3d: spikes", "(time, height, width)")
    return _points(_space(), values, values[values != 0], show_colorbar, {"marker": "s"} | kwargs)


def plot_scatter_3d(spikes, axes=None, show_colorbar=True, **kwargs):
    """Spikes as points in space and time, coloured by their time step.

    spikes : (time, height, width); axes : 3D axes; show_colorbar : whether to add a bar of colours; kwargs : for matplotlib's
    ``Axes3D.scatter``
    """
    values = _array(spikes, (3,), "plot_scatter_3d: spikes", "(time, height, width)")
    return _points(_space() if axes is None else axes, values, np.nonzero(values)[0], show_colorbar, kwargs)


def plot_neuron_states(states, *variables, label=True, axes=None, **kwargs):
    """State variables over time, one line for each neuron.

    Parameters
    ----------
    states : a state tuple whose fields are stacked over time, as layers with ``record_states=True`` return it, or a list with one
        state tuple for each step
    variables : names of fields, such as ``"v"``; none for all. Those of a state in a state are found by their own name.
    label : whether to add a legend
    kwargs : for matplotlib's ``Axes.plot``
    """
    if not hasattr(states, "_fields"):
        states = list(states)
        if not states:
            raise SimulationError("plot_neuron_states: states is empty; give one state tuple for each step")
        states = stack_states(states)
    found = _fields(states)
    missing = [name for name in variables if name not in found]
    if missing:
        raise SimulationError(f"plot_neuron_states: the states have no {', '.join(missing)}; they have {', '.join(found)}")
    axes = _pyplot().gca() if axes is None else axes
    for name in variables or found:
        values = _array(found[name], None, f"plot_neuron_states: {name}", "(time, ...)")
        lines = axes.plot(values.reshape(len(values), -1), **kwargs)
        lines[0].set_label(name)
    if label:
        axes.legend()
    return axes


def plot_izhikevich(behavior, current=1, time_print=250, time_current=20, timestep_print=0.1):
    """The membrane potential of an Izhikevich neuron under a current that sets in, and the current.

    Parameters
    ----------
    behavior : `IzhikevichSpikingBehavior`, such as `tonic_spiking`: parameters and the state to begin with
    current : the input from ``time_current`` on
    time_print : duration in ms of the neuron's own time
    time_current : ms
    timestep_print : step in ms: the layer's dt is the one for which ``tau_inv * dt`` is this
    """
    cell = importlib.import_module("norse_bridge").IzhikevichCell(behavior, dt=timestep_print / float(behavior.p.tau_inv))
    steps, onset = round(time_print / timestep_print), round(time_current / timestep_print)
    currents = torch.zeros(steps, 1)  # (time, neurons)
    currents[onset:] = current
    state, voltages = None, []
    with torch.no_grad():
        for now in currents:
            _, state = cell(now, state)
            voltages.append(state.v)
    times = timestep_print * np.arange(1, steps + 1)
    axes = _pyplot().subplots()[1]
    axes.plot(times, _array(torch.stack(voltages), None, "v", "(time, 1)"), label="Membrane potential")
    axes.plot(times, currents.numpy(), label="Current")
    axes.set(xlabel="Time (ms)", ylabel="Membrane potential (mV)")
    axes.legend()
    return axes


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise SimulationError("a plot needs matplotlib: pip install 'eventsim[plot]'") from error
    return pyplot


def _space():
    """3D axes in pyplot's current figure if that is empty, else in a new one."""
    pyplot = _pyplot()
    figure = pyplot.figure() if pyplot.gcf().axes else pyplot.gcf()
    return figure.add_subplot(projection="3d")


def _array(data, axes, label, shape):
    """The data as a NumPy array; a SimulationError that begins with ``label`` if its number of axes is not among ``axes``."""
    data = torch.as_tensor(data).detach().cpu()
    values = dense(data).numpy()
    if values.ndim == 0 or (axes is not None and values.ndim not in axes):
        raise SimulationError(f"{label} must have shape {shape}, not {values.shape}; choose one item of a batch with data[:, item]")
    return values


def _points(axes, values, colors, show_colorbar, options):
    """Draw a point for every entry of (time, height, width) that is not 0."""
    points = axes.scatter(*np.nonzero(values), c=colors, **options)
    if show_colorbar:
        axes.figure.colorbar(points, ax=axes)
    axes.set(xlabel="Time", ylabel="Height", zlabel="Width")
    return axes


def _fields(states):
    """The fields of a state tuple by name, those of tuples in it too."""
    found = {}
    for name, value in states._asdict().items():
        found |= _fields(value) if hasattr(value, "_fields") else {name: value}
    return found
