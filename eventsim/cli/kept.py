"""A run that can be resumed: its network, what was asked for, its state and its recording, in one folder."""

from __future__ import annotations

import fcntl
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import click

from eventsim.cli.report import Run
from eventsim.cli.waiting import waiting
from eventsim.errors import StorageError
from eventsim.networks import Example
from eventsim.recording import Recorder, Spikes, States
from eventsim.recordings.read import read
from eventsim.simulation import Counters, Simulation
from eventsim.storage import load, save

NETWORK, CHECKPOINT, RECORDING, ASKED = "network.npz", "checkpoint.npz", "recording.h5", "run.json"
SETTINGS = {"method", "seed", "dt", "workers", "update", "dtype", "weight_dtype", "force"}  # of `Simulation`, that a run may have
RESULTS = "results.json"  # of a run that is finished


class Asked(NamedTuple):
    """What a run was asked for.

    example : what an `Example` holds besides its network; settings : of `Simulation`; states : what its States recorders are given
    duration, discard, checkpoint_every : ms; before : the counters where the counted time begins, once that has come
    """

    example: dict[str, Any]
    settings: dict[str, Any]
    states: list[dict[str, Any]]
    duration: float
    discard: float
    checkpoint_every: float
    before: list[int] | None = None

    def recorders(self) -> list[Recorder]:
        """The recorders."""
        return [*map(Spikes, self.example["record"]), *(States(**given) for given in self.states)]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Within it no other process runs in the folder; the system lets go of the lock when this one ends, however it does."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"folder {str(folder)!r}: another process is running there") from error
        yield


def begin(folder: Path, example: Example, asked: Asked, overwrite: bool) -> None:
    """Write what is needed to begin. overwrite : whether a run that is not finished may be lost"""
    if (folder / ASKED).exists() and not (folder / RESULTS).exists() and not overwrite:
        raise StorageError(
            f"folder {str(folder)!r}: holds a run that is not finished: 'eventsim resume {folder}' goes on with it, --overwrite "
            "begins anew"
        )
    for name in (RESULTS, CHECKPOINT, RECORDING):
        (folder / name).unlink(missing_ok=True)
    save(example.network, folder / NETWORK)
    _write(folder, asked)


def _write(folder: Path, asked: Asked) -> None:
    text = json.dumps(asked._asdict(), indent=1)
    try:
        unfinished = folder / (ASKED + ".part")
        unfinished.write_text(text + "\n")
        unfinished.replace(folder / ASKED)
    except OSError as error:
        raise StorageError(f"file {str(folder / ASKED)!r}: cannot be written ({error.strerror})") from error


def _read(folder: Path) -> Asked:
    try:
        return _checked(json.loads((folder / ASKED).read_text()))
    except FileNotFoundError as error:
        raise StorageError(f"{str(folder)!r} holds no run that can be resumed: 'eventsim run ... --checkpoint-every MS'") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"file {str(folder / ASKED)!r}: does not describe a run ({error})") from error


def _checked(given: Any) -> Asked:
    """What a description says; a TypeError or ValueError says what in it is no part of one."""
    asked = Asked(**given)
    example, times = asked.example, [asked.duration, asked.discard, asked.checkpoint_every]
    if not isinstance(example, dict) or set(example) != {field.name for field in fields(Example)} - {"network"}:
        raise ValueError("example must hold what an example does")
    times += [example[name] for name in ("dt", "duration", "discard")]
    lists: list[tuple[str, Any]] = [("record", str), ("notes", str), ("expected", (int, float))]
    if not all(isinstance(example[name], list) and all(isinstance(v, kind) for v in example[name]) for name, kind in lists):
        raise ValueError("record, notes and expected must be lists of texts and numbers")
    if not isinstance(example["name"], str) or not isinstance(asked.states, list):
        raise ValueError("name must be a text, states a list")
    if not all(type(time) in (int, float) and 0.0 <= time < math.inf for time in times) or not asked.duration > 0.0 < example["dt"]:
        raise ValueError("times must be numbers of ms, not negative, and duration and dt above 0")
    if not isinstance(asked.settings, dict) or not set(asked.settings) <= SETTINGS:
        raise ValueError(f"settings must be of {', '.join(sorted(SETTINGS))}")
    if type(asked.settings.get("force", False)) is not bool:
        raise ValueError("force must be true or false")
    before = asked.before
    if before is not None and not (
        isinstance(before, list) and len(before) == len(Counters._fields) and set(map(type, before)) <= {int}
    ):
        raise ValueError("before must be the numbers of the counters")
    asked.recorders()  # refuses states that are none
    return asked


def go_on(folder: Path, workers: int | None = None, checkpoint: str = CHECKPOINT, force: bool = False) -> Run:
    """Begin the run that is kept in a folder, or go on with it, to its end.

    workers : threads; None: as many as were asked for when it began
    checkpoint : the name of the one to go on from, if it is there
    force : build what needs more memory than there is, even if the run was not begun so
    """
    asked, network = _read(folder), load(folder / NETWORK)
    for name in asked.example["record"]:
        network.population(name, f"file {str(folder / ASKED)!r}, record")
    example = Example(network=network, **{**asked.example, "record": tuple(asked.example["record"])})
    start = time.perf_counter()
    with waiting("building and compiling"):
        simulation = _simulation(folder / checkpoint, asked, network, workers, force)
    built = time.perf_counter() - start
    how: dict[str, Any] = {"checkpoint": folder / CHECKPOINT, "progress": True}
    anew = how | {"checkpoint_every": asked.checkpoint_every}
    if 0.0 < simulation.time < asked.discard:
        simulation.resume(**how)
    elif simulation.time < asked.discard:
        simulation.run(asked.discard, **anew)
    if asked.before is None or simulation.time <= asked.discard:
        asked = asked._replace(before=list(simulation.counters))
        _write(folder, asked)
    start, begun = time.perf_counter(), simulation.time
    if begun > asked.discard:
        simulation.resume(**how)
    else:
        simulation.run(asked.duration, to=folder / RECORDING, overwrite=True, **anew)
    wall = time.perf_counter() - start
    if begun > asked.discard:
        click.echo(f"resumed at {begun:g} ms: building and simulating are of what was left")
    if abs(simulation.time - asked.discard - asked.duration) > 0.5 * example.dt:
        raise StorageError(f"folder {str(folder)!r}: its checkpoint is of another run than {ASKED}; begin anew with --overwrite")
    before, recording = Counters(*(asked.before or [])), read(folder / RECORDING)
    lost = sorted(set(example.record) - set(recording.spikes))
    if lost:
        raise StorageError(f"file {str(folder / RECORDING)!r}: the spikes of {lost[0]!r} are missing")
    return Run(example, recording, before, simulation.counters, asked.duration, built, wall)


def _simulation(checkpoint: Path, asked: Asked, network: Any, workers: int | None, force: bool) -> Simulation:
    """As the checkpoint left it; new if there is none yet."""
    threads = asked.settings.get("workers") if workers is None else workers
    force = force or asked.settings.get("force", False)
    if checkpoint.exists():
        return Simulation.load(checkpoint, network, workers=threads, force=force)
    settings = {name: value for name, value in asked.settings.items() if value is not None} | {"force": force}
    return Simulation(network, record=asked.recorders(), **(settings if threads is None else settings | {"workers": threads}))
