"""What odd input has once been taken, or has ended in an error of somebody else, by name."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from eventsim import (
    LIF,
    AllToAll,
    EventsimError,
    Network,
    NetworkError,
    PoissonSource,
    Population,
    Projection,
    StorageError,
    estimate,
    jit,
)
from eventsim.connectivity import Connectivity
from eventsim.files.npz import read_npz


@pytest.mark.parametrize(
    "odd", [np.array([1 + 2j]), "10", np.array(["10"]), np.array(["2020-01-01"], "M8[D]"), 10**400, [[1.0], [1.0, 2.0]]]
)
def test_what_is_no_real_number_is_no_rate_and_no_parameter(odd):
    for make in (PoissonSource, lambda value: LIF(v_th=value), lambda value: LIF(refractory=value)):
        with pytest.raises(EventsimError):
            make(odd)


def test_rows_of_different_lengths_are_no_weights():
    with pytest.raises(EventsimError, match="weights must be an array of numbers"):
        Connectivity([0, 2], [0, 1], weights=[1.0, [2.0]], n_target=2)


def test_delays_of_more_steps_than_are_counted_are_not_estimated():
    pair = Population("a", 2, LIF()), Population("b", 2, LIF())
    for delay, dt in ((1e300, 0.1), (1.0, 1e-320)):
        with pytest.raises(NetworkError, match=r"do not fit 0 to 2\*\*31 - 2 steps"):
            estimate(Network(pair, (Projection("a", "b", AllToAll(), weight=1.0, delay=delay),)), dt)


def test_a_header_that_is_no_literal(tmp_path):
    np.savez(tmp_path / "n.npz", a=np.zeros(3))
    blob = (tmp_path / "n.npz").read_bytes()

    array = zipfile.ZipFile(io.BytesIO(blob)).read("a.npy").replace(b"(3,), }", b"(3,  }}")
    with zipfile.ZipFile(tmp_path / "n.npz", "w") as archive:
        archive.writestr("a.npy", array)
    with pytest.raises(StorageError, match=r"not a \.npy array"):
        read_npz(tmp_path / "n.npz")


def test_machine_code_of_a_user_without_a_home_is_not_kept(monkeypatch):
    for name in ("EVENTSIM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "~")
    try:
        jit.cache_folder.cache_clear()
        assert jit.cache_folder() is None
    finally:
        jit.cache_folder.cache_clear()


def test_spoken_digits_that_lie_in_another_file_are_not_read(tmp_path):
    h5py, bridge = pytest.importorskip("h5py"), pytest.importorskip("norse_bridge")
    (tmp_path / "secret").write_bytes(bytes(4))
    with h5py.File(tmp_path / "shd_train.h5", "w") as file:
        file.create_dataset("labels", shape=(2,), dtype="u2", external=[(str(tmp_path / "secret"), 0, 4)])
    with pytest.raises(StorageError, match="lies in another file"):
        bridge.SpikingHeidelbergDigitsDataset(tmp_path)
