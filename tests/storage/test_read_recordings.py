"""Recordings are read as they were, and nothing that is not one gets through."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
from stretches import DT, RECORDERS, SIZES, assert_same, stretch

import eventsim as es
from eventsim.errors import StorageError
from eventsim.recordings.file import save_recording
from eventsim.recordings.stream import RecordingWriter


def written(path, batch=1):
    with RecordingWriter(path, SIZES, RECORDERS, dt=DT, batch=batch, dtype="float32") as writer:
        writer.append(stretch(0, 100, batch))
    return path


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["r.npz", "r.h5", "r.hdf5"])
def test_saved_recordings(tmp_path, name, batch):
    for first, last in ((0, 100), (13, 57), (40, 40)):
        recording = stretch(first, last, batch)
        save_recording(recording, tmp_path / name)
        assert_same(es.read(tmp_path / name), recording)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["r.npz", "r.h5"])
def test_population_names_with_slashes_dots_and_percents(tmp_path, name):
    one = stretch(0, 50)
    names = ["a/b", ".", "..", "100%", "%2F", "é", "a\0b"] if name == "r.h5" else ["a/b", ".", "100%", "é"]
    recording = es.Recording(0.0, 5.0, DT, dict.fromkeys(names, one.spikes["a"]), dict.fromkeys(names, one.states["a"]))
    save_recording(recording, tmp_path / name)
    assert_same(es.read(tmp_path / name), recording)


def test_an_npz_without_rates_has_counts(tmp_path):
    recording = stretch(0, 50)
    arrays = {name: array for name, array in recording.to_numpy().items() if not name.endswith("/rate")}
    np.savez(tmp_path / "r.npz", **arrays)
    found = es.read(tmp_path / "r.npz").rates["a"]
    assert np.array_equal(found.counts, recording.rates["a"].counts)
    assert np.all(np.isnan(found.rate))


def test_limit_of_memory(tmp_path):
    arrays = stretch(0, 100).to_numpy()
    needed = sum(array.nbytes for array in arrays.values()) - 3 * 8
    path = written(tmp_path / "r.h5")
    es.read(path, max_bytes=needed)
    with pytest.raises(StorageError, match="r.h5.*need more than .* max_bytes"):
        es.read(path, max_bytes=needed - 1)


def test_what_is_declared_is_not_allocated(tmp_path):
    path = written(tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        file["spikes/a/timestamps"].resize((2**50,))
    assert path.stat().st_size < 2**24
    with pytest.raises(StorageError, match="max_bytes"):
        es.read(path)


def test_what_is_unpacked_for_a_small_array_is_limited_too(tmp_path):
    path = written(tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        times = file["spikes/a/timestamps"][()]
        del file["spikes/a/timestamps"]
        file.create_dataset("spikes/a/timestamps", data=times, maxshape=(None,), chunks=(2**24,), compression="gzip")
    es.read(path)
    with pytest.raises(StorageError, match="spikes/a/timestamps: lies in pieces of 134,217,728 bytes"):
        es.read(path, max_bytes=2**22)


def replace(name, **options):
    """A change of a file that puts another dataset in the place of one."""

    def change(file, folder):
        del file[name]
        file.create_dataset(name, **options)

    return change


def edit(name, at, value):
    def change(file, folder):
        file[name][at] = value

    return change


def attribute(name, value):
    def change(file, folder):
        file.attrs[name] = value

    return change


def soft(file, folder):
    file.move("spikes/a", "kept")
    file["spikes/a"] = h5py.SoftLink("/kept")


def soft_column(file, folder):
    file.move("spikes/a/timestamps", "kept")
    file["spikes/a/timestamps"] = h5py.SoftLink("/kept")


def elsewhere(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        file.copy("spikes/a", other)
        other["times"] = file["spikes/a/timestamps"][()]


def external_link(file, folder):
    elsewhere(file, folder)
    del file["spikes/a"]
    file["spikes/a"] = h5py.ExternalLink(str(folder / "other.h5"), "/a")


def virtual(file, folder):
    elsewhere(file, folder)
    count = len(file["spikes/a/timestamps"])
    layout = h5py.VirtualLayout((count,), np.float64)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "times", (count,))
    del file["spikes/a/timestamps"]
    file.create_virtual_dataset("spikes/a/timestamps", layout)


def external_storage(file, folder):
    count = len(file["spikes/a/timestamps"])
    (folder / "secret").write_bytes(bytes(8 * count))
    replace("spikes/a/timestamps", shape=(count,), dtype="f8", external=[(str(folder / "secret"), 0, 8 * count)])(file, folder)


def missing(name):
    def change(file, folder):
        del file[name]

    return change


def named_type(file, folder):
    del file["spikes/a/timestamps"]
    file["spikes/a/timestamps"] = np.dtype(np.float64)


def other_filter(file, folder):
    times = file["spikes/a/timestamps"][()]
    replace("spikes/a/timestamps", data=times, fletcher32=True)(file, folder)


def long_column(file, folder):
    file["spikes/a/node_ids"].resize((len(file["spikes/a/node_ids"]) + 1,))


def shifted_bins(file, folder):
    file["rates/a/times"][...] += 0.1


def twice(file, folder):
    file.copy("spikes/a", "spikes/%61")


CRAFTED = {
    "soft link": (soft, "spikes/a: is a link"),
    "soft link to a column": (soft_column, "spikes/a/timestamps: is a link"),
    "external link": (external_link, "spikes/a: is a link"),
    "virtual": (virtual, "spikes/a/timestamps: lies in another file"),
    "external storage": (external_storage, "spikes/a/timestamps: lies in another file"),
    "texts": (replace("spikes/a/timestamps", data=["x", "y"]), "spikes/a/timestamps: holds object"),
    "rows of different lengths": (
        replace("spikes/a/node_ids", shape=(3,), dtype=h5py.vlen_dtype(np.int64)),
        "spikes/a/node_ids: holds object",
    ),
    "references": (replace("spikes/a/node_ids", shape=(3,), dtype=h5py.ref_dtype), "spikes/a/node_ids: holds object"),
    "compound": (replace("spikes/a/node_ids", shape=(3,), dtype=[("x", "i8")]), "spikes/a/node_ids: holds"),
    "complex": (replace("states/a/v", shape=(33, 3), dtype=complex), "states/a/v: holds complex"),
    "no shape": (replace("spikes/a/timestamps", dtype="f8"), "spikes/a/timestamps"),
    "floats for neurons": (replace("spikes/a/node_ids", data=np.zeros(3)), "node_ids: holds float64; integers belong there"),
    "a type": (named_type, "spikes/a/timestamps: is no array"),
    "a group": (
        lambda file, folder: missing("spikes/a/timestamps")(file, folder) or file.create_group("spikes/a/timestamps"),
        "is no array",
    ),
    "a dataset as group": (replace("spikes/a", data=np.zeros(3)), "spikes/a"),
    "filter": (other_filter, "spikes/a/timestamps: is packed by the filter 3"),
    "missing times": (missing("spikes/a/timestamps"), "spikes/a/timestamps: is missing"),
    "missing neurons": (missing("spikes/a/node_ids"), "spikes/a/node_ids: is missing"),
    "missing batch": (missing("spikes/a/batch"), "spikes/a/batch: is missing"),
    "missing samples": (missing("states/a/times"), "states/a/times: is missing"),
    "missing sampled": (missing("states/a/neurons"), "states/a/neurons: is missing"),
    "missing counts": (missing("rates/a/counts"), "rates/a/counts: is missing"),
    "NaN": (edit("spikes/a/timestamps", 1, np.nan), "spikes/a: its times must be"),
    "negative": (edit("spikes/a/timestamps", 0, -1.0), "spikes/a: its times must be"),
    "late": (edit("spikes/a/timestamps", -1, 1e9), "spikes/a: its times must be"),
    "unsorted": (edit("spikes/a/timestamps", -1, 0.1), "spikes/a: its times do not ascend"),
    "unsorted samples": (edit("states/a/times", -1, 0.3), "states/a: its times do not ascend"),
    "NaN samples": (edit("states/a/times", 0, np.nan), "states/a: its times must be"),
    "neurons too large": (edit("spikes/a/node_ids", 0, 2**63), "spikes/a/node_ids: holds 9223372036854775808"),
    "negative sampled": (edit("states/a/neurons", 0, -1), "states/a/neurons: must be"),
    "batch item": (edit("spikes/a/batch", 0, 2), "batch item"),
    "negative batch item": (edit("spikes/a/batch", 0, -1), "batch item"),
    "lengths": (long_column, "spikes/a: .* times, .* neurons"),
    "states' shape": (replace("states/a/v", data=np.zeros((33, 2, 4))), "states/a/v: has the shape"),
    "counts' shape": (replace("rates/a/counts", data=np.zeros((15, 3), int)), "rates/a/counts"),
    "negative counts": (edit("rates/a/counts", 0, -1), "rates/a/counts"),
    "bins": (shifted_bins, "rates/a/times"),
    "fewer bins": (edit("rates/a/times", -1, 1e9), "rates/a/times"),
    "a rate's shape": (lambda file, folder: file.create_dataset("rates/a/rate", data=np.zeros(3)), "rates/a/rate: has the shape"),
    "start": (attribute("start", np.nan), "start: must be a time"),
    "stop": (attribute("stop", 1e300), "rates/a"),
    "stop before start": (attribute("stop", -1.0), "stop: must be a time"),
    "infinite": (attribute("stop", np.inf), "stop: must be a time"),
    "dt": (attribute("dt", "0.1"), "attribute dt: is not one number"),
    "tiny dt": (attribute("dt", 5e-324), "rates/a"),
    "batch": (attribute("batch", 0), "batch: must be a whole number"),
    "half a batch": (attribute("batch", 1.5), "batch: must be a whole number"),
    "batches": (attribute("batch", [2, 2]), "attribute batch: is not one number"),
    "size": (lambda file, folder: file["rates/a"].attrs.modify("neurons", 0), "neurons .0. must be"),
    "interval": (lambda file, folder: file["rates/a"].attrs.modify("interval", np.nan), "interval .nan ms."),
    "no interval": (lambda file, folder: file["rates/a"].attrs.pop("interval"), "interval .None ms."),
    "two names": (twice, "two groups of 'a'"),
    "no recording": (lambda file, folder: file.attrs.pop("start"), "no recording of eventsim"),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_files_are_refused(tmp_path, case):
    change, says = CRAFTED[case]
    path = written(tmp_path / "r.h5", batch=2)
    es.read(path)
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(StorageError, match=rf"file 'r.h5'.*{says}"):
        es.read(path)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("spikes/a/times", np.array([np.nan]), "its times must be"),
        ("spikes/a/times", np.zeros(2), "2 times"),
        ("spikes/a/times", np.zeros(1, np.float32), "holds float32, not float64"),
        ("spikes/a/neurons", None, "is missing"),
        ("spikes/a/neurons", np.array([-1]), "a neuron"),
        ("start", np.zeros(2), "must be a number"),
        ("other", np.zeros(2), "is no array of a recording"),
        ("texts/a/b", np.array(["x"]), "is no array of a recording"),
    ],
)
def test_crafted_npz_are_refused(tmp_path, name, value, says):
    spikes = {"times": np.array([1.0]), "neurons": np.array([2]), "batch": np.array([0])}
    arrays = {f"spikes/a/{part}": array for part, array in spikes.items()}
    arrays |= {"start": np.float64(0.0), "stop": np.float64(2.0), "dt": np.float64(0.5), name: value}
    np.savez(tmp_path / "r.npz", **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(StorageError, match=f"file 'r.npz'.*{says}"):
        es.read(tmp_path / "r.npz")


def test_what_is_no_recording_at_all(tmp_path):
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").touch()
    whole = written(tmp_path / "r.h5").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    for name, says in [("text", "not a whole HDF5"), ("empty", "not a whole"), ("half", "truncated"), ("no", "no such file")]:
        with pytest.raises(StorageError, match=f"file '{name}'.*{says}"):
            es.read(tmp_path / name)
    with pytest.raises(StorageError, match="cannot be read"):
        es.read(tmp_path)


def test_bytes_that_were_changed_are_refused_or_read(tmp_path):
    whole, rng = written(tmp_path / "r.h5").read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(150):
        changed = bytearray(whole)
        for place in rng.integers(0, 6000, 3):
            changed[place] = rng.integers(256)
        (tmp_path / "r.h5").write_bytes(changed)
        try:
            es.read(tmp_path / "r.h5", max_bytes=2**24)
        except StorageError:
            refused += 1
    assert refused
