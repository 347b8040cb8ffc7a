"""Recordings in files: .npz, or HDF5 where the name ends in .h5 or .hdf5 (needs h5py, the extra ``io``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import StorageError


def _flat(recording: Any) -> dict[str, np.ndarray]:
    """Every array of a recording by its place, such as ``spikes/exc/times``."""
    arrays: dict[str, np.ndarray] = {}
    for name, spikes in recording.spikes.items():
        arrays |= {f"spikes/{name}/{part}": getattr(spikes, part) for part in ("times", "neurons", "batch")}
    for name, states in recording.states.items():
        arrays |= {f"states/{name}/times": states.times, f"states/{name}/neurons": np.asarray(states.neurons)}
        arrays |= {f"states/{name}/{field}": values for field, values in states.values.items()}
    for name, rates in recording.rates.items():
        arrays |= {f"rates/{name}/times": rates.times, f"rates/{name}/counts": rates.counts}
    return arrays


def save_recording(recording: Any, path: str | Path) -> None:
    """Write everything that a run recorded.

    The arrays are called ``spikes/POPULATION/times`` (ms), ``.../neurons``, ``.../batch``; ``states/POPULATION/times`` (ms),
    ``.../neurons`` and one for each state; ``rates/POPULATION/times`` (ms), ``.../counts``; and ``start``, ``stop``, ``dt`` (ms;
    attributes in HDF5). ``numpy.load`` and ``h5py.File`` read them.

    Parameters
    ----------
    recording : Recording
    path : .npz, or .h5 / .hdf5 for HDF5
    """
    path = Path(path)
    times = {name: float(getattr(recording, name)) for name in ("start", "stop", "dt")}
    arrays = _flat(recording)
    try:
        if path.suffix in (".h5", ".hdf5"):
            _write_hdf5(path, arrays, times)
        else:
            with open(path, "wb") as file:
                np.savez_compressed(file, **({name: np.asarray(value) for name, value in times.items()} | arrays))  # type: ignore[arg-type]
    except OSError as error:
        raise StorageError(f"file {str(path)!r}: cannot be written ({error.strerror or error})") from error


def _write_hdf5(path: Path, arrays: dict[str, np.ndarray], times: dict[str, float]) -> None:
    try:
        import h5py
    except ImportError as error:
        raise StorageError(
            f"file {path.name!r}: HDF5 needs h5py: pip install 'eventsim[io]'; or use a name that ends in .npz"
        ) from error
    with h5py.File(path, "w") as file:
        file.attrs.update(times)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip" if array.size else None)
