"""A file that HDF5 reads and writes through Python, so that a write that fails (a full disk) cannot take the process down."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any


class SteadyFile:
    """A file as `h5py.File` takes it in place of a name.

    HDF5 ends the process (by a segmentation fault) when a write fails while it closes a file. So nothing fails here: from the first
    write or read that did, ``error`` holds it and what is written further stays in memory, for HDF5 to read again. Whoever opened
    the file looks at ``error`` after every call, and drops the file where there is one.
    """

    def __init__(self, path: Path, new: bool = False):
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_TRUNC if new else 0), 0o666)
        self._at, self._end = 0, os.fstat(self._file).st_size
        self._unwritten: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def alone(self) -> bool:
        """Whether nobody else has this file, by another name or open in HDF5, which locks what it reads; it is then locked."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return os.fstat(self._file).st_nlink == 1
        return os.fstat(self._file).st_nlink == 1

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close it, and let go of the lock."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    # What h5py calls

    def read(self, size: int = -1) -> bytes:
        """By this method h5py knows a file; it calls `readinto`."""
        found = bytearray(self._end - self._at if size < 0 else size)
        self.readinto(found)
        return bytes(found)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from where `seek` has led; beyond the end there are zeros."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            while done < len(view) and (count := os.preadv(self._file, [view[done:]], self._at + done)):
                done += count
        except OSError as error:
            self.error = self.error or error
        view[done:] = bytes(len(view) - done)
        for begin, written in self._unwritten:
            first, last = max(begin, self._at), min(begin + len(written), self._at + len(view))
            if first < last:
                view[first - self._at : last - self._at] = written[first - begin : last - begin]
        self._at += len(view)
        return len(view)

    def write(self, buffer: Any) -> int:
        """Write all of the buffer where `seek` has led."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += os.pwrite(self._file, view[done:], self._at + done)
        except OSError as error:
            self.error = error
        if self.error is not None:
            self._unwritten.append((self._at, bytes(view)))
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)

    def truncate(self, size: int) -> int:
        """Make it so many bytes long."""
        if self.error is None:
            try:
                os.ftruncate(self._file, size)
            except OSError as error:
                self.error = error
        self._end = size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where to read or write next."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """Where `seek` has led."""
        return self._at

    def flush(self) -> None:
        """Nothing is held back."""
