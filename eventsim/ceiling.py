"""How high the margin of a neuron that hears nothing can rise: a bound that costs a few multiplications, and no prediction.

In a model whose flow is linear, the margin at time t is that of a neuron at rest plus, for each state, its distance from
rest times a *gain* that depends on t alone:

    margin(t) = margin(rest) + sum over f of g_f(t) (s_f - rest_f)

so that it never exceeds ``margin(rest) + sum of max(high_f d_f, low_f d_f)`` with the greatest and the least value that g_f
takes. Between dt, which may be 0, and the end of time a gain is monotone on either side of its turning time, so these stand at one
of three times.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim.errors import ModelError
from eventsim.models.model import with_ops
from eventsim.ops import NUMPY
from eventsim.state import FAR

_LIFT = 2.0**30  # the distance from rest at which gains are measured, times (1 + |rest|): rounding then hardly shows
_SLACK = 1e-9  # by which a gain is taken to be further from 0 than was found, of itself
_EQUAL = 1e-6  # what is linear is so to this
AT_ONCE = 1 << 14  # neurons: dozens of arrays are needed for each of them


def rises(model: Any, p: Any, dt: float, count: int, end: float | None = None) -> np.ndarray:
    """The greatest gain of each state, then the least of each, (2 states, count); infinite where no bound is known.

    model : a `Model`; p : Params of its exact flow, floats or arrays of ``count`` values; dt : ms, the first time that counts;
    end : ms, the last one, by which everything has come to rest; `FAR` steps of dt if None
    """
    if count <= AT_ONCE:
        return _rises(model, p, dt, count, end)
    out = np.empty((2 * len(model.State._fields), count))
    for first in range(0, count, AT_ONCE):
        last = min(first + AT_ONCE, count)
        part = p._replace(**{name: v[first:last] for name, v in p._asdict().items() if np.ndim(v)})
        out[:, first:last] = _rises(model, part, dt, last - first, end)
    return out


def _rises(model: Any, p: Any, dt: float, count: int, end: float | None) -> np.ndarray:
    """As `rises`, for all neurons at once."""
    states = len(model.State._fields)
    unknown = np.full((2 * states, count), np.inf)
    unknown[states:] = -np.inf
    if not model.linear or not model.spiking or model.turning_time is None:
        return unknown
    with np.errstate(all="ignore"):  # what is not finite is not used
        end = FAR * dt if end is None else end
        found = _gains(model, p, dt, end, count)
        if model.inject is not None:  # a current that changes while the simulation runs must leave the gains as they are
            other = _gains(model, model.inject(p, 1.0), dt, end, count)
            same = np.abs(found - other) <= 0.1 * _SLACK * np.tile(found[:states] - found[states:], (2, 1))
            found = np.where(same, found, np.nan)
    return np.where(np.all(np.isfinite(found), axis=0), found, unknown)


def _gains(model: Any, p: Any, dt: float, end: float, count: int) -> np.ndarray:
    """As `rises`; not finite where the neuron does not rest in its initial state."""
    State, advance = model.State, with_ops(model.advance, NUMPY)
    rest = State(*(np.broadcast_to(np.asarray(v, np.float64), (count,)) for v in model.initial(p)))
    level = model.margin(rest, p)
    size = 1.0 + np.abs(np.stack(rest)).sum(axis=0)

    def lifted(distances: Any, t: Any) -> np.ndarray:
        k = model.exact(NUMPY, t, p)
        s = State(*(v + d for v, d in zip(rest, distances, strict=True)))
        return np.broadcast_to(model.margin(advance(s, k, p), p) - model.margin(advance(rest, k, p), p), (count,))

    moved = model.margin(advance(rest, model.exact(NUMPY, end, p), p), p) - level
    rests = np.abs(moved) <= 1e-12 * (size + np.abs(level))
    lift = _LIFT * size
    high, low = [], []
    for f in range(len(rest)):
        distances = [lift if other == f else 0.0 for other in range(len(rest))]
        turn = np.clip(model.turning_time(NUMPY, State(*(v + d for v, d in zip(rest, distances, strict=True))), p), dt, end)
        gains = [lifted(distances, t) / lift for t in (dt, turn, end)]
        _check_linear(model, lifted, f, gains[0], lift, dt)
        _check_linear(model, lifted, f, gains[1], lift, turn)
        error = _SLACK * np.max(np.abs(gains), axis=0) + 16.0 * np.finfo(np.float64).eps * (size + np.abs(level)) / lift
        high.append(np.max(gains, axis=0) + error)
        low.append(np.min(gains, axis=0) - error)
    return np.where(rests, np.stack(high + low), np.nan)


def _check_linear(model: Any, lifted: Any, f: int, gain: np.ndarray, lift: np.ndarray, t: Any) -> None:
    """Refuse a model whose margin does not grow with its state f as it says."""
    states = len(model.State._fields)
    everything = lifted([lift] * states, t)
    for factor in (-1.0, 0.5):
        one = lifted([factor * lift if other == f else 0.0 for other in range(states)], t)
        others = lifted([0.0 if other == f else lift for other in range(states)], t)
        one_error = np.abs(one - factor * lift * gain)
        sum_error = np.abs(everything - lift * gain - others)
        scale = np.abs(lift * gain) + np.abs(others) + lift * _EQUAL
        if np.any(one_error > _EQUAL * scale) or np.any(sum_error > _EQUAL * scale):
            raise ModelError(
                f"{model.name}: says that it is linear, but its margin does not grow in proportion to {model.State._fields[f]!r}; "
                "leave out linear=True"
            )
