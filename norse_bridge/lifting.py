"""Lift: a module that knows one step, applied to every step of a sequence; and which modules carry a state."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch

from eventsim.errors import SimulationError

NO_STATE: Any = object()
"""The default of an argument ``state`` of modules that return the output alone unless they are given a state, None included."""


def _takes_state(kind: Any) -> bool:
    code = getattr(inspect.unwrap(kind.forward), "__code__", None)  # a tenth of the time of inspect.signature
    return code is not None and "state" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def is_stateful(module) -> bool:
    """Whether a module takes ``(input, state)`` and returns ``(output, state)``: its `forward` has a parameter called ``state``,
    or it is one of torch's RNNs or their cells. A Lift is what the module in it is, and so is a module that torch.compile has made.
    Of the modules of TorchScript only those with a parameter called ``state`` do, not those made of torch's RNNs.
    """
    if isinstance(module, Lift):
        return is_stateful(module.lifted_module)
    module = getattr(module, "_orig_mod", module)
    if isinstance(module, torch.jit.ScriptModule):
        script: Any = module.forward
        return any(argument.name == "state" for argument in script.schema.arguments)
    kind: Any = type(module)
    return isinstance(module, (torch.nn.RNNBase, torch.nn.RNNCellBase)) or _takes_state(kind)


def watches_neurons(module) -> bool:
    """Whether a module that carries a state also sees that of the neurons before it: ``(input, their state, state)``. It says so by
    an attribute ``watches_neurons = True``."""
    return getattr(module, "watches_neurons", False)


def call(module, x, state=None, neurons=None):
    """``(output, state)`` of a module that carries a state; neurons: the state of those before it, for a module that watches them.

    The output of torch's RNN cells is their state, or the h of an LSTM's (h, c).
    """
    if watches_neurons(module):
        return module(x, neurons, state)
    if not isinstance(module, torch.nn.RNNCellBase):
        return module(x, state)
    state = module(x, state)
    return (state[0] if isinstance(state, tuple) else state), state


class Lift(torch.nn.Module):
    """Applies a module to every step: (time, batch, ...) -> (time, batch, ...).

    With a module that carries a state, ``(outputs, last state)`` is returned, as a layer over time does. The input may also be
    the pair ``(sequence, state)``. A dict of sequences of the same length is handed on as one dict a step, and dicts of outputs
    become one dict of sequences.
    """

    def __init__(self, module):
        super().__init__()
        self.lifted_module = module

    def forward(self, x, state=None):
        if isinstance(x, tuple):
            x, given = x
            state = given if state is None else state
        if is_stateful(self.lifted_module):
            return lift(partial(call, self.lifted_module))(x, state)
        return _stack([self.lifted_module(row) for row in rows_of(x, "Lift")])


def lift(activation, p=None):
    """A function of one step, such as `lif_feed_forward_step`, as a function ``(sequence, state=None) -> (outputs, last state)``.

    sequence : (time, batch, ...); outputs : (time, batch, ...). state may be left out where the activation has a default for it.
    p : parameters to hand to the activation; None: its own default
    """
    more = {} if p is None else {"p": p}

    def lifted(input_tensor, state=None):
        outputs = []
        for row in rows_of(input_tensor, "lift"):  # (batch, ...)
            out, state = activation(row, **more) if state is None else activation(row, state, **more)
            outputs.append(out)
        return _stack(outputs), state

    return lifted


def _stack(outputs):
    """The outputs of all steps as one tensor (time, ...); of lists or dicts of outputs, a list or dict of such tensors."""
    if isinstance(outputs[0], dict):
        return {name: _stack([output[name] for output in outputs]) for name in outputs[0]}
    if isinstance(outputs[0], list):
        return [_stack(column) for column in zip(*outputs, strict=True)]
    return torch.stack(outputs)


def sequence(x, label):
    """The sequence x (time, ...) itself; a SimulationError that begins with ``label`` if it has no steps."""
    if x.ndim == 0 or x.shape[0] == 0:
        raise SimulationError(f"{label}: the input, of shape {tuple(x.shape)}, needs a first axis over time of length 1 or more")
    return x


def rows_of(x, label):
    """The steps of a sequence (time, ...); of a dict of sequences, a dict for each step."""
    if isinstance(x, dict):
        columns = [rows_of(part, f"{label}: input {name!r}") for name, part in x.items()]
        if len({len(column) for column in columns}) != 1:
            raise SimulationError(
                f"{label}: the inputs have {[len(column) for column in columns]} steps; give one or more, all of one length"
            )
        return [dict(zip(x, row, strict=True)) for row in zip(*columns, strict=True)]
    return sequence(x, label).unbind(0)
