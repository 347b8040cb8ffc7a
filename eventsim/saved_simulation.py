"""From a simulation to a checkpoint, and back to a simulation that goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.checkpoint import decode_recorders, digest, encode_recorders, fingerprint, read_checkpoint, write_checkpoint
from eventsim.errors import EventsimError, MemoryShortage, SimulationError, StorageError
from eventsim.long_run import Plan, make_plan
from eventsim.network import Network
from eventsim.recording import Recorder
from eventsim.state import NEVER
from eventsim.stimuli import SpikeSource


def save_simulation(simulation: Any, path: str | Path, plan: Plan | None = None, stop: Any = None) -> None:
    """Write a checkpoint; of a run, with what it takes to go on with that.

    stop : where the run ends
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise SimulationError(f"save: a checkpoint must have a name that ends in .npz, not {path.name!r}")
    state, arrays = simulation._capture()
    recorders, of_recorders = encode_recorders(simulation._recorders)
    description = {
        "network": _network_hash(simulation),
        "given": digest(_given_parts(*simulation._given)),
        "settings": simulation._settings(),
        "record": recorders,
        "state": state,
        "written": {os.path.relpath(to, path.parent): position for to, position in simulation._written.items()},
        "run": None if plan is None else _run_of(path, plan, stop),
    }
    arrays = {f"state/{name}": array for name, array in arrays.items()}
    write_checkpoint(path, description, of_recorders | arrays, 1 if plan is None else plan.keep)


def _network_hash(simulation: Any) -> str:
    """The hash of its network, which is computed once."""
    if simulation._fingerprint is None:
        simulation._fingerprint = fingerprint(simulation.network)
    return simulation._fingerprint


def _given_parts(spikes: Mapping[str, Any] | None, increments: Mapping[str, Any] | None) -> list[Any]:
    """What was given besides the network, as bytes and arrays."""
    parts: list[Any] = []
    for kind, given in (("spikes", spikes or {}), ("increments", increments or {})):
        for name in sorted(given):
            value = given[name]
            parts.append(f"{kind} {name}".encode())
            for entry in value if isinstance(value, (list, tuple)) else (value,):
                parts += [entry.times, entry.neurons] if isinstance(entry, SpikeSource) else [np.asarray(entry)]
    return parts


def check_savable(simulation: Any, path: Path) -> None:
    """Refuse, before a run begins, what no checkpoint can be written of, and a place where none can be."""
    if not path.parent.is_dir():
        raise StorageError(f"file {str(path)!r}: cannot be written (there is no folder {str(path.parent)!r})")
    _network_hash(simulation)


def _run_of(path: Path, plan: Plan, stop: Any) -> dict[str, Any]:
    """What a run was to do; its file as seen from the folder of the checkpoint, so that both can be moved together."""
    to = None if plan.to is None else os.path.relpath(plan.to, path.parent)
    return {"stop": stop, "to": to, "every": plan.every, "keep": plan.keep}


def load_simulation(
    make: Any,
    path: str | Path,
    network: Network,
    workers: int | None,
    record: Sequence[Recorder] | None,
    spikes: Mapping[str, Any] | None,
    increments: Mapping[str, Any] | None,
    max_bytes: int,
    force: bool,
    backend: str = "cpu",
) -> Any:
    """See `Simulation.load`. make : that class"""
    label = f"file {Path(path).name!r}"
    description, arrays = read_checkpoint(path, max_bytes)
    wanted = ("network", "given", "settings", "record", "state", "written", "run")
    missing = [name for name in wanted if name not in description]
    if missing:
        raise StorageError(f"{label}: its description lacks {missing[0]!r}")
    found = fingerprint(network)
    if found != description["network"]:
        raise StorageError(f"{label}: the checkpoint is of another network; give the one that was simulated")
    if digest(_given_parts(spikes, increments)) != description["given"]:
        raise StorageError(f"{label}: the simulation was given other spikes or increments; give the same again")
    settings, state = description["settings"], description["state"]
    if not isinstance(settings, dict) or not isinstance(state, dict):
        raise StorageError(f"{label}: settings and state must be mappings")
    batch = settings.get("batch", 1)
    if (
        isinstance(batch, bool)
        or not isinstance(batch, int)
        or batch < 1
        or batch > 1
        and not any(name.startswith(f"state/item{batch - 1}/") for name in arrays)
    ):
        raise StorageError(f"{label}: settings, batch must be the number of batch items that the file holds, not {batch!r}")
    if workers is not None and settings.get("method") == "exact":
        raise SimulationError("load: method='exact' runs on one thread; leave out workers")
    recorders = decode_recorders(description["record"], arrays, label) if record is None else record
    given = {"spikes": spikes, "increments": increments, "workers": workers, "backend": None if backend == "cpu" else backend}
    try:
        simulation = make(network, record=recorders, force=force, **settings, **{k: v for k, v in given.items() if v is not None})
    except (StorageError, MemoryShortage):
        raise
    except (EventsimError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise StorageError(f"{label}: no simulation can be made of it: {error}") from error
    simulation._fingerprint = found
    prefix = "state/"
    mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    simulation._restore(state, mine, label)
    _take_over_files(simulation, Path(path), description["written"], label)
    if description["run"] is not None:
        _take_over_run(simulation, Path(path), description["run"], label)
    return simulation


def _take_over_files(simulation: Any, path: Path, written: Any, label: str) -> None:
    """Note how much of which files the simulation had written; they are named as seen from the folder of the checkpoint."""
    if not isinstance(written, dict) or not all(isinstance(position, dict) and "stop" in position for position in written.values()):
        raise StorageError(f"{label}: written must tell how much of files was written")
    for to, position in written.items():
        if "\0" in to:
            raise StorageError(f"{label}: written, {to!r} is no name of a file")
        simulation._written[os.path.abspath(path.parent / to)] = position


def _take_over_run(simulation: Any, path: Path, run: Any, label: str) -> None:
    """Note what the run was to do that the checkpoint was written in."""
    keys = {"stop", "to", "every", "keep"}
    if not isinstance(run, dict) or set(run) != keys or not isinstance(run["to"], (str, type(None))):
        raise StorageError(f"{label}: run must hold {', '.join(sorted(keys))}")
    if type(run["stop"]) is not type(simulation._now) or not 0 <= run["stop"] < NEVER:
        raise StorageError(f"{label}: run, stop must be where a run ends, not {run['stop']!r}")
    to = None if run["to"] is None else os.path.normpath(path.parent / run["to"])
    if to is not None and os.path.abspath(to) not in simulation._written:
        raise StorageError(f"{label}: run, to names a file that nothing was written to")
    simulation._resumed = {**run, "to": to, "checkpoint": path}
    try:
        resumed_run(simulation, None, False, None)
    except SimulationError as error:
        raise StorageError(f"{label}: {error}") from error


def resumed_run(simulation: Any, checkpoint: str | Path | None, progress: bool, report: Any) -> tuple[Any, Plan]:
    """Where the run ends that a simulation was loaded in the midst of, and what is to be done on the way."""
    run = simulation._resumed
    if not run:
        raise SimulationError("resume: this simulation comes from no checkpoint that a run has written; use run(duration)")
    checkpoint = run["checkpoint"] if checkpoint is None else checkpoint
    plan = make_plan(run["to"], False, checkpoint, run["every"], run["keep"], report, progress)
    return max(run["stop"], simulation._now), plan
