"""to_nir: a model as a graph of NIR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.layer import RecurrentSpikingLayer, SpikingLayer
from norse_bridge.leaves import leaves, over_time, unused
from norse_bridge.lifting import Lift
from norse_bridge.linear_maps import Place
from norse_bridge.maps.modules import SILENT, kind_of
from norse_bridge.maps.moving import flatten_map
from norse_bridge.maps.windows import tuple_of
from norse_bridge.neurons.li import LILinearCell
from norse_bridge.nir.graph import GraphState
from norse_bridge.nir.modules import CubaLIF, Delay, Scale, ScaledInput, Threshold
from norse_bridge.nir.neurons import cuba_node, neuron_node, per_neuron
from norse_bridge.nir.package import nir_package
from norse_bridge.nir.shapes import Shape, graph_shapes, output_shape
from norse_bridge.pooling import SumPool2d
from norse_bridge.sequential import SequentialState

CHAINS = (torch.nn.Sequential, SequentialState)
SUPPORTED = (
    "Linear, Conv1d, Conv2d, AvgPool2d, SumPool2d, Flatten, Dropout, Identity, Sequential, SequentialState, Lift, LILinearCell, "
    "the cells and layers LIF, LI, LIFBox, LIBox, IAF and LIFRecurrent, what from_nir gives, and modules that offer one of these "
    "by a method exported_as()"
)


class Context(NamedTuple):
    """lead: the axes before the features; time: what all times are multiplied with; type_check: for `nir.NIRGraph`."""

    lead: int
    time: float
    type_check: bool


def to_nir(module, sample_data=None, model_name="norse", time_scaling_factor=1, type_check=True):
    """The graph of NIR that a model is: a `nir.NIRGraph`, for `nir.write`.

    Nodes are called as the modules in the model, with an "input" before and an "output" behind them; a model that is one module is
    called ``model_name``. Containers, LIFRecurrent and LILinearCell become graphs within the graph; Dropout and Identity are left
    out, Lift becomes what is in it. What the neurons become stands in `norse_bridge.nir.neurons`; weights are float32, or float64
    where they are that here. Surrogate gradients are not part of NIR and are lost.

    Parameters
    ----------
    module : a `SequentialState` or `nn.Sequential` of cells or of layers over time, one of these, or what `from_nir` gives
    sample_data : (batch, ...), or (time, batch, ...) for layers over time, of which only the shape is used; None where the first
        module with a shape of its own is a linear one, a recurrent one or has per-neuron parameters
    model_name : str
    time_scaling_factor : what all times (time constants, dt, delays) are multiplied with, 0.001 for a model in ms; import the graph
        with ``dt = time_scaling_factor * dt``
    type_check : whether nir is to check the types of the graph, too

    Errors: a `ModelError` that names the module which NIR has no words for, and why.
    """
    nir_package()
    if isinstance(time_scaling_factor, bool) or not 0.0 < time_scaling_factor < float("inf"):
        raise ModelError(f"time_scaling_factor must be a number above 0, not {time_scaling_factor!r}")
    chain = leaves(module)
    context = Context(2 if over_time(chain, type(module).__name__) else 1, float(time_scaling_factor), type_check)
    _check_dt(module)
    shape = _told_shape(chain) if sample_data is None else _shape_of(sample_data, context.lead)
    if isinstance(module, GraphState):
        graph = _graph_node(module, "the model", context)
    else:
        members = list(module._modules.items()) if kind_of(module, CHAINS) else [(model_name, module)]
        graph = _sequence(members, shape, "", context)
    graph_shapes(graph)
    return graph


def _check_dt(module):
    steps = {m.dt for m in module.modules() if isinstance(m, (SpikingLayer, RecurrentSpikingLayer, Delay))}
    if len(steps) > 1:
        listed = ", ".join(f"{dt} s" for dt in sorted(steps))
        raise ModelError(f"the layers have different time steps ({listed}); a graph is imported with one")


def _shape_of(sample, lead) -> Shape:
    shape = tuple(np.shape(sample))
    if len(shape) <= lead:
        axes = "(time, batch, features ...)" if lead > 1 else "(batch, features ...)"
        raise ModelError(f"sample_data must have shape {axes}, not {shape}")
    return shape[lead:]


def _told_shape(chain) -> Shape:
    """The shape of the features that enter a model, as the first of its modules that has one tells it."""
    for leaf in chain:
        inner = leaf.module
        if isinstance(inner, torch.nn.Linear):
            return (inner.in_features,)
        if isinstance(inner, (RecurrentSpikingLayer, LILinearCell)):
            return (inner.input_size,)
        if isinstance(inner, GraphState):
            return inner.shapes[inner.inputs[0]]
        own = _own_shape(inner)
        if own:
            return own
        if own is None and not kind_of(inner, SILENT):
            break
    raise ModelError("no module tells the shape of the features that enter the model; give sample_data")


def _own_shape(module) -> Shape | None:
    """The shape of the arrays of a module that acts on each feature by itself, () for numbers; None for other modules."""
    if not isinstance(module, (SpikingLayer, ScaledInput, CubaLIF, Scale, Threshold, Delay)):
        return None
    shapes = [tuple(t.shape) for t in (*module.parameters(), *module.buffers()) if t.numel() > 1]
    shape = max(shapes, key=len, default=())
    shape = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape  # parameters broadcast against (batch, ...)
    return None if 1 in shape else shape


def _sequence(members: Sequence[tuple[str, Any]], shape, path, context) -> Any:
    """The graph of modules that are called one after another."""
    nir = nir_package()
    names = [name for name, _ in members]
    first, last = unused("input", names), unused("output", names)
    nodes, said = {first: _end(nir.Input, shape)}, shape
    for name, module in members:
        where = f"{path}.{name}" if path else name
        node, said = _part(module, said, f"module {where!r} ({type(module).__name__})", where, context)
        if node is not None:
            nodes[name] = node
    nodes[last] = _end(nir.Output, said)
    chain = list(nodes)
    return _graph(nodes, list(zip(chain[:-1], chain[1:], strict=True)), context)


def _end(kind, shape):
    return kind(np.array(shape, dtype=np.int64))


def _graph(nodes, edges, context):
    """A `nir.NIRGraph`; a ModelError names what cannot be the name of a node in a file."""
    for name in nodes:
        if "/" in name:
            raise ModelError(f"module {name!r}: a name with a slash cannot be written to a file; call it otherwise")
    return nir_package().NIRGraph(nodes, edges, type_check=context.type_check)


def _part(module, shape, label, path, context) -> tuple[Any, Shape]:
    """``(node or None, shape of the output)`` of a module whose input has ``shape``."""
    if isinstance(module, Lift):
        return _part(module.lifted_module, shape, label, path, context._replace(lead=1))
    if hasattr(module, "exported_as"):
        return _part(module.exported_as(), shape, label, path, context)
    if kind_of(module, SILENT):
        return None, shape
    node = _node(module, shape, label, path, context)
    return node, output_shape(node, shape, label)


def _node(module, shape, label, path, context) -> Any:
    if kind_of(module, CHAINS):
        return _sequence(list(module._modules.items()), shape, path, context)
    if isinstance(module, GraphState):
        return _graph_node(module, label, context)
    if isinstance(module, RecurrentSpikingLayer):
        return _recurrent_node(module, shape, label, context)
    if isinstance(module, LILinearCell):
        linear = nir_package().Linear(_weights(module.input_weights))
        size = output_shape(linear, shape, label)
        inner = {"linear": linear, "li": neuron_node(module.integrator, size, label, context.time)}
        return _with_ends(inner, [("input", "linear"), ("linear", "li"), ("li", "output")], shape, size, context)
    if isinstance(module, SpikingLayer):
        return neuron_node(module, shape, label, context.time)
    if isinstance(module, ScaledInput):
        return neuron_node(module.neuron, shape, label, context.time, per_neuron(module.scale, shape, label))
    if isinstance(module, CubaLIF):
        return cuba_node(module, shape, label, context.time)
    return _plain_node(module, shape, label, context)


def _recurrent_node(module, shape, label, context):
    nir = nir_package()
    size = (module.hidden_size,)
    nodes = {
        "w_in": nir.Linear(_weights(module.input_weights)),
        "lif": neuron_node(module, size, label, context.time),
        "w_rec": nir.Linear(_weights(module.effective_recurrent_weights())),
    }
    edges = [("input", "w_in"), ("w_in", "lif"), ("lif", "output"), ("lif", "w_rec"), ("w_rec", "lif")]
    return _with_ends(nodes, edges, shape, size, context)


def _with_ends(nodes, edges, shape, said, context):
    """A graph of nodes with an "input" before and an "output" behind them."""
    nir = nir_package()
    return _graph({"input": _end(nir.Input, shape), **nodes, "output": _end(nir.Output, said)}, edges, context)


def _graph_node(module, label, context):
    nir = nir_package()
    nodes = {name: _end(nir.Input, module.shapes[name]) for name in module.inputs}
    for name, inner in zip(module.names, module.nodes.values(), strict=True):
        shape = module.shapes[module.before[name][0]]
        where = f"{label}: node {name!r} ({type(inner).__name__})"
        node, _ = _part(inner, shape, where, name, context)
        nodes[name] = nir.Scale(np.ones(shape)) if node is None else node
    nodes |= {name: _end(nir.Output, module.shapes[name]) for name in module.outputs}
    return _graph(nodes, list(module.edges), context)


def _weights(tensor) -> np.ndarray:
    """Weights as an array of their own: float64 where they are, else float32, which holds every narrower type."""
    kind = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().cpu().to(kind).numpy().copy()


def _plain_node(module, shape, label, context) -> Any:
    """The node of a module of torch, or of one that NIR alone has."""
    nir = nir_package()
    if kind_of(module, (torch.nn.Linear,)):
        weight = _weights(module.weight)
        return nir.Linear(weight) if module.bias is None else nir.Affine(weight, _weights(module.bias))
    if kind_of(module, (torch.nn.Conv1d, torch.nn.Conv2d)):
        return _conv_node(module, shape, label)
    if kind_of(module, (torch.nn.AvgPool2d,)):
        _check_means(module, label)
        return _pool_node(nir.AvgPool2d, module)
    if kind_of(module, (SumPool2d,)):
        return _pool_node(nir.SumPool2d, module)
    if kind_of(module, (torch.nn.Flatten,)):
        flatten_map(module, Place(shape, label, lead=context.lead))  # refuses what would join the batch with the features
        axes = context.lead + len(shape)
        start, end = (d % axes - context.lead for d in (module.start_dim, module.end_dim))
        return nir.Flatten({"input": np.array(shape)}, start, end)
    if isinstance(module, Scale):
        return nir.Scale(per_neuron(module.scale, shape, label))
    if isinstance(module, Threshold):
        return nir.Threshold(per_neuron(module.threshold, shape, label))
    if isinstance(module, Delay):
        return nir.Delay(context.time * per_neuron(module.delay, shape, label))
    raise ModelError(f"{label} cannot become NIR, which has no words for it; supported are {SUPPORTED}")


def _conv_node(module, shape, label):
    """Conv1d, Conv2d. nir's own types take kernels for square and channels for ungrouped, so they are set again."""
    if module.padding_mode != "zeros":
        raise ModelError(f"{label} cannot become NIR, whose convolutions are padded with zeros, not by {module.padding_mode!r}")
    nir, one = nir_package(), isinstance(module, torch.nn.Conv1d)
    weight = _weights(module.weight)
    bias = np.zeros(len(weight), weight.dtype) if module.bias is None else _weights(module.bias)
    given = (module.stride, module.padding, module.dilation)
    stride, padding, dilation = (value[0] if one and isinstance(value, tuple) else value for value in given)
    size = shape[1] if one and len(shape) == 2 else tuple(shape[1:])
    node = (nir.Conv1d if one else nir.Conv2d)(size, weight, stride, padding, dilation, module.groups, bias)
    node.output_type = {"output": np.array(output_shape(node, shape, label))}
    node.input_type = {"input": np.array(shape)}
    return node


def _check_means(module, label):
    """A ModelError if NIR's mean, over whole windows with the padding counted, is not that of a module."""
    if module.ceil_mode or (module.padding not in (0, (0, 0)) and not module.count_include_pad):
        raise ModelError(f"{label} cannot become NIR, whose windows are whole and count the padding (ceil_mode, count_include_pad)")
    if module.divisor_override is not None:
        raise ModelError(f"{label} cannot become NIR, which divides by the size of the window, not by {module.divisor_override}")


def _pool_node(kind, module):
    sizes = (module.kernel_size, module.stride, module.padding)
    return kind(*(np.array(tuple_of(value, 2)) for value in sizes))
