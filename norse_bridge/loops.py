"""The loop over time of all layers: as one compiled call where that is possible, else as a loop of torch operations.

The compiled loop (`norse_bridge.fused`) takes float32 and float64 on the CPU, and gives the same spikes and states as the plain
one: bit for bit where a step is made of ``+ - *``. What it does not take goes through the plain loop: other types and devices,
`torch.func`, surrogates that draw their spikes, models that Numba cannot compile. Gradients of gradients go through the plain
loop, too.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from eventsim.errors import ModelError, SimulationError
from norse_bridge import forks  # noqa: F401  what is imported before anybody forks can count it
from norse_bridge.family import stepper
from norse_bridge.product import product
from norse_bridge.surrogate import DERIVATIVES

LOOPS = ("auto", "fused", "plain")
_chosen = [("auto",)]  # the kinds of loops that were asked for; the last one counts


@contextlib.contextmanager
def time_loop(kind):
    """Within this context the layers of all threads use the loop ``kind``: "fused" (an error where it is not possible), "plain" or
    "auto": fused where it is possible."""
    if kind not in LOOPS:
        raise SimulationError(f"time_loop: there is no loop {kind!r}; it must be one of {', '.join(LOOPS)}")
    mine = (str(kind),)
    _chosen.append(mine)
    try:
        yield
    finally:
        del _chosen[next(place for place, other in enumerate(_chosen) if other is mine)]  # contexts of threads may overlap


class Run(NamedTuple):
    """outputs : (time, ...); s, rho : at the end; states : ``(s, rho)`` after every step, stacked, if they were asked for"""

    outputs: Any
    s: Any
    rho: Any
    states: Any


class Recurrence(NamedTuple):
    """input_weights : (hidden, inputs); weights : (hidden, hidden); z : (batch, hidden), the spikes before the first step

    A step receives ``input_weights x``, then ``weights z`` of the step before: one product each in every step, so that a layer has
    the bits of its cell.
    """

    input_weights: Any
    weights: Any
    z: Any


def at_rest(b):
    """``(State, rho or None)`` of neurons at rest, one number for all where the parameters are; v with a gradient switched on."""
    s, rho = b.model.initial(b.params), torch.zeros((), dtype=b.dtype) if b.period is not None else None
    return s._replace(v=s.v + torch.zeros((), dtype=b.dtype, requires_grad=True)), rho


def run(b, x, s, rho, recurrence=None, record=False) -> Run:
    """All steps of a layer. x: (time, ...); s, rho: what broadcasts to a row of x, or with recurrence to its z; s None: at rest."""
    if _chosen[-1][0] == "plain":
        return plain_run(b, x, s, rho, recurrence, record)
    if torch.compiler.is_compiling():  # torch.compile cannot look into compiled code and leaves it as a call
        return torch.compiler.disable(_run_if_possible)(b, x, s, rho, recurrence, record)
    return _run_if_possible(b, x, s, rho, recurrence, record)


def _run_if_possible(b, x, s, rho, recurrence, record):
    why = obstacle(b, x, s, rho, recurrence)
    if not why:
        try:
            return fused_run(b, x, s, rho, recurrence, record)
        except ModelError as error:
            why = str(error)
        if _chosen[-1][0] != "fused":
            warnings.warn(f"the layer goes through the plain loop of torch: {why}", RuntimeWarning, stacklevel=2)
    if _chosen[-1][0] == "fused":
        raise SimulationError(f"time_loop('fused'): this layer's loop cannot be compiled: {why}")
    return plain_run(b, x, s, rho, recurrence, record)


def obstacle(b, x, s, rho, recurrence=None) -> str:
    """Why a loop cannot be fused, or nothing."""
    states = [] if s is None else [*s, *_some(rho)]
    given = [x, *states, *(recurrence or ())]
    if any(type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.device.type != "cpu" for tensor in given) or any(
        tensor.layout != torch.strided for tensor in given
    ):
        return "it takes ordinary tensors on the CPU"
    if b.dtype not in (torch.float32, torch.float64):
        return "it takes float32 and float64"
    if b.method not in DERIVATIVES:
        return f"the method {b.method!r} draws its spikes"
    if torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0:
        return "a transform of torch.func is at work"
    if torch._C._get_tracing_state() is not None or _get_current_dispatch_mode() is not None:
        return "its operations are being traced"
    shape = recurrence.z.shape if recurrence else x.shape[1:]
    if not all(_fits(tensor, shape) for tensor in (*states, *(() if b.made is not None else coefficients_of(b)))):
        return "states or parameters have more axes than a step's input"
    return _obstacle_of_recurrence(b, x, recurrence) if recurrence else ""


def _obstacle_of_recurrence(b, x, recurrence) -> str:
    hidden = recurrence.z.shape[-1:]
    if not b.model.spiking:
        return "a recurrent layer keeps the spikes that it fed back, and this one has none"
    if x.ndim != 3 or recurrence.z.ndim != 2 or recurrence.z.shape[0] != x.shape[1]:
        return "a recurrent layer takes (time, batch, inputs)"
    if recurrence.input_weights.shape != (*hidden, x.shape[2]) or recurrence.weights.shape != (*hidden, *hidden):
        return "the weights do not fit the input or the state"
    if any(tensor.dtype != b.dtype for tensor in (x, *recurrence)) or torch.is_autocast_enabled("cpu"):
        return "its products have one type, that of the input"
    return ""


def _fits(tensor, shape) -> bool:
    """Whether a tensor broadcasts to ``shape``."""
    ends = zip(reversed(tensor.shape), reversed(shape), strict=False)
    return tensor.ndim <= len(shape) and all(given in (1, wanted) for given, wanted in ends)


def _some(rho) -> tuple:
    return () if rho is None else (rho,)


def coefficients_of(b) -> list[torch.Tensor]:
    """All numbers of a step: the propagator, the parameters, the refractory period (or 0), alpha; as tensors of its type."""
    if b.made is None:
        return _coefficients_of(b)
    if "coefficients" not in b.made:
        with torch.inference_mode(False), torch.no_grad():  # whoever asks next may want a gradient
            b.made["coefficients"] = _coefficients_of(b)
    return b.made["coefficients"]


def _coefficients_of(b) -> list[torch.Tensor]:
    numbers = (*b.k, *b.params, 0.0 if b.period is None else b.period, b.alpha)
    found = [value.to(b.dtype) if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=b.dtype) for value in numbers]
    return [*found[:-1], found[-1].detach()]  # no gradient flows to alpha


def with_coefficients(b, values):
    """The step with other numbers, in the order of `coefficients_of`."""
    numbers = list(values)
    count, end = len(b.k), len(b.k) + len(b.params)
    k, params = type(b.k)(*numbers[:count]), type(b.params)(*numbers[count:end])
    return b._replace(k=k, params=params, period=None if b.period is None else numbers[end], alpha=numbers[end + 1], made=None)


def _spread(value, shape, dtype):
    """A state for each neuron. One number for all has the type of the step."""
    value = value if value.ndim else value.to(dtype)
    return value.expand(torch.broadcast_shapes(value.shape, shape))


def _named(b, values):
    """``(State, rho or None)`` of a list of states."""
    count = len(b.model.State._fields)
    return b.model.State(*values[:count]), values[count] if b.period is not None else None


def plain_run(b, x, s, rho, recurrence: Any = None, record=False) -> Run:
    """The loop of torch operations: the reference."""
    step = stepper(b)
    shape = recurrence.z.shape if recurrence else x.shape[1:]
    if s is None:
        s, rho = at_rest(b)
    s, rho = b.model.State(*(_spread(value, shape, b.dtype) for value in s)), None if rho is None else _spread(rho, shape, b.dtype)
    z: Any = recurrence.z if recurrence else None
    outputs, states = [], []
    for row in x.unbind(0):  # (batch, ...)
        inputs = (product(row, recurrence.input_weights), product(z, recurrence.weights)) if recurrence else (row,)
        s, rho, z = step(s, rho, inputs)
        outputs.append(z)
        if record:
            states.append((*s, *_some(rho)))
    stacked = [torch.stack(column) for column in zip(*states, strict=True)]
    return Run(torch.stack(outputs), s, rho, _named(b, stacked) if record else None)


def fused_run(b, x, s, rho, recurrence=None, record=False) -> Run:
    """The loop as compiled calls, one forward and one for its gradient (with recurrence one for each 16 steps)."""
    from norse_bridge.fused import function

    shape = recurrence.z.shape if recurrence else x.shape[1:]
    form, coefficients, begin = _form(b), [], _begin(b, s, rho, shape)
    if b.made is None:
        coefficients = [value.expand(shape) if value.ndim else value for value in coefficients_of(b)]

    def again(x, *rest):
        """The outputs of the functions below, by the plain loop."""
        back, (state, *numbers) = (Recurrence(*rest[:3]), rest[3:]) if recurrence else (None, rest)
        ran = plain_run(with_coefficients(b, numbers) if numbers else b, x, *_named(b, state.unbind(0)), back, record)
        ends = (value.expand(shape) for value in (*ran.s, *_some(ran.rho)))
        history = [torch.stack([*ran.states[0], *_some(ran.states[1])], 1)] if record else []
        # Nothing here may refer to what the functions return: their graph holds `again`, and a circle would never be freed.
        return ran.outputs, *ends, *history

    seen = s is not None or b.made is None  # at rest the state depends on the parameters, and they may want a gradient
    plan = function.Plan(form.spec, x.shape[0], tuple(shape), record, torch.is_grad_enabled(), form.table, seen)
    if recurrence:
        weights = (_typed(part, b.dtype) for part in recurrence)
        found = function.RecurrentLoop.apply(plan, again, _typed(x, b.dtype), *weights, begin, *coefficients)
    else:
        found = function.TimeLoop.apply(plan, again, _typed(x, b.dtype), begin, *coefficients)
    outputs, end = found[0], found[1 : 1 + form.spec.states]
    s, rho = _named(b, end)
    states = _named(b, [value.contiguous() for value in found[-1].unbind(1)]) if record else None
    return Run(outputs, s, rho, states)


class Form(NamedTuple):
    """What compiled loops over a step have in common. spec : a LoopSpec; begin : the states at rest, (states,); table : of the
    coefficients; both None where they may have a gradient"""

    spec: Any
    begin: Any
    table: Any


def _form(b) -> Form:
    if b.made is None:
        return _form_of(b)
    if "form" not in b.made:
        with torch.inference_mode(False), torch.no_grad():  # whoever asks next may want a gradient
            s, rho = at_rest(b)
            begin, table = torch.stack([*s, *_some(rho)]), torch.stack(coefficients_of(b))
        b.made["form"] = _form_of(b)._replace(begin=begin, table=table)  # nothing wants a gradient of these, they stay the same
    return b.made["form"]


def _form_of(b) -> Form:
    from norse_bridge.fused.kernels import LoopSpec
    from norse_bridge.fused.memory import NUMPY_TYPE

    given = coefficients_of(b)
    spec = LoopSpec(
        model=b.model,
        order=b.order,
        ports=b.ports,
        refractory=b.period is not None,
        dtype=NUMPY_TYPE[b.dtype],
        own=any(value.ndim for value in given),
        method=b.method,
        detach=b.detach,
        wanted=(False,) * len(given),
    )
    return Form(spec, None, None)


def _begin(b, s, rho, shape):
    """The states of the beginning, stacked: (states, ...), or (states,) where each is one number for all neurons."""
    if s is None and b.made is not None:
        return _form(b).begin.detach().requires_grad_()
    if s is None:
        s, rho = at_rest(b)
    rows = [value.to(b.dtype) for value in (*s, *_some(rho))]
    return torch.stack([value.expand(shape) for value in rows] if any(value.ndim for value in rows) else rows)


def _typed(tensor, dtype):
    return tensor if tensor.dtype is dtype else tensor.to(dtype)
