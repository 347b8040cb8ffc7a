"""What comes from outside: sources of spikes, noise and currents. Frozen descriptions, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsim.errors import NetworkError
from eventsim.varying_rate import VaryingRate, finite


def _check_last_axis(array: np.ndarray, size: int, label: str) -> None:
    if array.ndim and array.shape[-1] != size:
        raise NetworkError(f"{label}: the last axis holds {array.shape[-1]} values, the population {size} neurons")


def _as_rate(value: Any, label: str) -> Any:
    """A rate over time as it is; numbers as a checked array of at most one axis."""
    if isinstance(value, VaryingRate):
        return value
    rate = finite(value, f"{label}: rate", 1)
    if np.any(rate < 0):
        raise NetworkError(f"{label}: rate must not be negative, not {rate.min()} spikes/s")
    return rate


def _own_rates(rate: Any) -> np.ndarray:
    """What holds a value for each member on its last axis, or a number."""
    return rate.values[0] if isinstance(rate, VaryingRate) else rate


@dataclass(frozen=True, eq=False)
class PoissonSource:
    """Each member fires on its own: an independent Poisson process.

    rate : spikes/s, a number, one for each member, or a `VaryingRate`
        On the grid a member fires at most once a step, with the chance ``rate * dt``, at most 1, where the rate is its exact mean
        over the step. With ``method="exact"`` times are real numbers: a rate that varies thins candidates (Lewis and Shedler 1979).
    """

    rate: Any

    def __post_init__(self):
        object.__setattr__(self, "rate", _as_rate(self.rate, "PoissonSource"))

    def sizes(self) -> set[int]:
        """The length of the rates, if they are of each member."""
        own = _own_rates(self.rate)
        return {len(own)} if own.ndim else set()


@dataclass(frozen=True, eq=False)
class GammaSource:
    """Each member fires on its own: a renewal process whose intervals have a gamma law.

    The density of an interval x is proportional to ``x**(shape - 1) exp(-shape rate x)``; its mean is 1 / rate, its coefficient of
    variation 1 / sqrt(shape): shape 1 is a Poisson process, above 1 more regular, below 1 bursts.

    rate : spikes/s, a number or one for each member
    shape : above 0, a number or one for each member
    start : "equilibrium" or "ordinary"
        "equilibrium": as if it had run for ever; the expected rate is the same at all times, and the first spike comes after what
        is left of an interval that time 0 falls into (Cox, *Renewal Theory*, 1962, section 2.2). "ordinary": an interval begins at
        time 0.

    The times are those of ``method="exact"`` in both engines for the same seed; on the grid a spike is fired at the end of the step
    in which its time lies, or, where a step has one already, at the end of the next step that has none: none is lost.
    """

    rate: Any
    shape: Any
    start: str = "equilibrium"

    def __post_init__(self):
        shape = finite(self.shape, "GammaSource: shape", 1)
        if isinstance(self.rate, VaryingRate):
            raise NetworkError("GammaSource: rate must not vary over time; use a PoissonSource, or a SpikeSource with drawn times")
        if np.any(shape <= 0):
            raise NetworkError(f"GammaSource: shape must be above 0, not {shape.min()}")
        if self.start not in ("equilibrium", "ordinary"):
            raise NetworkError(f"GammaSource: start must be 'equilibrium' or 'ordinary', not {self.start!r}")
        object.__setattr__(self, "rate", _as_rate(self.rate, "GammaSource"))
        object.__setattr__(self, "shape", shape)

    def sizes(self) -> set[int]:
        """The lengths of rates and shapes, if they are arrays."""
        return {len(array) for array in (self.rate, self.shape) if array.ndim}


@dataclass(frozen=True, eq=False)
class SpikeSource:
    """Members fire at given times; with no times here, at those given to the simulation (``spikes={name: ...}``).

    times : ms, array (spikes,), above 0
        With ``method="exact"`` any numbers. On the grid multiples of dt: a spike at t is fired at the end of the step (t - dt, t].
    neurons : int array (spikes,), who fires
    """

    times: Any = ()
    neurons: Any = ()

    def __post_init__(self):
        times = finite(self.times, "SpikeSource: times", 1)
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
    rate : spikes/s, a number, one for each neuron, or a `VaryingRate`; any number of events may fall into one step
    weight : unit of the state behind the port, a number or one for each neuron
    port : the target's port, None for its default one
    """

    target: str
    rate: Any
    weight: Any
    port: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "rate", _as_rate(self.rate, f"PoissonNoise to {self.target!r}"))
        object.__setattr__(self, "weight", finite(self.weight, f"PoissonNoise to {self.target!r}: weight", 1))

    def check(self, size: int, label: str) -> None:
        """Refuse arrays that do not fit ``size`` neurons."""
        _check_last_axis(_own_rates(self.rate), size, f"{label}: rate")
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
        amplitude = finite(self.amplitude, f"{label}: amplitude", 2 if varying else 1)
        object.__setattr__(self, "amplitude", amplitude)
        if self.interval is not None:
            interval = float(finite(self.interval, f"{label}: interval", 0))
            if interval <= 0:
                raise NetworkError(f"{label}: interval must be above 0 ms, not {interval}")
            object.__setattr__(self, "interval", interval)
        if varying and (amplitude.ndim == 0 or len(amplitude) == 0):
            raise NetworkError(f"{label}: amplitude needs a first axis over time")
        if self.times is not None:
            times = finite(self.times, f"{label}: times", 1)
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
        if not isinstance(self.over_time, (bool, np.bool_)):
            raise NetworkError(f"Increment to {self.target!r}: over_time must be True or False, not {self.over_time!r}")
        value = finite(self.value, f"Increment to {self.target!r}: value", 2 if self.over_time else 1)
        if self.over_time and (value.ndim == 0 or len(value) == 0):
            raise NetworkError(f"Increment to {self.target!r}: value needs a first axis over time")
        object.__setattr__(self, "value", value)

    def check(self, size: int, label: str) -> None:
        """Refuse arrays that do not fit ``size`` neurons."""
        if self.value.ndim == (2 if self.over_time else 1):
            _check_last_axis(self.value, size, f"{label}: value")
