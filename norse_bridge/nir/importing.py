"""from_nir: a graph of NIR as layers."""

from __future__ import annotations

from collections import OrderedDict
from itertools import permutations

import torch

from norse_bridge.neurons.lif import LIFRecurrentCell
from norse_bridge.neurons.lif_box import reset_value
from norse_bridge.nir.graph import GraphState, module_names
from norse_bridge.nir.layers import Options, check_options, cuba_gain, is_one, layer_of, lif_parameters
from norse_bridge.nir.nodes import TIMED, arrays_of, kind_of
from norse_bridge.nir.order import forward
from norse_bridge.nir.shapes import ends_of, graph_shapes, node_label
from norse_bridge.sequential import SequentialState


def from_nir(node, ignore_warnings=False, reset_method=reset_value, dt=0.001):
    """The layers of a graph of NIR, or of one node: a module that takes one step of dt, in forward Euler.

    A graph in which one node follows another becomes a `SequentialState`; linear -> CubaLIF with a recurrent linear map becomes a
    `LIFRecurrentCell` where w_in r = tau_syn/dt; any other a `GraphState`, whose edges that lead back take one step. Each is called
    with ``(input, state=None)``, input (batch, ...), and returns ``(output, state)``; put it into `Lift` for a sequence. A
    graph with several Inputs or Outputs takes or gives dicts by name, of sequences in a `Lift`. Which module a single node becomes
    stands in `norse_bridge.nir.layers`; weights are parameters, in torch's default type.

    Parameters
    ----------
    node : any node of NIR, also a NIRGraph, also one within another; `load_nir` reads one from a file
    ignore_warnings : whether to warn of nothing: delays that are rounded to dt, time constants below dt
    reset_method : `reset_value` (v = v_reset, as NIR says) or `reset_subtract` (v = v - v_threshold)
    dt : s

    Errors: a `ModelError` or `NetworkError` that names the node, for unknown nodes, values that are NaN or infinite, time constants
    that are not positive, edges that lead nowhere, shapes that do not fit, cycles without a neuron or a Delay.
    """
    check_options(dt, reset_method)
    options = Options(dt, reset_method, torch.get_default_dtype(), ignore_warnings)
    label = f"the {type(node).__name__}"
    if kind_of(node, label) != "NIRGraph":
        return layer_of(node, label, options)
    return graph_module(node, graph_shapes(node), "the graph", options)


def graph_module(graph, shapes, label, options) -> torch.nn.Module:
    """The module of a graph with these `Shapes`."""
    cell = _recurrent_cell(graph, label, options)
    if cell is not None:
        return cell
    inputs, outputs = ends_of(graph, label)
    modules = {}
    for name, node in graph.nodes.items():
        if name not in inputs and name not in outputs:
            where = f"{label}: {node_label(name, node)}"
            inner = shapes.inner.get(name)
            modules[name] = graph_module(node, inner, where, options) if inner else layer_of(node, where, options)
    chain = _chain(graph, inputs, outputs)
    if chain is not None:
        return _sequential([(name, modules[name]) for name in chain if name in modules])
    untimed = [name for name, node in graph.nodes.items() if not _timed(node)]
    forward(untimed, [(a, b) for a, b in graph.edges if a in untimed and b in untimed], label)
    return GraphState(modules, [(a, b) for a, b in graph.edges], inputs, outputs, shapes.said)


def _timed(node) -> bool:
    """Whether a cycle through a node takes time: it is a neuron, a Threshold or a Delay, or a graph with one."""
    kind = kind_of(node)
    return kind in TIMED or (kind == "NIRGraph" and any(_timed(inner) for inner in node.nodes.values()))


def _chain(graph, inputs, outputs) -> list[str] | None:
    """The names of a graph's nodes if one follows another from the Input to the Output, else None."""
    following = dict(graph.edges)
    if (len(inputs), len(outputs)) != (1, 1) or len(graph.edges) != len(graph.nodes) - 1 or len(following) != len(graph.edges):
        return None
    chain = [inputs[0]]
    while chain[-1] in following and len(chain) <= len(graph.nodes):
        chain.append(following[chain[-1]])
    return chain if set(chain) == set(graph.nodes) else None


def _sequential(members) -> SequentialState:
    """A `SequentialState` with names."""
    keys = module_names([name for name, _ in members], SequentialState())
    return SequentialState(OrderedDict((key, module) for key, (_, module) in zip(keys, members, strict=True)))


def _recurrent_cell(graph, label, options) -> LIFRecurrentCell | None:
    """The cell that a graph is: a linear map, a CubaLIF with Norse's jump, a linear map back to it; or None."""
    kinds: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        kinds.setdefault(kind_of(node), []).append(name)
    if {kind: len(names) for kind, names in kinds.items()} != {"Input": 1, "Output": 1, "CubaLIF": 1, "Linear": 2}:
        return None
    (first,), (last,), (lif,) = kinds["Input"], kinds["Output"], kinds["CubaLIF"]
    where = f"{label}: {node_label(lif, graph.nodes[lif])}"
    arrays = arrays_of(graph.nodes[lif], where)
    if options.reset_method is not reset_value or not is_one(cuba_gain(arrays, options.dt)):
        return None
    edges = {(a, b) for a, b in graph.edges}
    for w_in, w_rec in permutations(kinds["Linear"]):
        if edges == {(first, w_in), (w_in, lif), (lif, w_rec), (w_rec, lif), (lif, last)}:
            weights = [options.tensor(arrays_of(graph.nodes[name], f"{label}: {name}")["weight"]) for name in (w_in, w_rec)]
            p, autapses = lif_parameters(arrays, where, options), bool(weights[1].diagonal().any())
            given = {"input_weights": weights[0], "recurrent_weights": weights[1], "autapses": autapses}
            hidden, inputs = weights[0].shape
            return LIFRecurrentCell(inputs, hidden, p, dt=options.dt, **given)
    return None
