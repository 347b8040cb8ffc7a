"""network_from_nir: a graph of NIR as a sparse network of eventsim, without layers in between.

Input is piecewise constant: a spike is a current of its weight that flows for one step of dt. For such input the exact solution of
NIR's equations over a step is, with x = dt/tau_mem, y = dt/tau_syn and a unit of input u in this step,

    LIF, LI      v -> rest + (v - rest) exp(-x), rest = v_leak + r u                              (LIFBox, LIBox)
    IF, I        v -> v + r dt u                                                                     (IAF, Integrator)
    CubaLIF,     I -> I exp(-y) + w_in (1 - exp(-y)) u                                               (LIF, LI)
    CubaLI       v -> the free flow of v and I, plus r w_in (1 - exp(-x)) (1 - c) u

where c is `eventsim.models.lif.coupling`: v under a current that decays from 1, over v under one that stays 1. So the neurons of
the last two receive their input at the end of the step, on both of their ports. Threshold and reset come last. In forward Euler
the steps are those of the layers that `from_nir` gives.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from eventsim.connectivity import Connectivity
from eventsim.errors import ModelError, NetworkError
from eventsim.models import AT_GRID, BEFORE_FLOW, IAF, LI, LIF, IAFSubtract, Integrator, LIBox, LIFBox, LIFBoxSubtract, LIFSubtract
from eventsim.models.lif import coupling
from eventsim.network import Network, Population, Projection
from eventsim.ops import NUMPY
from eventsim.stimuli import Increment, SpikeSource
from norse_bridge.family import MS
from norse_bridge.linear_maps import without_zeros
from norse_bridge.neurons.lif_box import reset_subtract, reset_value
from norse_bridge.nir.flat import Flat, flatten
from norse_bridge.nir.layers import check_options, is_one
from norse_bridge.nir.linear import Delayed, spread, wiring
from norse_bridge.nir.nodes import NEURONS, SPIKING, arrays_of, kind_of
from norse_bridge.nir.shapes import node_label

POPULATIONS = (*NEURONS, "Threshold")
VOLTAGES = tuple(kind for kind in NEURONS if kind not in SPIKING)
AT_ONCE = 1e-3  # the time constant of a Threshold, of dt: exp(-1000) is 0, so that v is the input of the step


class Target(NamedTuple):
    """neuron: what a population is made of; drives: by port, what a unit of input adds to the state behind it, (neurons,)."""

    neuron: Any
    drives: dict[str, np.ndarray]


def network_from_nir(graph, dt=0.001, method="exact", reset_method=reset_value) -> Network:
    """The network that a graph of NIR is; run it with ``Simulation(network, dt=1000 * dt)``, where time is in ms.

    Inputs become populations of spike sources, neurons and Thresholds populations of neurons, all called as their nodes (those of
    graphs within the graph "outer.inner", with underscores behind it where another is called so); the linear nodes between them
    compose to sparse projections, biases become increments. Along an edge that leads back (`norse_bridge.nir.order`) a spike takes
    one step; delays are rounded to dt, and no further step is added where a Delay closes a cycle. Outputs name what they hear and
    are not in the network.

    Parameters
    ----------
    graph : nir.NIRGraph
    dt : s
    method : "exact": between the steps the solution of NIR's equations; "euler": the steps of `from_nir`'s layers
    reset_method : `reset_value` or `reset_subtract`

    Errors: a `ModelError` or `NetworkError` that names the node: as for `from_nir`, and where anything but spikes would have to be
    sent: LI, I, CubaLI and no linear node may be in front of an Output, and the former of nothing else.
    """
    check_options(dt, reset_method)
    if method not in ("exact", "euler"):
        raise ModelError(f"method must be 'exact' or 'euler', not {method!r}")
    if kind_of(graph, "the graph") != "NIRGraph":
        raise ModelError(f"a network is made of a NIRGraph, not of one {kind_of(graph)}: put it between an Input and an Output")
    flat = flatten(graph)
    names = [name for name, node in flat.nodes.items() if kind_of(node) in POPULATIONS]
    if not names:
        raise NetworkError("the graph has no neuron; a network needs one")
    wires = wiring(flat, {*flat.inputs, *names}, dt)
    _check_voltages(flat)
    targets = {name: _target(name, flat, dt, method, reset_method is reset_subtract) for name in names}
    populations = [Population(name, _size(flat, name), SpikeSource()) for name in flat.inputs]
    populations += [Population(name, _size(flat, name), target.neuron) for name, target in targets.items()]
    projections: list[Projection] = []
    for source in populations:
        if source.spiking:
            for name, maps in spread(wires, {source.name: {0: sp.eye_array(source.size, format="csr")}}).items():
                projections += _projections(source.name, name, maps, targets[name], MS * dt)
    biases = {name: {0: sp.csr_array(m.bias[:, None])} for name, m in wires.maps.items() if m.bias is not None}
    inputs: list[Any] = []
    for name, maps in spread(wires, biases).items():
        inputs += _increments(name, maps, targets[name])
    return Network(populations, projections, inputs)


def _size(flat, name) -> int:
    return math.prod(flat.shapes[name])


def _check_voltages(flat: Flat):
    """A NetworkError if anything but spikes would have to be sent, or an Output hears anything but neurons and Inputs."""
    ends = {name for name, node in flat.nodes.items() if kind_of(node) in ("Input", "Output")} - {*flat.inputs, *flat.outputs}

    def across(name, one, other):
        """The nodes next to one, with the ends of inner graphs passed through."""
        found = []
        for edge in flat.edges:
            if edge[one] == name:
                found += across(edge[other], one, other) if edge[other] in ends else [edge[other]]
        return found

    for name, node in flat.nodes.items():
        if kind_of(node) in VOLTAGES:
            for follower in across(name, 0, 1):
                if follower not in flat.outputs:
                    raise NetworkError(f"{node_label(name, node)} sends a voltage to {follower!r}; a network sends spikes alone")
    for name in flat.outputs:
        for before in across(name, 1, 0):
            if before not in flat.inputs and kind_of(flat.nodes[before]) not in POPULATIONS:
                raise NetworkError(
                    f"{node_label(before, flat.nodes[before])} is in front of the Output {name!r}: end the graph with neurons, or "
                    "with LI as a readout"
                )


def _values(array, shape):
    """A parameter as one number where all neurons have the same, else as a float64 array (neurons,)."""
    array = np.broadcast_to(array, shape).ravel()
    return float(array[0]) if np.all(array == array[0]) else array.copy()


def _target(name, flat: Flat, dt, method, subtract) -> Target:
    """What a node of neurons becomes; dt in s."""
    node, shape = flat.nodes[name], flat.shapes[name]
    kind, arrays = kind_of(node), arrays_of(node, node_label(name, node))
    p = {field: _values(array, shape) for field, array in arrays.items()}
    one = np.ones(_size(flat, name))
    rule = {"method": method, "order": BEFORE_FLOW}
    fires = {} if kind in VOLTAGES else {"v_th": p["threshold" if kind == "Threshold" else "v_threshold"]}
    if kind in SPIKING:
        fires["v_reset"] = p["v_reset"]
    if kind == "Threshold":
        return Target(LIFBox(tau_mem=AT_ONCE * MS * dt, order=BEFORE_FLOW, **fires), {"i": one})
    if kind in ("IF", "I"):
        model = Integrator if kind == "I" else IAFSubtract if subtract else IAF
        start = {"v_start": p["v_reset"]} if fires else {}
        return Target(model(**rule, **fires, **start), {"v": _clean(p["r"] * dt * one)})
    if kind in ("LIF", "LI"):
        model = LIBox if kind == "LI" else LIFBoxSubtract if subtract else LIFBox
        return Target(model(tau_mem=MS * p["tau"], v_leak=p["v_leak"], r_mem=p["r"], **rule, **fires), {"i": one})
    model = LI if kind == "CubaLI" else LIFSubtract if subtract else LIF
    times = {field: MS * p[field] for field in ("tau_mem", "tau_syn")}
    order, drives = _cuba_drives(p, one, dt, method)
    return Target(model(v_leak=p["v_leak"], r_mem=p["r"], method=method, order=order, **times, **fires), drives)


def _cuba_drives(p, one, dt, method):
    """The order of a step, and by port what a unit of input adds, of CubaLIF and CubaLI."""
    x, y = dt / p["tau_mem"] * one, dt / p["tau_syn"] * one
    if method == "euler":
        return BEFORE_FLOW, {"i": _clean(p["w_in"] * y)}
    rising = p["r"] * p["w_in"] * -np.expm1(-x) * (1.0 - coupling(NUMPY, x, y))
    return AT_GRID, {"i": p["w_in"] * -np.expm1(-y), "v": rising}


def _clean(factor):
    """A factor that is 1 but for rounding is 1."""
    return np.ones_like(factor) if is_one(factor) else factor


def _driven(matrix, drive, label):
    """A map (neurons, inputs) in the unit of the state behind a port, without stored zeros."""
    return without_zeros(sp.diags_array(drive) @ matrix, label)


def _projections(source, target, maps: Delayed, to: Target, dt) -> list[Projection]:
    """One projection for each port; dt in ms."""
    found = []
    for port, drive in to.drives.items():
        parts = [(d, _driven(matrix, drive, f"{source!r} -> {target!r}").tocoo()) for d, matrix in maps.items()]
        targets, sources = (np.concatenate([m.coords[axis] for _, m in parts]) for axis in (0, 1))
        if not len(sources):
            continue
        synapses = Connectivity.from_coo(
            sources,
            targets,
            parts[0][1].shape[1],
            parts[0][1].shape[0],
            weights=np.concatenate([m.data for _, m in parts]),
            delays=np.concatenate([np.full(m.nnz, d * dt) for d, m in parts]),
        )
        found.append(Projection(source, target, synapses, port=port))
    return found


def _increments(target, maps: Delayed, to: Target) -> list[Increment]:
    """What constant biases add at every step; one behind a delay is taken off again until it arrives."""
    found = []
    for port, drive in to.drives.items():
        for d, matrix in maps.items():
            value = drive * matrix.toarray()[:, 0]
            if np.any(value):
                found.append(Increment(target, value, port))
                if d:
                    found.append(Increment(target, np.tile(-value, (d, 1)), port, over_time=True))
    return found
