"""load_nir: a graph of NIR from an HDF5 file that anyone may have written.

The package `nir` reads whatever HDF5 offers: links into other files, data kept in other files, arrays of any declared size. Here a
file is walked before a value of it is read, and read from the same open file. What is refused:

- links that are not plain ones within the file; an object that occurs under two names, or in itself
- external storage, virtual datasets, named types, filters other than HDF5's own and LZF
- values that are not numbers or text
- sizes: more than ``max_bytes`` in all, as declared (whole chunks counted), and more than 1,100 times what is stored, which no
  compression of HDF5 reaches; text of more than 1 MiB in all, more than 100,000 nodes and edges, graphs nested deeper than 32
- then, as for any graph: unknown nodes, NaN, infinite values, time constants that are not positive, wrong edges and shapes
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import StorageError
from eventsim.files.hdf5 import check_heaps
from norse_bridge.nir.nodes import ARRAYS, arrays_of
from norse_bridge.nir.package import nir_package
from norse_bridge.nir.shapes import Shapes, graph_shapes

MAX_BYTES = 2**32
RATIO, ALWAYS = 1100, 4096  # deflate packs at most 1032 bytes into one; as much as ALWAYS costs nothing
MAX_TEXT, MAX_NAMES, MAX_DEPTH = 2**20, 100_000, 32
FILTERS = (1, 2, 3, 4, 32000)  # deflate, shuffle, fletcher32, szip, LZF: none of them loads code from outside


class _Reader:
    """Reads the groups of one open file into dicts, and counts what it has read. ``label`` begins every error."""

    def __init__(self, label, max_bytes):
        self.label, self.left = label, max_bytes
        self.text, self.names = MAX_TEXT, MAX_NAMES
        self.seen: set[Any] = set()

    def refuse(self, where, why):
        raise StorageError(f"{self.label}: {where} {why}")

    def group(self, group, depth=0) -> dict[str, Any]:
        """Everything in a group, by name."""
        import h5py

        if depth > 3 * MAX_DEPTH:
            self.refuse(group.name, f"is nested too deeply; graphs may be nested {MAX_DEPTH} times")
        found: dict[str, Any] = {}
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            self.names -= 1
            if self.names < 0:
                self.refuse(where, f"is one name too many: {MAX_NAMES} are allowed")
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                self.refuse(where, "is a link to another place or file; only data in the file itself are read")
            member = group[name]
            place = h5py.h5o.get_info(member.id).addr
            if place in self.seen:
                self.refuse(where, "is in the file under another name already")
            self.seen.add(place)
            if isinstance(member, h5py.Group):
                found[name] = self.group(member, depth + 1)
            elif isinstance(member, h5py.Dataset):
                found[name] = self.dataset(member, where)
            else:
                self.refuse(where, "is neither a group nor an array")
        return found

    def dataset(self, data, where) -> Any:
        """The values of an array, or a text."""
        import h5py

        if data.is_virtual or data.external:
            self.refuse(where, "keeps its values in other files; only data in the file itself are read")
        plist = data.id.get_create_plist()
        for number in range(plist.get_nfilters()):
            if plist.get_filter(number)[0] not in FILTERS:
                self.refuse(where, f"needs the filter {plist.get_filter(number)[0]}, which may be code from elsewhere")
        if data.shape is None:
            self.refuse(where, "is empty")
        text = h5py.check_string_dtype(data.dtype) is not None
        if not text and data.dtype.kind not in "fiub":
            self.refuse(where, f"holds {data.dtype}, neither numbers nor text")
        self.take(data, where)
        return self.texts(data, where) if text else data[()]

    def take(self, data, where):
        """Count the bytes that reading an array takes; refuse it if they are too many."""
        chunks = data.chunks or (1,) * data.ndim
        declared = data.dtype.itemsize * math.prod(-(-n // c) * c for n, c in zip(data.shape, chunks, strict=True))
        stored = data.id.get_storage_size()
        if declared > ALWAYS + RATIO * stored:
            self.refuse(where, f"declares {declared} bytes, of which {stored} are stored: no honest file does")
        self.left -= declared
        if self.left < 0:
            self.refuse(where, f"declares {declared} bytes, too many: raise max_bytes if you trust the file")

    def texts(self, data, where) -> Any:
        """A text, or an array of texts with one axis or two; read one by one, since all may point at the same long one."""
        self.names -= data.size
        if data.ndim > 2 or self.names < 0:
            self.refuse(where, f"holds {data.size} texts: {MAX_NAMES} names are allowed")
        rows = np.empty(data.shape, dtype=object)
        for index in np.ndindex(data.shape):
            rows[index] = self.one_text(data[index], where)
        return rows if data.ndim else rows.item()

    def one_text(self, value, where) -> str:
        try:
            text = value.decode("utf8") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError as error:
            raise StorageError(f"{self.label}: {where} holds text that is not UTF-8") from error
        self.text -= len(text)
        if self.text < 0:
            self.refuse(where, f"is too long: {MAX_TEXT} characters of text are allowed in all")
        return text


def _node(fields, label, depth=0):
    """A dict as read -> the dict that `nir.dict2NIRNode` takes; its own inference of shapes is turned off, see `shapes`."""
    kind = fields.get("type") if isinstance(fields, dict) else None
    if not isinstance(kind, str) or kind not in ARRAYS:
        raise StorageError(f"{label} has the type {kind!r}, none of NIR's: {', '.join(ARRAYS)}")
    if kind != "NIRGraph":
        return fields
    if depth > MAX_DEPTH:
        raise StorageError(f"{label} is nested too deeply; graphs may be nested {MAX_DEPTH} times")
    nodes, edges = fields.get("nodes"), fields.get("edges")
    if not isinstance(nodes, dict) or not isinstance(edges, np.ndarray) or (edges.size and edges.shape[1:] != (2,)):
        raise StorageError(f"{label} must have a group of nodes and an array of edges with two names each")
    members = {name: _node(node, f"{label}: node {name!r}", depth + 1) for name, node in nodes.items()}
    pairs = [tuple(pair) for pair in edges] if edges.size else []
    return {**fields, "nodes": members, "edges": pairs, "type_check": False}


def _check_sizes(shapes: Shapes, label, max_bytes):
    """A StorageError if a shape in a graph is larger than the file may be."""
    for name, said in shapes.said.items():
        if 4 * math.prod(said) > max_bytes:
            raise StorageError(f"{label}: node {name!r} has the shape {said}, too large: raise max_bytes if you trust the file")
    for name, inner in shapes.inner.items():
        _check_sizes(inner, f"{label}: node {name!r}", max_bytes)


def load_nir(path, max_bytes=MAX_BYTES):
    """The graph of NIR in an HDF5 file, as `nir.read` gives it, with everything checked first (see the module's docstring).

    Parameters
    ----------
    path : of a file that `nir.write` or another framework wrote
    max_bytes : how much memory the arrays of the file may take, as they are declared

    Errors: a `StorageError` (or, for what is wrong with the graph itself, a `ModelError` or `NetworkError`) that names the place.
    """
    nir = nir_package()
    import h5py

    label = f"file {str(path)!r}"
    if not Path(path).is_file():
        raise StorageError(f"{label}: there is no such file")
    try:
        check_heaps(path, label)
        with h5py.File(path, "r") as file:
            reader = _Reader(label, max_bytes)
            if type(file.get("node", getlink=True)) is not h5py.HardLink or not isinstance(file["node"], h5py.Group):
                raise StorageError(f"{label}: it holds no graph of NIR: there is no group 'node'")
            fields = _node(reader.group(file["node"]), f"{label}: the graph")
    except StorageError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError) as error:  # whatever h5py says of broken bytes
        raise StorageError(f"{label}: it cannot be read as HDF5 ({error})") from error
    try:
        graph = nir.dict2NIRNode(fields)
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{label}: nir does not take what it says ({type(error).__name__}: {error})") from error
    if type(graph).__name__ == "NIRGraph":
        _check_sizes(graph_shapes(graph, label), label, max_bytes)
    else:
        arrays_of(graph, f"{label}: the {type(graph).__name__}")
    return graph
