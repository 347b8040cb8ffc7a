"""Recordings in files: .npz, or HDF5 where the name ends in .h5 or .hdf5 (needs h5py, the extra ``io``)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from eventsim.errors import StorageError
from eventsim.files.steady_file import SteadyFile
from eventsim.recording import Recording
from eventsim.recordings.formats import batch_of
from eventsim.recordings.layout import Table, make_file, put, rate_table, rows_of, spike_table, state_table


def save_recording(recording: Recording, path: str | Path) -> None:
    """Write everything that a run recorded; `eventsim.read` reads it.

    In an .npz the arrays are called ``spikes/POPULATION/times`` (ms), ``.../neurons``, ``.../batch``; ``states/POPULATION/times``
    (ms), ``.../neurons`` and one for each state; ``rates/POPULATION/times`` (ms), ``.../counts``, ``.../rate``; and ``start``,
    ``stop``, ``dt`` (ms). HDF5 is laid out as `eventsim.recordings.layout` says, spikes as in SONATA.

    Parameters
    ----------
    recording : Recording
    path : .npz, or .h5 / .hdf5 for HDF5; a file that is there is replaced once the new one is whole
    """
    path = Path(path)
    unfinished = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        if path.suffix in (".h5", ".hdf5"):
            _write_hdf5(unfinished, recording, path.name)
        else:
            with open(unfinished, "wb") as file:
                np.savez_compressed(file, **recording.to_numpy())  # type: ignore[arg-type]
        os.replace(unfinished, path)
    except OSError as error:
        raise StorageError(f"file {str(path)!r}: cannot be written ({error.strerror or error})") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _tables(recording: Recording, batch: int) -> list[Table]:
    """The tables that hold a recording; its rates as such, since neither their interval nor the population's size is known."""
    tables = [spike_table(name, batch > 1) for name in recording.spikes]
    for name, states in recording.states.items():
        fields = {field: (values.dtype, values.shape[1:]) for field, values in states.values.items()}
        tables.append(state_table(name, fields, states.neurons))
    return tables + [rate_table(name, rates.counts.shape[1:], {}) for name, rates in recording.rates.items()]


def _write_hdf5(path: Path, recording: Recording, name: str) -> None:
    try:
        import h5py
    except ImportError as error:
        raise StorageError(
            f"file {name!r}: HDF5 needs h5py: pip install 'eventsim[io]'; or use a name that ends in .npz"
        ) from error
    batch, rows = batch_of(recording), rows_of(recording)
    tables = _tables(recording, batch)
    times = {name: float(getattr(recording, name)) for name in ("start", "stop", "dt")}
    longest = max((len(column) for table in tables for column in rows[table.path].values()), default=1)
    steady = SteadyFile(path, new=True)
    try:
        with h5py.File(steady, "w") as file:
            make_file(file, tables, times | {"batch": batch, "complete": 1}, rows=longest, compression="gzip")
            for table in tables:
                put(file, table, 0, rows[table.path])
    finally:
        steady.close()
        if steady.error is not None:  # whatever HDF5 has made of it
            raise steady.error
