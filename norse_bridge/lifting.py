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
    code = inspect.unwrap(kind.forward).__code__  # a tenth of the time of inspect.signature
    return "state" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def is_stateful(module) -> bool:
    """Whether a module takes ``(input, state)`` and returns ``(output, state)``: its `forward` has a parameter called ``state``,
    or it is one of torch's RNNs or their cells. A Lift is what the module in it is, and so is a module that torch.compile has made.
    """
    if isinstance(module, Lift):
        return is_stateful(module.lifted_module)
    module = getattr(module, "_orig_mod", module)
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
    the pair ``(sequence, state)``.
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
    """The outputs of all steps as one tensor (time, ...); of lists of outputs, a list of such tensors."""
    if isinstance(outputs[0], list):
        return [_stack(column) for column in zip(*outputs, strict=True)]
    return torch.stack(outputs)


def rows_of(x, label):
    """The steps of a sequence (time, ...); a SimulationError that begins with ``label`` if there are none."""
    if x.ndim == 0 or x.shape[0] == 0:
        raise SimulationError(f"{label}: the input, of shape {tuple(x.shape)}, needs a first axis over time of length 1 or more")
    return x.unbind(0)
