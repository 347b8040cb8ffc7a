"""Reading recordings back: what `RecordingWriter` and `save_recording` wrote, .npz or HDF5."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from eventsim.errors import SimulationError, StorageError
from eventsim.files.hdf5 import Hdf5File, open_hdf5
from eventsim.files.npz import MAX_BYTES, read_npz
from eventsim.rate_bins import rate_of_bins
from eventsim.recording import RateData, Recording, SpikeData, StateData

ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # how an .npz begins, and one without arrays


def read(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Recording:
    """A recording from a file: what `run` would have returned for all of the time that the file holds.

    Of an HDF5 file that a simulation is still writing, or was writing when it was ended, that is what was committed last. Rates of
    an .npz that holds the counts alone are NaN: the population's size is not in it.

    Parameters
    ----------
    path : .npz or HDF5, told apart by how the file begins
    max_bytes : refuse a file whose arrays need more memory

    Raises
    ------
    StorageError : naming the file and the place in it, whatever is wrong with it
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            packed = file.read(4) in ZIP
    except FileNotFoundError as error:
        raise StorageError(f"file {path.name!r}: there is no such file ({path})") from error
    except OSError as error:
        raise StorageError(f"file {path.name!r}: cannot be read ({error.strerror})") from error
    if packed:
        return _Parts(f"file {path.name!r}").of_npz(read_npz(path, required=("start", "stop", "dt"), max_bytes=max_bytes))
    with open_hdf5(path, max_bytes) as file:
        return _Parts(file.label).of_hdf5(file)


class _Parts:
    """Makes a recording of arrays, and refuses those that cannot be one."""

    def __init__(self, label: str):
        self.label = label
        self.start = self.stop = self.dt = 0.0
        self.batch: int | None = None  # not known of an .npz

    def fail(self, place: str, what: str) -> StorageError:
        return StorageError(f"{self.label}, {place}: {what}")

    def span(self, start: float | int | None, stop: float | int | None, dt: float | int | None) -> None:
        """Take the times of the whole recording, in ms."""
        for name, value in (("start", start), ("stop", stop), ("dt", dt)):
            if value is None:
                raise self.fail(name, "is missing; this is no recording of eventsim")
            if not 0.0 <= value < math.inf:
                raise self.fail(name, f"must be a time in ms, not {value}")
        self.start, self.stop, self.dt = float(start or 0), float(stop or 0), float(dt or 0)
        if self.stop < self.start:
            raise self.fail("stop", f"{self.stop} ms lies before start, {self.start} ms")

    def spikes(self, place: str, times: np.ndarray, neurons: np.ndarray, batch: np.ndarray, sorted_by_time: bool) -> SpikeData:
        """Spikes in the order of batch item, time and neuron. sorted_by_time : whether they come so, not by batch item first"""
        self.check_times(place, times)
        if not (times.shape == neurons.shape == batch.shape):
            raise self.fail(
                place, f"{times.size} times, {neurons.size} neurons and {batch.size} batch items; as many belong there, in rows"
            )
        later = times[1:] >= times[:-1]
        if not np.all(later if sorted_by_time else later | (batch[1:] > batch[:-1])):
            raise self.fail(place, "its times do not ascend")
        if len(times) and (neurons.min() < 0 or batch.min() < 0 or self.batch is not None and batch.max() >= self.batch):
            raise self.fail(place, f"a neuron ({neurons.min()}) or a batch item ({batch.min()} to {batch.max()}) that there is not")
        if np.any(batch[1:] != batch[:-1]) or np.any((times[1:] == times[:-1]) & (neurons[1:] < neurons[:-1])):
            order = np.lexsort((neurons, times, batch))
            times, neurons, batch = times[order], neurons[order], batch[order]
        return SpikeData(times, neurons, batch)

    def states(self, place: str, times: np.ndarray, neurons: np.ndarray, values: dict[str, np.ndarray]) -> StateData:
        self.check_times(place, times, strictly=True)
        if neurons.ndim != 1 or len(neurons) and neurons.min() < 0:
            raise self.fail(f"{place}/neurons", "must be a row of numbers that are not negative")
        for field, array in values.items():
            items = () if array.ndim == 2 else (array.shape[1:2] if self.batch is None else (self.batch,))
            if array.shape != (len(times), *items, len(neurons)):
                raise self.fail(
                    f"{place}/{field}", f"has the shape {array.shape}, for {len(times)} times and {len(neurons)} neurons"
                )
        return StateData(times, neurons, values)

    def rates(self, place: str, times: np.ndarray, counts: np.ndarray, rate: np.ndarray) -> RateData:
        self.check_bins(place, times, counts)
        if rate.shape != counts.shape:
            raise self.fail(f"{place}/rate", f"has the shape {rate.shape}, the counts have {counts.shape}")
        return RateData(times, counts, rate)

    def check_times(self, place: str, times: np.ndarray, strictly: bool = False) -> None:
        """Refuse times outside of the recording or, of samples, out of order."""
        if times.ndim != 1 or not np.all((times >= self.start) & (times <= self.stop)):
            raise self.fail(place, f"its times must be a row of numbers from {self.start} to {self.stop} ms")
        if strictly and not np.all(times[1:] > times[:-1]):
            raise self.fail(place, "its times do not ascend")

    def check_bins(self, place: str, times: np.ndarray, counts: np.ndarray) -> None:
        good = times.ndim == 1 and np.all((times >= 0.0) & (times <= self.stop)) and np.all(times[1:] > times[:-1])
        if not good:
            raise self.fail(f"{place}/times", f"bins must begin one after another, from 0 to {self.stop} ms")
        items = () if counts.ndim == 1 else (counts.shape[1:2] if self.batch is None else (self.batch,))
        if counts.shape != (len(times), *items) or counts.size and counts.min() < 0:
            raise self.fail(f"{place}/counts", f"{counts.shape} of them, all at least 0, cannot be those of {len(times)} bins")

    # The two kinds of files

    def of_npz(self, arrays: dict[str, np.ndarray]) -> Recording:
        """Of the arrays that `save_recording` names in its docstring."""
        for name in ("start", "stop", "dt"):
            if arrays[name].shape != () or arrays[name].dtype.kind not in "iuf":
                raise self.fail(name, "must be a number")
        self.span(*(arrays.pop(name).item() for name in ("start", "stop", "dt")))
        groups: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            population, _, column = rest.rpartition("/")
            if kind not in ("spikes", "states", "rates") or not population or array.dtype.kind not in "iuf":
                raise self.fail(name, "is no array of a recording")
            groups.setdefault((kind, population), {})[column] = array
        found = Recording(self.start, self.stop, self.dt, {}, {}, {})
        for (kind, population), columns in groups.items():
            getattr(found, kind)[population] = self.group_of_npz(kind, f"{kind}/{population}", columns)
        return found

    def group_of_npz(self, kind: str, place: str, columns: dict[str, np.ndarray]) -> SpikeData | StateData | RateData:
        needed = {"spikes": ("times", "neurons", "batch"), "states": ("times", "neurons"), "rates": ("times", "counts")}[kind]
        for name in needed:
            if name not in columns:
                raise self.fail(f"{place}/{name}", "is missing")
            wanted = np.float64 if name == "times" else np.int64
            if columns[name].dtype != wanted:
                raise self.fail(f"{place}/{name}", f"holds {columns[name].dtype}, not {np.dtype(wanted)}")
        times, second = columns.pop("times"), columns.pop(needed[1])
        if kind == "spikes":
            return self.spikes(place, times, second, columns["batch"], sorted_by_time=False)
        if kind == "states":
            return self.states(place, times, second, columns)
        return self.rates(place, times, second, columns.get("rate", np.full(second.shape, np.nan)))

    def of_hdf5(self, file: Hdf5File) -> Recording:
        """As `eventsim.recordings.layout` describes it."""
        self.span(*(file.number("", name) for name in ("start", "stop", "dt")))
        batch = file.number("", "batch")
        if not isinstance(batch, int) or batch < 1:
            raise self.fail("batch", f"must be a whole number above 0, not {batch}")
        self.batch = batch
        found = Recording(self.start, self.stop, self.dt, {}, {}, {})
        for kind, make in (("spikes", self.spikes_of), ("states", self.states_of), ("rates", self.rates_of)):
            for link in file.names(kind):
                population = unquote(link)
                if population in getattr(found, kind):
                    raise self.fail(f"{kind}/{link}", f"there are two groups of {population!r}")
                getattr(found, kind)[population] = make(file, f"{kind}/{link}")
        return found

    def spikes_of(self, file: Hdf5File, place: str) -> SpikeData:
        times = file.array(f"{place}/timestamps", "f", np.float64)
        neurons = file.array(f"{place}/node_ids", "iu", np.int64)
        if self.batch == 1 and "batch" not in file.names(place):
            file.need(8 * times.size)
            batch = np.zeros(times.shape, np.int64)
        else:
            batch = file.array(f"{place}/batch", "iu", np.int64)
        return self.spikes(place, times, neurons, batch, sorted_by_time=True)

    def states_of(self, file: Hdf5File, place: str) -> StateData:
        fields = [name for name in file.names(place) if name not in ("times", "neurons")]
        times, neurons = file.array(f"{place}/times", "f", np.float64), file.array(f"{place}/neurons", "iu", np.int64)
        return self.states(place, times, neurons, {field: file.array(f"{place}/{field}", "iuf") for field in fields})

    def rates_of(self, file: Hdf5File, place: str) -> RateData:
        times, counts = file.array(f"{place}/times", "f", np.float64), file.array(f"{place}/counts", "iu", np.int64)
        if "rate" in file.names(place):
            rate = file.array(f"{place}/rate", "f", np.float64)
        else:
            self.check_bins(place, times, counts)
            interval, size = file.number(place, "interval"), file.number(place, "neurons")
            if interval is None or not 0.0 < interval < math.inf or not isinstance(size, int) or size < 1:
                raise self.fail(place, f"interval ({interval} ms) and neurons ({size}) must be numbers above 0")
            file.need(8 * counts.size)
            rate = self.rate(place, times, counts, float(interval), size)
        return self.rates(place, times, counts, rate)

    def rate(self, place: str, times: np.ndarray, counts: np.ndarray, interval: float, size: int) -> np.ndarray:
        """The rate as a single run over all of the time computes it."""
        try:
            with np.errstate(over="ignore"):  # refused as infinite
                return rate_of_bins(times, counts, interval, size, self.start, self.stop, self.dt)
        except SimulationError as error:
            raise self.fail(f"{place}/times", str(error)) from error
