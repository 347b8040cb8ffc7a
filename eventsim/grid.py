"""The grid: times in ms as whole numbers of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim.errors import SimulationError
from eventsim.floats import as_floats

TOLERANCE = 1e-6  # how far from a multiple of dt a time may lie, in steps
ROUNDING = 1e-12  # and how far for each step since time 0: what computing it in float64 may cost


def steps_of(time: Any, dt: float, label: str) -> Any:
    """A time in ms, or an array of them, as int64 steps; refuses one that is not on the grid."""
    if isinstance(time, (str, bytes, bool)) or time is None:
        raise SimulationError(f"{label} must be a time in ms, not {time!r}")
    try:
        with np.errstate(over="ignore"):  # refused as infinite
            exact = as_floats(time) / dt
    except (TypeError, ValueError) as error:
        raise SimulationError(f"{label} must be a time in ms, not {time!r}") from error
    if not np.all(np.isfinite(exact)):
        raise SimulationError(f"{label} must be finite, not {time!r}")
    steps = np.rint(exact)
    off = np.abs(exact - steps) > TOLERANCE + ROUNDING * np.abs(steps)
    if np.any(off):
        bad = np.atleast_1d(exact)[np.atleast_1d(off)][0]
        raise SimulationError(
            f"{label}: {bad * dt:g} ms is not a multiple of dt = {dt:g} ms; the next ones are "
            f"{np.floor(bad) * dt:g} and {np.ceil(bad) * dt:g} ms"
        )
    if np.any(np.abs(steps) >= 2.0**62):
        raise SimulationError(f"{label}: {time!r} ms are more steps of {dt:g} ms than can be counted")
    return steps.astype(np.int64)[()]


def whole_steps(time: Any, dt: float, label: str) -> int:
    """As `steps_of`, of one time."""
    if type(time) is float and abs(time / dt) < 2.0**52 and abs(time / dt - round(time / dt)) <= TOLERANCE:
        return round(time / dt)
    if np.ndim(time) != 0:
        raise SimulationError(f"{label} must be one time in ms, not {time!r}")
    return int(steps_of(time, dt, label))
