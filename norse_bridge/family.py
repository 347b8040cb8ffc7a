"""A neuron family: what ties Norse's tuples to a model of `eventsim.models`, and the one step that all its layers take.

The equations are the model's, the input goes to its default port. Here stand only the names, the units and the order of the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError
from eventsim.models.model import BEFORE_FLOW, Model, bind_refractory_step, bind_step
from norse_bridge.ops import TORCH, surrogate_ops
from norse_bridge.product import product
from norse_bridge.surrogate import surrogate
from norse_bridge.undisturbed import undisturbed

MS = 1000.0  # ms in a second: Norse's layers count in seconds, eventsim in milliseconds


def time_constant(rate, dt):
    """The time constant in ms (float64) of Norse's ``rate`` in 1/s, as a step of ``dt`` s sees it.

    Norse forms ``dt * rate`` in the type of the rate (float32 by default) and uses nothing else. That product is formed here
    too, and the time constant is the one with ``dt / tau`` equal to it: so the coefficients are Norse's to the last bit in
    float32, in the layer and in a simulation of the network that it becomes.
    """
    product = dt * rate
    return milliseconds(dt) / (product.to(torch.float64) if isinstance(product, torch.Tensor) else product)


def milliseconds(dt) -> torch.Tensor:
    """dt s in ms: a 0-d float64 tensor, since torch divides a Python number by a tensor with two roundings."""
    return torch.tensor(MS * dt, dtype=torch.float64)


class Refractory(NamedTuple):
    """A family's refractory period. Norse's states are then ``(state of the neuron, rho)``.

    State, RecurrentState : the outer tuples
    inner : ``p ->`` the parameters of the neuron itself
    period : ``p ->`` what a spike sets rho to, in steps
    Parameters : the tuple of both, or None
    """

    State: type
    RecurrentState: type
    inner: Callable
    period: Callable
    Parameters: Any = None


class Family(NamedTuple):
    """How a neuron model of eventsim appears as layers.

    model : the contract model that holds the equations
    contract : ``(p, dt in s) ->`` the model's Params, in ms; p is Norse's parameter tuple
    State : Norse's state tuple of the feed-forward forms: the model's states under the same names
    RecurrentState : that of the recurrent forms: with the spikes ``z`` first
    order : the order of one step
    detach : whether the recurrent forms keep the gradient out of the reset
    refractory : `Refractory`, or None
    hidden : states of the model that Norse's tuples do not have: they are 0 between steps
    variant : ``p ->`` the family that the neuron's parameters ask for, where they choose between models; or None
    Parameters : the parameter tuple of the neuron itself, whose fields every other one must have too; None: any that has what a
        step reads, ``method`` and ``alpha``
    """

    model: Model
    contract: Callable
    State: type
    RecurrentState: type | None = None
    order: tuple[str, ...] = BEFORE_FLOW
    detach: bool = False
    refractory: Refractory | None = None
    hidden: tuple[str, ...] = ()
    variant: Callable | None = None
    Parameters: Any = None

    def neuron_parameters(self, p):
        """The tuple with the neuron's own parameters: p, or what it wraps."""
        return self.refractory.inner(p) if self.refractory else p

    def of(self, p):
        """The family that the parameters ask for: this one, or a variant."""
        return self.variant(self.neuron_parameters(p)) if self.variant else self

    def default(self):
        """The default parameters of a layer, or None if there are none."""
        kind = self.refractory.Parameters if self.refractory else self.Parameters
        return None if kind is None else kind()

    def contract_params(self, p, dt):
        """The model's Params in ms of Norse's parameters p; differentiable."""
        return self.contract(self.neuron_parameters(p), dt)


def check_parameters(family, p, label):
    """A ModelError that begins with ``label`` if p is no parameter tuple of the family, or its ``method`` does not exist."""
    if family.Parameters:
        kind, fields = f"{family.Parameters.__name__}, or a named tuple with its fields", family.Parameters._fields
    else:
        kind, fields = "a named tuple of the neuron's parameters", ("method", "alpha") if family.model.spiking else ()
    if not isinstance(p, tuple) or not hasattr(p, "_fields"):
        raise ModelError(f"{label}: p must be {kind} ({', '.join(fields)}), not a {type(p).__name__}")
    try:
        neuron = family.neuron_parameters(p)
    except AttributeError as error:
        raise ModelError(f"{label}: p must hold the neuron's parameters and its refractory period; {error}") from error
    missing = [name for name in fields if not hasattr(neuron, name)]
    if missing:
        raise ModelError(f"{label}: p must be {kind}; the {type(neuron).__name__} given has no {', '.join(missing)}")
    if family.model.spiking:
        surrogate(neuron.method, label)
    family.of(p)


def cast(values, dtype):
    """The named tuple with every tensor in ``dtype``; Python numbers stay what they are."""
    return type(values)(*(v.to(dtype) if isinstance(v, torch.Tensor) else v for v in values))


def split(family, state):
    """Norse's state -> (the model's State, rho or None, z or None)."""
    inner, rho = state if family.refractory else (state, None)
    given = {name: getattr(inner, name) for name in family.model.State._fields if name not in family.hidden}
    s = family.model.State(**given, **{name: torch.zeros_like(given["v"]) for name in family.hidden})
    return s, rho, getattr(inner, "z", None)


def join(family, s, rho, z=None):
    """The model's State, rho and (for the recurrent forms) z -> Norse's state."""
    shown = {name: value for name, value in s._asdict().items() if name not in family.hidden}
    inner = family.State(**shown) if z is None else family.RecurrentState(z=z, **shown)
    if family.refractory is None:
        return inner
    return (family.refractory.State if z is None else family.refractory.RecurrentState)(inner, rho)


class Bound(NamedTuple):
    """A family's step with its numbers: all that one time step, or a loop over many, needs.

    model, order, ports : as `bind_step` wants them; ports: one for each tensor that a step receives, in turn
    k, params : the coefficients of one step and the parameters, in the type of the step
    period : what a spike sets rho to, or None
    method, alpha, detach : the surrogate gradient
    dtype : the type of the step
    made : what others make of it once and for all, under a name of theirs, where all its numbers are 0-d tensors without gradient
        that nobody changes; else None
    """

    model: Model
    order: tuple[str, ...]
    ports: tuple[str, ...]
    k: Any
    params: Any
    period: Any
    method: str
    alpha: Any
    detach: bool
    dtype: torch.dtype
    made: dict | None = None


_KEPT = 256  # steps that are remembered
_steps: dict[tuple, tuple[Family, Bound]] = {}


def _numbers(values) -> list | None:
    """All that is in a parameter tuple, if it is numbers and names alone: what makes two tuples equal."""
    found: list[Any] = [type(values)]
    for value in values:
        if isinstance(value, torch.Tensor):
            if type(value) is not torch.Tensor or value.ndim or value.requires_grad or value.device.type != "cpu":
                return None
            number = value.item()
            if number != number:
                return None  # NaN equals nothing, not itself either
            found += (value.dtype, number if number else str(number))  # 0 is not -0
        elif isinstance(value, tuple):
            inner = _numbers(value)
            if inner is None:
                return None
            found += inner
        else:
            found += (type(value), value)
    return found


def _copies(values):
    """A parameter tuple with tensors of its own."""
    private = (v.detach().clone() if isinstance(v, torch.Tensor) else _copies(v) if isinstance(v, tuple) else v for v in values)
    return type(values)(*private)


def bound(family, p, dt, dtype, inputs=1, detach=False) -> Bound:
    """The step of a family with parameters p. Coefficients are computed once, in float64, and then cast to ``dtype``; those of
    plain numbers are remembered, since a layer would need longer for them than for a short sequence."""
    numbers = _numbers(p) if isinstance(dt, float) and undisturbed() else None
    if numbers is None:
        return _bound(family, p, dt, dtype, inputs, detach)
    key = (id(family), dt, dtype, inputs, detach, *numbers)
    try:
        remembered = _steps.get(key)
    except TypeError:  # something in it that cannot be compared
        return _bound(family, p, dt, dtype, inputs, detach)
    if remembered is None:
        if len(_steps) >= _KEPT:
            _steps.clear()
        with torch.inference_mode(False), torch.no_grad():  # of copies: what is p's own may change
            remembered = family, _bound(family, _copies(p), dt, dtype, inputs, detach)._replace(made={})
        _steps[key] = remembered
    return remembered[1]


def _bound(family, p, dt, dtype, inputs, detach) -> Bound:
    family, params = family.of(p), family.contract_params(p, dt)
    k = cast(family.model.euler(TORCH, milliseconds(dt), params), dtype)
    neuron = family.neuron_parameters(p)
    period = family.refractory.period(p) if family.refractory else None
    method, alpha = (neuron.method, neuron.alpha) if family.model.spiking else ("heaviside", 1.0)
    ports = family.model.default_port * inputs
    return Bound(family.model, family.order, ports, k, cast(params, dtype), period, method, alpha, detach, dtype)


def stepper(b) -> Callable:
    """One time step: ``step(s, rho, x) -> (s, rho, output)``, where x is a tuple with a tensor for each port.

    The output is the spikes, or the voltage of a neuron that never fires.
    """
    if b.made is None:
        return _stepper(b)
    if "stepper" not in b.made:
        with torch.inference_mode(False), torch.no_grad():  # whoever asks next may want a gradient
            b.made["stepper"] = _stepper(b)
    return b.made["stepper"]


def _stepper(b) -> Callable:
    ops = surrogate_ops(b.method, b.alpha, b.detach)
    if b.period is not None:
        held = bind_refractory_step(b.model, ops, b.order, b.ports)
        return lambda s, rho, x: held(s, rho, x, b.k, b.params, b.period)
    step, spiking = bind_step(b.model, ops, b.order, b.ports), b.model.spiking

    def take(s, rho, x):
        s, z = step(s, x, b.k, b.params)
        return s, rho, z if spiking else s.v

    return take


def bind(family, p, dt, dtype, inputs=1, detach=False) -> Callable:
    """`stepper` of `bound`."""
    return stepper(bound(family, p, dt, dtype, inputs, detach))


def tensors(values) -> list[torch.Tensor]:
    """All tensors of a named tuple, of those in it too."""
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple):
            found += tensors(value)
    return found


def autocast(kind: str) -> bool:
    """Whether torch chooses the types of operations on this kind of device."""
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def compute_dtype(x, *tuples) -> torch.dtype:
    """The type in which a step runs: that of the input, widened by tensors in the tuples that have axes (0-d ones do not widen).
    Under autocast it is float32 at least: what a time constant adds to a state in a step is lost in half precision."""
    dtype = x.dtype if x.dtype.is_floating_point else torch.get_default_dtype()
    if torch._C._is_any_autocast_enabled() and autocast(x.device.type):
        dtype = torch.promote_types(dtype, torch.float32)
    for values in tuples:
        for tensor in tensors(values):
            if tensor.ndim and tensor.dtype.is_floating_point and tensor.dtype != dtype:
                dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def dense(x):
    """A sparse (COO) tensor as a dense one; any other as it is."""
    return x.to_dense() if x.is_sparse else x


def feed_forward_step(family, x, state, p, dt) -> tuple[Any, Any]:
    """One step without recurrence: ``(output, state)``. x: (batch, neurons), or any shape that the state broadcasts to; the spikes
    of a sparse x are sparse."""
    s, rho, _ = split(family, state)
    s, rho, out = bind(family, p, dt, compute_dtype(x, state, p))(s, rho, (dense(x),))
    return out.to_sparse() if x.is_sparse and family.model.spiking else out, join(family, s, rho)


def recurrent_step(family, x, state, input_weights, recurrent_weights, p, dt) -> tuple[Any, Any]:
    """One step that receives ``W_in x``, then ``W_rec z`` of the step before: ``(spikes, state)``. x: (batch, inputs); the spikes
    of a sparse x are sparse."""
    s, rho, z = split(family, state)
    step = bind(family, p, dt, compute_dtype(x, state, p), inputs=2, detach=family.detach)
    s, rho, z = step(s, rho, (product(dense(x), input_weights), product(dense(z), recurrent_weights)))
    z = z.to_sparse() if x.is_sparse else z
    return z, join(family, s, rho, z)
