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
        if is_stateful(self.lifted_module):
            return lift(self.lifted_module)(x, state)
        return torch.stack([self.lifted_module(row) for row in rows_of(x, "Lift")])


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
        return torch.stack(outputs), state

    return lifted


def sequence(x, label):
    """The sequence x (time, ...) itself; a SimulationError that begins with ``label`` if it has no steps."""
    if x.ndim == 0 or x.shape[0] == 0:
        raise SimulationError(f"{label}: the input, of shape {tuple(x.shape)}, needs a first axis over time of length 1 or more")
    return x


def rows_of(x, label):
    """The steps of a sequence (time, ...)."""
    return sequence(x, label).unbind(0)
