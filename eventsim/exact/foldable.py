"""Which neurons can be moved once in a window for all that arrives in it (`eventsim.exact.fold`), and by how much it lifts their
margin: asked of the model's functions with numbers so large that nothing beside them is left after rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eventsim.ceiling import rises
from eventsim.models.model import with_ops
from eventsim.ops import NUMPY

HUGE = 2.0**300  # a state or weight beside which all others are rounded off
SPANS = (1.0, 0.3)  # ms, in which neurons are looked at for whether they are alike
LONGER = 1.01  # times the length of a window: none is longer, whatever is rounded off the time
ALIKE = 1e-9  # relative


def row_length(model: Any) -> int:
    """Numbers of a neuron's row, and none or one more, so that pairs stay together."""
    return (len(model.State._fields) + 2) // 2 * 2


def can_fold(model: Any, p: Any) -> bool:
    """Whether arrivals can be folded: the model is linear, and what its states become in a given time is the same for all neurons,
    but for what drives them. p : Params, floats or arrays"""
    if not model.linear or not model.spiking or model.turning_time is None:
        return False
    with np.errstate(all="ignore"):
        return all(_alike(model, p, model.exact(NUMPY, span, p)) for span in SPANS)


def _alike(model: Any, p: Any, k: Any) -> bool:
    """Whether each state does the same to all, after the time that the coefficients k are for."""
    if not all(np.all(values == np.ravel(values)[0]) for values in k):
        return False
    advance, count = with_ops(model.advance, NUMPY), len(model.State._fields)
    for state in range(count):
        for value in advance(model.State(*(HUGE * (state == other) for other in range(count))), k, p):
            found = np.ravel(value) / HUGE
            if not np.all(np.abs(found - found[0]) <= ALIKE * np.abs(found[0])):
                return False
    return True


def fold_gains(model: Any, p: Any, window: float) -> np.ndarray | None:
    """How far a state can lift the margin within a window (ms), (2 states + 2 ports, 1): the greatest gain of each state's distance
    from rest, then the least; the same of a weight on each port, 0 included. None where arrivals cannot be folded.

    p : Params, floats or arrays of a value for each neuron
    """
    if not can_fold(model, p):
        return None
    states, count = len(model.State._fields), max((len(v) for v in p if np.ndim(v)), default=1)
    found = rises(model, p, 0.0, count, window * LONGER)
    high, low = found[:states].max(axis=1), found[states:].min(axis=1)
    changes = [_change(model, land, p) for land in model.ports.values()]
    if not all(np.all(np.isfinite(change)) for change in (high, low, *changes)):
        return None
    ups, downs = ([function(high * change, low * change).sum() for change in changes] for function in (np.maximum, np.minimum))
    return np.concatenate([high, low, np.maximum(ups, 0.0), np.minimum(downs, 0.0)])[:, None]


def _change(model: Any, land: Callable, p: Any) -> np.ndarray:
    """What a weight of 1 adds to each state; nan where that is not the same for all neurons, states and, in proportion, weights."""
    jump, count = with_ops(land, NUMPY), len(model.State._fields)

    def change(state: float, weight: float) -> list[np.ndarray]:
        before = model.State(*np.linspace(state, 2.0 * state, count))
        return [np.ravel(new - old) / weight for new, old in zip(jump(before, weight, p), before, strict=True)]

    one = np.array([values[0] for values in change(0.0, 1.0)])
    for state, weight in ((0.0, 1.0), (0.0, -2.0), (0.5, HUGE), (1.0, -HUGE)):
        for found, expected in zip(change(state, weight), one, strict=True):
            if not np.all(np.abs(found - expected) <= ALIKE * np.abs(expected)):
                return np.full(count, np.nan)
    return one
