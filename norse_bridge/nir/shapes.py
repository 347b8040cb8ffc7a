"""The shape of what leaves each node of a graph, from its Inputs on; features only, without time and batch.

NIR's own inference takes convolutions for square and ungrouped, and parameters of shape () for single neurons; here a neuron,
Scale, Threshold or Delay of shape () is one for all features, as Norse writes them.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from eventsim.errors import ModelError, NetworkError
from norse_bridge.nir.nodes import ELEMENTWISE, arrays_of, counts, declared_shape, kind_of, whole_number, window_of

Shape = tuple[int, ...]


class Shapes(NamedTuple):
    """heard, said: by name, the shape of what each node hears and says (an Input hears what enters the graph); output: of what the
    first Output says; inner: by name, the Shapes of each graph within the graph."""

    heard: dict[str, Shape]
    said: dict[str, Shape]
    output: Shape
    inner: dict[str, Shapes]


def node_label(name, node) -> str:
    """What error messages call a node."""
    return f"node {name!r} ({type(node).__name__})"


def _window_shape(window, size, label) -> Shape:
    if window.padding == "same":
        return size
    padding = (0,) * len(size) if window.padding == "valid" else window.padding
    axes = zip(size, window.kernel, window.stride, padding, window.dilation, strict=True)
    out = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
    if min(out) < 1:
        raise ModelError(f"{label}: its window of {window.kernel} does not fit an input of {size}")
    return out


def _conv_shape(node, arrays, shape, label) -> Shape:
    weight, window = arrays["weight"], window_of(node, label)
    axes = len(window.kernel)
    (groups,) = counts(node.groups, 1, 1, f"{label}: groups")
    channels = groups * weight.shape[1]
    if len(shape) != axes + 1 or shape[0] != channels or weight.shape[0] % groups:
        raise ModelError(
            f"{label}: weights of shape {weight.shape} in {groups} groups take {channels} channels on the first of "
            f"{axes + 1} axes and give a multiple of {groups}; the input has shape {shape}"
        )
    return (weight.shape[0], *_window_shape(window, shape[1:], label))


def _flat_shape(node, shape, label) -> Shape:
    axes = len(shape)
    ends = [whole_number(getattr(node, field), f"{label}: {field}") for field in ("start_dim", "end_dim")]
    start, end = (d + axes if d < 0 else d for d in ends)
    if not 0 <= start <= end < axes:
        raise ModelError(f"{label}: start_dim={ends[0]} and end_dim={ends[1]} do not fit an input of shape {shape}, without batch")
    return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


def output_shape(node, shape, label) -> Shape:
    """The shape of a node's output for an input of ``shape``; a ModelError that begins with ``label`` if it does not fit."""
    kind, arrays = kind_of(node, label), arrays_of(node, label)
    if kind == "NIRGraph":
        return graph_shapes(node, label, shape).output
    if kind in ELEMENTWISE:
        own = next(iter(arrays.values())).shape
        if own not in ((), shape):
            raise ModelError(f"{label}: its arrays have shape {own}, its input {shape}")
        return shape
    if kind in ("Linear", "Affine"):
        weight = arrays["weight"]
        if shape != weight.shape[1:]:
            raise ModelError(f"{label}: it takes {weight.shape[1]} features on one axis, its input has shape {shape}")
        return weight.shape[:1]
    if kind in ("Conv1d", "Conv2d"):
        return _conv_shape(node, arrays, shape, label)
    if kind == "Flatten":
        return _flat_shape(node, shape, label)
    if kind in ("SumPool2d", "AvgPool2d"):
        window = window_of(node, label)
        if len(shape) != 3:
            raise ModelError(f"{label}: it takes (channels, height, width), its input has shape {shape}")
        return (shape[0], *_window_shape(window, shape[1:], label))
    declared = declared_shape(node, label)  # Input, Output
    if declared not in (None, shape):
        raise ModelError(f"{label}: it says that its shape is {declared}, but what arrives has shape {shape}")
    return shape


def check_edges(graph, label):
    """A NetworkError if an edge names a node that is not there, occurs twice, or enters an Input or leaves an Output."""
    seen = set()
    if not isinstance(graph.edges, (list, tuple)):
        raise NetworkError(f"{label}: its edges must be a list of pairs of names, not {graph.edges!r}")
    for edge in graph.edges:
        if not isinstance(edge, (list, tuple)) or len(edge) != 2 or not all(isinstance(name, str) for name in edge):
            raise NetworkError(f"{label}: an edge must be the names of two nodes, not {edge!r}")
        a, b = edge
        for name in edge:
            if name not in graph.nodes:
                raise NetworkError(f"{label}: the edge {a!r} -> {b!r} names {name!r}, which is no node of it")
        if (a, b) in seen:
            raise NetworkError(f"{label}: the edge {a!r} -> {b!r} occurs twice; scale the weights instead")
        if kind_of(graph.nodes[b]) == "Input" or kind_of(graph.nodes[a]) == "Output":
            raise NetworkError(f"{label}: the edge {a!r} -> {b!r} enters an Input or leaves an Output")
        seen.add((a, b))


def ends_of(graph, label) -> tuple[list[str], list[str]]:
    """The names of a graph's Inputs and Outputs; a NetworkError if either is missing."""
    found = [[name for name, node in graph.nodes.items() if kind_of(node) == kind] for kind in ("Input", "Output")]
    if not all(found):
        raise NetworkError(f"{label}: a graph needs an Input and an Output; its nodes are {', '.join(map(repr, graph.nodes))}")
    return found[0], found[1]


def graph_shapes(graph, label="the graph", shape=None) -> Shapes:
    """The shapes of what every node hears and says; everything in the graph is checked.

    shape : of what enters a graph within a graph, which must have one Input and one Output; None: as the Inputs say
    """
    if not isinstance(graph.nodes, dict):
        raise NetworkError(f"{label}: its nodes must be a dict by name, not {graph.nodes!r}")
    for name, node in graph.nodes.items():
        if not isinstance(name, str):
            raise NetworkError(f"{label}: the name of a node must be a text, not {name!r}")
        kind_of(node, f"{label}: {node_label(name, node)}")
    check_edges(graph, label)
    inputs, outputs = ends_of(graph, label)
    if shape is not None and (len(inputs), len(outputs)) != (1, 1):
        raise NetworkError(f"{label}: a graph within a graph must have one Input and one Output, not {inputs} and {outputs}")
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        after[a].append(b)
    heard: dict[str, Shape] = {}
    said: dict[str, Shape] = {}
    inner: dict[str, Shapes] = {}

    def hear(name, given, where):
        heard[name], node = given, graph.nodes[name]
        if kind_of(node) == "NIRGraph":
            inner[name] = graph_shapes(node, where, given)
        said[name] = inner[name].output if name in inner else output_shape(node, given, where)

    for name in inputs:
        where = f"{label}: {node_label(name, graph.nodes[name])}"
        given = declared_shape(graph.nodes[name], where) if shape is None else shape
        if given is None:
            raise ModelError(f"{where}: it does not say its shape")
        hear(name, given, where)
    waiting = deque(inputs)
    while waiting:
        a = waiting.popleft()
        for b in after[a]:
            where = f"{label}: {node_label(b, graph.nodes[b])}"
            if b not in said:
                hear(b, said[a], where)
                waiting.append(b)
            elif heard[b] != said[a]:
                raise NetworkError(f"{where}: inputs of different shapes arrive, {heard[b]} and {said[a]} from {a!r}")
    lost = [name for name in graph.nodes if name not in said]
    if lost:
        raise NetworkError(f"{label}: no Input leads to {', '.join(map(repr, lost))}")
    return Shapes(heard, said, said[outputs[0]], inner)
