"""Where a task finds its data: what ``--data`` says, or in the folder that the variable EVENTSIM_DATA names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import click

from eventsim.errors import StorageError

FOLDER = "EVENTSIM_DATA"


class Source(NamedTuple):
    """Data that a task needs: its module calls them SOURCE.

    names : what they may be called in the folder EVENTSIM_DATA
    advice : where they come from and what ``--data`` takes; lines with an address stand for themselves in the help
    """

    names: tuple[str, ...]
    advice: str


def data(source: Source) -> click.Option:
    """``--data``"""
    text = f"A local file or folder, see above.  [default: {' or '.join(source.names)} in the folder {FOLDER}]"
    return click.Option(["--data"], type=click.Path(), help=text)


def find(given: str | None, source: Source) -> Path:
    """The path of the data; a StorageError that says what to get from where if there are none."""
    if given is not None:
        candidates, tried = [Path(given)], f"--data: there is no {given}"
    elif folder := os.environ.get(FOLDER):
        candidates, tried = [Path(folder) / name for name in source.names], f"there is no {' or '.join(source.names)} in {folder}"
    else:
        candidates, tried = [], f"no data: neither --data nor {FOLDER} is given"
    for path in candidates:
        if os.path.exists(path):  # which says no, too, to what cannot be a name
            return path
    raise StorageError(
        f"{tried}. Nothing is downloaded here. {source.advice} The variable {FOLDER} may name the folder they are in."
    )
