"""Reading HDF5 files that somebody else may have written: numbers in the file itself, and no more of them than were declared."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import StorageError

FILTERS = {1: "gzip", 2: "shuffle", 32000: "lzf"}  # HDF5 loads others from wherever its plugins lie
KINDS = {"f": "floats", "iu": "integers", "iuf": "numbers"}
HEAP = b"GCOL\x01"
LARGEST_CHUNK = 2**20  # bytes that may be unpacked even for a small array


class Hdf5File:
    """An HDF5 file that is open for reading; whatever is odd about it is a `StorageError` that names the file and the place.

    max_bytes : limit of all arrays that are read, in memory: a few kilobytes can declare terabytes
    """

    def __init__(self, file: Any, label: str, max_bytes: int):
        self._file, self.label, self._max_bytes, self._left = file, label, max_bytes, max_bytes

    def fail(self, place: str, what: str) -> StorageError:
        """The error to raise."""
        return StorageError(f"{self.label}, {place}: {what}")

    def need(self, count: int) -> None:
        """Refuse what needs so many bytes more, if that is too much with what was read so far."""
        self._left -= count
        if self._left < 0:
            raise StorageError(
                f"{self.label}: its arrays need more than {self._max_bytes:,} bytes; give max_bytes=... if it may be that large"
            )

    def _member(self, place: str) -> Any:
        """The object at a place, every name on the way to which must be that of an object in this file; None if there is none."""
        import h5py

        found, way = self._file, ""
        for name in place.split("/"):
            way = f"{way}/{name}".lstrip("/")
            if not isinstance(found, h5py.Group):
                raise self.fail(way, "lies in something that is no group")
            if not found.id.links.exists(name.encode()):
                return None
            if found.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                raise self.fail(way, "is a link to another place; such are not followed")
            found = found[name]
        return found

    def names(self, place: str) -> list[str]:
        """What a group holds; nothing where there is none."""
        import h5py

        found = self._member(place)
        if found is None:
            return []
        if not isinstance(found, h5py.Group):
            raise self.fail(place, "is no group")
        return list(found)

    def number(self, place: str, name: str) -> float | int | None:
        """An attribute of a group ("" for that of the file) that is one number; None if there is none."""
        found = self._member(place) if place else self._file
        where = f"{place}, attribute {name}".lstrip(", ")
        if found is None or name not in found.attrs:
            return None
        attribute = found.attrs.get_id(name)
        if attribute.shape not in ((), (1,)) or attribute.dtype.kind not in "iuf" or attribute.dtype.itemsize > 8:
            raise self.fail(where, "is not one number")
        return np.ravel(found.attrs[name])[0].item()

    def array(self, place: str, kinds: str, dtype: type | None = None) -> np.ndarray:
        """A dataset, as ``dtype`` (None: as it is stored). kinds : of types, of "iuf" """
        import h5py

        found = self._member(place)
        if not isinstance(found, h5py.Dataset):
            raise self.fail(place, "is missing" if found is None else "is no array")
        self._check(place, found, kinds)
        stored = found.dtype.newbyteorder("=")
        self.need(math.prod(found.shape) * max(stored.itemsize, np.dtype(dtype or stored).itemsize))
        array = np.empty(found.shape, stored)
        if array.size:
            found.read_direct(array)
        if dtype is np.int64 and stored == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise self.fail(place, f"holds {array.max()}, which is beyond 64-bit integers")
        return array.astype(dtype or stored, copy=False)

    def rows(self, place: str, kinds: str) -> Any:
        """A dataset of rows of numbers that differ in length, to be read row by row. kinds : as for `array`"""
        import h5py

        found = self._member(place)
        if not isinstance(found, h5py.Dataset):
            raise self.fail(place, "is missing" if found is None else "is no array")
        self._check(place, found, kinds, h5py.check_vlen_dtype(found.dtype))
        return found

    def _check(self, place: str, found: Any, kinds: str, of_rows: Any = None) -> None:
        """Refuse a dataset that is more than numbers in this file. of_rows : the type of what is in rows, if it is made of them"""
        plan, dtype = found.id.get_create_plist(), found.dtype if of_rows is None else of_rows
        if found.is_virtual or found.external:
            raise self.fail(place, "lies in another file; such are not read")
        if (
            not isinstance(dtype, np.dtype)
            or dtype.kind not in kinds
            or dtype.itemsize > 8
            or dtype.metadata
            or found.shape is None
        ):
            raise self.fail(place, f"holds {found.dtype}; {KINDS[kinds]} belong there")
        odd = [code for code in (plan.get_filter(n)[0] for n in range(plan.get_nfilters())) if code not in FILTERS]
        if odd:
            raise self.fail(place, f"is packed by the filter {odd[0]}; store it with none of them or {', '.join(FILTERS.values())}")
        if found.chunks and math.prod(found.chunks) * found.dtype.itemsize > max(LARGEST_CHUNK, self._max_bytes):
            raise self.fail(place, f"lies in pieces of {math.prod(found.chunks) * found.dtype.itemsize:,} bytes")


def check_heaps(path: str | Path, label: str) -> None:
    """A StorageError if HDF5 would never come back from reading the file's texts or rows.

    They lie in heaps: "GCOL", version, 3 bytes, size; then objects: index, count, 4 bytes, size. HDF5 steps over an object of index
    0 by its size alone, and stands still where that is 0.
    """
    if Path(path).stat().st_size == 0:
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            (size,) = struct.unpack("<Q", data[start + 8 : start + 16].ljust(8, b"\0"))
            at, end = start + 16, min(start + size, len(data))
            while at + 16 <= end:
                index, _, _, length = struct.unpack_from("<HHIQ", data, at)
                if index == 0 and length == 0:
                    raise StorageError(f"{label}: it is broken: a heap of texts at byte {start} has an object of no size")
                at += length if index == 0 else 16 + -(-length // 8) * 8
            start = data.find(HEAP, start + 1)


@contextmanager
def open_hdf5(path: Path, max_bytes: int) -> Iterator[Hdf5File]:
    """An HDF5 file for reading; what goes wrong with it is a `StorageError`."""
    label = f"file {path.name!r}"
    try:
        import h5py
    except ImportError as error:
        raise StorageError(f"{label}: HDF5 needs h5py: pip install 'eventsim[io]'") from error
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5File(file, label, max_bytes)
    except FileNotFoundError as error:
        raise StorageError(f"{label}: there is no such file ({path})") from error
    except StorageError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, OverflowError, TypeError) as error:  # what h5py says of bytes gone wrong
        raise StorageError(f"{label}: not a whole HDF5 file ({str(error).splitlines()[0] if str(error) else error!r})") from error
