"""Recordings in files, in both formats."""

from __future__ import annotations

import errno
import os
import sys

import h5py
import numpy as np
import pytest

from eventsim.errors import StorageError
from eventsim.recording import RateData, Recording, SpikeData, StateData
from eventsim.recordings.file import save_recording

NOTHING = np.zeros(0, np.int64)
RECORDING = Recording(
    start=0.0,
    stop=2.0,
    dt=0.5,
    spikes={
        "a": SpikeData(np.array([0.5, 1.0]), np.array([3, 1]), np.array([0, 0])),
        "b": SpikeData(np.zeros(0), NOTHING, NOTHING),
    },
    states={"a": StateData(np.array([1.0, 2.0]), np.array([0, 4]), {"v": np.ones((2, 2)), "i": np.zeros((2, 2))})},
    rates={"a": RateData(np.array([0.0, 1.0]), np.array([2, 0]), np.array([400.0, 0.0]))},
)


def expected():
    return {
        "spikes/a/times": [0.5, 1.0],
        "spikes/a/neurons": [3, 1],
        "spikes/a/batch": [0, 0],
        "spikes/b/times": [],
        "states/a/times": [1.0, 2.0],
        "states/a/neurons": [0, 4],
        "states/a/v": [[1.0, 1.0], [1.0, 1.0]],
        "rates/a/counts": [2, 0],
    }


def test_npz(tmp_path):
    save_recording(RECORDING, tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz") as file:
        for name, values in expected().items():
            assert file[name].tolist() == values
        assert (file["start"], file["stop"], file["dt"]) == (0.0, 2.0, 0.5)


def test_hdf5(tmp_path):
    save_recording(RECORDING, tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        columns = {
            "spikes/a/times": "spikes/a/timestamps",
            "spikes/a/neurons": "spikes/a/node_ids",
            "spikes/b/times": "spikes/b/timestamps",
        }
        for name, values in expected().items():
            if name != "spikes/a/batch":  # left out where there is no batch
                assert file[columns.get(name, name)][()].tolist() == values
        attributes = {name: file.attrs[name] for name in ("start", "stop", "dt", "batch", "complete")}
        assert attributes == {"start": 0.0, "stop": 2.0, "dt": 0.5, "batch": 1, "complete": 1}


def test_hdf5_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(StorageError, match=r"eventsim\[io\]"):
        save_recording(RECORDING, tmp_path / "r.h5")


@pytest.mark.parametrize("room", [0, 2000, 4000, 8000])
def test_hdf5_on_a_full_disk(tmp_path, monkeypatch, room):
    save_recording(RECORDING, tmp_path / "r.h5")
    before, left, pwrite = (tmp_path / "r.h5").read_bytes(), [room], os.pwrite

    def short_of_room(file, data, at):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= len(data)
        return pwrite(file, data, at)

    monkeypatch.setattr("eventsim.files.steady_file.os.pwrite", short_of_room)
    with pytest.raises(StorageError, match="r.h5.*No space left"):
        save_recording(RECORDING, tmp_path / "r.h5")
    assert (tmp_path / "r.h5").read_bytes() == before
    assert os.listdir(tmp_path) == ["r.h5"]


@pytest.mark.parametrize("name", ["r.npz", "r.h5"])
def test_a_folder_that_is_not_there(tmp_path, name):
    with pytest.raises(StorageError, match="cannot be written"):
        save_recording(RECORDING, tmp_path / "no" / name)
