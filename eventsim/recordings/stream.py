"""Recordings that are written while a simulation runs: to HDF5, in a file that can be read at every moment (needs h5py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import StorageError
from eventsim.files.committed_hdf5 import CommittedHdf5
from eventsim.network import Network
from eventsim.recording import Recorder, Recording
from eventsim.recordings.layout import Table, catch_up, chunk_bytes, make_file, put, rows_of, tables_of
from eventsim.recordings.position import check_file, check_rows, cut_to


class RecordingWriter:
    """Writes the recordings of one stretch of time after another to ``path``.

    What stands under ``path`` is a whole HDF5 file from the beginning: it opens with `h5py.File` and `eventsim.read`, and holds
    everything up to the last `commit`, whatever happens to this process or the machine. For that there are two files of the same
    content meanwhile (`eventsim.files.twin_files`), so that the disk needs room for the recording twice. What is appended goes to
    the disk at once; the memory does not grow with it. A program that opens ``path`` meanwhile has the file as it was committed
    last, for as long as it keeps it open (without HDF5's locking only until the second commit from then). Not thread-safe.

    Parameters
    ----------
    path : of the file; hidden ones beside it go when it is closed
    network : Network, or mapping of population name to size
    recorders : sequence of Spikes, States and Rates
    dt : ms; 0 in continuous time
    batch : items
    start : ms, where the first stretch begins
    dtype : of the states, "float32" or "float64"
    overwrite : whether an existing file may be replaced, now

    Raises
    ------
    StorageError : a file that is there, is being written by somebody else or cannot be written; no h5py
    """

    def __init__(
        self,
        path: str | Path,
        network: Network | Mapping[str, int],
        recorders: Sequence[Recorder],
        *,
        dt: float,
        batch: int = 1,
        start: float = 0.0,
        dtype: Any = "float64",
        overwrite: bool = False,
    ):
        self._open(path, network, recorders, dt, batch, dtype)
        self._start = self._stop = self._committed = float(start)
        with self._opening():
            if self.path.exists() and not overwrite:
                raise StorageError(f"file {str(self.path)!r}: is there already; overwrite=True replaces it")
            self._files.begin()
            attributes = {"start": self._start, "stop": self._stop, "dt": self._dt, "batch": batch, "complete": 0}
            make_file(self._files.file, self._tables, attributes)
            self._publish()

    @classmethod
    def resume(
        cls,
        path: str | Path,
        position: Mapping[str, Any],
        network: Network | Mapping[str, int],
        recorders: Sequence[Recorder],
        *,
        dt: float,
        batch: int = 1,
        dtype: Any = "float64",
    ) -> RecordingWriter:
        """Go on with a file from a `position` of its writer: what was recorded later is dropped, at once.

        Raises
        ------
        StorageError : as for a new file; one that holds less than the position says, or the recording of something else
        """
        writer = cls.__new__(cls)
        writer._open(path, network, recorders, dt, batch, dtype)
        with writer._opening():
            if not writer.path.exists():
                raise StorageError(f"file {str(writer.path)!r}: is not there; nothing can be resumed")
            writer._files.take_up()
            writer._take_up(position)
            writer._publish()
        return writer

    def _open(self, path: Any, network: Any, recorders: Any, dt: float, batch: int, dtype: Any) -> None:
        sizes = {p.name: p.size for p in network.populations} if isinstance(network, Network) else network
        self._tables = tables_of(recorders, sizes, batch, np.dtype(dtype))
        self._dt, self._batch = float(dt), batch
        self._rows = dict.fromkeys((table.path for table in self._tables), 0)
        self._last_bin: dict[str, tuple[float, np.ndarray]] = {}  # of each rate: where it begins, and its counts
        self._broken: str | None = None
        self._files = CommittedHdf5(path, 2 * chunk_bytes(self._tables))

    @property
    def path(self) -> Path:
        """Where the recording stands."""
        return self._files.path

    @property
    def stop(self) -> float:
        """Up to where the stretches reach that were appended, in ms."""
        return self._stop

    def position(self) -> dict[str, Any]:
        """Where the recording has come to, for `resume`: start and stop (ms), the rows of each table, the counts of the last bins.

        JSON can hold it. What it tells of is in the file once `commit` was called.
        """
        last = {path: [int(count) for count in np.ravel(counts)] for path, (_, counts) in self._last_bin.items()}
        return {"start": self._start, "stop": self._stop, "rows": dict(self._rows), "last_counts": last}

    def append(self, recording: Recording) -> None:
        """Add the recording of the next stretch of time, which begins where the last one ended."""
        self._check_usable()
        if recording.start != self._stop or recording.dt != self._dt:
            raise StorageError(
                f"file {str(self.path)!r}: a recording from {recording.start} ms with dt = {recording.dt} ms cannot follow; "
                f"{self._stop} ms have been reached with dt = {self._dt} ms"
            )
        rows = rows_of(recording)
        check_rows(self._tables, rows, f"file {str(self.path)!r}")
        with self._writing():
            self._go_on()
            for table in self._tables:
                self._put(table, rows[table.path])
                self._files.check()
            self._stop = float(recording.stop)

    def commit(self) -> None:
        """Bring everything that was appended to the disk and under the file's name."""
        self._check_usable()
        with self._writing():
            if self._files.file is not None:
                self._publish()

    def close(self, complete: bool = True) -> None:
        """Commit, and let go of the file. complete : whether the file shall say that the recording is"""
        if self._files.released:
            return
        try:
            if self._broken is None:
                with self._writing():
                    self._go_on()
                    self._files.file.attrs.modify("complete", int(complete))
                    self._publish()
        finally:
            self._files.release()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.close(complete=error is None)
        except StorageError as late:
            if error is None:
                raise
            error.add_note(str(late))

    # What happens to the files

    def _take_up(self, position: Mapping[str, Any]) -> None:
        """Cut the open file back to a position, and go on from there."""
        label, file = f"file {str(self.path)!r}", self._files.file
        check_file(file, self._tables, {"dt": self._dt, "batch": self._batch}, label)
        self._last_bin = cut_to(file, self._tables, position, label)
        self._rows = {table.path: position["rows"][table.path] for table in self._tables}
        self._start, self._stop = float(file.attrs["start"]), float(position["stop"])
        file.attrs.modify("complete", 0)

    def _go_on(self) -> None:
        """Open the file to append to, if none is, and bring it up to what was committed."""
        if self._files.file is None:
            self._files.go_on()
            with self._files.whole() as source:
                for table in self._tables:
                    catch_up(self._files.file, source, table)

    def _put(self, table: Table, rows: Mapping[str, np.ndarray]) -> None:
        """Append rows to a table; a bin that has begun before goes on."""
        at, path = self._rows[table.path], table.path
        if path.startswith("rates/") and len(rows["times"]):
            counts = rows["counts"]
            if path in self._last_bin and self._last_bin[path][0] == rows["times"][0]:
                counts = counts.copy()
                counts[0] += self._last_bin[path][1]
                at -= 1
            rows = {"times": rows["times"], "counts": counts}
            self._last_bin[path] = float(rows["times"][-1]), counts[-1].copy()
        put(self._files.file, table, at, rows)
        self._rows[path] = at + len(rows[next(iter(table.columns))])

    def _publish(self) -> None:
        self._files.file.attrs.modify("stop", self._stop)
        self._files.publish()
        self._committed = self._stop

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Let go of the files if what comes in here fails."""
        try:
            yield
        except BaseException as error:
            cause = self._files.cause(error)
            self._files.drop()
            self._files.release()
            if isinstance(cause, Exception) and not isinstance(cause, StorageError):
                raise StorageError(f"file {str(self.path)!r}: cannot be written ({_reason(cause)})") from error
            raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """After whatever fails in here, or is interrupted, this writer writes nothing more."""
        try:
            yield
        except BaseException as error:
            cause = self._files.cause(error)
            self._broken = _reason(cause)
            self._files.drop()
            if isinstance(cause, Exception):
                raise self._failure() from error
            raise

    def _check_usable(self) -> None:
        if self._files.released:
            raise StorageError(f"file {str(self.path)!r}: this writer is closed")
        if self._broken is not None:
            raise self._failure()

    def _failure(self) -> StorageError:
        kept = (
            f"what was recorded up to {self._committed} ms stays readable there, and RecordingWriter.resume can go on with it"
            if self.path.exists()
            else "nothing is left of it under that name"
        )
        return StorageError(f"file {str(self.path)!r}: cannot be written ({self._broken}); {kept}")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
