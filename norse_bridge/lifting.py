"""Lift: a module that knows one step, applied to every step of a sequence; and which modules carry a state."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch

from eventsim.errors import SimulationError


@cache
def _takes_state(kind: Any) -> bool:
    return "state" in inspect.signature(kind.forward).parameters


def is_stateful(module) -> bool:
    """Whether a module takes ``(input, state)`` and returns ``(output, state)``: its `forward` has a parameter called ``state``,
    or it is one of torch's RNNs. A Lift is what the module in it is."""
    if isinstance(module, Lift):
        return is_stateful(module.lifted_module)
    kind: Any = type(module)
    return isinstance(module, torch.nn.RNNBase) or _takes_state(kind)


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
        if x.shape[0] == 0:
            raise SimulationError(f"Lift: the input, of shape {tuple(x.shape)}, needs a first axis over time of length 1 or more")
        if not is_stateful(self.lifted_module):
            return torch.stack([self.lifted_module(row) for row in x.unbind(0)])
        outputs = []
        for row in x.unbind(0):  # (batch, ...)
            out, state = self.lifted_module(row, state)
            outputs.append(out)
        return torch.stack(outputs), state


def lift(activation, p=None):
    """A function of one step, such as `lif_feed_forward_step`, as a function ``(sequence, state=None) -> (outputs, last state)``.

    sequence : (time, batch, ...); outputs : (time, batch, ...). state may be left out where the activation has a default for it.
    p : parameters to hand to the activation; None: its own default
    """
    more = {} if p is None else {"p": p}

    def lifted(input_tensor, state=None):
        if input_tensor.shape[0] == 0:
            shape = tuple(input_tensor.shape)
            raise SimulationError(f"lift: the input, of shape {shape}, needs a first axis over time of length 1 or more")
        outputs = []
        for row in input_tensor.unbind(0):  # (batch, ...)
            given = {} if state is None else {"state": state}
            out, state = activation(row, **given, **more)
            outputs.append(out)
        return torch.stack(outputs), state

    return lifted
