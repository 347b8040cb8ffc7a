"""A neuron in numbers: the coefficients and parameters that kernels read, made in float64 and checked against the state's type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eventsim.ceiling import rises
from eventsim.errors import ModelError, NetworkError
from eventsim.grid import steps_of
from eventsim.models.model import Neuron, with_ops
from eventsim.network import Population
from eventsim.ops import NUMPY
from eventsim.state import DIGIT, FAR, TABLE_ROWS


class Numbers(NamedTuple):
    """The parameters of some neurons of one group in numbers, as `eventsim.state` lays them out. All float64."""

    common: np.ndarray  # (params + 1,)
    own: np.ndarray  # (params + 1, n or 0)
    step_common: np.ndarray  # (coefficients,)
    step_own: np.ndarray  # (coefficients, n or 0)
    flow: np.ndarray  # (params, n or 1)
    table: np.ndarray  # (TABLE_ROWS, coefficients)
    rises: np.ndarray  # (2 states, n or 1)


def check_fits(values: Any, dtype: np.dtype, label: str) -> None:
    """Refuse values that are not finite in the state's type."""
    largest = max(float(np.max(values, initial=0.0)), -float(np.min(values, initial=0.0)))  # abs would copy them
    if not largest <= float(np.finfo(dtype).max):
        raise NetworkError(f"{label} reaches {largest:g}, which {dtype} cannot hold; check its unit, or use float64")


def flow_params(neuron: Neuron, params: Any, dt: float) -> Any:
    """The parameters of the exact flow that the neuron follows on the grid, or None if there is no such flow."""
    if neuron.method == "exact":
        return params
    if neuron.model.euler_flow is None:
        return None
    with np.errstate(all="ignore"):  # dt beyond a time constant has no equivalent: the result says so by not being finite
        flow = neuron.model.euler_flow(NUMPY, dt, params)
    return flow if all(np.all(np.isfinite(v)) for v in flow) else None


def holds_whole(neuron: Neuron) -> bool:
    """Whether no state that stands still during refractoriness drives one that runs on: then a held gap can be jumped at once."""
    model = neuron.model
    if not neuron.holds:
        return True
    scalar = model.Params(*(float(np.mean(v)) for v in neuron.params))
    k = model.exact(NUMPY, 1.0, scalar)
    base = model.State(*(0.37 + 0.11 * f for f in range(len(model.State._fields))))
    advance = with_ops(model.advance, NUMPY)
    before = advance(base, k, scalar)
    for held in neuron.hold:
        after = advance(base._replace(**{held: getattr(base, held) + 1.0}), k, scalar)
        if any(getattr(before, f) != getattr(after, f) for f in model.State._fields if f not in neuron.hold):
            return False
    return True


def parameters_in_numbers(population: Population, params: Any, dt: float, dtype: np.dtype, low: int, high: int) -> Numbers:
    """Coefficients and parameters of the neurons low ... high - 1 of a population, all in float64."""
    neuron, n = population.neuron, high - low
    model, label = neuron.model, f"population {population.name!r}"
    period = steps_of(neuron.refractory, dt, f"{label}: refractory")
    if np.max(period, initial=0) > 2 ** np.finfo(dtype).nmant:
        raise NetworkError(f"{label}: a refractory period of {np.max(period)} steps is beyond {dtype}; use float64 or a larger dt")
    values = [v[low:high] if np.ndim(v) else v for v in (*params, np.asarray(period, np.float64)[()])]
    own = [np.ndim(v) > 0 for v in values]
    part = model.Params(*values[:-1])
    with np.errstate(all="ignore"):  # what overflows is refused below, by name
        step = [np.asarray(c, np.float64) for c in (model.exact if neuron.method == "exact" else model.euler)(NUMPY, dt, part)]
    for name, value in [*zip(model.Params._fields, part, strict=True), *((f"coefficient {f}", c) for f, c in enumerate(step))]:
        check_fits(value, dtype, f"{label}: {name}")
    own_step = [c.ndim > 0 for c in step]
    flow = flow_params(neuron, part, dt) or part
    own_flow = any(own[:-1])
    table = np.zeros((TABLE_ROWS, len(step)))
    if not any(own_step):
        table[:] = _table(model, flow, dt)
    return Numbers(
        common=np.array([0.0 if np.ndim(v) else v for v in values]),
        own=_rows(values, n) if any(own) else np.zeros((len(values), 0)),
        step_common=np.array([0.0 if c.ndim else float(c) for c in step]),
        step_own=_rows(step, n) if any(own_step) else np.zeros((len(step), 0)),
        flow=_rows(flow, n) if own_flow else np.array([[float(v)] for v in flow]),
        table=table,
        rises=rises(model, flow, dt, n if own_flow else 1),
    )


def _table(model: Any, flow: Any, dt: float) -> np.ndarray:
    """The propagators, common to all neurons, of all digits of a number of steps and of a step without end (`eventsim.state`)."""
    digits, level = np.arange(TABLE_ROWS - 1) % 2**DIGIT, np.arange(TABLE_ROWS - 1) // 2**DIGIT
    steps = np.append(digits * 2.0 ** (DIGIT * level), FAR)[:, None]
    first = flow._replace(**{f: v[:1] for f, v in flow._asdict().items() if np.ndim(v)})
    with np.errstate(all="ignore"):  # 0 steps may divide 0 by 0: nobody asks for them
        rows = np.concatenate(np.broadcast_arrays(steps, *model.exact(NUMPY, steps * dt, first))[1:], axis=1)
        last = [np.ndim(k) for k in model.exact(NUMPY, dt, flow)]
    if any(last):
        raise ModelError(f"{model.name}: coefficients of its exact flow depend on parameters on which those of a step do not")
    rows[steps[:, 0] == 0.0] = 0.0
    return rows


def _rows(values: Any, n: int) -> np.ndarray:
    return np.stack([np.broadcast_to(np.asarray(v, np.float64), (n,)) for v in values])
