"""SNN and its kin: the modules for a step function of your own, without a model of eventsim behind it.

    cell, layer: (z, s') = activation(x, s, p, dt)
    recurrent:   (z, s') = activation(x, s, input_weights, recurrent_weights, p, dt)

``state_fallback(input)`` gives the state where none is handed in. Norse's own neurons are subclasses of these; here these are for
users alone, since a family of `norse_bridge.neurons` takes the step of its model.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.utils._pytree import tree_map

from norse_bridge.family import dense
from norse_bridge.layer import RecurrentSpikingLayer, own_weights
from norse_bridge.lifting import rows_of
from norse_bridge.parameters import ParameterStore


class _Steps(torch.nn.Module):
    """An activation and what it is called with; forward takes one step or, ``over_time``, one for each row of the input.

    Sparse (COO) input goes to ``activation_sparse`` if there is one, else as dense input to ``activation``.
    """

    over_time: ClassVar[bool]

    def __init__(self, activation, state_fallback, p, dt, activation_sparse, record_states=False):
        super().__init__()
        self.activation, self.activation_sparse, self.state_fallback = activation, activation_sparse, state_fallback
        self.p = p
        self.dt = dt
        self.record_states = record_states

    @property
    def p(self):
        """The parameters. A named tuple is registered in the module: its tensors move with it and are in its state dict, those
        that require a gradient are trained. Anything else is handed on as it is."""
        return self.parameter_tuple.values() if isinstance(self.parameter_tuple, ParameterStore) else self.parameter_tuple

    @p.setter
    def p(self, p):
        if "parameter_tuple" in self._modules:
            del self.parameter_tuple  # only None may take the place of a module
        self.parameter_tuple = ParameterStore(p) if hasattr(p, "_fields") else p

    def extra_repr(self):
        return f"p={self.p}, dt={self.dt}"

    def weights(self):
        """The arguments between state and parameters: none."""
        return ()

    def forward(self, input_tensor, state=None):
        sparse = input_tensor.is_sparse and self.activation_sparse is not None
        step = self.activation_sparse if sparse else self.activation
        x = input_tensor if sparse else dense(input_tensor)  # (time, batch, ...) or (batch, ...)
        state = self.state_fallback(x) if state is None else state
        arguments = (*self.weights(), self.p, self.dt)
        if not self.over_time:
            return step(x, state, *arguments)
        outputs, states = [], []
        for row in rows_of(dense(x), type(self).__name__):
            out, state = step(row.to_sparse() if sparse else row, state, *arguments)
            outputs.append(out)
            if self.record_states:
                states.append(state)
        return torch.stack(outputs), tree_map(lambda *steps: torch.stack(steps), *states) if states else state


class _RecurrentSteps(_Steps):
    """`_Steps` with input weights (hidden, inputs) and recurrent weights (hidden, hidden), which are those of
    `norse_bridge.layer.RecurrentSpikingLayer`."""

    def __init__(self, sizes, input_weights, recurrent_weights, autapses, *step):
        super().__init__(*step)
        self.input_size, self.hidden_size = (int(size) for size in sizes)
        self.autapses = autapses
        own_weights(self, input_weights, recurrent_weights)

    extra_repr = RecurrentSpikingLayer.extra_repr
    effective_recurrent_weights = RecurrentSpikingLayer.effective_recurrent_weights

    def weights(self):
        """The arguments between state and parameters: both weights, as they act."""
        return self.input_weights, self.effective_recurrent_weights()


class SNNCell(_Steps):
    """One step of ``activation(input, state, p, dt) -> (output, state)``.

    Parameters
    ----------
    activation : the step
    state_fallback : ``input ->`` the state where none is given
    p : what the activation takes as parameters; see `p`
    dt : s
    activation_sparse : the step for sparse (COO) input; None: the activation takes it as dense input
    """

    over_time = False

    def __init__(self, activation, state_fallback, p, dt=0.001, activation_sparse=None):
        super().__init__(activation, state_fallback, p, dt, activation_sparse)


class SNN(_Steps):
    """The activation over time: (time, batch, ...) -> (outputs (time, batch, ...), last state). Parameters as in `SNNCell`.

    record_states : return the states of all steps, stacked
    """

    over_time = True

    def __init__(self, activation, state_fallback, p, dt=0.001, activation_sparse=None, record_states=False):
        super().__init__(activation, state_fallback, p, dt, activation_sparse, record_states)


class SNNRecurrentCell(_RecurrentSteps):
    """One step of ``activation(input, state, input_weights, recurrent_weights, p, dt) -> (output, state)``.

    Weights and ``autapses`` as in `norse_bridge.layer.RecurrentSpikingLayer`, the others as in `SNNCell`.
    """

    over_time = False

    def __init__(
        self,
        activation,
        state_fallback,
        input_size,
        hidden_size,
        p,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        dt=0.001,
        activation_sparse=None,
    ):
        step = activation, state_fallback, p, dt, activation_sparse
        super().__init__((input_size, hidden_size), input_weights, recurrent_weights, autapses, *step)


class SNNRecurrent(_RecurrentSteps):
    """The recurrent activation over time: (time, batch, inputs) -> (outputs (time, batch, hidden), last state). Parameters as in
    `SNNRecurrentCell` and `SNN`."""

    over_time = True

    def __init__(
        self,
        activation,
        state_fallback,
        input_size,
        hidden_size,
        p,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        dt=0.001,
        activation_sparse=None,
        record_states=False,
    ):
        step = activation, state_fallback, p, dt, activation_sparse, record_states
        super().__init__((input_size, hidden_size), input_weights, recurrent_weights, autapses, *step)
