"""Runs that go to disk as they happen: nothing is lost, whatever ends them, and what is resumed is what never stopped."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from engine import killed_run
from engine.test_checkpoint import arrays_of, assert_same

import eventsim.long_run as long_run
from eventsim import IAF, LIF, Current, Network, Population, Rates, Simulation, SimulationError, Spikes, States, StorageError, read
from eventsim.interrupt import DeferredInterrupt
from eventsim.recordings.stream import RecordingWriter

h5py = pytest.importorskip("h5py", reason="recordings on disk need h5py")

METHODS = ("grid", "exact")
SCRIPT = Path(killed_run.__file__)


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    """Many stretches in a short run."""
    monkeypatch.setattr(long_run, "STRETCH", 0.005)


@pytest.fixture(scope="module")
def uninterrupted():
    """By method, what a run that nobody stops records in memory."""
    return {method: killed_run.new(method).run(killed_run.DURATION) for method in METHODS}


def in_words(recording):
    return f"{recording.start} to {recording.stop} ms, {sum(len(s.times) for s in recording.spikes.values())} spikes"


@pytest.mark.parametrize("method", METHODS)
def test_the_file_holds_what_memory_would(tmp_path, uninterrupted, method):
    wanted = uninterrupted[method]
    simulation = killed_run.new(method)
    for duration in (1000.0, 0.0, 1730.3 if method == "exact" else 1730.0):
        empty = simulation.run(duration, to=tmp_path / "spikes.h5")
        assert not empty.spikes and empty.stop == simulation.time
    simulation.run(killed_run.DURATION - simulation.time, to=tmp_path / "spikes.h5")
    found = read(tmp_path / "spikes.h5")
    assert (found.start, found.stop, found.dt) == (wanted.start, wanted.stop, wanted.dt)
    assert_same(found, wanted)
    assert sum(len(s.times) for s in wanted.spikes.values()) > 2000
    with h5py.File(tmp_path / "spikes.h5") as file:
        assert set(file["spikes/exc"]) == {"timestamps", "node_ids"}
        assert np.array_equal(file["spikes/exc/timestamps"][()], wanted.spikes["exc"].times)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spikes.h5"]


@pytest.mark.parametrize("method", METHODS)
def test_stretches_in_memory_are_one_recording(uninterrupted, method):
    told = []
    found = killed_run.new(method).run(killed_run.DURATION, report=told.append)
    assert_same(found, uninterrupted[method])
    assert told[-1].time == told[-1].stop == killed_run.DURATION and told[-1].left == 0.0
    rates = found.rates["exc"]
    assert len(told) > 1 and 0.2 * rates.rate.mean() < told[-1].rate < 2.0 * rates.rate.mean()


def test_stretches_of_a_batch_are_one_recording(tmp_path):
    def new():
        record = [Spikes("exc"), Rates("inh", 7.0), States("exc", neurons=[3], interval=5.0)]
        return Simulation(killed_run.network(), 0.1, seed=4, batch=3, record=record)

    wanted = new().run(400.0)
    assert_same(new().run(400.0, report=lambda progress: None), wanted)
    new().run(400.0, to=tmp_path / "batch.h5")
    assert_same(read(tmp_path / "batch.h5"), wanted)


def kill_and_resume(folder, method, kills, rng, workers=("1", "2")):
    """Kill the run over and over, at random moments; each time its recording can be read. How often it was killed."""
    killed, last = 0, 0.0
    for turn in range(1000):
        command = [sys.executable, str(SCRIPT), str(folder), method, workers[turn % len(workers)]]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline().strip() in ("running", "done")
        if killed < kills:
            time.sleep(rng.exponential(0.1))
            child.kill()
        said = child.stdout.read()
        child.wait()
        child.stdout.close()
        if child.returncode == 0:
            assert "done" in said or killed >= kills
            return killed
        assert child.returncode == -signal.SIGKILL
        killed += 1
        with h5py.File(folder / "spikes.h5") as file:
            assert file.attrs["complete"] == 0
            assert len(file["spikes/exc/timestamps"]) == len(file["spikes/exc/node_ids"])
        found = read(folder / "spikes.h5")
        assert found.stop > 0.0
        last = max(last, found.stop)
    raise AssertionError(f"it came to {last} ms only")


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_killed_over_and_over_records_what_it_would_have(tmp_path, uninterrupted, method):
    killed = kill_and_resume(tmp_path, method, 5, np.random.default_rng(len(method)))
    assert killed >= 2
    assert_same(read(tmp_path / "spikes.h5"), uninterrupted[method])


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(100))
def test_a_run_that_is_killed_once_records_what_it_would_have(tmp_path, uninterrupted, turn):
    method = METHODS[turn % 2]
    kill_and_resume(tmp_path, method, 1, np.random.default_rng(turn), ("1", "2") if turn % 4 < 2 else ("2", "1"))
    assert_same(read(tmp_path / "spikes.h5"), uninterrupted[method])


@pytest.mark.parametrize("method", METHODS)
def test_sigterm_leaves_a_checkpoint(tmp_path, uninterrupted, method):
    child = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path), method], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "running"
    child.terminate()
    said = child.stdout.read()
    assert child.wait() == 143 and "done" not in said
    child.stdout.close()
    reached = read(tmp_path / "spikes.h5").stop
    simulation = Simulation.load(tmp_path / "state.npz", killed_run.network())
    assert 0.0 < simulation.time == reached < killed_run.DURATION
    simulation.resume()
    assert_same(read(tmp_path / "spikes.h5"), uninterrupted[method])


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_leaves_a_recording_and_a_checkpoint(tmp_path, uninterrupted, method):
    simulation = killed_run.new(method)
    told = []

    def interrupt(progress):
        told.append(progress)
        if len(told) == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        simulation.run(killed_run.DURATION, to=tmp_path / "a.h5", checkpoint=tmp_path / "a.npz", report=interrupt)
    assert read(tmp_path / "a.h5").stop == simulation.time < killed_run.DURATION
    other = Simulation.load(tmp_path / "a.npz", killed_run.network())
    other.resume()
    assert_same(read(tmp_path / "a.h5"), uninterrupted[method])


def test_ctrl_c_leaves_what_was_recorded_in_memory():
    simulation, told = killed_run.new(), []

    def interrupt(progress):
        told.append(progress)
        if len(told) == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        simulation.run(killed_run.DURATION, report=interrupt)
    first = simulation.recording
    assert first.stop == simulation.time < killed_run.DURATION
    rest = simulation.run(killed_run.DURATION - simulation.time)
    whole = killed_run.new().run(killed_run.DURATION)
    for name in ("exc", "inh"):
        joined = [np.concatenate(pair) for pair in zip(first.spikes[name], rest.spikes[name], strict=True)]
        assert all(np.array_equal(a, b) for a, b in zip(joined, whole.spikes[name], strict=True))


def test_other_handlers_of_signals_stay():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with DeferredInterrupt(terminable=True) as interrupt:
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM] and not interrupt.asked
    finally:
        signal.signal(signal.SIGTERM, before)


def test_checkpoints_are_kept_as_many_as_asked(tmp_path):
    simulation = killed_run.new()
    simulation.run(500.0, checkpoint=tmp_path / "s.npz", checkpoint_every=100.0, keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.1.npz", "s.2.npz", "s.npz"]
    network = killed_run.network()
    times = [Simulation.load(tmp_path / name, network).time for name in ("s.npz", "s.1.npz", "s.2.npz")]
    assert times == [500.0, 400.0, 300.0]


def test_a_state_that_is_not_finite_stops_the_run_where_it_is(tmp_path):
    def explode():
        network = Network(
            [Population("calm", 5, LIF()), Population("wild", 3, IAF())],
            inputs=[Current("wild", np.array([0.0, -1e38, 0.0]))],
        )
        return Simulation(network, 0.1, update="dense", record=[States("calm", interval=1.0)])

    simulation = explode()
    with pytest.raises(SimulationError, match=r"population 'wild', neuron 1: v is (nan|-inf) at .* ms"):
        simulation.run(1000.0, to=tmp_path / "states.h5", checkpoint=tmp_path / "state.npz")
    assert 0.0 < simulation.time < 1000.0 and not (tmp_path / "state.npz").exists()
    assert read(tmp_path / "states.h5").stop == simulation.time
    memory = explode()
    with pytest.raises(SimulationError, match="'wild', neuron 1"):
        memory.run(1000.0)
    assert 0 < len(memory.recording.states["calm"].times) < 1000


def test_activity_that_runs_away_is_warned_of_once(caplog):
    network = Network([Population("n", 10, LIF(v_leak=100.0, refractory=0.0))])
    simulation = Simulation(network, 0.1)
    with caplog.at_level(logging.WARNING, "eventsim"):
        simulation.run(300.0)
        simulation.run(300.0)
    assert len(caplog.records) == 1 and "does activity run away?" in caplog.text


def test_lines_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(long_run, "TEXT_EVERY", 0.0)
    killed_run.new().run(2000.0, report="text")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1 and lines[-1].startswith("2000 of 2000 ms, ") and lines[-1].endswith(" 0 s left")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"checkpoint_every": 5.0}, "needs checkpoint="),
        ({"checkpoint": "s.npz", "checkpoint_every": -1.0}, "number of ms above 0"),
        ({"checkpoint": "s.npz", "checkpoint_every": 0.25}, "not a multiple of dt"),
        ({"checkpoint": "s.npz", "checkpoint_every": 1e-12}, "must be dt"),
        ({"checkpoint": "s.h5"}, r"ends in \.npz"),
        ({"to": "s.npz"}, r"ends in \.h5"),
        ({"checkpoint": "s.npz", "keep": 0}, "keep must be"),
        ({"to": 5}, "to must be the path"),
        ({"report": "loudly"}, "report must be"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(tmp_path, monkeypatch, wrong, said):
    monkeypatch.chdir(tmp_path)
    simulation = killed_run.new()
    with pytest.raises(SimulationError, match=said):
        simulation.run(10.0, **wrong)
    assert simulation.time == 0.0 and not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path):
    killed_run.new().run(20.0, to=tmp_path / "a.h5")
    with pytest.raises(StorageError, match="overwrite=True"):
        killed_run.new().run(10.0, to=tmp_path / "a.h5")
    assert read(tmp_path / "a.h5").stop == 20.0
    killed_run.new().run(10.0, to=tmp_path / "a.h5", overwrite=True)
    assert read(tmp_path / "a.h5").stop == 10.0


def test_two_runs_cannot_write_one_file(tmp_path):
    def other(progress):
        with pytest.raises(StorageError, match=r"a\.h5"):
            killed_run.new().run(10.0, to=tmp_path / "a.h5", overwrite=True)
        refused.append(True)

    refused = []
    killed_run.new().run(100.0, to=tmp_path / "a.h5", report=other)
    assert refused and read(tmp_path / "a.h5").stop == 100.0


def test_a_folder_that_vanishes_is_named(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()

    def remove(progress):
        if folder.exists():  # it is told again before the disk is waited for
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    with pytest.raises(StorageError, match="gone"):
        killed_run.new().run(6000.0, to=folder / "a.h5", report=remove)


def test_a_checkpoint_that_cannot_be_written_names_the_file(tmp_path):
    with pytest.raises(StorageError, match=r"nowhere.*s\.npz"):
        killed_run.new().run(50.0, checkpoint=tmp_path / "nowhere" / "s.npz")


def test_elsewhere_than_in_the_main_thread_nothing_changes(tmp_path):
    made = []
    thread = threading.Thread(target=lambda: made.append(killed_run.new().run(50.0, to=tmp_path / "a.h5")))
    thread.start()
    thread.join()
    assert made and read(tmp_path / "a.h5").stop == 50.0 and os.path.exists(tmp_path / "a.h5")
    assert arrays_of(read(tmp_path / "a.h5"))


def test_after_a_report_that_raised_the_file_goes_on(tmp_path, uninterrupted):
    simulation, told = killed_run.new(), []

    def fail(progress):
        told.append(progress)
        if len(told) == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        simulation.run(killed_run.DURATION, to=tmp_path / "a.h5", report=fail)
    assert read(tmp_path / "a.h5").stop == simulation.time < killed_run.DURATION
    simulation.run(killed_run.DURATION - simulation.time, to=tmp_path / "a.h5")
    assert_same(read(tmp_path / "a.h5"), uninterrupted["grid"])


def test_what_could_not_be_written_is_in_memory(tmp_path, monkeypatch):
    simulation = killed_run.new()
    simulation.run(100.0, to=tmp_path / "a.h5")
    monkeypatch.setattr(RecordingWriter, "append", full)
    with pytest.raises(StorageError, match="no space"):
        simulation.run(2000.0, to=tmp_path / "a.h5")
    assert read(tmp_path / "a.h5").stop == simulation.recording.start == 100.0
    assert simulation.recording.stop == simulation.time and len(simulation.recording.rates["exc"].counts) > 0


def full(self, recording):
    raise StorageError("no space left")


def test_a_file_that_does_not_end_where_the_simulation_stands_is_left_alone(tmp_path):
    killed_run.new().run(400.0, to=tmp_path / "a.h5", checkpoint=tmp_path / "s.npz", checkpoint_every=100.0, keep=9)
    other = Simulation.load(tmp_path / "s.1.npz", killed_run.network())
    other.run(5.0)
    with pytest.raises(SimulationError, match=r"a\.h5.*ends at 300\.0 ms, the simulation stands at 305\.0 ms"):
        other.run(5.0, to=tmp_path / "a.h5")
    assert read(tmp_path / "a.h5").stop == 400.0
