"""Recordings that are written while a simulation runs."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stretches import DT, INTERVAL, RECORDERS, SIZES, STEPS, assert_same, exact_stretch, stretch

import eventsim as es
from eventsim.errors import StorageError
from eventsim.files import twin_files
from eventsim.files.steady_file import SteadyFile
from eventsim.recording import Rates, Spikes, States
from eventsim.recordings.stream import RecordingWriter


def writer(path, batch=1, **options):
    return RecordingWriter(path, SIZES, RECORDERS, dt=DT, batch=batch, dtype="float32", **options)


def resume(path, position, batch=1):
    return RecordingWriter.resume(path, json.loads(json.dumps(position)), SIZES, RECORDERS, dt=DT, batch=batch, dtype="float32")


def pieces(cuts):
    """(first, last) of stretches between cuts."""
    edges = [0, *sorted(cuts)]
    return list(zip(edges[:-1], edges[1:], strict=True))


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, STEPS), min_size=1, max_size=12),
    commits=st.sets(st.integers(0, 11)),
    batch=st.sampled_from([1, 2, 3]),
)
def test_stretches_are_one_recording(tmp_path_factory, cuts, commits, batch):
    path = tmp_path_factory.mktemp("r") / "r.h5"
    with writer(path, batch) as w:
        for number, (first, last) in enumerate(pieces(cuts)):
            w.append(stretch(first, last, batch))
            if number in commits:
                w.commit()
                assert_same(es.read(path), stretch(0, last, batch))
    assert_same(es.read(path), stretch(0, max(cuts), batch))
    assert os.listdir(path.parent) == ["r.h5"]


@settings(max_examples=15)
@given(cuts=st.lists(st.floats(0.0, 40.0), min_size=1, max_size=8), on_bins=st.sets(st.integers(0, 57), max_size=4))
def test_stretches_in_continuous_time_are_one_recording(tmp_path_factory, cuts, on_bins):
    path = tmp_path_factory.mktemp("r") / "r.h5"
    recorders = (Spikes("a"), Rates("a", INTERVAL))
    with RecordingWriter(path, SIZES, recorders, dt=0.0) as w:
        for first, last in pieces(cuts + [number * INTERVAL for number in on_bins]):
            w.append(exact_stretch(first, last))
            w.commit()
            assert_same(es.read(path), exact_stretch(0.0, last))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_recording_that_begins_later(tmp_path, batch):
    with writer(tmp_path / "r.h5", batch, start=13 * DT) as w:
        for first, last in ((13, 13), (13, 15), (15, 57), (57, 99)):
            w.append(stretch(first, last, batch))
    assert_same(es.read(tmp_path / "r.h5"), stretch(13, 99, batch))
    with RecordingWriter(tmp_path / "e.h5", SIZES, (Spikes("a"), Rates("a", INTERVAL)), dt=0.0, start=1.3) as w:
        for first, last in ((1.3, 1.3), (1.3, 1.5), (1.5, 7.77)):
            w.append(exact_stretch(first, last))
    assert_same(es.read(tmp_path / "e.h5"), exact_stretch(1.3, 7.77))


def network():
    return es.Network(
        populations=[
            es.Population("noise", 20, es.PoissonSource(rate=80.0)),
            es.Population("cells", 10, es.LIF(tau_mem=20.0)),
        ],
        projections=[es.Projection("noise", "cells", es.AllToAll(), weight=0.3, delay=1.0)],
    )


@pytest.mark.parametrize("how", [{"dt": 0.1, "batch": 1}, {"dt": 0.1, "batch": 2}, {"method": "exact"}])
def test_runs_that_are_cut_are_one_run(tmp_path, how):
    record = [es.Spikes("cells"), es.Spikes("noise"), es.Rates("noise", 3.0), es.States("cells", neurons=[1, 3], interval=0.5)]
    whole = es.Simulation(network(), seed=1, record=record, **how).run(30.0)
    simulation = es.Simulation(network(), seed=1, record=record, **how)
    dtype = whole.states["cells"].values["v"].dtype
    with RecordingWriter(tmp_path / "r.h5", network(), record, dt=simulation.dt, batch=simulation.batch, dtype=dtype) as w:
        for duration in (4.0, 0.0, 5.5, 0.5, 20.0):
            w.append(simulation.run(duration))
    assert len(whole.spikes["cells"].times)
    assert_same(es.read(tmp_path / "r.h5"), whole)


def test_spikes_are_those_of_sonata(tmp_path):
    with writer(tmp_path / "r.h5", batch=2) as w:
        w.append(stretch(0, 50, 2))
        w.append(stretch(50, 90, 2))
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["magic"] == 0x0A7A and file.attrs["magic"].dtype == np.uint32
        assert file.attrs["version"].tolist() == [0, 1] and file.attrs["version"].dtype == np.uint32
        group = file["spikes/a"]
        assert group["timestamps"].dtype == np.float64 and group["timestamps"].attrs["units"] == "ms"
        assert group["node_ids"].dtype == np.uint64
        assert np.all(np.diff(group["timestamps"][()]) >= 0.0)
        kind = group.attrs.get_id("sorting").dtype
        assert h5py.check_enum_dtype(kind) == {"none": 0, "by_id": 1, "by_time": 2}
        assert group.attrs["sorting"] == 2
        assert dict(file["rates/a"].attrs) == {"interval": INTERVAL, "neurons": SIZES["a"]}
        names = ("start", "stop", "dt", "batch", "complete")
        assert [file.attrs[name] for name in names] == [0.0, 90 * DT, DT, 2, 1]


def test_what_is_not_committed_is_not_there_and_the_file_is_whole_from_the_beginning(tmp_path):
    path = tmp_path / "r.h5"
    w = writer(path)
    assert_same(es.read(path), stretch(0, 0))
    w.append(stretch(0, 30))
    assert_same(es.read(path), stretch(0, 0))
    w.commit()
    w.commit()
    assert_same(es.read(path), stretch(0, 30))
    with h5py.File(path) as file:
        assert file.attrs["complete"] == 0
    w.close()
    w.close()
    with pytest.raises(StorageError, match="closed"):
        w.append(stretch(30, 40))


def test_a_reader_keeps_what_it_has_opened(tmp_path):
    path = tmp_path / "r.h5"
    with writer(path) as w:
        opened = []
        for last in range(10, 80, 10):
            w.append(stretch(last - 10, last))
            w.commit()
            opened.append(h5py.File(path))
        for number, file in enumerate(opened):
            times = stretch(0, 10 * (number + 1)).spikes["a"].times
            assert np.array_equal(np.sort(file["spikes/a/timestamps"][()]), times)
            file.close()
    assert_same(es.read(path), stretch(0, 70))


def test_a_copy_by_hard_link_stays_as_it_was(tmp_path):
    path, kept = tmp_path / "r.h5", tmp_path / "kept.h5"
    with writer(path) as w:
        w.append(stretch(0, 10))
        w.commit()
        os.link(path, kept)
        for last in range(20, 80, 10):
            w.append(stretch(last - 10, last))
            w.commit()
    assert_same(es.read(kept), stretch(0, 10))


def test_without_hard_links(tmp_path, monkeypatch):
    def no_links(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(twin_files.os, "link", no_links)
    path = tmp_path / "r.h5"
    with writer(path) as w:
        for last in range(10, 80, 10):
            w.append(stretch(last - 10, last))
            w.commit()
            assert_same(es.read(path), stretch(0, last))
    assert os.listdir(tmp_path) == ["r.h5"]


def test_file_by_a_symbolic_link(tmp_path):
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "data" / "r.h5", tmp_path / "r.h5")
    with writer(tmp_path / "r.h5") as w:
        w.append(stretch(0, 10))
    assert (tmp_path / "r.h5").is_symlink()
    assert_same(es.read(tmp_path / "data" / "r.h5"), stretch(0, 10))


# ------------------------------------------------------------------------------------------------- going on with a file


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(0, 200), min_size=1, max_size=5),
    more=st.lists(st.integers(0, 200), max_size=5),
    batch=st.sampled_from([1, 2]),
)
def test_resume_drops_what_came_later(tmp_path_factory, cuts, more, batch):
    path = tmp_path_factory.mktemp("r") / "r.h5"
    w, reached = writer(path, batch), max(cuts)
    for first, last in pieces(cuts):
        w.append(stretch(first, last, batch))
    w.commit()
    position = w.position()
    for first, last in pieces([reached + step for step in more]):
        w.append(stretch(max(first, reached), last, batch))
        w.commit()
    w.close()
    with resume(path, position, batch) as w:
        assert w.position() == position
        assert_same(es.read(path), stretch(0, reached, batch))
        w.append(stretch(reached, STEPS, batch))
    assert_same(es.read(path), stretch(0, STEPS, batch))


def test_resume_refuses_what_does_not_fit(tmp_path):
    path = tmp_path / "r.h5"
    with writer(path) as w:
        w.append(stretch(0, 50))
        position = w.position()
    before = path.read_bytes()
    ahead = position | {"rows": position["rows"] | {"spikes/a": 10_000}}
    for wrong, says in [
        (ahead, "holds .* rows, the position has 10,000"),
        ({}, "no position"),
        (position | {"rows": {}}, "no position"),
        (position | {"last_counts": {}}, "no position"),
        (position | {"rows": position["rows"] | {"spikes/a": -1}}, "negative"),
        (position | {"rows": position["rows"] | {"spikes/a": 1.5}}, "not whole"),
    ]:
        with pytest.raises(StorageError, match=says):
            resume(path, wrong)
    others = {
        "its dt is": {"dt": 0.2},
        "its batch is": {"batch": 2},
        "other neurons, states": {"dtype": "float64"},
    }
    for says, other in others.items():
        options = {"dt": DT, "batch": 1, "dtype": "float32"} | other
        with pytest.raises(StorageError, match=says):
            RecordingWriter.resume(path, position, SIZES, RECORDERS, **options)
    with pytest.raises(StorageError, match="not asked for"):
        RecordingWriter.resume(path, position, SIZES, RECORDERS[1:], dt=DT, dtype="float32")
    changed = (Rates("a", 2 * INTERVAL), *(r for r in RECORDERS if r is not RECORDERS[1]))
    with pytest.raises(StorageError, match="rates/a: records other"):
        RecordingWriter.resume(path, position, SIZES, changed, dt=DT, dtype="float32")
    with pytest.raises(StorageError, match="is not there"):
        resume(tmp_path / "no.h5", position)
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(StorageError, match="text.h5"):
        resume(tmp_path / "text.h5", position)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["r.h5", "text.h5"]


# --------------------------------------------------------------------------------------------------- what is refused


def test_stretches_must_follow_and_fit(tmp_path):
    with writer(tmp_path / "r.h5") as w:
        w.append(stretch(0, 10))
        for wrong, says in [
            (stretch(11, 20), "cannot follow"),
            (stretch(9, 20), "cannot follow"),
            (stretch(10, 20, dtype=np.float64), "states/a/v: holds float64"),
            (stretch(10, 20, batch=2), r"the writer was made for"),
            (es.Recording(10 * DT, 20 * DT, DT), "recorded by one"),
        ]:
            with pytest.raises(StorageError, match=says):
                w.append(wrong)
        w.append(stretch(10, 20))  # what was refused has left nothing behind
    assert_same(es.read(tmp_path / "r.h5"), stretch(0, 20))


def test_a_state_called_like_the_times(tmp_path):
    with pytest.raises(StorageError, match="called 'times'"):
        RecordingWriter(tmp_path / "r.h5", {"a": 3}, [States("a", ("times",))], dt=DT)
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_only_replaced_when_asked_for(tmp_path):
    path = tmp_path / "r.h5"
    with writer(path) as w:
        w.append(stretch(0, 10))
    with pytest.raises(StorageError, match="overwrite=True"):
        writer(path)
    assert_same(es.read(path), stretch(0, 10))
    with writer(path, overwrite=True):
        pass
    assert_same(es.read(path), stretch(0, 0))


def test_two_writers(tmp_path):
    path = tmp_path / "r.h5"
    with writer(path) as w:
        for attempt in (lambda: writer(path, overwrite=True), lambda: resume(path, w.position())):
            with pytest.raises(StorageError, match=f"process {os.getpid()} is writing it"):
                attempt()
        w.append(stretch(0, 10))
    assert_same(es.read(path), stretch(0, 10))
    writer(path, overwrite=True).close()


def test_an_error_meanwhile_keeps_what_was_appended(tmp_path):
    path = tmp_path / "r.h5"
    with pytest.raises(ZeroDivisionError), writer(path) as w:
        w.append(stretch(0, 10))
        raise ZeroDivisionError
    assert_same(es.read(path), stretch(0, 10))
    with h5py.File(path) as file:
        assert file.attrs["complete"] == 0
    assert os.listdir(tmp_path) == ["r.h5"]


# ------------------------------------------------------------------------------------------------- disks and folders


@pytest.mark.parametrize("room", [0, 100, 1000, 3000, 10_000, 100_000, 300_000])
def test_a_full_disk(tmp_path, monkeypatch, room):
    path = tmp_path / "r.h5"
    w = writer(path)
    w.append(stretch(0, 10))
    w.commit()
    position, left, pwrite = w.position(), [room], os.pwrite

    def short_of_room(file, data, at):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(left[0], len(data))
        left[0] -= taken
        return pwrite(file, data[:taken], at)

    with monkeypatch.context() as patch:
        patch.setattr("eventsim.files.steady_file.os.pwrite", short_of_room)
        with pytest.raises(StorageError, match=r"r.h5.*No space left on device.*up to 1.0 ms stays readable"):
            for first in range(10, STEPS, 10):
                w.append(stretch(first, first + 10))
            w.commit()
    with pytest.raises(StorageError, match="No space left"):
        w.append(stretch(10, 20))
    assert_same(es.read(path), stretch(0, 10))
    w.close()
    gc.collect()
    assert os.listdir(tmp_path) == ["r.h5"]
    with resume(path, position) as w:
        w.append(stretch(10, 20))
    assert_same(es.read(path), stretch(0, 20))


def test_a_disk_that_fails_to_sync(tmp_path, monkeypatch):
    path = tmp_path / "r.h5"
    w = writer(path)
    w.append(stretch(0, 10))
    w.commit()
    w.append(stretch(10, 20))

    def fail(file):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(twin_files.os, "fsync", fail)
        with pytest.raises(StorageError, match="Input/output error.*up to 1.0 ms"):
            w.commit()
    w.close()
    assert_same(es.read(path), stretch(0, 10))


def test_a_folder_that_vanishes(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    w = writer(folder / "r.h5")
    w.append(stretch(0, 10))
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match=r"r\.h5.*No such file.*nothing is left"):
        w.commit()
    w.close()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(StorageError, match=r"no/r\.h5.*cannot be written \(No such file"):
        writer(tmp_path / "no" / "r.h5")


def test_a_file_that_was_removed_comes_back(tmp_path):
    path = tmp_path / "r.h5"
    with writer(path) as w:
        w.append(stretch(0, 10))
        w.commit()
        path.unlink()
        w.append(stretch(10, 20))
    assert_same(es.read(path), stretch(0, 20))


def test_ctrl_c_in_the_middle(tmp_path, monkeypatch):
    path = tmp_path / "r.h5"
    w = writer(path)
    w.append(stretch(0, 10))
    w.commit()
    position = w.position()

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SteadyFile, "close", interrupted)
        w.append(stretch(10, 20))
        with pytest.raises(KeyboardInterrupt):
            w.commit()
    with pytest.raises(StorageError, match="KeyboardInterrupt.*up to 1.0 ms"):
        w.append(stretch(20, 30))
    w.close()
    with resume(path, position) as w:
        w.append(stretch(10, 20))
    assert_same(es.read(path), stretch(0, 20))


# ------------------------------------------------------------------------------------------------------------- kill -9

# A process of its own that makes children by forking, so that they need not import anything. Each takes the recording up where
# what was reported last left it, and reports the position of every commit; how it ends is the test's.
CHILDREN = """
import json, os, random, signal, sys, time
import numpy as np
import eventsim as es
from eventsim.files import steady_file, twin_files
from stretches import DT, RECORDERS, SIZES, STEPS, assert_same, stretch
from eventsim.recordings.stream import RecordingWriter

path, how, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(1)
options = dict(dt=DT, batch=2, dtype="float32")

def die_at(number):
    # kill this process before its operation of this number on the disk
    left = [number]
    for name in ("pwrite", "ftruncate", "fsync", "link", "replace", "unlink"):
        def dying(*given, was=getattr(os, name), **others):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return was(*given, **others)
        setattr(os, name, dying)

def child(report, position, seed, number):
    rng = random.Random(seed)
    if position is None:
        writer = RecordingWriter(path, SIZES, RECORDERS, overwrite=True, **options)
    else:
        writer = RecordingWriter.resume(path, position, SIZES, RECORDERS, **options)
    os.write(report, (json.dumps(writer.position()) + chr(10)).encode())
    if how == "step":
        die_at(number)
    while True:
        first = round(writer.stop / DT)
        if first == STEPS:
            break
        writer.append(stretch(first, min(STEPS, first + rng.randrange(1 + (how == "time"), 8)), 2))
        writer.commit()
        os.write(report, (json.dumps(writer.position()) + chr(10)).encode())

def run(position, seed, number):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(write, position, seed, number)
        finally:
            os._exit(0)
    os.close(write)
    reports = os.fdopen(read)
    lines = [reports.readline()]
    if how == "time":
        time.sleep(random.random() * 0.15)
        os.kill(pid, signal.SIGKILL)
    lines += reports.readlines()
    killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    return json.loads([line for line in lines if line.endswith(chr(10))][-1]), killed

position, kills = None, 0
for number in range(count):
    position, killed = run(position, number, number)
    kills += killed
    found = es.read(path)
    assert found.stop >= position["stop"], (found.stop, position)
    assert_same(found, stretch(0, round(found.stop / DT), 2))
    if position["stop"] == STEPS * DT:
        position = None
print(kills)
"""


def kills(tmp_path, how, count):
    tests = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"}
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN, str(tmp_path / "r.h5"), how, str(count)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_kill_at_random_moments(tmp_path):
    assert kills(tmp_path, "time", 10) >= 5


def test_kill_before_every_operation_on_the_disk(tmp_path):
    assert kills(tmp_path, "step", 70) == 70


READER = """
import sys, time
import h5py, numpy as np
from stretches import DT, stretch

path, stop = sys.argv[1], 0.0
print("ready", flush=True)
while True:
    with h5py.File(path) as file:
        assert file.attrs["stop"] >= stop
        stop = file.attrs["stop"]
        time.sleep(0.02)  # meanwhile there are more commits
        assert np.array_equal(file["spikes/a/timestamps"][()], stretch(0, round(stop / DT)).spikes["a"].times)
        if file.attrs["complete"]:
            break
"""


def test_another_process_reads_meanwhile(tmp_path):
    tests = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"}
    with writer(tmp_path / "r.h5") as w:
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path / "r.h5")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert reader.stdout.readline() == b"ready\n"
        for first in range(0, STEPS, 4):
            w.append(stretch(first, first + 4))
            w.commit()
    assert reader.communicate() == (b"", b"") and reader.returncode == 0


def test_a_process_that_ends_without_closing(tmp_path):
    code = f"""
from stretches import *
from eventsim.recordings.stream import RecordingWriter
writer = RecordingWriter({str(tmp_path / "r.h5")!r}, SIZES, RECORDERS, dt=DT, dtype="float32")
writer.append(stretch(0, 10)); writer.commit(); writer.append(stretch(10, 20))
"""
    tests = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(es.read(tmp_path / "r.h5"), stretch(0, 10))
    with writer(tmp_path / "r.h5", overwrite=True):  # its lock has gone with it
        pass
    assert os.listdir(tmp_path) == ["r.h5"]
