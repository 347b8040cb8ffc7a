"""What comes from outside: sources of spikes, noise and currents. Frozen descriptions, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsim.errors import NetworkError


def _finite(value: Any, label: str, ndim: int) -> np.ndarray:
    """A private, unwritable float64 array of at most ``ndim`` axes with finite values."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{label} must be numbers, not {value!r}") from error
    if array.ndim > ndim:
        raise NetworkError(f"{label} must have at most {ndim} axes, not shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise NetworkError(f"{label} must be finite")
    array.flags.writeable = False
    return array


def _check_last_axis(array: np.ndarray, size: int, label: str) -> None:
    if array.ndim and array.shape[-1] != size:
        raise NetworkError(f"{label}: the last axis holds {array.shape[-1]} values, the population {size} neurons")


@dataclass(frozen=True, eq=False)
class PoissonSource:
    """Each member fires on its own: an independent Poisson process on the grid (at most one spike a step).

    rate : spikes/s, a number or one for each member. The chance of a spike in one step is ``rate * dt``, at most 1.
    """

    rate: Any

    def __post_init__(self):
        rate = _finite(self.rate, "PoissonSource: rate", 1)
        if np.any(rate < 0):
            raise NetworkError(f"PoissonSource: rate must not be negative, not {rate.min()} spikes/s")
        object.__setattr__(self, "rate", rate)

    def sizes(self) -> set[int]:
        """The length of the rates, if they are an array."""
        return {len(self.rate)} if self.rate.ndim else set()


@dataclass(frozen=True, eq=False)
class SpikeSource:
    """Members fire at given times; with no times here, at those given to the simulation (``spikes={name: ...}``).

    times : ms, array (spikes,), multiples of the simulation's dt, above 0: a spike at t is fired at the end of the step (t - dt, t]
    neurons : int array (spikes,), who fires
    """

    times: Any = ()
    neurons: Any = ()

    def __post_init__(self):
        times = _finite(self.times, "SpikeSource: times", 1)
        neurons = np.array(self.neurons)
        if neurons.size == 0:
            neurons = neurons.astype(np.int64)
        if neurons.dtype.kind not in "iu":
            raise NetworkError(f"SpikeSource: neurons must be whole numbers, not {neurons.dtype}")
        if times.shape != neurons.shape or times.ndim != 1:
            raise NetworkError(f"SpikeSource: times {times.shape} and neurons {neurons.shape} must be two lists of one length")
        if np.any(times <= 0):
            raise NetworkError(f"SpikeSource: times must be above 0 ms, not {times.min()}; the first grid point is dt")
        if np.any(neurons < 0):
            raise NetworkError(f"SpikeSource: neurons must not be negative, not {neurons.min()}")
        neurons = neurons.astype(np.int64)
        neurons.flags.writeable = False
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "neurons", neurons)

    def sizes(self) -> set[int]:
        """Nothing here is an array over the population."""
        return set()


@dataclass(frozen=True, eq=False)
class PoissonNoise:
    """Independent Poisson spike trains, one on each neuron of a population: every event adds `weight` to its port.

    target : name of the population
    rate : spikes/s, a number or one for each neuron; any number of events may fall into one step
    weight : unit of the state behind the port, a number or one for each neuron
    port : the target's port, None for its default one
    """

    target: str
    rate: Any
    weight: Any
    port: str | None = None

    def __post_init__(self):
        rate = _finite(self.rate, f"PoissonNoise to {self.target!r}: rate", 1)
        if np.any(rate < 0):
            raise NetworkError(f"PoissonNoise to {self.target!r}: rate must not be negative, not {rate.min()} spikes/s")
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "weight", _finite(self.weight, f"PoissonNoise to {self.target!r}: weight", 1))

    def check(self, size: int, label: str) -> None:
        """Refuse arrays that do not fit ``size`` neurons."""
        _check_last_axis(self.rate, size, f"{label}: rate")
        _check_last_axis(self.weight, size, f"{label}: weight")


@dataclass(frozen=True, eq=False)
class Current:
    """A current into each neuron of a population: constant, in steps, or an array over time. It acts through the flow.

    target : name of the population
    amplitude : unit of the model's current
        A number, or one for each neuron: constant from time 0 on. With ``times`` of length K: (K,) or (K, neurons), the value
        from each time on, 0 before the first. With ``interval``: (T,) or (T, neurons), a value for each interval from time 0
        on, 0 after the last.
    times : ms, ascending, multiples of dt, or None
    interval : ms, a multiple of dt, or None
    """

    target: str
    amplitude: Any
    times: Any = None
    interval: float | None = None

    def __post_init__(self):
        label = f"Current to {self.target!r}"
        if self.times is not None and self.interval is not None:
            raise NetworkError(f"{label}: give times or interval, not both")
        varying = self.times is not None or self.interval is not None
        amplitude = _finite(self.amplitude, f"{label}: amplitude", 2 if varying else 1)
        object.__setattr__(self, "amplitude", amplitude)
        if self.interval is not None:
            interval = float(_finite(self.interval, f"{label}: interval", 0))
            if interval <= 0:
                raise NetworkError(f"{label}: interval must be above 0 ms, not {interval}")
            object.__setattr__(self, "interval", interval)
        if varying and (amplitude.ndim == 0 or len(amplitude) == 0):
            raise NetworkError(f"{label}: amplitude needs a first axis over time")
        if self.times is not None:
            times = _finite(self.times, f"{label}: times", 1)
            if times.shape != amplitude.shape[:1]:
                raise NetworkError(f"{label}: {times.size} times, but amplitude has shape {amplitude.shape}")
            if np.any(times < 0) or np.any(np.diff(times) <= 0):
                raise NetworkError(f"{label}: times must ascend from 0 ms or later")
            object.__setattr__(self, "times", times)

    @property
    def varying(self) -> bool:
        """Whether the current changes over time."""
        return self.times is not None or self.interval is not None

    def check(self, size: int, label: str) -> None:
        """Refuse arrays that do not fit ``size`` neurons."""
        if self.amplitude.ndim == (2 if self.varying else 1):
            _check_last_axis(self.amplitude, size, f"{label}: amplitude")


@dataclass(frozen=True, eq=False)
class Increment:
    """A value that each neuron of a population receives at every step, like a weight: what a layer's bias does.

    target : name of the population
    value : unit of the state behind the port
        A number, or one for each neuron; with ``over_time`` an array (steps,) or (steps, neurons) with one row a step of dt,
        0 after the last.
    port : the target's port, None for its default one
    """

    target: str
    value: Any
    port: str | None = None
    over_time: bool = False

    def __post_init__(self):
        value = _finite(self.value, f"Increment to {self.target!r}: value", 2 if self.over_time else 1)
        if self.over_time and (value.ndim == 0 or len(value) == 0):
            raise NetworkError(f"Increment to {self.target!r}: value needs a first axis over time")
        object.__setattr__(self, "value", value)

    def check(self, size: int, label: str) -> None:
        """Refuse arrays that do not fit ``size`` neurons."""
        if self.value.ndim == (2 if self.over_time else 1):
            _check_last_axis(self.value, size, f"{label}: value")
