"""How much memory there is: of the machine, and of the control group that a container or a batch system has put this process in.

And arrays that take no more of it than is touched.
"""

from __future__ import annotations

import math
import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
LARGE = 1 << 22  # bytes from which on NumPy asks for pages of 2 MiB
UNLIMITED = 1 << 60  # bytes: so much and more stands where there is no limit


class _Files(NamedTuple):
    """Where a control group says its limits and its use, and the words in ``memory.stat`` for files that were read and can go."""

    limits: tuple[str, ...]
    usage: str
    files: tuple[str, ...]


FIRST = _Files(("memory.limit_in_bytes",), "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
SECOND = _Files(("memory.max", "memory.high"), "memory.current", ("inactive_file", "active_file"))


class Available(NamedTuple):
    """Bytes that can still be taken, and what sets this limit."""

    bytes: int
    whose: str


def available_memory() -> Available:
    """What can be taken now: of the machine's memory, or of what its control groups (version 1 or 2) or its limit of addresses
    (``ulimit -v``) leave, if less. Where the system does not say what is free, as on macOS, that is all memory there is."""
    found = [Available(_of_machine(), "on this machine")]
    found += [Available(max(0, left), "in its control group") for left in _of_groups()]
    found += [Available(max(0, left), "within its ulimit -v") for left in _of_addresses()]
    return min(found)


def _of_machine() -> int:
    """What the kernel says can be had without swapping; where it does not say, all there is."""
    try:
        return _numbers(PROC / "meminfo")["MemAvailable"] * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _numbers(path: Path) -> dict[str, int]:
    """A file with a name and a number in each line."""
    lines = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _of_groups() -> Iterator[int]:
    """What each of the control groups leaves that this process is in; what was read of files counts as free, since it can go."""
    for folder, files in _groups():
        for limit in files.limits:
            try:
                most = (folder / limit).read_text().strip()
                if most.isdigit() and int(most) < UNLIMITED:
                    held = _numbers(folder / "memory.stat")
                    cached = sum(held.get(name, 0) for name in files.files)
                    yield int(most) - max(0, int((folder / files.usage).read_text()) - cached)
            except (OSError, ValueError):
                continue  # the topmost group of version 2 has no such files; a container cannot see those above its own


def _groups() -> Iterator[tuple[Path, _Files]]:
    """The folder of each control group for memory, from that of this process up."""
    try:
        lines = [line.split(":", 2) for line in (PROC / "self" / "cgroup").read_text().splitlines()]
    except (OSError, ValueError):
        return
    for number, kinds, name in (parts for parts in lines if len(parts) == 3):
        if number != "0" and "memory" not in kinds.split(","):
            continue
        files, root = (SECOND, CGROUPS) if number == "0" else (FIRST, CGROUPS / "memory")
        folder = root / name.strip("/")
        while True:
            yield folder, files
            if root not in folder.parents:
                break
            folder = folder.parent


def _of_addresses() -> Iterator[int]:
    """What the limit of this process's addresses leaves, if it has one."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 <= most < UNLIMITED:
        with suppress(OSError, KeyError):
            yield most - _numbers(PROC / "self" / "status")["VmSize"] * 1024


def reserved(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of which hardly anything will be touched: pages are small, however large it is."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, dtype)
    try:
        room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # after a fork each process has its own
    except OSError as error:
        raise MemoryError(f"{size:,} bytes cannot be reserved: {error.strerror}") from error
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # of a kernel that knows no other pages
            room.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(room, dtype).reshape(shape)
