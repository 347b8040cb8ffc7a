"""LIF neurons whose synapses carry correlation sensors, those of the inputs and those between the neurons.

The neurons take the step of `lif_step`; then the sensors of the inputs see the input and the new spikes, those of the recurrent
synapses the spikes of the step before and the new ones: what arrives in a step, and what it leads to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError
from norse_bridge.family import check_parameters, compute_dtype
from norse_bridge.neurons.lif import FAMILY, LIFParameters, LIFState, lif_step
from norse_bridge.parameters import ParameterStore
from norse_bridge.plasticity.correlation_sensor import CorrelationSensorParameters, CorrelationSensorState, correlation_sensor_step


class LIFCorrelationParameters(NamedTuple):
    """Parameters of the neurons, of the sensors at the inputs and of those at the recurrent synapses."""

    lif_parameters: Any = LIFParameters()
    input_correlation_parameters: Any = CorrelationSensorParameters()
    recurrent_correlation_parameters: Any = CorrelationSensorParameters()


class LIFCorrelationState(NamedTuple):
    """States of the neurons, (batch, hidden), of the sensors at the inputs, (batch, inputs, hidden), and of those between neurons,
    (batch, hidden, hidden)."""

    lif_state: Any
    input_correlation_state: Any
    recurrent_correlation_state: Any


DEFAULT = LIFCorrelationParameters()


def lif_correlation_step(input_tensor, state, input_weights, recurrent_weights, p=DEFAULT, dt=0.001):
    """One step: ``(spikes (batch, hidden), LIFCorrelationState)``.

    input_tensor: (batch, inputs); input_weights: (hidden, inputs); recurrent_weights: (hidden, hidden); dt in s.
    """
    z, lif = lif_step(input_tensor, state.lif_state, input_weights, recurrent_weights, p.lif_parameters, dt)
    return z, LIFCorrelationState(
        lif,
        correlation_sensor_step(input_tensor, z, state.input_correlation_state, p.input_correlation_parameters, dt),
        correlation_sensor_step(state.lif_state.z, z, state.recurrent_correlation_state, p.recurrent_correlation_parameters, dt),
    )


class LIFCorrelation(torch.nn.Module):
    """`lif_correlation_step` as a module: (batch, inputs) -> (spikes (batch, hidden), LIFCorrelationState).

    The weights belong to the caller, who changes them by what the sensors say; p is registered as in the layers. dt in s.
    """

    def __init__(self, input_size, hidden_size, p=DEFAULT, dt=0.001):
        super().__init__()
        self.input_size, self.hidden_size, self.dt = int(input_size), int(hidden_size), dt
        self.p = p

    @property
    def p(self):
        """The parameter tuple, with the tensors as they are now. Assigning a tuple replaces it."""
        return self.parameter_tuple.values()

    @p.setter
    def p(self, values):
        missing = [name for name in LIFCorrelationParameters._fields if not hasattr(values, name)]
        if missing:
            raise ModelError(
                f"LIFCorrelation: p must be LIFCorrelationParameters; the {type(values).__name__} given has no {', '.join(missing)}"
            )
        check_parameters(FAMILY, values.lif_parameters, "LIFCorrelation")
        self.parameter_tuple = ParameterStore(values)

    def extra_repr(self):
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, p={self.p}, dt={self.dt}"

    def initial_state(self, input_tensor):
        """Neurons at rest and sensors without a trace, for an input (batch, inputs)."""
        p = self.p
        options = {"dtype": compute_dtype(input_tensor, p), "device": input_tensor.device}
        batch = input_tensor.shape[:-1]

        def sensors(inputs):
            return CorrelationSensorState(*(torch.zeros(*batch, inputs, self.hidden_size, **options) for _ in range(3)))

        zeros = torch.zeros(*batch, self.hidden_size, **options)
        lif = LIFState(z=zeros, v=zeros + p.lif_parameters.v_leak, i=zeros.clone())
        return LIFCorrelationState(lif, sensors(self.input_size), sensors(self.hidden_size))

    def forward(self, input_tensor, input_weights, recurrent_weights, state=None):
        state = self.initial_state(input_tensor) if state is None else state
        return lif_correlation_step(input_tensor, state, input_weights, recurrent_weights, self.p, self.dt)
