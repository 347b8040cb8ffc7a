"""Neurons whose voltage just reaches its threshold, or just does not: the last weight is chosen so that the peak lies there."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
from exact.closed_forms import DIGITS, EQUATIONS, Linear
from exact.single_neurons import HORIZON, drawn_case
from mpmath import mpf

QUIET = 0.3  # of the usual weights: arrivals before the last one that make nobody fire


def _at_last_arrival(case, j):
    """The neuron in 50 digits just before its last arrival."""
    params = {name: mpf(float(values[j])) for name, values in case.params.items()}
    neuron = Linear(case.model.name, params, case.model.State._fields)
    neuron.base, now = params, mpf(0)
    for t, port, w in zip(case.times[:, j], case.ports, case.weights[:, j], strict=True):
        neuron.prepare(False)
        if neuron.crossing(mpf(float(t)) - now) is not None:
            return None
        neuron.s = {name: f(mpf(float(t)) - now) for name, f in neuron.f.items()}
        if t == case.times[-1, j]:
            return neuron
        neuron.land(port, mpf(float(w)), False)
        now = mpf(float(t))
    return None


def _peak(neuron, port, weight, end):
    """The margin's greatest value after an arrival of that weight."""
    state = neuron.e.ports[port]
    s = {**neuron.s, state: neuron.s[state] + weight}
    return neuron.e.margin(neuron.p, neuron.e.flow(neuron.p, s)).highest(end)


def _weight_for(neuron, port, height, end):
    """The weight whose peak has that height, by bisection and secants; None if there is none."""
    low, high = mpf(0), mpf(1)
    at_low, at_high = _peak(neuron, port, low, end) - height, _peak(neuron, port, high, end) - height
    if at_low >= 0:
        return None
    while at_high <= 0:
        low, at_low, high = high, at_high, 2 * high
        if high > 1000:
            return None
        at_high = _peak(neuron, port, high, end) - height
    for tries in range(200):
        middle = (low + high) / 2 if tries % 3 == 2 else low + (high - low) * at_low / (at_low - at_high)
        found = _peak(neuron, port, middle, end) - height
        if abs(found) < mpf(10) ** -20:
            return middle
        if found < 0:
            low, at_low = middle, found
        else:
            high, at_high = middle, found
    return None


def grazing_case(model, port, seed, n):
    """``(case, heights)``: of about n neurons without refractoriness or currents that rest below their threshold; heights: (neurons,)
    of their peaks above it, float64 of the 50 digits for the weight as it is rounded."""
    rng = np.random.default_rng(seed)
    case = drawn_case(model, seed, 3 * n, arrivals=4)
    p = {name: values.copy() for name, values in case.params.items()}
    count = case.size
    p["v_th"], p["v_leak"] = np.full(count, 1.0), rng.uniform(-0.3, 0.6, count)
    p["v_reset"] = rng.uniform(-0.3, 0.3, count)
    unit = case.weights / np.maximum(1.0, np.abs(case.weights).max(axis=0))
    case = replace(
        case,
        params=p,
        refractory=np.zeros(count),
        currents=np.zeros_like(case.currents),
        ports=(*case.ports[:-1], port),
        weights=QUIET * unit,
    )
    goals = np.where(rng.random(count) < 0.5, 1.0, -1.0) * 10.0 ** rng.uniform(-13.0, -6.0, count)
    chosen, heights = [], []
    with mpmath.workdps(DIGITS):
        for j in range(count):
            neuron = _at_last_arrival(case, j)
            end = mpf(HORIZON) - mpf(float(case.times[-1, j]))
            weight = None if neuron is None else _weight_for(neuron, port, mpf(float(goals[j])), end)
            if weight is None or len(chosen) == n:
                continue
            case.weights[-1, j] = float(weight)
            chosen.append(j)
            heights.append(float(_peak(neuron, port, mpf(float(weight)), end)))
    take = np.array(chosen)
    cut = replace(
        case,
        params={name: values[take] for name, values in p.items()},
        refractory=case.refractory[take],
        times=case.times[:, take],
        weights=case.weights[:, take],
        currents=case.currents[:, take],
    )
    assert EQUATIONS[model.name].ports[port] in model.State._fields
    return cut, np.array(heights)
