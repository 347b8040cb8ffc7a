"""The linear nodes of NIR as sparse maps, and what goes through several of them with delays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from norse_bridge.linear_maps import LinearMap, Place, identity_map
from norse_bridge.maps.modules import linear_step
from norse_bridge.nir.flat import Flat
from norse_bridge.nir.layers import Options, delay_steps, layer_of
from norse_bridge.nir.nodes import array_of, kind_of
from norse_bridge.nir.order import Edge, forward, schedule
from norse_bridge.nir.shapes import Shape, node_label

Delayed = dict[int, Any]
"""A linear map with delays, y(t) = sum over d of M_d x(t - d): by d in steps, a CSR array (outputs, inputs) in float64."""


def added(a: Delayed, b: Delayed) -> Delayed:
    """``a(x) + b(x)``."""
    total = dict(a)
    for d, matrix in b.items():
        total[d] = total[d] + matrix if d in total else matrix
    return total


def later(maps: Delayed, steps) -> Delayed:
    """Each row of the maps later by its own number of steps: int array (outputs,)."""
    total: Delayed = {}
    for d, matrix in maps.items():
        for step in np.unique(steps):
            rows = sp.diags_array((steps == step).astype(np.float64), format="csr")
            total = added(total, {d + int(step): sp.csr_array(rows @ matrix)})
    return total


def map_of(node, shape: Shape, label) -> LinearMap:
    """The map of a linear node that has no delay; of an Input or Output, which hands on what it hears."""
    kind = kind_of(node, label)
    if kind == "Scale":
        scale = np.broadcast_to(array_of(node, "scale", label), shape).ravel()
        return LinearMap(sp.csr_array(sp.diags_array(scale)), None, shape)
    if kind in ("Input", "Output"):
        return identity_map(shape)
    module = layer_of(node, label, Options(dt=1.0, dtype=torch.float64))
    found = linear_step(module, Place(shape, label))
    assert found is not None, kind
    return found


class Wiring(NamedTuple):
    """What lies between the populations of a graph.

    after : by name, who hears a node, in the order of the edges
    order : the linear nodes, each after those that it hears
    late : the edges that take one step
    maps : by name of a linear node, its `LinearMap`
    steps : by name of a Delay, its delays in steps
    """

    after: Mapping[str, list[str]]
    order: list[str]
    late: set[Edge]
    maps: Mapping[str, LinearMap]
    steps: Mapping[str, np.ndarray]


def wiring(flat: Flat, populations, dt) -> Wiring:
    """The wiring of a graph whose nodes called ``populations`` send spikes or end the linear paths."""
    maps, steps = {}, {}
    between = [name for name in flat.nodes if name not in populations]
    for name in between:
        node, shape = flat.nodes[name], flat.shapes[name]
        label = node_label(name, node)
        if kind_of(node) == "Delay":
            delay = np.broadcast_to(array_of(node, "delay", label), shape).ravel()
            steps[name] = delay_steps(delay, label, Options(dt, ignore_warnings=False))
        else:
            maps[name] = map_of(node, shape, label)
    registers = [name for name, own in steps.items() if own.size and own.min() > 0]
    _, late = schedule(tuple(flat.nodes), flat.edges, flat.inputs, registers)
    inner = [(a, b) for a, b in flat.edges if a in between and b in between]
    after: dict[str, list[str]] = {name: [] for name in flat.nodes}
    for a, b in flat.edges:
        after[a].append(b)
    return Wiring(after, forward(between, inner, "the graph"), late, maps, steps)


def spread(wires: Wiring, said: Mapping[str, Delayed]) -> dict[str, Delayed]:
    """What reaches each population, as maps of what is ``said`` by the nodes named, through all linear nodes behind them."""
    heard: dict[str, Delayed] = {}

    def tell(name, maps):
        for b in wires.after[name]:
            arriving = {d + 1: matrix for d, matrix in maps.items()} if (name, b) in wires.late else maps
            heard[b] = added(heard.get(b, {}), arriving)

    for name, maps in said.items():
        tell(name, maps)
    for name in wires.order:
        if name in heard:
            arrived = heard.pop(name)
            if name in wires.steps:
                tell(name, later(arrived, wires.steps[name]))
            else:
                tell(name, {d: sp.csr_array(wires.maps[name].matrix @ matrix) for d, matrix in arrived.items()})
    return heard
