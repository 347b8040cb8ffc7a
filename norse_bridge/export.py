"""From a trained model to a network of eventsim: spiking layers become populations, what lies between them sparse projections."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import scipy.sparse as sp
import torch

from eventsim.errors import NetworkError
from eventsim.models.model import Neuron
from eventsim.network import Network, Population, Projection
from eventsim.stimuli import Increment, SpikeSource
from norse_bridge import linear_maps
from norse_bridge.family import MS
from norse_bridge.layer import RecurrentSpikingLayer, SpikingLayer
from norse_bridge.leaves import NO_LAYER, becomes_population, first_shape, leaves, over_time, stage_names, uncompiled, unused
from norse_bridge.maps.modules import FOR_SPIKES, LINEAR, MAXIMA, SILENT, SUPPORTED, kind_of, linear_step, refusal
from norse_bridge.neurons.iaf import IAFCell, IAFParameters
from norse_bridge.neurons.li import LILinearCell
from norse_bridge.neurons.lif_mc import CoupledCell
from norse_bridge.surrogate import RANDOM


class Stage(NamedTuple):
    """One population of the network: a spiking layer with everything linear before it.

    name : str
    layer : the spiking module
    into : LinearMap from the features of the stage before, without stored zeros: a block of rows for each port
    recurrent : CSR array (neurons, neurons), a block of rows for each port, or None
    ports : the ports of the neurons that are reached; None is their default one
    label : what errors call the layer
    """

    name: str
    layer: Any
    into: linear_maps.LinearMap
    recurrent: Any
    ports: tuple[str | None, ...] = (None,)
    label: str = ""

    def blocks(self, values):
        """``(port, its rows)`` of ``into.matrix``, ``into.bias`` or ``recurrent``."""
        return [(port, values[b * self.size : (b + 1) * self.size]) for b, port in enumerate(self.ports)]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.into.shape)


def neurons(module, at, found):
    """``(layer, map in front of it or None, recurrent matrix or None, ports)`` of a module with neurons of its own in the network.

    A maximum over spikes becomes neurons that fire in the step in which any of their inputs fires, and start the next one at 0.
    """
    if isinstance(module, SpikingLayer):
        return module, None, None, (None,)
    if isinstance(module, LILinearCell):
        return module.integrator, linear_maps.weight_map(module.input_weights, at.shape, at.label, at.threshold), None, (None,)
    if isinstance(module, RecurrentSpikingLayer):
        ports, w_in, w_rec = _weights_by_port(module, at.label)
        before = linear_maps.weight_map(torch.cat(w_in), at.shape, at.label, at.threshold)._replace(shape=(module.hidden_size,))
        return module, before, sp.csr_array(linear_maps.weights_of(torch.cat(w_rec), at.label, at.threshold)), ports
    kind = kind_of(module, MAXIMA)
    return IAFCell(IAFParameters(v_th=torch.as_tensor(0.5)), dt=found[-1].layer.dt), MAXIMA[kind](module, at), None, (None,)


def _weights_by_port(module, label):
    """The ports of a recurrent layer, and its input and recurrent weights for each; a NetworkError if they are not of its size."""
    size = module.hidden_size
    try:
        ports, w_in, w_rec = zip(*module.weights_by_port(), strict=True)
    except RuntimeError as error:
        raise NetworkError(f"{label}: its weights are not those of {size} neurons: {error}") from error
    if any(w.ndim != 2 or len(w) != size for w in (*w_in, *w_rec)) or any(w.shape[1] != size for w in w_rec):
        raise NetworkError(f"{label}: its weights, {[tuple(w.shape) for w in (*w_in, *w_rec)]}, are not those of {size} neurons")
    return ports, w_in, w_rec


def check_supported(leaf):
    """A NetworkError if a module can be no part of a network."""
    module = leaf.module
    if not (becomes_population(module) or getattr(module, "moves_features", False) or kind_of(module, LINEAR)):
        raise NetworkError(f"{leaf.label} cannot become part of a network: {refusal(module)}; supported are {SUPPORTED}")


def check_spikes(label, found, linear):
    """A NetworkError if what reaches a module that acts on spikes alone may be other than 0 and 1."""
    spikes = found and found[-1].layer.family.model.spiking
    if not spikes or not linear_maps.only_moves(linear):
        reason = "what lies between changes their values" if spikes else "no spiking layer lies in front of it"
        raise NetworkError(
            f"{label} is exported right behind spikes alone, which are 0 or 1, and {reason}: a network takes no maximum of "
            "analogue values (ReLU is one with 0). Put it behind a spiking layer, or pool means (AvgPool)"
        )


def check_layer(layer, label, found):
    """A NetworkError if a spiking layer cannot follow the stages in ``found``, fires by chance, or is more than neurons."""
    if isinstance(layer, CoupledCell):
        raise NetworkError(
            f"{label} couples the voltages of its neurons (g_coupling) in every step; a network's neurons tell each other spikes "
            "alone. A cell without the coupling, such as LIFRecurrentCell, can be exported"
        )
    if found and not found[-1].layer.family.model.spiking:
        raise NetworkError(f"{label} follows {found[-1].label}, which never fires: only the last layer can be a readout")
    method = layer.family.neuron_parameters(layer.p).method if layer.family.model.spiking else None
    if method in RANDOM:
        raise NetworkError(
            f"{label} fires by chance (method={method!r}); a network's neurons fire at their threshold and would be another model: "
            "give the layer a method that does not draw, such as 'super'"
        )


def check_end(chain, found, linear):
    """A NetworkError if no spiking layer closes the model; linear : the map behind the last stage."""
    acting = [leaf for leaf in chain if not kind_of(leaf.module, SILENT)]
    if not acting:
        raise NetworkError(NO_LAYER)
    if not found or linear.bias is not None or linear.shape != found[-1].into.shape or not linear_maps.is_identity(linear.matrix):
        raise NetworkError(f"the model ends in {acting[-1].label}: end it with a spiking layer, or with LI as a readout")


def stages(module, input_shape=None, threshold=0.0, reserved=()) -> tuple[tuple[int, ...], list[Stage]]:
    """The shape of the input's features, and the stages of a model in the order in which they are called.

    threshold : as for `to_network`; reserved : names that no stage without a name of its own may be given
    """
    linear_maps.check_threshold(threshold)
    chain = leaves(module)
    for leaf in chain:
        check_supported(leaf)
    lead = 2 if over_time(chain, type(uncompiled(module, "the model")).__name__) else 1
    start, names = first_shape(chain, input_shape), stage_names(chain, reserved)
    found: list[Stage] = []
    linear = linear_maps.identity_map(start)
    for leaf in chain:
        at = linear_maps.Place(linear.shape, leaf.label, threshold, 1 if leaf.lifted else lead)
        if kind_of(leaf.module, FOR_SPIKES):
            check_spikes(leaf.label, found, linear)
        step = linear_step(leaf.module, at)
        if step is not None:
            linear = linear_maps.then(linear, step)
            continue
        layer, before, recurrent, ports = neurons(leaf.module, at, found)
        check_layer(layer, leaf.label, found)
        linear = linear if before is None else linear_maps.then(linear, before)
        into = linear._replace(matrix=linear_maps.without_zeros(linear.matrix, leaf.label))
        found.append(Stage(names[len(found)], layer, into, recurrent, ports, leaf.label))
        linear = linear_maps.identity_map(linear.shape)
    check_end(chain, found, linear)
    return start, found


def seconds(dt, label) -> float:
    """A time step in s, a number or a tensor, as a float; a NetworkError that begins with ``label`` if it is not above 0."""
    try:
        value = math.nan if isinstance(dt, (bool, str)) else float(dt)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several numbers
        value = math.nan
    if not 0.0 < value < math.inf:
        raise NetworkError(f"{label} must be a number above 0, in s, not {dt!r}")
    return value


def common_dt(found) -> float:
    """The time step of all layers, in s; an error if they differ."""
    steps = {seconds(stage.layer.dt, f"{stage.label}: dt") for stage in found}
    if len(steps) > 1:
        listed = ", ".join(f"{dt} s" for dt in sorted(steps))
        raise NetworkError(f"the layers have different time steps ({listed}); a network has one")
    return steps.pop()


def neuron_of(stage, dt) -> Neuron:
    """The neuron of a stage's layer: the same model and parameters, in ms, in forward Euler with Norse's order of a step."""
    family, p = stage.layer.family.of(stage.layer.p), stage.layer.p

    def number(value):
        tensor = linear_maps.real(torch.as_tensor(value), stage.label)
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


def reserved(input_name) -> tuple[str, ...]:
    """The names that no layer may be given, for the input's name or None."""
    if input_name is not None and (not isinstance(input_name, str) or not input_name):
        raise NetworkError(f"input_name must be a text that is not empty, or None, not {input_name!r}")
    return () if input_name is None else (input_name,)


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

    Every spiking layer becomes a population. The linear modules in front of it (Linear, convolutions, means and sums over windows,
    BatchNorm in eval mode, Flatten and all else that only moves features) compose to one sparse projection with delay 0, so that
    all layers act in the same step, one after another; their biases become an `Increment`; recurrent weights get a delay of one
    step. MaxPool right behind spikes becomes a population, too: neurons that fire in the step in which any of their inputs fires.
    Run it with ``Simulation(network, dt=1000 * dt)``: time is in ms there.

    Parameters
    ----------
    module : a spiking layer, an `nn.Sequential` or a `SequentialState` of cells (one step) or of layers over time; they may be
        nested. Dropout is left out, whatever mode the module is in. A module with a method ``exported_as()`` is exported as the
        module which that returns (a `Conv2d` with the weights of a receptive field, say); one with an attribute
        ``moves_features = True`` as what its forward does to the places of features.
    input_shape : shape of the features of one sample, without time and batch; None where the first module tells
    threshold : in each module's own weights (Linear, convolutions, input and recurrent weights) those with ``|w| <= threshold``
        count as 0, before modules are composed; biases, means and normalisation are left alone. At 0.0 only exact zeros are
        dropped.
    dt : s; None for that of the layers, which must be the same in all of them
    input_name : name of the population of sources; None: "input". The others are called as their modules, or by their place where
        torch only numbered them: layer1, layer2 ... and, for maxima, pool1, pool2 ... A name made here that a module has gets an
        underscore: "input_".

    Errors: a `NetworkError` that names the module which cannot be exported, and why: one that holds NaN, say, one whose surrogate
    draws its spikes ("logistic", "circ_dist"), or one with code of its own (a class with another forward, a forward hook).
    """
    given = None if dt is None else seconds(dt, "dt")
    start, found = stages(module, input_shape, threshold, reserved(input_name))
    return assemble(start, found, common_dt(found) if given is None else given, input_of(found, input_name))
