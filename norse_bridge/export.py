"""From a trained model to a network of eventsim: spiking layers become populations, what lies between them sparse projections."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from eventsim.errors import NetworkError
from eventsim.models.model import Neuron
from eventsim.network import Network, Population, Projection
from eventsim.stimuli import Increment, SpikeSource
from norse_bridge import linear_maps
from norse_bridge.family import MS
from norse_bridge.layer import RecurrentSpikingLayer, SpikingLayer
from norse_bridge.lifting import Lift
from norse_bridge.neurons.li import LILinearCell
from norse_bridge.neurons.lif_mc import CoupledCell
from norse_bridge.surrogate import RANDOM

SILENT = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d, torch.nn.Identity)
SPIKING = (SpikingLayer, RecurrentSpikingLayer, LILinearCell)
SUPPORTED = (
    "Linear, Conv2d, AvgPool2d, Flatten, Dropout, Identity, Sequential, SequentialState, Lift, LILinearCell and every spiking layer"
)


class Leaf(NamedTuple):
    """One module without children of interest. lead: how many axes its input has before the features."""

    name: str
    module: Any
    lead: int


class Stage(NamedTuple):
    """One population of the network: a spiking layer with everything linear before it.

    name : str
    layer : the spiking module
    into : LinearMap from the features of the stage before, without stored zeros: a block of rows for each port
    recurrent : CSR array (neurons, neurons), a block of rows for each port, or None
    ports : the ports of the neurons that are reached; None is their default one
    """

    name: str
    layer: Any
    into: linear_maps.LinearMap
    recurrent: Any
    ports: tuple[str | None, ...] = (None,)

    def blocks(self, values):
        """``(port, its rows)`` of ``into.matrix``, ``into.bias`` or ``recurrent``."""
        return [(port, values[b * self.size : (b + 1) * self.size]) for b, port in enumerate(self.ports)]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.into.shape)


def over_time(module) -> bool:
    """Whether a model takes (time, batch, ...), as its layers over time and Lifts do, or is called step by step."""
    members = [m for m in module.modules() if isinstance(m, (SpikingLayer, RecurrentSpikingLayer, Lift))]
    lifted = {id(inner) for m in members if isinstance(m, Lift) for inner in m.modules() if inner is not m}
    forms = {isinstance(m, Lift) or m.over_time for m in members if id(m) not in lifted}
    if len(forms) > 1:
        raise NetworkError(
            f"{type(module).__name__}: it mixes cells, which take one step, with layers over time; put the cells into Lift"
        )
    return forms == {True}


def leaves(module, name="", lead=1) -> list[Leaf]:
    """The modules that are called one after another, with their names; containers and Lifts are taken apart."""
    if isinstance(module, Lift):
        return leaves(module.lifted_module, name, 1)
    if isinstance(module, torch.nn.Sequential):
        children = [(f"{name}.{child}" if name else child, inner) for child, inner in module._modules.items()]
        return [leaf for child, inner in children for leaf in leaves(inner, child, lead)]
    return [Leaf(name, module, lead)]


def linear_step(leaf, shape, label, threshold) -> linear_maps.LinearMap | None:
    """The linear map of a module, or None if it is not one."""
    module = leaf.module
    if isinstance(module, torch.nn.Linear):
        return linear_maps.linear_map(module, shape, label, threshold)
    if isinstance(module, torch.nn.Conv2d):
        return linear_maps.conv2d_map(module, shape, label, threshold)
    if isinstance(module, torch.nn.AvgPool2d):
        return linear_maps.avg_pool2d_map(module, shape, label)
    if isinstance(module, torch.nn.Flatten):
        return linear_maps.flatten_map(module, shape, label, leaf.lead)
    return linear_maps.identity_map(shape) if isinstance(module, SILENT) else None


def spiking_step(module, shape, label, threshold):
    """``(layer, map in front of it or None, recurrent matrix or None, ports)`` of a spiking module, or None if it is not one."""
    if isinstance(module, SpikingLayer):
        return module, None, None, (None,)
    if isinstance(module, LILinearCell):
        return module.integrator, linear_maps.weight_map(module.input_weights, shape, label, threshold), None, (None,)
    if isinstance(module, RecurrentSpikingLayer):
        ports, w_in, w_rec = zip(*module.weights_by_port(), strict=True)
        before = linear_maps.weight_map(torch.cat(w_in), shape, label, threshold)._replace(shape=(module.hidden_size,))
        return module, before, sp.csr_array(linear_maps.weights_of(torch.cat(w_rec), label, threshold)), ports
    return None


def _label(leaf) -> str:
    return f"module {leaf.name!r} ({type(leaf.module).__name__})" if leaf.name else type(leaf.module).__name__


def first_shape(chain, input_shape) -> tuple[int, ...]:
    """The shape of one sample's features: as given, or what the first module takes."""
    if input_shape is not None:
        return (int(input_shape),) if isinstance(input_shape, (int, np.integer)) else tuple(int(n) for n in input_shape)
    for leaf in chain:
        if isinstance(leaf.module, torch.nn.Linear):
            return (leaf.module.in_features,)
        if isinstance(leaf.module, (RecurrentSpikingLayer, LILinearCell)):
            return (leaf.module.input_size,)
        if not isinstance(leaf.module, SILENT):
            raise NetworkError(f"{_label(leaf)}: it does not say what it takes; give input_shape=..., the shape of one sample")
    raise NetworkError("the model has no spiking layer; a network needs one")


def unused(name, taken) -> str:
    """``name``, with as many underscores behind it as make it differ from all in ``taken``."""
    while name in taken:
        name += "_"
    return name


def stage_names(chain, reserved) -> list[str]:
    """A name for each spiking leaf: that of its module, or layer1, layer2 ... by its place where torch only numbered it; never one
    that another module has or that is in ``reserved``."""
    own = [leaf.name for leaf in chain if isinstance(leaf.module, SPIKING)]
    own = ["" if any(part.isdigit() for part in name.split(".")) else name for name in own]
    taken = {*own, *reserved}
    return [name or unused(f"layer{number}", taken) for number, name in enumerate(own, start=1)]


def check_layer(layer, label, found):
    """A NetworkError if a spiking layer cannot follow the stages in ``found``, fires by chance, or is more than neurons."""
    if isinstance(layer, CoupledCell):
        raise NetworkError(
            f"{label} couples the voltages of its neurons (g_coupling) in every step; a network's neurons tell each other spikes "
            "alone. A cell without the coupling, such as LIFRecurrentCell, can be exported"
        )
    if found and not found[-1].layer.family.model.spiking:
        raise NetworkError(f"{label} follows {found[-1].name!r}, which never fires: only the last layer can be a readout")
    method = layer.family.neuron_parameters(layer.p).method if layer.family.model.spiking else None
    if method in RANDOM:
        raise NetworkError(
            f"{label} fires by chance (method={method!r}); a network's neurons fire at their threshold and would be another model: "
            "give the layer a method that does not draw, such as 'super'"
        )


def stages(module, input_shape=None, threshold=0.0, reserved=()) -> tuple[tuple[int, ...], list[Stage]]:
    """The shape of the input's features, and the stages of a model in the order in which they are called.

    threshold : as for `to_network`; reserved : names that no stage without a name of its own may be given
    """
    linear_maps.check_threshold(threshold)
    chain = leaves(module, lead=2 if over_time(module) else 1)
    start, names = first_shape(chain, input_shape), stage_names(chain, reserved)
    found: list[Stage] = []
    linear = linear_maps.identity_map(start)
    for leaf in chain:
        label, shape = _label(leaf), linear.shape
        step = linear_step(leaf, shape, label, threshold)
        if step is not None:
            linear = linear_maps.then(linear, step)
            continue
        spiking = spiking_step(leaf.module, shape, label, threshold)
        if spiking is None:
            raise NetworkError(f"{label} cannot become part of a network; supported are {SUPPORTED}")
        layer, before, recurrent, ports = spiking
        check_layer(layer, label, found)
        linear = linear if before is None else linear_maps.then(linear, before)
        into = linear._replace(matrix=linear_maps.without_zeros(linear.matrix, label))
        found.append(Stage(names[len(found)], layer, into, recurrent, ports))
        linear = linear_maps.identity_map(linear.shape)
    if not found or not isinstance(chain[-1].module, (*SPIKING, *SILENT)):
        raise NetworkError(f"the model ends in {_label(chain[-1])}: end it with a spiking layer, or with LI as a readout")
    return start, found


def common_dt(found) -> float:
    """The time step of all layers, in s; an error if they differ."""
    steps = {stage.layer.dt for stage in found}
    if len(steps) > 1:
        listed = ", ".join(f"{dt} s" for dt in sorted(steps))
        raise NetworkError(f"the layers have different time steps ({listed}); a network has one")
    return steps.pop()


def neuron_of(stage, dt) -> Neuron:
    """The neuron of a stage's layer: the same model and parameters, in ms, in forward Euler with Norse's order of a step."""
    family, p = stage.layer.family.of(stage.layer.p), stage.layer.p

    def number(value):
        tensor = torch.as_tensor(value).detach().cpu().to(torch.float64)
        if tensor.numel() == 1:
            return tensor.item()
        try:
            return tensor.broadcast_to((1, *stage.into.shape)).reshape(-1).numpy()  # (neurons,)
        except RuntimeError as error:
            shapes = f"{tuple(tensor.shape)} does not fit neurons of shape {stage.into.shape}"
            raise NetworkError(f"layer {stage.name!r}: a parameter of shape {shapes}") from error

    params = {name: number(value) for name, value in family.contract_params(p, dt)._asdict().items()}
    period = MS * dt * number(family.refractory.period(p)) if family.refractory else 0.0
    return family.model(method="euler", order=family.order, refractory=period, **params)


def input_of(found, input_name) -> str:
    """The name of the input's population: the given one, which no stage may have; for None "input", or "input_" ..."""
    names = [stage.name for stage in found]
    if input_name in names:
        raise NetworkError(f"input_name={input_name!r} is the name of a layer; give another, or None for one that is unused")
    return unused("input", names) if input_name is None else input_name


def assemble(start, found, dt, input_name) -> Network:
    """The network of some stages, with an input called ``input_name``."""
    populations = [Population(input_name, math.prod(start), SpikeSource())]
    projections, inputs = [], []
    for stage in found:
        source = populations[-1].name
        populations.append(Population(stage.name, stage.size, neuron_of(stage, dt)))
        wires = [(source, stage.into.matrix, 0.0)]
        if stage.recurrent is not None:
            wires.append((stage.name, stage.recurrent, MS * dt))
        for name, matrix, delay in wires:
            for port, rows in stage.blocks(matrix):
                synapses = rows.T.tocsr()  # (sources, targets)
                if synapses.nnz:
                    projections.append(Projection(name, stage.name, synapses, delay=delay, port=port))
        if stage.into.bias is not None:
            inputs += [Increment(stage.name, bias, port=port) for port, bias in stage.blocks(stage.into.bias)]
    return Network(tuple(populations), tuple(projections), tuple(inputs))


def to_network(module, input_shape=None, *, threshold=0.0, dt=None, input_name=None) -> Network:
    """The network that a model is.

    Every spiking layer becomes a population; consecutive Linear, Conv2d, AvgPool2d and Flatten modules compose to one sparse
    projection with delay 0, so that all layers act in the same step, one after another; their biases become an `Increment`;
    recurrent weights get a delay of one step. Run it with ``Simulation(network, dt=1000 * dt)``: time is in ms there.

    Parameters
    ----------
    module : a spiking layer, an `nn.Sequential` or a `SequentialState` of cells (one step) or of layers over time
        Dropout is left out, whatever mode the module is in.
    input_shape : shape of the features of one sample, without time and batch; None where the first module tells
    threshold : in each module's own weights (Linear, Conv2d, input and recurrent weights) those with ``|w| <= threshold`` count as
        0, before modules are composed; biases and the means of AvgPool2d are left alone. At 0.0 only exact zeros are dropped.
    dt : s; None for that of the layers, which must be the same in all of them
    input_name : name of the population of sources; None: "input". The others are called as their modules, or by their place
        (layer1, layer2 ...) where torch only numbered them. A name made here that a module has gets an underscore: "input_".

    Errors: a `NetworkError` that names the module which cannot be exported, and why: one that holds NaN, say, or one whose
    surrogate draws its spikes ("logistic", "circ_dist").
    """
    start, found = stages(module, input_shape, threshold, () if input_name is None else (input_name,))
    return assemble(start, found, common_dt(found) if dt is None else dt, input_of(found, input_name))
