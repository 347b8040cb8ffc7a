"""Whether rows, a file and a position in it fit the tables that are being recorded; cutting a file back to a position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eventsim.errors import StorageError
from eventsim.recordings.layout import Table, cut, put, rows_in


def check_rows(tables: Sequence[Table], rows: Mapping[str, Mapping[str, np.ndarray]], label: str) -> None:
    """Refuse rows that are not those of these tables."""
    if set(rows) != {table.path for table in tables}:
        odd = sorted(set(rows) ^ {table.path for table in tables})
        raise StorageError(f"{label}, {odd[0]}: recorded by one of the recording and the writer, but not by both")
    for table in tables:
        count = len(next(iter(rows[table.path].values())))
        for name, (dtype, row) in table.columns.items():
            found = rows[table.path].get(name)
            if found is None or found.shape != (count, *row) or found.dtype != dtype and name not in ("node_ids", "batch"):
                what = "is missing" if found is None else f"holds {found.dtype} {found.shape}"
                raise StorageError(f"{label}, {table.path}/{name}: {what}; the writer was made for {dtype} {(count, *row)}")


def check_file(file: Any, tables: Sequence[Table], attributes: Mapping[str, float], label: str) -> None:
    """Refuse a file that a writer of other tables has written."""
    for name, value in attributes.items():
        if name not in file.attrs or file.attrs[name] != value:
            raise StorageError(f"{label}: its {name} is {file.attrs.get(name)}, not {value}: it is the recording of something else")
    found = {f"{kind}/{name}" for kind in ("spikes", "states", "rates") for name in file.get(kind, ())}
    if found != {table.path for table in tables}:
        odd = sorted(found ^ {table.path for table in tables})
        raise StorageError(f"{label}: {odd[0]} is {'not asked for' if odd[0] in found else 'missing'}; record what it records")
    for table in tables:
        group = file[table.path]
        same = set(group) == set(table.columns) | set(table.fixed)
        same = same and all((group[c].dtype, group[c].shape[1:]) == (dtype, row) for c, (dtype, row) in table.columns.items())
        same = same and len({len(group[c]) for c in table.columns}) == 1
        same = same and all(np.array_equal(group[name][()], array) for name, array in table.fixed.items())
        if not same or any(group.attrs.get(name) != value for name, value in table.attributes.items()):
            raise StorageError(f"{label}, {table.path}: records other neurons, states or intervals, or a batch of another size")


def cut_to(file: Any, tables: Sequence[Table], position: Mapping[str, Any], label: str) -> dict[str, tuple[float, np.ndarray]]:
    """Drop what was recorded after a position; for each rate with a bin, where its last one begins (ms), and its counts."""
    rows, last_counts = _whole_numbers(position, tables, label)
    last_bins = {}
    for table in tables:
        held, count = rows_in(file, table), rows[table.path]
        if held < count:
            raise StorageError(f"{label}, {table.path}: holds {held:,} rows, the position has {count:,}; it is an older recording")
        cut(file, table, count)
        if table.path.startswith("rates/") and count:
            begin, counts = file[table.path]["times"][count - 1 :], last_counts[table.path]
            put(file, table, count - 1, {"times": begin, "counts": counts})
            last_bins[table.path] = float(begin[0]), counts[0]
    return last_bins


def _whole_numbers(
    position: Mapping[str, Any], tables: Sequence[Table], label: str
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """The rows of each table and the counts (1 bin, ...) of the last bins, once they were found to be such."""
    try:
        rows = {table.path: position["rows"][table.path] for table in tables}
        counts = {}
        for table in tables:
            if table.path.startswith("rates/") and rows[table.path]:
                counts[table.path] = np.array(position["last_counts"][table.path], np.int64).reshape(1, *table.columns["counts"][1])
        good = all(type(count) is int and count >= 0 for count in rows.values()) and 0 <= float(position["stop"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StorageError(f"{label}: this is no position of such a recording ({error!r})") from error
    if not good or any((array < 0).any() for array in counts.values()):
        raise StorageError(f"{label}: this is no position of a recording: a number in it is negative or not whole")
    return rows, counts
