"""How a recording lies in HDF5: spikes as SONATA lays them down, states and rates beside them.

====================================  ===================================================================================
``/``                                 attributes ``start``, ``stop``, ``dt`` (ms), ``batch``, ``complete`` (0 while it is
                                      being written); of SONATA ``magic`` and ``version``
``/spikes/POPULATION``                attribute ``sorting``: by_time
``.../timestamps``, ``node_ids``      float64 (spikes,), ms; uint64 (spikes,), number within the population
``.../batch``                         int64 (spikes,); only if there is a batch
``/states/POPULATION/times``          float64 (samples,), ms
``.../neurons``                       int64 (neurons,)
``.../FIELD``                         (samples, neurons) or (samples, batch, neurons)
``/rates/POPULATION``                 attributes ``interval`` (ms) and ``neurons`` (size of the population), or, in what
                                      `save_recording` wrote, a dataset ``rate``
``.../times``, ``counts``             float64 (bins,), ms, where each bin begins; int64 (bins,) or (bins, batch)
====================================  ===================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import StorageError
from eventsim.recording import Rates, Recorder, Recording, Spikes, chosen_neurons

MAGIC, VERSION = 0x0A7A, (0, 1)  # of SONATA
SORTING = {"none": 0, "by_id": 1, "by_time": 2}
ESCAPED = {"%": "%25", "/": "%2F", "\0": "%00"}  # what the name of a group cannot hold, and what stands for it
MOST_CHUNK, LEAST_CHUNK, ALL_CHUNKS = 2**19, 2**15, 2**26  # bytes of a chunk, and of those of all columns that are being filled
BLOCK = 2**24  # bytes that are copied from one file to another at once


class Table(NamedTuple):
    """A group whose columns grow together.

    path : such as "spikes/exc", with the population's name as `link_name` writes it
    columns : for each its type and the shape of one row
    fixed : datasets that do not grow
    attributes : of the group
    """

    path: str
    columns: Mapping[str, tuple[np.dtype, tuple[int, ...]]]
    fixed: Mapping[str, np.ndarray]
    attributes: Mapping[str, float]


def link_name(population: str) -> str:
    """The name of a population's group."""
    return {".": "%2E"}.get(population) or "".join(ESCAPED.get(letter, letter) for letter in population)


def spike_table(population: str, batched: bool) -> Table:
    """The table of a Spikes recorder."""
    columns: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
        "timestamps": (np.dtype(np.float64), ()),
        "node_ids": (np.dtype(np.uint64), ()),
    }
    if batched:
        columns["batch"] = (np.dtype(np.int64), ())
    return Table(f"spikes/{link_name(population)}", columns, {}, {})


def state_table(population: str, fields: Mapping[str, tuple[np.dtype, tuple[int, ...]]], neurons: np.ndarray) -> Table:
    """The table of a States recorder. fields : for each its type and the shape of one sample"""
    taken = sorted({"times", "neurons"} & set(fields))
    if taken:
        raise StorageError(f"States of {population!r}: a state called {taken[0]!r} cannot be kept beside the {taken[0]}; rename it")
    columns = {"times": (np.dtype(np.float64), ())} | dict(fields)
    return Table(f"states/{link_name(population)}", columns, {"neurons": np.asarray(neurons, np.int64)}, {})


def rate_table(population: str, items: tuple[int, ...], attributes: dict[str, float]) -> Table:
    """The table of a Rates recorder. items : the shape of the counts of one bin; attributes : if there are none, it has the rate"""
    columns = {"times": (np.dtype(np.float64), ()), "counts": (np.dtype(np.int64), items)}
    rate = {} if attributes else {"rate": (np.dtype(np.float64), items)}
    return Table(f"rates/{link_name(population)}", columns | rate, {}, attributes)


def tables_of(recorders: Iterable[Recorder], sizes: Mapping[str, int], batch: int, dtype: np.dtype) -> tuple[Table, ...]:
    """The tables of all recorders. sizes : of the populations; dtype : of the states"""
    items = () if batch == 1 else (batch,)
    found = []
    for recorder in recorders:
        name, size = recorder.population, sizes[recorder.population]
        if isinstance(recorder, Spikes):
            found.append(spike_table(name, batch > 1))
        elif isinstance(recorder, Rates):
            found.append(rate_table(name, items, {"interval": float(recorder.interval), "neurons": size}))
        else:
            neurons = chosen_neurons(recorder.neurons, size, f"States of {name!r}")
            found.append(state_table(name, {field: (dtype, (*items, len(neurons))) for field in recorder.fields}, neurons))
    return tuple(found)


def rows_of(recording: Recording) -> dict[str, dict[str, np.ndarray]]:
    """What a recording adds to each table, by its path; spikes in the order of time, batch and neuron."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, spikes in recording.spikes.items():
        columns = {"timestamps": spikes.times, "node_ids": spikes.neurons, "batch": spikes.batch}
        if len(spikes.batch) and spikes.batch[0] != spikes.batch[-1]:
            order = np.lexsort((spikes.neurons, spikes.batch, spikes.times))
            columns = {column: values[order] for column, values in columns.items()}
        found[f"spikes/{link_name(name)}"] = columns
    for name, states in recording.states.items():
        found[f"states/{link_name(name)}"] = {"times": states.times, **states.values}
    for name, rates in recording.rates.items():
        found[f"rates/{link_name(name)}"] = {"times": rates.times, "counts": rates.counts, "rate": rates.rate}
    return found


def chunk_bytes(tables: Sequence[Table]) -> int:
    """Bytes of one chunk: few enough that those of all columns that are being filled fit into the memory together."""
    return min(MOST_CHUNK, max(LEAST_CHUNK, ALL_CHUNKS // max(1, sum(len(table.columns) for table in tables))))


def _chunk(dtype: np.dtype, row: tuple[int, ...], most_bytes: int, most_rows: int) -> tuple[int, ...]:
    """The shape of a chunk: whole rows, or pieces of one where they are long."""
    width = math.prod(row) * dtype.itemsize
    if width <= most_bytes:
        return max(1, min(most_rows, most_bytes // max(width, 8))), *(max(1, n) for n in row)
    return *(1 for _ in row), min(row[-1], most_bytes // dtype.itemsize)


def make_file(file: Any, tables: Sequence[Table], attributes: Mapping[str, Any], *, rows: int = 2**30, **options: Any) -> None:
    """Write into an empty `h5py.File` the tables without rows. rows : as many as a chunk may hold; options : of the columns"""
    import h5py

    file.attrs["magic"] = np.uint32(MAGIC)
    file.attrs["version"] = np.array(VERSION, np.uint32)
    for name, value in attributes.items():
        file.attrs[name] = value
    for kind in ("spikes", "states", "rates"):
        file.create_group(kind, track_order=True)
    most = chunk_bytes(tables)
    for table in tables:
        group = file.create_group(table.path, track_order=True)
        for name, (dtype, row) in table.columns.items():
            group.create_dataset(
                name,
                shape=(0, *row),
                maxshape=(None, *(n or None for n in row)),
                dtype=dtype,
                chunks=_chunk(dtype, row, most, max(rows, 1)),
                **options,
            )
        for name, array in table.fixed.items():
            group.create_dataset(name, data=array)
        for name, value in table.attributes.items():
            group.attrs[name] = value
        if table.path.startswith("spikes/"):
            group["timestamps"].attrs["units"] = "ms"
            group.attrs.create("sorting", SORTING["by_time"], dtype=h5py.enum_dtype(SORTING))


def rows_in(file: Any, table: Table) -> int:
    """How many rows a table has in a file."""
    return len(file[table.path][next(iter(table.columns))])


def put(file: Any, table: Table, at: int, rows: Mapping[str, np.ndarray]) -> None:
    """Write rows from the row ``at`` on; what was beyond is gone."""
    group = file[table.path]
    for name in table.columns:
        column, values = group[name], rows[name]
        if len(column) != at + len(values):
            column.resize(at + len(values), axis=0)
        if len(values):
            column[at:] = values


def cut(file: Any, table: Table, rows: int) -> None:
    """Drop the rows from ``rows`` on."""
    for name in table.columns:
        file[table.path][name].resize(rows, axis=0)


def catch_up(file: Any, source: Any, table: Table) -> None:
    """Copy to a file the rows that it lacks; the last of its bins may have held fewer spikes then."""
    begin, end = rows_in(file, table), rows_in(source, table)
    if table.path.startswith("rates/"):
        begin = max(begin - 1, 0)
    row_bytes = sum(dtype.itemsize * math.prod(row) for dtype, row in table.columns.values())
    step = max(1, BLOCK // row_bytes)
    for first in range(begin, end, step):
        rows = {name: source[table.path][name][first : min(first + step, end)] for name in table.columns}
        put(file, table, first, rows)
