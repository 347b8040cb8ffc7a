"""The spiking layer: one step or a whole sequence, with or without recurrence, for every neuron family.

A family's classes are subclasses of `Cell`, `Layer`, `RecurrentCell` and `RecurrentLayer` that name it
(``class LIFCell(Cell, family=FAMILY)``): what differs between families stands in `norse_bridge.family.Family` alone.

A cell takes one step, ``(batch, ...) -> (batch, ...)``; a layer a sequence with time first, ``(time, batch, ...)``. Both return
``(output, state)``: the spikes (or the voltage of a neuron that never fires) and Norse's state tuple. State is handed in and
out, never kept in the module. Sparse (COO) input takes the same step as dense input: what Norse's classes take as
``activation_sparse``, a step of its own for sparse input, the classes here take and ignore.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, ClassVar

import torch

from eventsim.errors import SimulationError
from norse_bridge.family import Family, bound, check_parameters, compute_dtype, dense, join, split, stepper
from norse_bridge.lifting import sequence
from norse_bridge.loops import Recurrence, run
from norse_bridge.parameters import ParameterStore
from norse_bridge.product import product

OF_FAMILY: Any = object()
"""The default of an argument ``p`` that stands for the family's default parameters; a class's signature shows these."""


class _OfFamily(torch.nn.Module):
    """A module of a family's neurons: ``class Name(Base, family=FAMILY)``."""

    family: ClassVar[Family]

    def __init_subclass__(cls, family=None, **rest):
        super().__init_subclass__(**rest)
        if family is not None:
            cls.family = family
        cls.__signature__ = _signature(cls)


def _signature(cls):
    """The signature of a class as Norse's has it: the family's default parameters in the place of `OF_FAMILY`, and in that of
    ``**options`` the keywords of the class that they are handed on to."""
    family, found = getattr(cls, "family", None), {}
    for kind in (kind for kind in cls.__mro__ if "__init__" in vars(kind)):
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        for q in parameters:
            found.setdefault(q.name, q.replace(default=family.default()) if family and q.default is OF_FAMILY else q)
        handed_on = [q.name for q in parameters if q.kind is q.VAR_KEYWORD]
        if not handed_on:
            break
        del found[handed_on[0]]
    return inspect.Signature(sorted(found.values(), key=lambda q: q.kind))


class SpikingLayer(_OfFamily):
    """Neurons of one family without recurrent connections; the subclasses say of which, and whether over time.

    Parameters
    ----------
    p : Norse's parameter tuple, or one with its fields; rates in 1/s. Numbers or tensors; per-neuron tensors broadcast against
        (batch, neurons). A tuple of another kind, or a ``method`` that does not exist, is refused here.
        Tensors that require a gradient are trained with the module; all others move with it and are in its state dict.
    dt : s
    record_states : whether a layer over time returns the states of all steps, stacked, instead of the last one
    """

    over_time: ClassVar[bool]

    def __init__(self, p, dt, record_states=False):
        super().__init__()
        self.p = self.family.default() if p is OF_FAMILY else p
        self.dt = dt
        self.record_states = record_states

    @property
    def p(self):
        """The parameter tuple, with the tensors as they are now. Assigning a tuple replaces it."""
        return self.parameter_tuple.values()

    @p.setter
    def p(self, values):
        check_parameters(self.family, values, type(self).__name__)
        self.parameter_tuple = ParameterStore(values)

    def extra_repr(self):
        return f"p={self.p}, dt={self.dt}"

    def initial_state(self, input_tensor):
        """The state at rest for this input. (A cell's v is one number until its first step, as in Norse.)"""
        shape = input_tensor.shape[1:] if self.over_time else input_tensor.shape
        s, rho = rest(self, input_tensor, shape, () if not self.over_time else shape)
        return join(self.family, s, rho)

    state_fallback = initial_state

    def _spreads(self, x):
        """Whether the loop may spread the state at rest over the neurons itself."""
        ours = type(self).initial_state is SpikingLayer.initial_state
        return ours and self.over_time and x.device.type == "cpu" and not torch.compiler.is_compiling()

    def forward(self, input_tensor, state=None):
        x = dense(input_tensor)  # (time, batch, ...) or (batch, ...)
        p = self.p
        if state is None and self._spreads(x):
            b = bound(self.family, p, self.dt, compute_dtype(x, p))
            s = rho = None
        else:
            s, rho, _ = split(self.family, self.initial_state(x) if state is None else state)
            b = bound(self.family, p, self.dt, compute_dtype(x, s, p))
        if self.over_time:
            ran = run(b, sequence(x, type(self).__name__), s, rho, record=self.record_states)
            output, (s, rho) = ran.outputs, ran.states or (ran.s, ran.rho)
        else:
            s, rho, output = stepper(b)(s, rho, (x,))
        sparse = input_tensor.is_sparse and self.family.model.spiking
        return output.to_sparse() if sparse else output, join(self.family, s, rho)


class RecurrentSpikingLayer(_OfFamily):
    """Neurons of one family that also receive their own spikes, one step later: ``W_in x + W_rec z``.

    Parameters
    ----------
    input_size, hidden_size : numbers of inputs and neurons
    p, dt, record_states : as in `SpikingLayer`
    input_weights : (hidden, inputs), or None for randn * sqrt(2/hidden); copied
    recurrent_weights : (hidden, hidden), or None for randn * sqrt(2/hidden); copied
    autapses : whether a neuron may receive its own spikes; if not, the diagonal counts as 0 and gets no gradient
    """

    over_time: ClassVar[bool]

    def __init__(
        self,
        input_size,
        hidden_size,
        p,
        dt,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        record_states=False,
    ):
        super().__init__()
        self.input_size, self.hidden_size, self.autapses = int(input_size), int(hidden_size), autapses
        self.p = self.family.default() if p is OF_FAMILY else p
        self.dt = dt
        self.record_states = record_states
        own_weights(self, input_weights, recurrent_weights)

    p = SpikingLayer.p

    def extra_repr(self):
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, p={self.p}, autapses={self.autapses}, dt={self.dt}"

    def effective_recurrent_weights(self):
        """The recurrent weights as they act, (hidden, hidden): without the diagonal unless autapses are allowed."""
        return self.recurrent_weights if self.autapses else self.recurrent_weights.masked_fill(self.diagonal, 0.0)

    def weights_by_port(self):
        """``(port, input weights, recurrent weights)`` for each port of the model that spikes reach; None is its default port."""
        return ((None, self.input_weights, self.effective_recurrent_weights()),)

    def initial_state(self, input_tensor):
        """The state at rest for this input, without spikes; sparse spikes for a sparse input."""
        batch = input_tensor.shape[1:-1] if self.over_time else input_tensor.shape[:-1]
        shape = (*batch, self.hidden_size)
        s, rho = rest(self, input_tensor, shape, shape)
        z = torch.zeros(shape, dtype=input_tensor.dtype, device=input_tensor.device)
        return join(self.family, s, rho, z.to_sparse() if input_tensor.is_sparse else z)

    state_fallback = initial_state

    def forward(self, input_tensor, state=None):
        x = dense(input_tensor)  # (time, batch, inputs) or (batch, inputs)
        state = self.initial_state(x) if state is None else state
        p = self.p
        b = bound(self.family, p, self.dt, compute_dtype(x, state, p), inputs=2, detach=self.family.detach)
        s, rho, z = split(self.family, state)
        z = dense(z)
        w_in, w_rec = self.input_weights, self.effective_recurrent_weights()
        if self.over_time:
            ran = run(b, sequence(x, type(self).__name__), s, rho, Recurrence(w_in, w_rec, z), self.record_states)
            output, (s, rho), z = ran.outputs, ran.states or (ran.s, ran.rho), ran.outputs[-1].clone()
        else:
            s, rho, z = stepper(b)(s, rho, (product(x, w_in), product(z, w_rec)))  # (batch, hidden)
            output = z
        if self.record_states:
            return output, join(self.family, s, rho, output)
        if input_tensor.is_sparse:
            output, z = output.to_sparse(), z.to_sparse()
        return output, join(self.family, s, rho, z)


class Cell(SpikingLayer):
    """Neurons of a family, one step: (batch, ...) -> (output (batch, ...), state). Parameters as in `SpikingLayer`."""

    over_time = False

    def __init__(self, p=OF_FAMILY, *, dt=0.001, activation_sparse=None):
        super().__init__(p, dt)


class Layer(SpikingLayer):
    """Neurons of a family over time: (time, batch, ...) -> (output (time, batch, ...), state). Parameters as in `SpikingLayer`."""

    over_time = True

    def __init__(self, p=OF_FAMILY, *, dt=0.001, activation_sparse=None, record_states=False):
        super().__init__(p, dt, record_states)


class RecurrentCell(RecurrentSpikingLayer):
    """Recurrent neurons, one step: (batch, inputs) -> (spikes (batch, hidden), state). Parameters: `RecurrentSpikingLayer`."""

    over_time = False

    def __init__(
        self,
        input_size,
        hidden_size,
        p=OF_FAMILY,
        *,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        dt=0.001,
        activation_sparse=None,
    ):
        super().__init__(input_size, hidden_size, p, dt, input_weights, recurrent_weights, autapses)


class RecurrentLayer(RecurrentSpikingLayer):
    """Recurrent neurons over time: (time, batch, inputs) -> (spikes (time, batch, hidden), state). Parameters:
    `RecurrentSpikingLayer`."""

    over_time = True

    def __init__(
        self,
        input_size,
        hidden_size,
        p=OF_FAMILY,
        *,
        input_weights=None,
        recurrent_weights=None,
        autapses=False,
        dt=0.001,
        activation_sparse=None,
        record_states=False,
    ):
        super().__init__(input_size, hidden_size, p, dt, input_weights, recurrent_weights, autapses, record_states)


def rest(layer, x, shape, v_shape):
    """``(State, rho)`` at rest, in the type of a step; v in ``v_shape``, with a gradient switched on as in Norse (but not inside
    torch.compile, whose graphs cannot hold a leaf of their own)."""
    family, p = layer.family, layer.p
    dtype = compute_dtype(x, p)
    leaf = not torch.compiler.is_compiling()
    params = bound(family, p, layer.dt, dtype).params
    values = {}
    for name, value in family.model.initial(params)._asdict().items():
        value = value.to(x.device)
        if name == "v":
            values[name] = value + torch.zeros(v_shape, dtype=dtype, device=x.device, requires_grad=leaf)
        else:
            values[name] = value.expand(shape).clone()
    rho = torch.zeros(shape, dtype=dtype, device=x.device) if family.refractory else None
    return family.model.State(**values), rho


def _weights(weights, shape, name):
    """A private copy of the given weights, checked, or new random ones: randn * sqrt(2/hidden)."""
    if weights is None:
        return torch.randn(shape) * math.sqrt(2.0 / shape[0])
    if tuple(weights.shape) != shape:
        raise SimulationError(f"{name}_weights must have shape {shape} (neurons, inputs), not {tuple(weights.shape)}")
    return weights.detach().clone()


def own_weights(module, input_weights, recurrent_weights):
    """Register private copies of the given weights, or new random ones for None, of the module's ``input_size`` and
    ``hidden_size``; without ``autapses`` the diagonal is 0."""
    inputs, hidden = module.input_size, module.hidden_size
    module.input_weights = torch.nn.Parameter(_weights(input_weights, (hidden, inputs), "input"))
    module.recurrent_weights = torch.nn.Parameter(_weights(recurrent_weights, (hidden, hidden), "recurrent"))
    if not module.autapses:
        module.register_buffer("diagonal", torch.eye(hidden, dtype=torch.bool), persistent=False)
        with torch.no_grad():
            module.recurrent_weights.fill_diagonal_(0.0)
