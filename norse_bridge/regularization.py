"""Regularisation: sums over the steps of a sequence, of spikes or voltages, for a term of the loss.

spike_accumulator    a' = a + sum over all neurons of z
voltage_accumulator  a' = a + v
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from eventsim.errors import SimulationError
from norse_bridge.family import tensors
from norse_bridge.lifting import NO_STATE

Accumulator = Callable[[torch.Tensor, Any, Any], Any]
"""``(spikes, state of the neurons, sum so far or None) ->`` the sum with this step."""

TOGETHER = "Lift(SequentialState(LIFCell(), RegularizationCell(voltage_accumulator)))"


def spike_accumulator(z, _, state=None):
    """The number of spikes so far, 0-d: ``state + z.sum()``. z: (batch, neurons)."""
    return z.sum() if state is None else state + z.sum()


def voltage_accumulator(z, s, state=None):
    """The sum of the voltages so far, (batch, neurons): ``state + s.v``; s may also hold the neurons' state, as that of
    refractory neurons does.

    A layer over time gives the state of its last step alone, whose shape is not that of the spikes: that is an error, since the
    other steps would be lost. With ``record_states=True`` it gives those of all: then the voltages keep the axis of time.
    """
    v = _voltage(s)
    if v is None:
        why = "" if s is not None else f"; give it that of the neurons, directly behind them: {TOGETHER}"
        raise SimulationError(f"voltage_accumulator: the neurons' state must have a field v; a {type(s).__name__} has none{why}")
    if z.shape != v.shape:
        raise SimulationError(
            f"voltage_accumulator: spikes of shape {tuple(z.shape)} and voltages of shape {tuple(v.shape)} are not of the same"
            f" steps and neurons; a layer over time needs record_states=True, or take cells: {TOGETHER}"
        )
    return v if state is None else state + v


def _voltage(s):
    """The field v of a state tuple or of the first one in it that has it; else None."""
    if hasattr(s, "v"):
        return s.v
    inner = (_voltage(value) for value in s if isinstance(value, tuple)) if isinstance(s, tuple) else ()
    return next((v for v in inner if v is not None), None)


def regularize_step(z, s, accumulator=spike_accumulator, state=None):
    """One step: ``(z, accumulator(z, s, state))``. z: the spikes; s: the neurons' state; state: the sum so far."""
    return z, accumulator(z, s, state)


class RegularizationCell(torch.nn.Module):
    """Sums up what an `Accumulator` counts, step by step, and leaves the spikes as they are.

    ``cell(z, s)`` takes the spikes and the neurons' state and returns ``(z, sum so far)``, as in Norse; the module keeps the sum.
    A sum belongs to one sequence: the first call after a backward pass through it, or through spikes that are in it, starts a
    new one. Where nothing is differentiated, `reset` does.

    ``cell(z, s, state)`` keeps nothing: the sum is the state that goes in and comes out, None before the first step. In a
    `SequentialState` the cell is called so, with the state of the module before it as s::

        model = SequentialState(Linear(4, 8), LIFCell(), RegularizationCell(), Linear(8, 2), LICell())
        out, state = model(x, state)        # state[2] is the number of spikes so far

    For a sequence, put the whole model into `Lift`. Behind layers over time the cell is called once: spikes are counted the same,
    voltages need ``record_states=True`` (see `voltage_accumulator`).

    accumulator : what to sum up
    state : what the sum starts from; None: nothing
    """

    watches_neurons: ClassVar[bool] = True

    def __init__(self, accumulator=spike_accumulator, state=None):
        super().__init__()
        self.accumulator, self.initial = accumulator, state
        self.reset()

    def reset(self):
        """Start a new sum."""
        self.state = self.initial
        self._differentiated = []  # not empty once a backward pass has gone through the sum

    def __getstate__(self):
        """A copy, or a saved module, starts a new sum: the running one belongs to the graph of this module's sequence."""
        return {**self.__dict__, "state": self.initial, "_differentiated": []}

    def exported_as(self):
        """What the spikes pass through unchanged, which `to_network` takes."""
        return torch.nn.Identity()

    def forward(self, z, s=None, state=NO_STATE):
        if state is not NO_STATE:
            return regularize_step(z, s, self.accumulator, self.initial if state is None else state)
        if self._differentiated:
            self.reset()
        z, self.state = regularize_step(z, s, self.accumulator, self.state)
        mark = self._differentiated.append  # the hooks hold this list alone: no cycle with the module
        for tensor in tensors((z, self.state)):
            if tensor.grad_fn is not None:
                tensor.register_hook(lambda gradient: mark(True))
        return z, self.state
