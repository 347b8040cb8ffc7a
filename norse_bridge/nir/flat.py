"""A graph with graphs in it as one graph: the inner nodes are called by their path, ``outer.inner``, with underscores behind it
where a node is called so already."""

from __future__ import annotations

from typing import Any, NamedTuple

from norse_bridge.leaves import unused
from norse_bridge.nir.order import Edge
from norse_bridge.nir.shapes import Shape, Shapes, ends_of, graph_shapes


class Flat(NamedTuple):
    """nodes: by name, none of them a graph; edges; inputs and outputs: of the whole graph; shapes: of what each node hears."""

    nodes: dict[str, Any]
    edges: list[Edge]
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, Shape]


def flatten(graph) -> Flat:
    """The one graph. The Inputs and Outputs of inner graphs stay in it, as nodes that hand on what they hear."""
    return _flat(graph, graph_shapes(graph))


def _flat(graph, shapes: Shapes) -> Flat:
    found = Flat({}, [], *ends_of(graph, "the graph"), {})
    taken, ends = set(graph.nodes), {}
    for name, node in graph.nodes.items():
        if name not in shapes.inner:
            found.nodes[name], found.shapes[name] = node, shapes.heard[name]
            continue
        part, called = _flat(node, shapes.inner[name]), {}
        for inner in part.nodes:
            called[inner] = unused(f"{name}.{inner}", taken)
            taken.add(called[inner])
        found.nodes.update({called[n]: m for n, m in part.nodes.items()})
        found.shapes.update({called[n]: s for n, s in part.shapes.items()})
        found.edges.extend((called[a], called[b]) for a, b in part.edges)
        ends[name] = called[part.inputs[0]], called[part.outputs[0]]
    for a, b in graph.edges:
        found.edges.append((ends[a][1] if a in ends else a, ends[b][0] if b in ends else b))
    return found
