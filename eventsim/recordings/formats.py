"""Recordings as what other tools work with: plain arrays, a table of pandas, Neo's objects, files in NWB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from eventsim.errors import StorageError


def _needed(module: str, what: str) -> Any:
    """A module of a package that eventsim does not bring along."""
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise StorageError(f"{what} needs {package}: pip install {package}") from error


def flat_arrays(recording: Any) -> dict[str, np.ndarray]:
    """Every array by its place, such as ``spikes/exc/times``, and ``start``, ``stop``, ``dt`` (ms)."""
    arrays = {name: np.asarray(float(getattr(recording, name))) for name in ("start", "stop", "dt")}
    for name, spikes in recording.spikes.items():
        arrays |= {f"spikes/{name}/{part}": getattr(spikes, part) for part in ("times", "neurons", "batch")}
    for name, states in recording.states.items():
        taken = sorted({"times", "neurons"} & set(states.values))
        if taken:
            raise StorageError(f"States of {name!r}: a state called {taken[0]!r} cannot be kept beside the {taken[0]}; rename it")
        arrays |= {f"states/{name}/times": states.times, f"states/{name}/neurons": np.asarray(states.neurons)}
        arrays |= {f"states/{name}/{field}": values for field, values in states.values.items()}
    for name, rates in recording.rates.items():
        arrays |= {f"rates/{name}/{part}": getattr(rates, part) for part in ("times", "counts", "rate")}
    return arrays


def spike_frame(recording: Any) -> Any:
    """All spikes as a pandas.DataFrame: population (categories), neuron, time (ms), batch."""
    pandas = _needed("pandas", "to_pandas")
    spikes = list(recording.spikes.values())

    def column(part: str, dtype: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *(getattr(data, part) for data in spikes)])

    codes = np.repeat(np.arange(len(spikes)), [len(data.times) for data in spikes])
    population = pandas.Categorical.from_codes(codes, categories=list(recording.spikes))
    return pandas.DataFrame(
        {
            "population": population,
            "neuron": column("neurons", np.int64),
            "time": column("times", np.float64),
            "batch": column("batch", np.int64),
        }
    )


def _trains(spikes: Any) -> Iterator[tuple[int, int, np.ndarray]]:
    """Batch item, neuron and times (ms, ascending) of every neuron that fired, in that order."""
    order = np.lexsort((spikes.times, spikes.neurons, spikes.batch))
    times, neurons, batch = spikes.times[order], spikes.neurons[order], spikes.batch[order]
    changes = np.flatnonzero((neurons[1:] != neurons[:-1]) | (batch[1:] != batch[:-1])) + 1
    for first, last in zip([0, *changes], [*changes, len(times)], strict=True):
        if last > first:
            yield int(batch[first]), int(neurons[first]), times[first:last]


def batch_of(recording: Any) -> int:
    """How many batch items a recording is known to hold."""
    found = [1 + int(spikes.batch.max(initial=0)) for spikes in recording.spikes.values()]
    found += [values.shape[1] for states in recording.states.values() for values in states.values.values() if values.ndim == 3]
    return max([1, *found, *(rates.counts.shape[1] for rates in recording.rates.values() if rates.counts.ndim == 2)])


def neo_block(recording: Any) -> Any:
    """A neo.Block with a segment for each batch item.

    In it is a SpikeTrain for every neuron that fired, and a signal for every recorded state (without a unit: a channel for each
    neuron) and rate (Hz), all with the annotations ``population`` and ``neuron`` or ``neurons``. Signals are AnalogSignals, or
    IrregularlySampledSignals where the samples are not two at least, equally far apart.
    """
    neo = _needed("neo", "to_neo")
    units = _needed("quantities", "to_neo")
    segments = [neo.Segment(name=f"batch item {item}", index=item) for item in range(batch_of(recording))]
    start, stop = recording.start * units.ms, recording.stop * units.ms

    def add_signal(times: np.ndarray, values: np.ndarray, unit: Any, **labels: Any) -> None:
        for item, segment in enumerate(segments):
            mine = values[:, item] if values.ndim == 3 else values
            steps = np.diff(times)
            if len(steps) and np.allclose(steps, steps[0], rtol=1e-6, atol=0.0):
                period = (times[-1] - times[0]) / len(steps) * units.ms
                signal = neo.AnalogSignal(mine, units=unit, t_start=times[0] * units.ms, sampling_period=period, **labels)
                segment.analogsignals.append(signal)
            else:
                segment.irregularlysampledsignals.append(
                    neo.IrregularlySampledSignal(times * units.ms, mine, units=unit, time_units=units.ms, **labels)
                )

    for name, spikes in recording.spikes.items():
        for item, neuron, times in _trains(spikes):
            train = neo.SpikeTrain(times, units=units.ms, t_start=start, t_stop=stop, population=name, neuron=neuron)
            segments[item].spiketrains.append(train)
    for name, states in recording.states.items():
        for field, values in states.values.items():
            labels = {"name": f"{name} {field}", "population": name, "neurons": np.asarray(states.neurons)}
            add_signal(states.times, values, units.dimensionless, **labels)
    for name, rates in recording.rates.items():
        rate = rates.rate[:, None] if rates.rate.ndim == 1 else rates.rate[:, :, None]
        add_signal(rates.times, rate, units.Hz, name=f"{name} rate", population=name)
    block = neo.Block(name="eventsim", dt=recording.dt)
    block.segments.extend(segments)
    return block


def write_nwb(
    recording: Any, path: str | Path, description: str, identifier: str | None, session_start_time: datetime | None
) -> None:
    """Write a file in NWB; see `eventsim.recording.Recording.to_nwb`."""
    pynwb = _needed("pynwb", "to_nwb")
    tables = _needed("hdmf.common", "to_nwb")
    file = pynwb.NWBFile(
        session_description=description,
        identifier=identifier or str(uuid4()),
        session_start_time=session_start_time or datetime.now(UTC),
    )
    if recording.spikes:
        file.add_unit_column("population", "the population of the neuron")
        file.add_unit_column("neuron", "its number within the population")
        file.add_unit_column("batch", "the batch item")
    span = np.array([[recording.start, recording.stop]]) / 1000.0
    for name, spikes in recording.spikes.items():
        for item, neuron, times in _trains(spikes):
            file.add_unit(spike_times=times / 1000.0, obs_intervals=span, population=name, neuron=neuron, batch=item)

    def add_series(name: str, times: np.ndarray, values: np.ndarray, unit: str) -> None:
        file.add_acquisition(pynwb.TimeSeries(name=_nwb_name(name), data=values, unit=unit, timestamps=times / 1000.0))

    if recording.states:
        module = file.create_processing_module("neurons", "the numbers of the neurons whose states were recorded")
    for name, states in recording.states.items():
        column = tables.VectorData(name="neuron", description="number within the population", data=np.asarray(states.neurons))
        module.add(tables.DynamicTable(name=_nwb_name(name), description=f"neurons of {name}", columns=[column]))
        for field, values in states.values.items():
            add_series(f"{name} {field}", states.times, values, "n/a")
    for name, rates in recording.rates.items():
        add_series(f"{name} rate", rates.times, rates.rate, "Hz")
    try:
        with pynwb.NWBHDF5IO(str(path), "w") as written:
            written.write(file)
    except OSError as error:
        raise StorageError(f"file {str(path)!r}: cannot be written ({error.strerror or error})") from error


def _nwb_name(name: str) -> str:
    """A name without what NWB does not take in one."""
    return name.replace("/", "_").replace(":", "_")
