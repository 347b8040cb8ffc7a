"""The neuron contract: what one file must define to be a neuron, and the order of one step.

A model is a handful of pure functions on named tuples. `bind_step` composes them into one time step; the sparse kernels
and the dense layers both run exactly this composition. See docs/a-neuron.md for a model written from scratch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsim.errors import ModelError
from eventsim.floats import as_floats

# The order of one step, as data. A step covers (t - dt, t]; a spike that was fired at the end of step n over a synapse with
# delay d is received in step n + d/dt. All four phases occur once, and "reset" comes after "fire".
AT_GRID = ("advance", "receive", "fire", "reset")  # input lands on the grid point that closes the step (NEST)
BEFORE_FLOW = ("receive", "advance", "fire", "reset")  # input acts on the flow of the same step (Norse's LIF)
AFTER_RESET = ("advance", "fire", "reset", "receive")  # input lands after the reset (Norse's LSNN)
BEFORE_RESET = ("advance", "fire", "receive", "reset")  # input lands between threshold and reset (Brian2)
ORDERS = (AT_GRID, BEFORE_FLOW, AFTER_RESET, BEFORE_RESET)

METHODS = ("exact", "euler")


@dataclass(frozen=True, eq=False)
class Model:
    """A neuron model: pure arithmetic on named tuples, the same text for every backend.

    Calling a model with parameter values gives a `Neuron`, which is what a population is made of::

        LIF(tau_mem=20.0, v_th=-50.0, v_leak=-65.0, v_reset=-65.0, refractory=2.0)

    Attributes
    ----------
    State, Params, Propagator : NamedTuple classes
        Params carries the default values.
    exact, euler : ``(ops, dt, p) -> Propagator``
        Coefficients of the flow over ``dt`` ms: the exact solution, and one step of forward Euler.
    advance : ``(s, k, p) -> State`` or ``(ops, s, k, p) -> State``
        The flow between inputs. ``+ - *``, and what `eventsim.ops.Ops` has if the first parameter is called ``ops``.
    ports : mapping of port name to ``(s, w, p) -> State`` or ``(ops, s, w, p) -> State``
        What an arriving weight does. The first port is the default one.
    margin : ``(s, p) -> value``, or None for a neuron that never fires
        Above 0 means: fires.
    reset : ``(s, z, p) -> State``
        What a spike does to the neuron itself; the identity for z = 0.
    initial : ``p -> State``
        The state at rest.
    units : mapping of parameter or state name to its unit
    positive : names of the parameters that must be above 0
    inject : ``(p, current) -> Params``, or None
        The parameters under a constant current: a current acts through the flow, not through a port.
    turning_time : ``(ops, s, p) -> t``, or None
        The t > 0 in ms at which the margin's derivative under the exact flow is 0, or inf. A model that has it is *predictable*.
    slope : ``(s, p) -> value``, or None
        The margin's derivative in s under the exact flow, in its unit per ms. A model that has it, and a ``bend``, or a
        ``crossing``, runs in the exact engine.
    bend : ``(ops, s, p) -> t``, or None
        The t > 0 in ms that parts the time after s in two, in each of which the slope is 0 once at most; inf if there is one part.
    crossing : ``(ops, s, p) -> t``, or None
        In closed form the t >= 0 in ms at which the margin, not above 0 in s, first rises above 0, or inf.
    earliest : ``(ops, s, p) -> t``, or None
        A t >= 0 in ms, or inf, before which the margin, not above 0 in s, does not rise above 0: the exact engine looks for a
        crossing only when so much time has passed without input. It is asked for at every input: no branches, no exp, no log, a
        root and a division or two (`eventsim.models.earliest`).
    euler_flow : ``(ops, dt, p) -> Params``, or None
        The parameters whose exact flow passes through all points of the Euler recursion, so that it too can jump and predict.
    methods : tuple of "exact" and "euler"
        What a neuron may choose as its method; the first is the default. A model without an exact flow has ("euler",).
    linear : bool
        Whether `advance` and `margin` are linear in the state (plus a constant). Then the engine knows how far each state can
        lift the margin, and most neurons need no prediction (`eventsim.ceiling`); a model that says so wrongly is refused.
    """

    name: str
    State: Any
    Params: Any
    Propagator: Any
    exact: Callable
    euler: Callable
    advance: Callable
    ports: Mapping[str, Callable]
    initial: Callable
    margin: Callable | None = None
    reset: Callable | None = None
    inject: Callable | None = None
    turning_time: Callable | None = None
    slope: Callable | None = None
    bend: Callable | None = None
    crossing: Callable | None = None
    earliest: Callable | None = None
    euler_flow: Callable | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    linear: bool = False
    methods: tuple[str, ...] = METHODS
    doc: str = ""

    def __post_init__(self):
        signature = inspect.Signature(
            [
                inspect.Parameter(f, inspect.Parameter.KEYWORD_ONLY, default=self.Params._field_defaults[f])
                for f in self.Params._fields
            ]
            + [
                inspect.Parameter("method", inspect.Parameter.KEYWORD_ONLY, default=self.methods[0]),
                inspect.Parameter("order", inspect.Parameter.KEYWORD_ONLY, default=AT_GRID),
                inspect.Parameter("refractory", inspect.Parameter.KEYWORD_ONLY, default=0.0),
                inspect.Parameter("hold", inspect.Parameter.KEYWORD_ONLY, default=("v",)),
            ],
            return_annotation=Neuron,
        )
        object.__setattr__(self, "__signature__", signature)
        object.__setattr__(self, "__doc__", self.doc)

    def __call__(self, *, method=None, order=AT_GRID, refractory=0.0, hold=("v",), **params) -> Neuron:
        unknown = [name for name in params if name not in self.Params._fields]
        if unknown:
            raise ModelError(f"{self.name}: unknown parameter {unknown[0]!r}; it has {', '.join(self.Params._fields)}")
        return Neuron(self, self.Params(**params), self.methods[0] if method is None else method, order, refractory, hold)

    def __repr__(self) -> str:
        return self.name

    @property
    def default_port(self) -> tuple[str, ...]:
        """The name of the first port, in a tuple."""
        return (next(iter(self.ports)),)

    @property
    def spiking(self) -> bool:
        """Whether the neuron can fire at all."""
        return self.margin is not None


@dataclass(frozen=True, eq=False)
class Neuron:
    """A model with its parameter values: what a population is made of.

    Attributes
    ----------
    model : Model
    params : the model's Params
        Each a float, or a float64 array with one value for each neuron.
    method : "exact" or "euler", one of the model's `methods`
        How the flow over one step is computed.
    order : tuple
        The order of the phases of one step, one of `ORDERS`.
    refractory : float or array, ms
        How long after a spike the neuron is held. With n = refractory/dt the earliest next spike is n + 1 steps later.
    hold : tuple of state names
        What stands still while the neuron is refractory; input to these is discarded.
    """

    model: Model
    params: Any
    method: str = "exact"
    order: tuple[str, ...] = AT_GRID
    refractory: Any = 0.0
    hold: tuple[str, ...] = ("v",)

    def __post_init__(self):
        name = self.model.name
        hold = (self.hold,) if isinstance(self.hold, str) else self.hold
        for what, given in (("order", self.order), ("hold", hold)):
            if not isinstance(given, (tuple, list)):
                raise ModelError(f"{name}: {what} must be a tuple of names, not {given!r}")
            object.__setattr__(self, what, tuple(given))
        if self.method not in METHODS:
            raise ModelError(f"{name}: method must be 'exact' or 'euler', not {self.method!r}")
        if self.method not in self.model.methods:
            raise ModelError(f"{name}: it has no method {self.method!r}; use {' or '.join(map(repr, self.model.methods))}")
        if self.order not in ORDERS:
            raise ModelError(f"{name}: order must be one of {ORDERS}, not {self.order!r}")
        for state in self.hold:
            if state not in self.model.State._fields:
                raise ModelError(f"{name}: hold names {state!r}; its states are {', '.join(self.model.State._fields)}")
        values = [_number(name, f, v) for f, v in zip(self.model.Params._fields, self.params, strict=True)]
        for f, v in zip(self.model.Params._fields, values, strict=True):
            if f in self.model.positive and np.any(v <= 0):
                raise ModelError(f"{name}: {f} must be above 0 {self.model.units.get(f, '')}, not {np.min(v)}")
        object.__setattr__(self, "params", self.model.Params(*values))
        refractory = _number(name, "refractory", self.refractory)
        if np.any(refractory < 0):
            raise ModelError(f"{name}: refractory must not be negative, not {np.min(refractory)} ms")
        object.__setattr__(self, "refractory", refractory)

    @property
    def holds(self) -> bool:
        """Whether there is a refractory period at all."""
        return bool(np.any(self.refractory > 0))

    def sizes(self) -> set[int]:
        """The lengths of the parameters that are arrays: at most one, if the neuron fits a population."""
        return {len(v) for v in (*self.params, self.refractory) if np.ndim(v)}


def _number(model: str, name: str, value: Any) -> Any:
    """A float, or a private, unwritable float64 array with one axis; refuses anything else."""
    try:
        array = as_floats(value)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{model}: {name} must be a number or an array of numbers, not {value!r}") from error
    if array.ndim > 1:
        raise ModelError(f"{model}: {name} must be one number or one for each neuron, not an array of shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ModelError(f"{model}: {name} must be finite")
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


def _identity(function):
    return function


def with_ops(function, ops, jit=_identity):
    """An `advance` or a port of a model as a compiled function of ``(s, k, p)`` or ``(s, w, p)``.

    This is the one place that gives them the backend's operations: those whose first parameter is called ``ops`` ask for them.
    """
    compiled, asks = jit(function), function.__code__.co_varnames[:1] == ("ops",)  # inspect's signature stops torch.compile
    return jit(lambda s, x, p: compiled(ops, s, x, p)) if asks else compiled


def chain_ports(ports, ops, jit=_identity):
    """One function ``(s, x, p) -> State`` that hands ``x[0]``, ``x[1]`` ... to the given ports in turn."""
    first = with_ops(ports[0], ops, jit)
    if len(ports) == 1:
        return jit(lambda s, x, p: first(s, x[0], p))
    rest = chain_ports(ports[1:], ops, jit)
    return jit(lambda s, x, p: rest(first(s, x[0], p), x[1:], p))


def hold_fields(State, hold, jit=_identity):
    """One function ``(old, new, m) -> State``: the fields named in ``hold`` from old where m is 1, all others from new."""

    def take(index):
        if State._fields[index] in hold:
            one = jit(lambda old, new, m: (new[index] - m * new[index] + m * old[index],))
        else:
            one = jit(lambda old, new, m: (new[index],))
        if index == 0:
            return one
        before = take(index - 1)
        return jit(lambda old, new, m: before(old, new, m) + one(old, new, m))

    fields = take(len(State._fields) - 1)
    return jit(lambda old, new, m: State(*fields(old, new, m)))


def bind_hold(State, hold, ops, jit=_identity):
    """What refractoriness makes of a step: ``(old, new, rho, m, z, period) -> (s, rho)``, where m is 1 while the neuron is held.

    The states named in ``hold`` stand still, and rho counts down to 0 unless the neuron fired (z), which sets it to ``period``.
    """
    held, relu = hold_fields(State, hold, jit), ops.relu

    def apply(old, new, rho, m, z, period):
        rho = relu(rho - m)
        return held(old, new, m), rho - z * rho + z * period

    return jit(apply)


def _bind_phases(model, ops, order, ports, masked, jit):
    """The phases of one step in their order, as one function ``(s, x, z, m, k, p) -> (s, z)``; m masks the spikes."""
    receive = chain_ports([model.ports[port] for port in ports], ops, jit)
    advance = with_ops(model.advance, ops, jit)
    phases = {
        "receive": jit(lambda s, x, z, m, k, p: (receive(s, x, p), z)),
        "advance": jit(lambda s, x, z, m, k, p: (advance(s, k, p), z)),
    }
    if model.spiking:
        margin, reset, fire, gate = jit(model.margin), jit(model.reset), ops.fire, ops.gate

        def fire_masked(s, x, z, m, k, p):
            z = fire(margin(s, p))
            return s, z - m * z

        phases["fire"] = jit(fire_masked if masked else lambda s, x, z, m, k, p: (s, fire(margin(s, p))))
        phases["reset"] = jit(lambda s, x, z, m, k, p: (reset(s, gate(z), p), z))

    def chain(names):
        first = phases[names[0]]
        if len(names) == 1:
            return first
        rest = chain(names[1:])

        def both(s, x, z, m, k, p):
            s, z = first(s, x, z, m, k, p)
            return rest(s, x, z, m, k, p)

        return jit(both)

    return chain([name for name in order if name in phases])


def bind_step(model, ops, order=AT_GRID, ports=None, jit=_identity):
    """Compose one time step of a model: ``step(s, x, k, p) -> (s, z)``.

    ``s`` is the State at the start, ``x`` a tuple with the summed input of each port, ``k`` the Propagator of one step and
    ``p`` the Params; z is 1 where the neuron fired (for a model that never fires it means nothing). Nothing is modified.

    Parameters
    ----------
    order : one of `ORDERS`
    ports : port names to receive on, in this order; the model's default port alone if None
    jit : what compiles each function (Numba's), or the identity
    """
    phases = _bind_phases(model, ops, order, ports or model.default_port, False, jit)
    return jit(lambda s, x, k, p: phases(s, x, x[0], x[0], k, p))  # before "fire" the place of z holds anything of its type


def bind_refractory_step(model, ops, order=AT_GRID, ports=None, hold=("v",), jit=_identity):
    """Compose one time step with a refractory period: ``step(s, rho, x, k, p, period) -> (s, rho, z)``.

    ``rho`` counts the steps for which the neuron is still held, in the state's type; ``period`` is what a spike sets it to.
    While rho > 0 the states named in ``hold`` stand still and no spike is fired; all others run on.
    """
    phases = _bind_phases(model, ops, order, ports or model.default_port, True, jit)
    held, fire = bind_hold(model.State, hold, ops, jit), ops.fire

    def step(s, rho, x, k, p, period):
        m = fire(rho)
        new, z = phases(s, x, x[0], m, k, p)
        s, rho = held(s, new, rho, m, z, period)
        return s, rho, z

    return jit(step)
