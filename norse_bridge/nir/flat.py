"""A graph with graphs in it as one graph: the inner nodes are called by their path, ``outer.inner``."""

from __future__ import annotations

from typing import Any, NamedTuple

from norse_bridge.nir.nodes import kind_of
from norse_bridge.nir.order import Edge
from norse_bridge.nir.shapes import Shape, ends_of, graph_shapes, node_label


class Flat(NamedTuple):
    """nodes: by name, none of them a graph; edges; inputs and outputs: of the whole graph; shapes: of what each node hears."""

    nodes: dict[str, Any]
    edges: list[Edge]
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, Shape]


def flatten(graph, label="the graph", shape=None) -> Flat:
    """The one graph. The Inputs and Outputs of inner graphs stay in it, as nodes that hand on what they hear."""
    shapes = graph_shapes(graph, label, shape)
    inputs, outputs = ends_of(graph, label)
    found = Flat({}, [], inputs, outputs, {})
    inner: dict[str, Flat] = {}
    for name, node in graph.nodes.items():
        if kind_of(node) == "NIRGraph":
            part = inner[name] = flatten(node, f"{label}: {node_label(name, node)}", shapes.heard[name])
            found.nodes.update({f"{name}.{n}": m for n, m in part.nodes.items()})
            found.shapes.update({f"{name}.{n}": s for n, s in part.shapes.items()})
            found.edges.extend((f"{name}.{a}", f"{name}.{b}") for a, b in part.edges)
        else:
            found.nodes[name], found.shapes[name] = node, shapes.heard[name]
    for a, b in graph.edges:
        start = f"{a}.{inner[a].outputs[0]}" if a in inner else a
        end = f"{b}.{inner[b].inputs[0]}" if b in inner else b
        found.edges.append((start, end))
    return found
