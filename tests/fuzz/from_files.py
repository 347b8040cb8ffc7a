"""Entrances that are files: networks, recordings, checkpoints, a file that a run goes on with, a connectome."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.commands import invoke
from fuzz.containers import members_of, odd_hdf5, odd_npz
from fuzz.draw import Draw
from fuzz.running import DT, STEPS, recorders, run_exactly, run_on_grid

from eventsim import (
    LIF,
    AllToAll,
    Current,
    FixedInDegree,
    FixedProbability,
    GammaSource,
    Increment,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    Spikes,
    SpikeSource,
    States,
    Uniform,
    VaryingRate,
    load,
    read,
    save,
)
from eventsim.cli import main
from eventsim.connectivity import Connectivity
from eventsim.networks.fly import SUGAR_NEURONS, fly, read_connectome
from eventsim.recordings.file import save_recording

MAX_BYTES = 2**24
SHORT = (1e-9,)  # of the odd numbers those that make steps so short that a run takes long


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="eventsim-fuzz-"))


def example(exact: bool = False) -> Network:
    """A network with some of everything that a file can hold, of few kinds of machine code."""
    own = Connectivity([0, 2, 3, 3, 4], [1, 2, 0, 3], np.array([0.5, -0.5, 0.7, 1.0]), np.array([0.5, 1.0, 1.5, 0.5]), 4)
    varying = VaryingRate([[100.0] * 4, [500.0] * 4], [0.0, 1.5], "linear")
    populations = (
        Population(
            "a", 4, LIF(v_th=[0.5, 0.6, 0.7, 0.8], refractory=1.0), initial={"v": Uniform(0.0, 0.4), "i": np.arange(4) / 8.0}
        ),
        Population("b", 4, LIF(v_th=[1.0, 0.6, 0.7, 0.8], refractory=1.0)),
        Population("noise", 4, PoissonSource(varying)),
        Population("gamma", 4, GammaSource(200.0, [1.0, 2.0, 0.5, 1.0])),
        Population("given", 4, SpikeSource([0.5, 1.0, 1.0], [0, 1, 2])),
    )
    projections = (
        Projection("a", "b", own),
        Projection("b", "a", FixedProbability(0.5), weight=Normal(0.3, 0.1, low=0.0), delay=1.0),
        Projection("noise", "a", AllToAll(), weight=0.4, delay=Uniform(0.5, 2.0)),
        Projection("gamma", "b", FixedInDegree(2), weight=0.4, delay=0.5),
        Projection("given", "b", np.eye(4), delay=1.0),
    )
    inputs: tuple[Any, ...] = (PoissonNoise("a", 300.0, 0.2), Current("b", [[0.2] * 4, [0.3] * 4], times=[0.0, 2.0]))
    return Network(populations, projections, inputs if exact else (*inputs, Increment("b", [0.01, 0.02, 0.0, 0.0])))


@functools.cache
def _network_file(exact: bool) -> dict[str, np.ndarray]:
    save(example(exact), _folder() / "network.npz")
    return members_of(_folder() / "network.npz")


def network_file(draw: Draw, folder: Path) -> None:
    """`eventsim.load` of a changed network, which is then run."""
    exact = draw.chance(0.4)
    odd_npz(draw, folder / "n.npz", _network_file(exact))
    network = load(folder / "n.npz", max_bytes=MAX_BYTES)
    run_exactly(network) if exact else run_on_grid(network)


@functools.cache
def _recording(name: str) -> Path:
    """A recording: in an .npz, or in HDF5 as it is saved, or as it is written during a run."""
    network, path = example(), _folder() / name
    if name.startswith("run"):
        simulation = Simulation(network, DT, record=recorders(network), batch=1 + name.startswith("run2"))
        simulation.run(2.0, to=path)
        simulation.run(2.0, to=path)
    else:
        save_recording(Simulation(network, DT, record=recorders(network), batch=2).run(STEPS * DT), path)
    return path


def recording_npz(draw: Draw, folder: Path) -> None:
    """`eventsim.read` of a changed .npz."""
    odd_npz(draw, folder / "r.npz", members_of(_recording("saved.npz")))
    _use(read(folder / "r.npz", max_bytes=MAX_BYTES), folder)


def recording_hdf5(draw: Draw, folder: Path) -> None:
    """`eventsim.read` of a changed HDF5 file."""
    shutil.copy(_recording(draw.one(("saved.h5", "run1.h5", "run2.h5"))), folder / "r.h5")
    odd_hdf5(draw, folder / "r.h5")
    _use(read(folder / "r.h5", max_bytes=MAX_BYTES), folder)


def _use(recording: Any, folder: Path) -> None:
    """What was read can be written again."""
    save_recording(recording, folder / "again.h5")
    save_recording(recording, folder / "again.npz")


@functools.cache
def _checkpoint(exact: bool) -> tuple[Network, dict[str, np.ndarray], dict[str, Any]]:
    network, path = example(exact), _folder() / f"checkpoint{exact}.npz"
    record = [Spikes("a"), Rates("b", 1.0), States("a", ("v", "i"), neurons=[0, 2], interval=1.0)]
    given = {"spikes": {"given": SpikeSource([0.5, 3.0, 3.5], [0, 1, 2])}}
    how: dict[str, Any] = {"method": "exact"} if exact else {"dt": DT, "batch": 2}
    Simulation(network, record=record, **given, **how).run(2.0, checkpoint=path, to=_folder() / f"of{exact}.h5")
    return network, members_of(path), given


def checkpoint(draw: Draw, folder: Path, exact: bool = False) -> None:
    """`Simulation.load` of a changed checkpoint, and on with it; a file that it names may be there, or have changed, too."""
    network, members, given = _checkpoint(exact)
    odd_npz(draw, folder / "c.npz", members)
    name = f"of{exact}.h5"
    if draw.chance(0.5):
        shutil.copy(_folder() / name, folder / name)
    simulation = Simulation.load(folder / "c.npz", network, max_bytes=MAX_BYTES, **given)
    if draw.chance(0.7) or not (folder / name).exists():
        simulation.run(2.0)
    else:
        simulation.run(2.0, to=folder / name)


def checkpoint_exact(draw: Draw, folder: Path) -> None:
    """The same in continuous time."""
    checkpoint(draw, folder, True)


def written_file(draw: Draw, folder: Path) -> None:
    """A run that goes on with an HDF5 file that has changed since its checkpoint."""
    network, _, given = _checkpoint(False)
    shutil.copy(_folder() / "checkpointFalse.npz", folder / "c.npz")
    shutil.copy(_folder() / "ofFalse.h5", folder / "ofFalse.h5")
    odd_hdf5(draw, folder / "ofFalse.h5")
    simulation = Simulation.load(folder / "c.npz", network, **given)
    simulation.run(1.0, to=folder / "ofFalse.h5")


@functools.cache
def _connectome() -> dict[str, np.ndarray]:
    ids = np.array([1, 2, SUGAR_NEURONS[0], 3], np.int64)
    indptr, post = np.array([0, 2, 3, 4, 4], np.int64), np.array([1, 2, 0, 1], np.int32)
    return {
        "root_id": ids,
        "indptr": indptr,
        "post": post,
        "syn": np.array([3, -2, 5, 90], np.int16),
        "pre": np.repeat(np.arange(4), np.diff(indptr)),
    }


def connectome(draw: Draw, folder: Path) -> None:
    """The fly's network of a changed connectome."""
    odd_npz(draw, folder / "c.npz", _connectome())
    read_connectome(folder / "c.npz")
    run_on_grid(fly(folder / "c.npz", dt=0.1).network, 0.1)


def run_description(draw: Draw, folder: Path) -> None:
    """``eventsim resume`` of a folder in which the run's description has changed."""
    kept = _kept_run()
    for path in kept.iterdir():
        shutil.copy(path, folder / path.name)
    made = draw.below(4)
    if made < 2:
        description = draw.json(json.loads((kept / "run.json").read_text()))
        if _takes_long(description):
            return
        (folder / "run.json").write_bytes(draw.text(description))
    elif made == 2:
        odd_npz(draw, folder / "network.npz", members_of(kept / "network.npz"))
    else:
        odd_npz(draw, folder / "checkpoint.npz", members_of(kept / "checkpoint.npz"))
    invoke(main, ["resume", str(folder)])


def _takes_long(description: Any) -> bool:
    """Whether it plainly asks for a run that takes long."""
    asked = description if isinstance(description, dict) else {}
    settings = asked.get("settings")
    times = [
        asked.get("duration"),
        asked.get("discard"),
        1.0 / settings["dt"] if isinstance(settings, dict) and settings.get("dt") in SHORT else 0.0,
    ]
    return any(isinstance(time, (int, float)) and 1e4 < time < 1e18 for time in times)


@functools.cache
def _kept_run() -> Path:
    save(example(), _folder() / "small.npz")
    target = _folder() / "kept"
    invoke(
        main,
        ["run", str(_folder() / "small.npz"), "--dt", "0.5", "--duration", "4", "--checkpoint-every", "2", "--output", str(target)],
    )
    (target / "results.json").unlink()
    return target


ENTRANCES = {
    "network-file": network_file,
    "recording-npz": recording_npz,
    "recording-hdf5": recording_hdf5,
    "checkpoint": checkpoint,
    "checkpoint-exact": checkpoint_exact,
    "written-file": written_file,
    "connectome": connectome,
    "run-folder": run_description,
}
