"""Two files of the same content behind one name, so that what stands under the name is whole at every moment.

A file that is being appended to can be cut off anywhere. So there are two, ``.NAME.a`` and ``.NAME.b``, and the name itself is a
hard link to the one that was finished last; the other one is appended to, brought to the disk, and then the name is switched to it.
Where a file system has no hard links, there is one of them, and the name stands for a copy, which every time is made anew.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from pathlib import Path

from eventsim.errors import StorageError
from eventsim.files.steady_file import SteadyFile

GRACE = 0.05  # s in which whoever has opened a file by the name locks it, before it is written again
NOT_THERE = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}  # said by file systems that lack something


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is(name: Path, opened: int) -> bool:
    """Whether this is the name of an open file."""
    try:
        return os.path.samestat(os.stat(name), os.fstat(opened))
    except FileNotFoundError:
        return False


class TwinFiles:
    """The files behind one name, which only one writer may have: a second one is refused until this process ends or lets go.

    path : where the whole file stands; a symbolic link is followed
    """

    def __init__(self, path: str | Path):
        self.path = Path(os.path.realpath(path))
        self._whole = self.path  # the file to copy from: what was published last, by a name that only this writer uses
        self._working = self._hidden("a")
        self._links = True
        self._published = -GRACE  # s, when the name was last switched
        self._lock = self._take_lock()

    def _hidden(self, ending: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{ending}")

    def _take_lock(self) -> int:
        """A lock that the system lets go of when the process ends, however it does."""
        name = self._hidden("lock")
        while True:
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                self._lock_or_refuse(lock)
                if _is(name, lock):  # else its last owner has just removed it
                    os.ftruncate(lock, 0)
                    os.pwrite(lock, str(os.getpid()).encode(), 0)
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _lock_or_refuse(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode(errors="replace")
            raise StorageError(
                f"file {str(self.path)!r}: process {owner} is writing it; choose another name, or wait until that one has ended"
            ) from error
        except OSError as error:
            if error.errno not in NOT_THERE:  # some network file systems have no locks; nothing tells a second writer there
                raise

    def begin(self) -> SteadyFile:
        """The empty file to write first."""
        self.forget()
        file = SteadyFile(self._working, new=True)
        file.alone()
        return file

    def go_on(self) -> SteadyFile:
        """The file to append to next. It holds what was published last or, where it need not be copied, what was before.

        The name has stood for it until then: a reader who has opened it, but has no lock yet, would find it locked.
        """
        time.sleep(max(0.0, min(GRACE, self._published + GRACE - time.monotonic())))
        ends = {self._hidden("a"): self._hidden("b")}
        self._working = ends.get(self._whole, self._hidden("a"))
        if self._working.exists():
            file = SteadyFile(self._working)
            if file.alone():
                return file
            file.close()  # somebody reads it, or has linked it: it stays as it is
        self._copy(self._whole, self._working)
        file = SteadyFile(self._working)
        file.alone()
        return file

    @property
    def released(self) -> bool:
        """Whether these are no longer its files."""
        return self._lock < 0

    def whole(self) -> Path:
        """The file that was published last."""
        return self._whole

    def publish(self, file: SteadyFile) -> None:
        """Let the name stand for this file, which `begin` or `go_on` gave and HDF5 has closed."""
        file.sync()
        file.close()  # before anybody can meet it, and its lock
        link = self._hidden("link")
        link.unlink(missing_ok=True)
        try:
            if self._links:
                os.link(self._working, link)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            self._links = False
        if not self._links:
            self._copy(self._working, link)
        os.replace(link, self.path)
        self._published = time.monotonic()
        _sync(self.path.parent)
        self._whole = self._working if self._links else self.path

    def _copy(self, source: Path, target: Path) -> None:
        """Make ``target`` a new file with the bytes of ``source``, on the disk; whoever has the former one open keeps it."""
        copy = self._hidden("copy")
        shutil.copyfile(source, copy)
        _sync(copy)
        os.replace(copy, target)

    def forget(self) -> None:
        """Remove what a writer that was ended has left; what was published stays."""
        for ending in ("a", "b", "link", "copy"):
            self._hidden(ending).unlink(missing_ok=True)

    def release(self) -> None:
        """Leave the whole file alone under its name, and let others write it."""
        if self._lock < 0:
            return
        try:
            self.forget()
            self._hidden("lock").unlink(missing_ok=True)
        finally:
            os.close(self._lock)
            self._lock = -1
