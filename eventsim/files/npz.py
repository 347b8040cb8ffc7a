"""Files of plain arrays, .npz: written whole or not at all; read, though somebody else may have written them, without pickle and
without surprise in size."""

from __future__ import annotations

import json
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from eventsim.errors import StorageError

MAX_BYTES = 16 * 2**30  # bytes of all arrays together; more needs to be asked for


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray], make_way: Callable[[], None] = lambda: None) -> None:
    """Write arrays so that a file that is half written never stands under the given name, though the machine should fail.

    make_way : called when the new file is whole, before it takes its place
    """
    path = Path(path)
    unfinished = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        try:
            with open(unfinished, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # mypy takes the names for options
                file.flush()
                os.fsync(file.fileno())
            make_way()
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"file {str(path)!r}: cannot be written ({error.strerror or error})") from error


def _declared(member, label: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a .npy member's header declares, read without making the array."""
    try:
        version = npy.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise StorageError(f"{label}: .npy version {version} is not known; write it with numpy.savez")
        shape, _, dtype = npy.read_array_header_1_0(member) if version == (1, 0) else npy.read_array_header_2_0(member)
    except (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError) as error:  # of a header that is no literal
        raise StorageError(f"{label}: not a .npy array ({str(error).splitlines()[0]})") from error
    if dtype.hasobject or dtype.names is not None:
        raise StorageError(f"{label}: arrays of {dtype} are not read; store numbers or texts")
    return shape, dtype


def _check_members(archive: zipfile.ZipFile, names: Sequence[str], label: str, max_bytes: int) -> None:
    """Refuse members whose header and length disagree, or that are more than ``max_bytes`` together."""
    total = 0
    for name in names:
        info = archive.getinfo(name + ".npy")
        with archive.open(info) as member:
            shape, dtype = _declared(member, f"{label}, {name}")
            declared = math.prod(shape) * dtype.itemsize
            if declared != info.file_size - member.tell():
                raise StorageError(
                    f"{label}, {name}: its header declares {declared:,} bytes, the file holds {info.file_size - member.tell():,}"
                )
        total += declared
        if total > max_bytes:
            raise StorageError(
                f"{label}: its arrays need more than {max_bytes:,} bytes; give max_bytes=... if this file may be that large"
            )


def read_npz(
    path: str | Path, *, required: Sequence[str] = (), wanted: Sequence[str] | None = None, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; raises `StorageError` for anything that is not a plain, complete one.

    Parameters
    ----------
    required : names that must be there
    wanted : names that are read if there (None: all)
    max_bytes : limit of all arrays that are read, in memory: a few compressed kilobytes can declare terabytes
    """
    path = Path(path)
    label = f"file {path.name!r}"
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            if len(set(found)) != len(archive.namelist()):
                raise StorageError(f"{label}: holds something other than arrays, or one array twice")
            missing = [name for name in required if name not in found]
            if missing:
                raise StorageError(f"{label}: lacks the array {missing[0]!r}; it holds {', '.join(found) or 'none'}")
            names = [name for name in found if wanted is None or name in wanted]
            _check_members(archive, names, label, max_bytes)
            arrays = {}
            for name in names:
                with archive.open(name + ".npy") as member:
                    arrays[name] = npy.read_array(member, allow_pickle=False)
            return arrays
    except FileNotFoundError as error:
        raise StorageError(f"{label}: there is no such file ({path})") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise StorageError(f"{label}: not a complete .npz ({error})") from error
    except ValueError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{label}: {error}") from error
    except OSError as error:
        raise StorageError(f"{label}: cannot be read ({error.strerror})") from error


def with_description(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file, ``description`` among them: JSON text as bytes."""
    return {"description": np.frombuffer(json.dumps(description, allow_nan=False).encode(), np.uint8), **arrays}


def read_described(
    path: str | Path, form: str, version: int, what: str, max_bytes: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description of a file and its other arrays, after a look at what it says it is.

    form, version : its ``format`` and ``version``; what : such a file in words, for what a StorageError says of another one
    """
    label = f"file {Path(path).name!r}"
    arrays = read_npz(path, required=("description",), max_bytes=max_bytes)
    text = arrays.pop("description")
    if text.dtype != np.uint8 or text.ndim != 1:
        raise StorageError(f"{label}: description must be bytes; this is no {what}")
    try:
        description = json.loads(text.tobytes().decode())
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise StorageError(f"{label}: its description is no JSON ({error})") from error
    if not isinstance(description, dict) or description.get("format") != form:
        raise StorageError(f"{label}: this is no {what}")
    if description.get("version") != version:
        raise StorageError(
            f"{label}: version {description.get('version')!r} of the format, not {version}; use the eventsim that wrote it"
        )
    return description, arrays
