"""Checkpoints of the exact engine: a run that was cut there, in a new simulation, goes on with the same bits; damage is refused."""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import checkpoint_runs
import numpy as np
import pytest
from checkpoint_runs import (
    CHANGES,
    DELAYS,
    DURATION,
    GIVEN,
    OTHERS,
    READOUTS,
    SAMPLED,
    SIZE,
    TURNED,
    change_form,
    from_file,
    recorded,
    run_until,
    simulation,
    through_file,
    to_file,
)
from drawn_network import LAWS
from hypothesis import given, settings
from hypothesis import strategies as st
from shorter import shorter

import eventsim.exact.queue as exact_queue
import eventsim.exact.simulation as exact_simulation
from eventsim import (
    LIF,
    FixedInDegree,
    LIFDelta,
    Network,
    Population,
    Projection,
    Simulation,
    SimulationError,
    Spikes,
    StorageError,
)
from eventsim.exact import layout as w
from eventsim.exact.loop import compile_drive


def same(found, expected):
    """Bit for bit: signs of zeros and numbers that are none included."""
    assert found.keys() == expected.keys()
    for name in expected:
        one, other = np.asarray(found[name]), np.asarray(expected[name])
        assert one.dtype == other.dtype and one.shape == other.shape, name
        assert one.tobytes() == other.tobytes(), name


def same_state(run, other):
    """All that will be, too."""
    (description, arrays), (wanted, expected) = run._capture(), other._capture()
    assert description == wanted and run.time == other.time and run.counters == other.counters
    same(arrays, expected)
    for field in run._groups[0].fields:
        assert run.state("cells", field).tobytes() == other.state("cells", field).tobytes()


def joined(found):
    """What was recorded in pieces, without bins, which a run's ends cut."""
    return {name: np.concatenate([piece[name] for piece in found]) for name in found[0] if not name.startswith("rate")}


def check(model, delays, cuts, seed=4):
    """Restored at each of these times, it goes on as a run that was cut there, in all that it records and is, and as one that was
    not cut, in all but the bins and plans of visits that a cut divides."""
    whole, cut, run = (simulation(model, delays, seed) for _ in range(3))
    expected, found = recorded(whole.run(DURATION)), []
    for time in (*sorted(cuts), DURATION):
        found.append(run_until(run, time))
        same(found[-1], run_until(cut, time))
        checkpoint = through_file(run._capture())
        run = simulation(model, delays, seed)
        run._restore(*checkpoint, "here")
        same_state(run, cut)
    same(joined(found), joined([expected]))
    assert run.counters == whole.counters and run.time == DURATION
    return expected


@pytest.mark.parametrize(
    ("model", "delays"),
    shorter(itertools.product(LAWS, DELAYS), lambda model, delays: model in ("LIF", "LIFDelta") or delays in ("drawn", "folded")),
)
def test_a_restored_run_goes_on_with_the_same_bits(model, delays):
    cuts = np.random.default_rng(len(model)).uniform(0.0, DURATION, 4)
    expected = check(model, delays, [0.0, *cuts])
    assert len(expected["cells.times"]) > 20 and all(len(expected[f"{name}.times"]) for name in checkpoint_runs.BESIDE)


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("model", READOUTS)
def test_a_readout_goes_on(model, delays):
    assert np.ptp(check(model, delays, [0.0, 3.3, 7.25])["state v"]) > 0.0


@functools.cache
def times_of_spikes(model, delays):
    spikes = recorded(simulation(model, delays).run(DURATION))
    return np.concatenate([spikes[f"{name}.times"] for name in ("cells", "poisson")]).tolist()


MOMENTS = (0.0, *GIVEN, *CHANGES, *(SAMPLED * np.arange(1, 34)).tolist(), *(TURNED * np.arange(1, 8)).tolist(), DURATION)


@settings(max_examples=60)
@given(model=st.sampled_from(["LIF", "QIF", "LSNN"]), delays=st.sampled_from(list(DELAYS)), seed=st.integers(0, 3), data=st.data())
def test_it_may_be_cut_anywhere(model, delays, seed, data):
    """Where neurons and sources fire, samples are taken, currents change, and next to it; often, and twice at one time."""
    moment = st.sampled_from(MOMENTS) | st.sampled_from(times_of_spikes(model, delays))
    moment |= st.builds(np.nextafter, moment, st.sampled_from([0.0, DURATION])).map(float) | st.floats(0.0, DURATION)
    check(model, delays, data.draw(st.lists(moment, min_size=1, max_size=6)), seed)


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("seed", range(3))
def test_it_may_be_cut_many_times_where_a_current_changes(delays, seed):
    """There all neurons are visited anew, and the visits that were planned before may come to be right again."""
    check("LIF", delays, [*[4.5] * 3, *[7 * TURNED] * 3], seed)


@pytest.mark.parametrize("delays", DELAYS)
def test_a_captured_run_goes_on_as_if_nobody_had_looked(delays):
    run, other = simulation("LIF", delays), simulation("LIF", delays)
    for time in np.linspace(0.0, DURATION, 50):
        for _ in range(2):
            last = run._capture()
        same(run_until(run, time), run_until(other, time))
    same_state(run, other)
    assert last[0]["time"] < DURATION


@pytest.mark.parametrize("delays", DELAYS)
def test_a_simulation_that_has_run_on_may_go_back(delays):
    run, other = simulation("LIF", delays), simulation("LIF", delays)
    begin, first = run._capture(), run_until(run, 10.0)
    middle, second = run._capture(), run_until(run, DURATION)
    for checkpoint, time, expected in ((middle, DURATION, second), (begin, 10.0, first), (middle, DURATION, second)):
        run._restore(*checkpoint, "here")
        same(run_until(run, time), expected)
    run_until(other, 10.0), run_until(other, DURATION)
    same_state(run, other)


@pytest.mark.parametrize("delays", DELAYS)
def test_how_the_queue_is_laid_out_changes_no_bit(delays, monkeypatch):
    """Days are chosen for two entries, and from a few that were taken out."""
    expected = simulation("LIF", delays)
    found, chosen = [run_until(expected, time) for time in (10.0, DURATION)], set()
    for name, value in (("FEW", 1), ("ENOUGH", 5), ("PER_DAY", 1)):
        monkeypatch.setattr(exact_queue, name, value)
    monkeypatch.setattr(exact_simulation, "PIECE", 20)
    run = simulation("LIF", delays)
    for piece, time in zip(found, (10.0, DURATION), strict=True):
        same(run_until(run, time), piece)
        chosen.add(run._queue.per_ms)
        checkpoint, run = run._capture(), simulation("LIF", delays)
        run._restore(*checkpoint, "here")
    assert min(chosen) > 0.0 and run._queue.per_ms == 0.0
    same_state(run, expected)


def child(*arguments):
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests.parents[1]), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "error", tests / "checkpoint_runs.py", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("delays", DELAYS)
def test_a_new_process_goes_on(delays, tmp_path):
    run = simulation("LIF", delays)
    run_until(run, 12.0)
    with open(tmp_path / "state.npz", "wb") as file:
        to_file(run._capture(), file)
    done = child("go-on", "LIF", delays, tmp_path / "state.npz", tmp_path / "rest.npz")
    assert done.returncode == 0, done.stderr
    description, found = from_file(tmp_path / "rest.npz")
    expected = run_until(run, DURATION)
    last, arrays = run._capture()
    same(found, expected | {f"end {name}": array for name, array in arrays.items()})
    assert description["end"] == last


def test_after_ctrl_c_it_can_be_captured(monkeypatch):
    expected = joined([recorded(simulation("LIF", "drawn").run(DURATION))])
    monkeypatch.setattr(exact_simulation, "PIECE", 50)
    run, calls = simulation("LIF", "drawn"), []

    class Interrupting:
        def ctypes(self, context, until):
            calls.append(until)
            if len(calls) == 30:
                os.kill(os.getpid(), signal.SIGINT)
            return compile_drive().ctypes(context, until)

    run._drive = Interrupting()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run.run(DURATION)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0.0 < run.time < DURATION
    first, restored = recorded(run.recording), simulation("LIF", "drawn")
    restored._restore(*through_file(run._capture()), "here")
    same(joined([first, run_until(restored, DURATION)]), expected)


# ---------------------------------------------------------------------------------------------------------------- damage


@functools.cache
def sound(delays):
    run = simulation("LIF", delays)
    run_until(run, 12.0)
    return run._capture()


def refused(delays, description, arrays, says):
    """Nothing has been modified."""
    run = simulation("LIF", delays)
    with pytest.raises(StorageError, match=says):
        run._restore(description, arrays, "here")
    same_state(run, simulation("LIF", delays))


def an_entry(keys, kind):
    return int(np.flatnonzero(keys >> w.KIND_SHIFT == kind)[0])


@pytest.mark.parametrize("delays", ["drawn", "in order"])
@pytest.mark.parametrize(
    ("kind", "about"),
    [
        (w.GIVEN, "given"),
        (w.PROCESS, "processes"),
        (w.ARRIVE, "parcels"),
        (w.FIRE, SIZE),
        (w.FIRE, (1 << w.GROUP_SHIFT) + OTHERS),
        (w.FIRE, 2 << w.GROUP_SHIFT),
        (w.FIRE, (1 << w.KIND_SHIFT) - 1),
        (w.FIRE + 1, 0),
        (-1, 0),
    ],
)
def test_keys_of_what_is_not_there_are_refused(delays, kind, about):
    description, arrays = sound(delays)
    keys, many = arrays["keys"].copy(), description | {"processes": len(arrays["processes"])}
    about = many.get(about, about)
    keys[an_entry(keys, w.ARRIVE)] = (kind << w.KIND_SHIFT) + about
    refused(delays, description, arrays | {"keys": keys}, "array 'keys'")


@pytest.mark.parametrize("delays", ["drawn", "in order"])
@pytest.mark.parametrize("kind", [w.PROCESS, w.ARRIVE, w.FIRE])
@pytest.mark.parametrize("time", [np.nan, -np.inf, 0.0, np.nextafter(12.0, 0.0), np.inf])
def test_what_was_due_before_or_never_is_due_is_refused(delays, kind, time):
    description, arrays = sound(delays)
    times = arrays["times"].copy()
    times[an_entry(arrays["keys"], kind)] = time
    refused(delays, description, arrays | {"times": times}, "array 'times'")


def test_entries_that_would_go_on_twice_or_never_are_refused():
    description, arrays = sound("drawn")
    times, keys = arrays["times"], arrays["keys"]
    process, arrival, visit = (an_entry(keys, kind) for kind in (w.PROCESS, w.ARRIVE, w.FIRE))
    twice = {"times": np.append(times, times[process]), "keys": np.append(keys, keys[process])}
    refused("drawn", description, arrays | twice, "a process is there twice")
    late = times.copy()
    late[arrival] = 1e6
    refused("drawn", description, arrays | {"times": late}, "later than any delay")
    without = {"times": np.delete(times, visit), "keys": np.delete(keys, visit)}
    refused("drawn", description, arrays | without, "visits that are not in the queue")


@pytest.mark.parametrize("delays", ["drawn", "in order"])
@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        (w.LAST, np.nan, "last events"),
        (w.LAST, np.nextafter(12.0, 13.0), "last events"),
        (w.LAST, -1.0, "last events"),
        (w.FREE, np.nan, "refractory for too long"),
        (w.FREE, 20.0, "refractory for too long"),
        (w.PREDICTED, np.nan, "predictions"),
        (w.PREDICTED, -11.9, "predictions"),
        (w.PREDICTED, 12.0, "visits that come too late"),
        (w.QUEUED, np.nan, "visits that are not in the queue"),
        (w.QUEUED, 12.5, "visits that are not in the queue"),
        (w.QUEUED, np.inf, "visits that come too late"),
    ],
)
def test_times_of_neurons_that_cannot_be_are_refused(delays, column, value, says):
    description, arrays = sound(delays)
    records = arrays["records0"].copy()
    chosen = int(np.argmax(np.where(np.isfinite(records[:, 2 + w.QUEUED]), records[:, 2 + w.QUEUED], -np.inf)))
    records[chosen, 2 + column] = value
    refused(delays, description, arrays | {"records0": records}, says)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time", [np.nan, np.inf, -1.0, 11.9, 1e18, 10**400, "12", None, True]),
        ("changed", [np.nan, -1.0, 9.8, 13.0, None]),
        ("events", [-1, 2**62, 1.0, None, True]),
        ("fired", [-1, 2**70, 1.0]),
        ("seed", [5, None, 4.0]),
        ("parcels", [0, 719, "720"]),
        ("given", [5, "4"]),
    ],
)
def test_descriptions_that_cannot_be_are_refused(name, values):
    description, arrays = sound("drawn")
    for value in values:
        refused("drawn", description | {name: value}, arrays, "checkpoint: ")
    refused("drawn", {other: value for other, value in description.items() if other != name}, arrays, "its description must hold")
    refused("drawn", description | {"another": 0}, arrays, "its description must hold")
    refused("drawn", [description], arrays, "its description must hold")


@pytest.mark.parametrize("name", ["times", "keys", "processes", "records0", "records1"])
def test_arrays_of_another_form_are_refused(name):
    rng = np.random.default_rng(1)
    for _ in range(40):
        description, arrays = sound("drawn")
        arrays = dict(arrays)
        change_form(arrays, name, rng)
        refused("drawn", description, arrays, "checkpoint: (array|its arrays)")
    refused("drawn", description, sound("drawn")[1] | {"another": np.zeros(1)}, "its arrays must be")
    refused("drawn", description, sound("drawn")[1] | {"processes": 0 * sound("drawn")[1]["processes"]}, "no counts")


@pytest.mark.parametrize(
    "model, delays", [("LIF", "one"), ("LIF", "drawn"), ("LIF", "in order"), ("LIF", "folded"), ("QIF", "drawn")]
)
def test_damaged_checkpoints_are_refused_or_run(model, delays):
    trials = 1600
    done = child("damage", model, delays, trials)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert sum(ends.values()) == trials and "form: ran" not in ends
    for name in ("times", "keys", "records0", "records1"):
        assert ends[f"values of {name}: refused"] > 50


def test_of_another_network_or_seed_it_is_refused():
    description, arrays = sound("drawn")
    for other in (simulation("LIF", "drawn", 5), simulation("LIF", "one"), simulation("LSNN", "drawn")):
        with pytest.raises(StorageError, match="of another network"):
            other._restore(description, arrays, "here")


def test_what_an_error_has_stopped_is_not_captured():
    run = Simulation(Network([Population("n", 1, LIFDelta(v_leak=3.0, v_th=1.0, v_reset=2.0))]), method="exact")
    checkpoint = run._capture()
    with pytest.raises(SimulationError, match="fire without end"):
        run.run(50.0)
    for task in (lambda: run._capture(), lambda: run._restore(*checkpoint, "here")):
        with pytest.raises(SimulationError, match="an error has ended the last run"):
            task()


def test_states_that_are_no_numbers_are_kept():
    """They may come of weights that are large without bound; the next run says so."""
    chosen = Network(
        [Population("n", 3, LIF(v_th=1.0, refractory=1.0))], [Projection("n", "n", FixedInDegree(1), weight=1.0, delay=1.0)]
    )
    run, other = (Simulation(chosen, method="exact", record=[Spikes("n")]) for _ in range(2))
    run.run(1.0)
    description, arrays = run._capture()
    arrays["records0"][0, :2] = np.nan
    arrays["records0"][0, 2 + w.PREDICTED] = np.nan
    other._restore(description, arrays, "here")
    assert other._capture()[1]["records0"].tobytes() == arrays["records0"].tobytes()
    with pytest.raises(SimulationError, match="population 'n', neuron 0: v is nan at 6 ms"):
        other.run(5.0)
