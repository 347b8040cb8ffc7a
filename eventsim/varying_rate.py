"""Rates that change over time: what a user gives in the place of a number of spikes/s."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsim.errors import NetworkError
from eventsim.floats import as_floats

INTERPOLATIONS = ("constant", "linear")
OUTSIDE = ("zero", "hold")


def finite(value: Any, label: str, ndim: int) -> np.ndarray:
    """A private, unwritable float64 array of at most ``ndim`` axes with finite values."""
    try:
        array = as_floats(value)
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{label} must be numbers, not {value!r}") from error
    if array.ndim > ndim:
        raise NetworkError(f"{label} must have at most {ndim} axes, not shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise NetworkError(f"{label} must be finite")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class VaryingRate:
    """The rate of an inhomogeneous Poisson process: given at some times, constant or linear between them.

    values : spikes/s, array (K,), or (K, members) for rates of each member
    times : ms, array (K,), ascending from 0 or later; any numbers, on the grid or not
    interpolation : "constant": ``values[k]`` from ``times[k]`` on until the next time; "linear": straight lines between the values
    before : "zero" or "hold", before the first time: no spikes, or the first value
    after : "zero" or "hold", from the last time on: no spikes, or the last value
    period : ms, or None
        Repeat what lies in [0, period), where all times must lie, without end. The last value then holds until the first time of
        the next period ("linear": a straight line leads there), and `before` and `after` have no meaning.
    """

    values: Any
    times: Any
    interpolation: str = "constant"
    before: str = "zero"
    after: str = "hold"
    period: float | None = None

    def __post_init__(self):
        values, times = finite(self.values, "VaryingRate: values", 2), finite(self.times, "VaryingRate: times", 1)
        if times.ndim != 1 or times.size == 0:
            raise NetworkError("VaryingRate: times must be a list of at least one time in ms")
        if values.shape[:1] != times.shape:
            raise NetworkError(f"VaryingRate: {times.size} times, but values has shape {values.shape}; its first axis is time")
        if np.any(values < 0):
            raise NetworkError(f"VaryingRate: values must not be negative, not {values.min():g} spikes/s")
        if times[0] < 0 or np.any(np.diff(times) <= 0):
            raise NetworkError("VaryingRate: times must ascend from 0 ms or later")
        for name, allowed in (("interpolation", INTERPOLATIONS), ("before", OUTSIDE), ("after", OUTSIDE)):
            if getattr(self, name) not in allowed:
                raise NetworkError(f"VaryingRate: {name} must be {' or '.join(map(repr, allowed))}, not {getattr(self, name)!r}")
        if self.period is not None:
            period = finite(self.period, "VaryingRate: period", 0)
            if period <= times[-1]:
                raise NetworkError(f"VaryingRate: times must lie in [0, period), the last is {times[-1]:g} of {period:g} ms")
            if (self.before, self.after) != ("zero", "hold"):
                raise NetworkError("VaryingRate: with a period there is no before and after; leave them out")
            object.__setattr__(self, "period", float(period))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "times", times)

    @classmethod
    def sinusoid(cls, mean: Any, amplitude: Any, frequency: float, phase: float = 0.0, points: int = 1000) -> VaryingRate:
        """max(0, mean + amplitude sin(2 pi frequency t + phase)), by straight lines between ``points`` times of a period.

        mean, amplitude : spikes/s, numbers or arrays (members,)
        frequency : Hz, above 0; phase : rad
        points : at least 4; the lines differ from the sine by at most (2 pi / points)**2 / 8 of the amplitude, 5e-6 with 1000
        """
        label = "VaryingRate.sinusoid"
        mean, amplitude = finite(mean, f"{label}: mean", 1), finite(amplitude, f"{label}: amplitude", 1)
        frequency, phase = float(finite(frequency, f"{label}: frequency", 0)), float(finite(phase, f"{label}: phase", 0))
        if frequency <= 0:
            raise NetworkError(f"{label}: frequency must be above 0 Hz, not {frequency}")
        if isinstance(points, bool) or not isinstance(points, (int, np.integer)) or points < 4:
            raise NetworkError(f"{label}: points must be a whole number from 4 on, not {points!r}")
        try:
            np.broadcast_shapes(mean.shape, amplitude.shape)
        except ValueError as error:
            raise NetworkError(f"{label}: mean {mean.shape} and amplitude {amplitude.shape} do not fit each other") from error
        share = np.arange(points) / points
        wave = np.sin(2.0 * math.pi * share + phase).reshape((points,) + (1,) * max(mean.ndim, amplitude.ndim))
        period = 1000.0 / frequency
        return cls(np.maximum(0.0, mean + amplitude * wave), share * period, "linear", period=period)

    @property
    def peak(self) -> np.ndarray:
        """The highest rate, spikes/s: () or (members,)."""
        return self.values.max(axis=0)

    @property
    def average(self) -> np.ndarray:
        """The mean rate over the given times, or over the period, spikes/s: () or (members,)."""
        start, left, right = pieces(self)
        length = np.diff(start)
        inner = np.flatnonzero(np.isfinite(length))
        if self.period is None:
            inner = inner[start[inner] >= self.times[0]]
        if inner.size == 0:
            return self.values[0]
        found = length[inner] @ (left + right)[inner] / (2.0 * length[inner].sum())
        return found if self.values.ndim == 2 else found[0]


def pieces(rate: VaryingRate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The straight lines that a rate is made of, from time 0 on.

    Returns their starts and the end of the last, ms (pieces + 1,), inf if it has none, or the period; and the rates at the left
    and the right of each, spikes/s (pieces, members or 1).
    """
    times, values = rate.times, rate.values.reshape(rate.times.size, -1)
    linear = rate.interpolation == "linear"
    last, end = values[-1], math.inf if rate.period is None else rate.period
    if rate.period is None:
        first = values[0] if rate.before == "hold" else np.zeros_like(last)
        tail = last if rate.after == "hold" else np.zeros_like(last)
        head_left, head_right, tail_left, tail_right = first, first, tail, tail
    elif linear:  # a line from the last time to the first of the next period, cut where the period ends
        gap = rate.period - times[-1] + times[0]
        cut = last + (values[0] - last) * ((rate.period - times[-1]) / gap)
        head_left, head_right, tail_left, tail_right = cut, values[0], last, cut
    else:
        head_left = head_right = tail_left = tail_right = last
    left = np.concatenate([values[:-1], tail_left[None]])
    right = np.concatenate([values[1:] if linear else values[:-1], tail_right[None]])
    start = np.append(times, end)
    if times[0] > 0.0:
        start = np.concatenate([[0.0], start])
        left, right = np.concatenate([head_left[None], left]), np.concatenate([head_right[None], right])
    return start, left, right


def peak_rate(rate: Any) -> np.ndarray:
    """The highest rate in spikes/s of a number, an array or a `VaryingRate`: () or (members,)."""
    return rate.peak if isinstance(rate, VaryingRate) else rate


def average_rate(rate: Any) -> np.ndarray:
    """The mean rate in spikes/s of a number, an array or a `VaryingRate`: () or (members,)."""
    return rate.average if isinstance(rate, VaryingRate) else rate
