"""Checkpoints: the whole state of a simulation in one file, from which it goes on as if nothing had happened.

A file is an .npz of plain arrays; ``description`` is JSON as bytes: which network (a hash), how it is simulated, how far it has
come, and how much of a recording was on disk by then. It is written beside its place and renamed: a file of that name is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import StorageError
from eventsim.files.npz import MAX_BYTES, read_described, with_description, write_npz
from eventsim.network import Network
from eventsim.recording import Rates, Recorder, Spikes, States
from eventsim.storage import describe

FORMAT, VERSION = "eventsim-checkpoint", 2
RECORDERS = {kind.__name__: kind for kind in (Spikes, States, Rates)}


def fingerprint(network: Network) -> str:
    """A hash of everything that a network is, its stored connectivity included: what has the same one is the same network.

    Whether synapses are stored or procedural is no part of it: they are the same.
    """
    description, arrays = describe(network)
    for projection in description["projections"]:
        del projection["procedural"]
    of_arrays = {name: digest([array]) for name, array in arrays.items()}

    def resolved(value: Any) -> Any:
        """With hashes instead of names, which tell which arrays are one object besides."""
        if isinstance(value, dict):
            return {key: of_arrays[item] if key == "array" else resolved(item) for key, item in value.items()}
        return [resolved(item) for item in value] if isinstance(value, list) else value

    return digest([json.dumps(resolved(description), sort_keys=True).encode()])


def digest(parts: Iterable[Any]) -> str:
    """A hash of arrays, with their types and shapes, and of bytes."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            found.update(b"bytes %d " % len(part) + part)
        else:
            array = np.ascontiguousarray(part)
            found.update(f"array {array.dtype.str} {np.shape(part)} ".encode())
            found.update(array.tobytes() if array.dtype.hasobject else memoryview(array.reshape(-1)).cast("B"))
    return found.hexdigest()


def encode_recorders(recorders: Sequence[Recorder]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Recorders as JSON and arrays."""
    rows, arrays = [], {}
    for place, recorder in enumerate(recorders):
        row = {"kind": type(recorder).__name__} | dict(vars(recorder))
        chosen = row.get("neurons")
        if isinstance(chosen, slice):
            row["neurons"] = {"slice": [None if n is None else int(n) for n in (chosen.start, chosen.stop, chosen.step)]}
        elif chosen is not None:
            name = f"recorder{place}/neurons"
            arrays[name], row["neurons"] = np.asarray(chosen), {"array": name}
        if row.get("interval") is not None:
            row["interval"] = float(row["interval"])
        rows.append(row)
    return rows, arrays


def decode_recorders(rows: Any, arrays: Mapping[str, np.ndarray], label: str) -> tuple[Recorder, ...]:
    """The recorders that `encode_recorders` wrote."""
    recorders = []
    for row in rows if isinstance(rows, list) else [rows]:
        try:
            given = dict(row)
            kind = RECORDERS[given.pop("kind")]
            if isinstance(given.get("neurons"), dict):
                chosen = given["neurons"]
                given["neurons"] = slice(*chosen["slice"]) if "slice" in chosen else arrays[chosen["array"]]
            recorders.append(kind(**given))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise StorageError(f"{label}: {row!r} describes no recorder") from error
    return tuple(recorders)


def write_checkpoint(path: str | Path, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray], keep: int = 1) -> None:
    """Write a checkpoint whole or not at all; of those that stood under this name, the last ``keep - 1`` remain, as NAME.1.npz,
    NAME.2.npz ... (the higher the older)."""
    path = Path(path)

    def make_way() -> None:
        age = 1
        while age < keep - 1 and aged(path, age).exists():
            age += 1
        for older in range(min(age, keep - 1), 0, -1):
            newer = path if older == 1 else aged(path, older - 1)
            if newer.exists():
                _keep_as(newer, aged(path, older))

    write_npz(path, with_description({"format": FORMAT, "version": VERSION, **description}, arrays), make_way)


def aged(path: Path, age: int) -> Path:
    """What the checkpoint of a name is called that is older by so many."""
    return path.with_name(f"{path.stem}.{age}{path.suffix}")


def _keep_as(path: Path, other: Path) -> None:
    """Let a file have another name too, in place of the file that had it."""
    link = other.with_name(other.name + ".link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, link)
    os.replace(link, other)


def read_checkpoint(path: str | Path, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of a checkpoint; a StorageError says what is wrong with the file."""
    return read_described(path, FORMAT, VERSION, "checkpoint of a simulation; simulation.save writes one", max_bytes)
