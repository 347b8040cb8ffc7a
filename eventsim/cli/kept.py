"""A run that can be resumed: its network, what was asked for, its state and its recording, in one folder."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
        given = json.loads((folder / ASKED).read_text())
        return Asked(**given)
    except FileNotFoundError as error:
        raise StorageError(f"{str(folder)!r} holds no run that can be resumed: 'eventsim run ... --checkpoint-every MS'") from error
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"file {str(folder / ASKED)!r}: does not describe a run ({error})") from error


def go_on(folder: Path, workers: int | None = None, checkpoint: str = CHECKPOINT, force: bool = False) -> Run:
    """Begin the run that is kept in a folder, or go on with it, to its end.

    workers : threads; None: as many as were asked for when it began
    checkpoint : the name of the one to go on from, if it is there
    force : build what needs more memory than there is, even if the run was not begun so
    """
    asked, network = _read(folder), load(folder / NETWORK)
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
    before = Counters(*(asked.before or []))
    return Run(example, read(folder / RECORDING), before, simulation.counters, asked.duration, built, wall)


def _simulation(checkpoint: Path, asked: Asked, network: Any, workers: int | None, force: bool) -> Simulation:
    """As the checkpoint left it; new if there is none yet."""
    threads = asked.settings.get("workers") if workers is None else workers
    force = force or asked.settings.get("force", False)
    if checkpoint.exists():
        return Simulation.load(checkpoint, network, workers=threads, force=force)
    settings = asked.settings | {"force": force} | ({} if threads is None else {"workers": threads})
    return Simulation(network, record=asked.recorders(), **settings)
