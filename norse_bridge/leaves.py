"""A model taken apart: the modules that are called one after another, what they take, and what they are called in a network."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import torch

from eventsim.errors import NetworkError
from norse_bridge.alterations import check_code, check_hooks, check_unaltered
from norse_bridge.layer import RecurrentSpikingLayer, SpikingLayer
from norse_bridge.lifting import Lift, is_stateful
from norse_bridge.maps.modules import MAXIMA, SILENT, check_initialised, kind_of
from norse_bridge.neurons.li import LILinearCell
from norse_bridge.sequential import SequentialState

SPIKING = (SpikingLayer, RecurrentSpikingLayer, LILinearCell)
NO_LAYER = "the model has no spiking layer; a network needs one"


class Leaf(NamedTuple):
    """One module without children of interest. lifted: whether a Lift calls it, step by step."""

    name: str
    module: Any
    lifted: bool = False

    @property
    def label(self) -> str:
        """What errors call it."""
        kind = type(self.module).__name__
        return f"module {self.name!r} ({kind})" if self.name else kind


def over_time(chain, label) -> bool:
    """Whether a model takes (time, batch, ...), as its layers over time and Lifts do, or is called step by step."""
    layers = [leaf.module for leaf in chain if isinstance(leaf.module, SPIKING) and not leaf.lifted]
    forms = {True for leaf in chain if leaf.lifted} | {getattr(module, "over_time", False) for module in layers}
    if len(forms) > 1:
        raise NetworkError(f"{label}: it mixes cells, which take one step, with layers over time; put the cells into Lift")
    return forms == {True}


def uncompiled(module, label):
    """The module that torch.compile was given, or the module itself; a NetworkError if it is no module."""
    if not isinstance(module, torch.nn.Module):
        raise NetworkError(f"{label} must be a module of torch (an object, not its class), not {module!r}")
    compiled = getattr(module, "_orig_mod", None)
    if compiled is None:
        return module
    check_hooks(module, label)
    return uncompiled(compiled, label)


def leaves(module, name="", lifted=False) -> list[Leaf]:
    """The modules that are called one after another, with their names; containers and Lifts are taken apart, and a module with a
    method ``exported_as`` is what that returns."""
    module = uncompiled(module, f"module {name!r}" if name else "the model")
    leaf = Leaf(name, module, lifted)
    chain = kind_of(module, (torch.nn.Sequential, SequentialState))
    if chain or isinstance(module, Lift) or hasattr(module, "exported_as"):
        check_code(module, leaf.label)
        check_hooks(module, leaf.label)
    if hasattr(module, "exported_as"):
        return leaves(module.exported_as(), name, lifted)
    if isinstance(module, Lift):
        if lifted:
            raise NetworkError(f"{leaf.label} is in another Lift, and would take the batch for time; lift once")
        found = leaves(module.lifted_module, name, True)
        check_pairs(module, [module.lifted_module], leaf.label)
        return found
    if chain:
        children = [(f"{name}.{child}" if name else child, inner) for child, inner in module._modules.items()]
        found = [leaf for child, inner in children for leaf in leaves(inner, child, lifted)]
        check_pairs(module, list(module), leaf.label)
        return found
    check_initialised(module, leaf.label)
    check_unaltered(module, leaf.label)
    return [leaf]


def gives_pair(module) -> bool:
    """Whether a module returns ``(output, state)``; an `nn.Sequential` returns what its last module does."""
    module = getattr(module, "_orig_mod", module)
    if kind_of(module, (torch.nn.Sequential,)):
        return len(module) > 0 and gives_pair(module[-1])
    return not isinstance(module, torch.jit.ScriptModule) and is_stateful(module)


def check_pairs(module, called, label):
    """A NetworkError if a container or Lift, which calls the modules in ``called``, takes ``(output, state)`` of one for its output
    alone: `nn.Sequential` knows of no states."""
    plain = (torch.nn.Sequential,)
    called = [uncompiled(inner, label) for inner in called]
    unsafe = called[:-1] if kind_of(module, plain) else [inner for inner in called if kind_of(inner, plain)]
    wrong = [inner for inner in unsafe if gives_pair(inner)]
    if wrong:
        raise NetworkError(
            f"{label}: the {type(wrong[0]).__name__} in it returns (output, state), and nn.Sequential hands on the pair and keeps "
            "no state: use SequentialState"
        )


def first_shape(chain, input_shape) -> tuple[int, ...]:
    """The shape of one sample's features: as given, or what the first module takes."""
    if input_shape is not None:
        return given_shape(input_shape)
    for leaf in chain:
        if isinstance(leaf.module, torch.nn.Linear):
            return (leaf.module.in_features,)
        if isinstance(leaf.module, (RecurrentSpikingLayer, LILinearCell)):
            return (leaf.module.input_size,)
        if not kind_of(leaf.module, SILENT):
            raise NetworkError(f"{leaf.label}: it does not say what it takes; give input_shape=..., the shape of one sample")
    raise NetworkError(NO_LAYER)


def given_shape(input_shape) -> tuple[int, ...]:
    """A whole number, or several, as a tuple; a NetworkError if it is none or one is below 1."""
    try:
        if isinstance(input_shape, bool):
            raise TypeError
        single = hasattr(input_shape, "__index__") and not getattr(input_shape, "ndim", 0)
        shape = tuple(operator.index(n) for n in ([input_shape] if single else input_shape))
    except TypeError as error:
        raise NetworkError(f"input_shape must be a whole number or a tuple of them, not {input_shape!r}") from error
    if any(n < 1 for n in shape):
        raise NetworkError(f"input_shape must be numbers of 1 or more, not {input_shape!r}")
    return shape


def unused(name, taken) -> str:
    """``name``, with as many underscores behind it as make it differ from all in ``taken``."""
    while name in taken:
        name += "_"
    return name


def stage_names(chain, reserved) -> list[str]:
    """A name for each leaf that becomes a population: that of its module, or where torch only numbered it layer1, layer2 ... by its
    place among the spiking layers, and pool1, pool2 ... among the maxima; never one that another module has or that is in
    ``reserved``."""
    own = [
        (leaf.name, "layer" if isinstance(leaf.module, SPIKING) else "pool") for leaf in chain if becomes_population(leaf.module)
    ]
    own = [("" if any(part.isdigit() for part in name.split(".")) else name, kind) for name, kind in own]
    taken = {*(name for name, _ in own), *reserved}
    numbers = {"layer": 0, "pool": 0}
    names = []
    for name, kind in own:
        numbers[kind] += 1
        names.append(name or unused(f"{kind}{numbers[kind]}", taken))
    return names


def becomes_population(module) -> bool:
    """Whether a module has neurons of its own in the network."""
    return isinstance(module, SPIKING) or kind_of(module, MAXIMA) is not None
