"""ExpFilter: a linear map, then an exponential filter over time.

y_t = a y_{t-1} + (W x_t + b)      a = exp(-dt tau_filter_inv)      y_0 = W x_0 + b unless a state is given
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from eventsim.errors import SimulationError
from norse_bridge.lifting import NO_STATE, rows_of
from norse_bridge.parameters import ParameterStore


def exp_filter_step(old_value, new_value, parameter):
    """One step of the filter: ``parameter * old_value + new_value``. Any shapes that broadcast."""
    return parameter * old_value + new_value


class _Rate(NamedTuple):
    """tau_filter_inv in 1/s."""

    tau_filter_inv: Any


class ExpFilter(torch.nn.Module):
    """A linear map whose output is filtered: (time, batch, inputs) -> (time, batch, outputs).

    ``filter(x)`` returns the filtered sequence alone, as in Norse. ``filter(x, state)`` also returns the last value, which is the
    state that the next piece of the sequence continues from: ``(output, state)``. There None is the state before the first
    piece. `SequentialState` calls it so.

    Parameters
    ----------
    input_size, output_size : numbers of inputs and outputs
    tau_filter_inv : 1/s; a number, or a tensor that broadcasts against (batch, outputs); trained if it requires a gradient
    dt : s
    input_weights : (outputs, inputs), or None for those of `nn.Linear`; copied
    bias : whether the linear map has a bias
    """

    def __init__(self, input_size, output_size, tau_filter_inv=1000.0, dt=0.001, input_weights=None, bias=True):
        super().__init__()
        self.input_size, self.output_size, self.dt = int(input_size), int(output_size), dt
        self.linear = torch.nn.Linear(self.input_size, self.output_size, bias=bias)
        rate = _Rate(tau_filter_inv)
        self.rate = ParameterStore(rate) if isinstance(tau_filter_inv, torch.Tensor) else rate
        if input_weights is not None:
            if input_weights.shape != self.linear.weight.shape:
                wanted, given = tuple(self.linear.weight.shape), tuple(input_weights.shape)
                raise SimulationError(f"ExpFilter: input_weights must have shape {wanted} (outputs, inputs), not {given}")
            self.linear.weight = torch.nn.Parameter(input_weights.detach().clone())

    @property
    def parameter(self):
        """The factor a of one step."""
        rate = self.rate.tau_filter_inv
        return torch.exp(-self.dt * rate) if isinstance(rate, torch.Tensor) else math.exp(-self.dt * rate)

    def extra_repr(self):
        return f"input_size={self.input_size}, output_size={self.output_size}, parameter={self.parameter}"

    def forward(self, input_tensor, state=NO_STATE):
        a, value, outputs = self.parameter, None if state is NO_STATE else state, []
        for row in rows_of(self.linear(input_tensor), "ExpFilter"):  # (batch, outputs)
            value = row if value is None else exp_filter_step(value, row, a)
            outputs.append(value)
        output = torch.stack(outputs)
        return output if state is NO_STATE else (output, value)
