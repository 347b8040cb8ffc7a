"""An HDF5 file that stands whole under its name while it is being appended to. Needs h5py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventsim.errors import StorageError
from eventsim.files.steady_file import SteadyFile
from eventsim.files.twin_files import TwinFiles


class CommittedHdf5:
    """What stands under a name, and the file in which what comes next is being prepared.

    file : the `h5py.File` to write to, from `begin` or `go_on` on until `publish`; else None
    chunk_cache : bytes for each dataset
    """

    def __init__(self, path: str | Path, chunk_cache: int):
        try:
            import h5py
        except ImportError as error:
            raise StorageError(f"file {str(path)!r}: HDF5 needs h5py: pip install 'eventsim[io]'") from error
        self._h5py: Any = h5py
        self._options = {"rdcc_nbytes": chunk_cache, "rdcc_w0": 1.0}  # a chunk that was filled is not needed again
        self._steady: SteadyFile | None = None
        self.file: Any = None
        try:
            self._twins = TwinFiles(path)
        except OSError as error:
            raise StorageError(f"file {str(path)!r}: cannot be written ({error.strerror or error})") from error

    @property
    def path(self) -> Path:
        """Where the whole file stands."""
        return self._twins.path

    @property
    def released(self) -> bool:
        """Whether somebody else may write it now."""
        return self._twins.released

    def begin(self) -> None:
        """Open an empty file to write to."""
        self._steady = self._twins.begin()
        self.file = self._h5py.File(self._steady, "w", **self._options)

    def take_up(self) -> None:
        """Open a copy of what stands under the name, which somebody else has left."""
        self._twins.forget()
        self.go_on()

    def go_on(self) -> None:
        """Open the file to append to; it may lack what was published last."""
        self._steady = self._twins.go_on()
        self.file = self._h5py.File(self._steady, "r+", **self._options)

    @contextmanager
    def whole(self) -> Iterator[Any]:
        """What was published last, open for reading."""
        # Not by its name: HDF5 refuses a file that this process has open otherwise.
        with open(self._twins.whole(), "rb") as opened, self._h5py.File(opened, "r") as file:
            yield file

    def publish(self) -> None:
        """Close the file, bring it to the disk, and let the name stand for it."""
        assert self._steady is not None
        self.file.close()
        self.check()
        self._twins.publish(self._steady)
        self.file, self._steady = None, None

    def check(self) -> None:
        """Raise what has gone wrong with the disk so far, of which HDF5 is not told."""
        if self._steady is not None and self._steady.error is not None:
            raise self._steady.error

    def cause(self, error: BaseException) -> BaseException:
        """What is behind an error: HDF5 reports what comes of a failed write, if anything."""
        return error if self._steady is None or self._steady.error is None else self._steady.error

    def drop(self) -> None:
        """Close what was not published."""
        if self.file is not None:
            self.file.close()
        if self._steady is not None:
            self._steady.close()
        self.file, self._steady = None, None

    def release(self) -> None:
        """Leave the whole file alone under its name."""
        self._twins.release()
