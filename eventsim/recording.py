"""What is recorded, and what comes back: spikes, states at an interval, rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import SimulationError
from eventsim.grid import whole_steps
from eventsim.memory import reserved
from eventsim.network import Network
from eventsim.recordings.formats import flat_arrays, neo_block, spike_frame, write_nwb


@dataclass(frozen=True, eq=False)
class Spikes:
    """Record the spikes of a population.

    population : its name
    neurons : None for all, a slice, or an array of numbers within the population
    """

    population: str
    neurons: Any = None


@dataclass(frozen=True, eq=False)
class States:
    """Record state variables of chosen neurons at an interval, at the end of the steps at its multiples.

    population : its name
    fields : names of states
    neurons : None for all, a slice, or an array of numbers within the population
    interval : ms, a multiple of dt; None for every step
    """

    population: str
    fields: tuple[str, ...] = ("v",)
    neurons: Any = None
    interval: float | None = None

    def __post_init__(self):
        fields = (self.fields,) if isinstance(self.fields, str) else self.fields
        if not isinstance(fields, Iterable):
            raise SimulationError(f"States of {self.population!r}: fields must be names of states, not {self.fields!r}")
        object.__setattr__(self, "fields", tuple(fields))


@dataclass(frozen=True, eq=False)
class Rates:
    """Record how many spikes a population fires in each interval, but not which.

    population : its name
    interval : ms, a multiple of dt; bins begin at its multiples, and a spike where two meet counts in the one that ends there
    """

    population: str
    interval: float


Recorder = Spikes | States | Rates


class SpikeData(NamedTuple):
    """Recorded spikes, sorted by batch item, time and neuron.

    times : ms, float64 (spikes,); neurons : number within the population, int64 (spikes,); batch : int64 (spikes,)
    """

    times: np.ndarray
    neurons: np.ndarray
    batch: np.ndarray


class StateData(NamedTuple):
    """Recorded states.

    times : ms, float64 (samples,); neurons : int64 (neurons,)
    values : for each field an array (samples, neurons), or (samples, batch, neurons) if the simulation has a batch
    """

    times: np.ndarray
    neurons: np.ndarray
    values: dict[str, np.ndarray]


class RateData(NamedTuple):
    """Recorded rates.

    times : ms, float64 (bins,), where each bin begins
    counts : int64 (bins,) or (bins, batch); rate : spikes/s a neuron, of the same shape
    A bin that the run did not cover whole has the rate over the part that it did.
    """

    times: np.ndarray
    counts: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True, eq=False)
class Recording:
    """What one call of `run` recorded.

    start, stop, dt : ms; dt is 0 in continuous time (``method="exact"``)
    spikes, states, rates : by population name
    """

    start: float
    stop: float
    dt: float
    spikes: Mapping[str, SpikeData] = field(default_factory=dict)
    states: Mapping[str, StateData] = field(default_factory=dict)
    rates: Mapping[str, RateData] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The memory that its arrays take."""
        arrays = [a for data in (*self.spikes.values(), *self.rates.values()) for a in data]
        arrays += [a for data in self.states.values() for a in (data.times, *data.values.values())]
        return sum(array.nbytes for array in arrays)

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Every array by its place, such as ``spikes/exc/times``, and ``start``, ``stop``, ``dt`` (ms): what an .npz holds."""
        return flat_arrays(self)

    def to_pandas(self) -> Any:
        """All spikes as a pandas.DataFrame: population (categories), neuron, time (ms), batch. Needs pandas."""
        return spike_frame(self)

    def to_neo(self) -> Any:
        """A neo.Block with a segment for each batch item. Needs neo.

        In it is a SpikeTrain for every neuron that fired, and an AnalogSignal for every recorded state (without a unit: a channel
        for each neuron) and rate (Hz), all with the annotations ``population`` and ``neuron`` or ``neurons``; single samples are
        IrregularlySampledSignals.
        """
        return neo_block(self)

    def to_nwb(
        self,
        path: str | Path,
        *,
        description: str = "simulated with eventsim",
        identifier: str | None = None,
        session_start_time: datetime | None = None,
    ) -> None:
        """Write a file in NWB (Neurodata Without Borders). Needs pynwb.

        Every neuron that fired is a unit (with ``population``, ``neuron``, ``batch``); states and rates are time series called
        ``POPULATION FIELD`` and ``POPULATION rate``. Times are in s there. The processing module ``neurons`` has, by population,
        the numbers of the neurons whose states were recorded.

        description, identifier, session_start_time : of the session; by default a new identifier, and now
        """
        write_nwb(self, path, description, identifier, session_start_time)


def chosen_neurons(neurons: Any, size: int, label: str) -> np.ndarray:
    """The numbers that None, a slice or an array stands for, int64 ascending without repetition; refuses what lies outside."""
    if neurons is None:
        return np.arange(size)
    if isinstance(neurons, slice):
        return np.arange(size)[neurons]
    try:
        chosen = np.asarray(neurons)
    except ValueError as error:  # rows of different lengths
        raise SimulationError(f"{label}: neurons must be a list of whole numbers ({error})") from error
    if chosen.dtype == bool and chosen.shape == (size,):
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" and chosen.size:
        raise SimulationError(f"{label}: neurons must be None, a slice, or a list of whole numbers, not {neurons!r}")
    chosen = chosen.astype(np.int64)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= size):
        raise SimulationError(f"{label}: neurons must lie from 0 to {size - 1}, found {chosen.min()} to {chosen.max()}")
    return np.unique(chosen)


def check_recorders(record: Sequence[Recorder], network: Network, dt: float | None) -> tuple[Recorder, ...]:
    """The recorders, after refusing those that cannot record anything. dt : ms, or None where there is no grid"""
    if not isinstance(record, Iterable):
        raise SimulationError(f"record takes a list of Spikes, States and Rates, not {record!r}")
    record = tuple(record)
    seen = set()
    for recorder in record:
        if not isinstance(recorder, (Spikes, States, Rates)):
            raise SimulationError(f"record takes Spikes, States and Rates, not {recorder!r}")
        label = f"{type(recorder).__name__} of {recorder.population!r}"
        if label in seen:
            raise SimulationError(f"{label}: asked for twice")
        seen.add(label)
        population = network.population(recorder.population, label)
        if not isinstance(recorder, Rates):
            chosen_neurons(recorder.neurons, population.size, label)
        if isinstance(recorder, Rates) or isinstance(recorder, States) and recorder.interval is not None:
            interval: Any = recorder.interval
            if not (float(interval) > 0 if dt is None else whole_steps(interval, dt, f"{label}: interval") >= 1):
                raise SimulationError(f"{label}: interval must be above 0 ms, not {recorder.interval}")
        if isinstance(recorder, States):
            model = network.neurons(recorder.population, label).neuron.model
            for field in recorder.fields:
                if field not in model.State._fields:
                    raise SimulationError(f"{label}: there is no state {field!r}; there are {', '.join(model.State._fields)}")
        elif not population.spiking:
            raise SimulationError(f"{label}: {population.neuron.model} never fires")
    return record


class SpikeBuffer:
    """The arrays that kernels write spikes to; what they hold is moved to a list when they are full."""

    def __init__(self, capacity: int):
        self.step = reserved((capacity,), np.int64)
        self.gid = reserved((capacity,), np.int32)
        self.used = np.zeros(1, np.int64)
        self.chunks: list[tuple[np.ndarray, np.ndarray]] = []

    def drain(self) -> None:
        """Move what was written to the list."""
        used = int(self.used[0])
        if used:
            self.chunks.append((self.step[:used].copy(), self.gid[:used].copy()))
        self.used[0] = 0

    def clear(self) -> None:
        """Forget what was written."""
        self.used[0] = 0
        self.chunks.clear()

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """All spikes so far as (steps, neurons in the network); the buffer is empty afterwards."""
        self.drain()
        chunks, self.chunks = self.chunks, []
        if not chunks:
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        return np.concatenate([c[0] for c in chunks]), np.concatenate([c[1] for c in chunks])
