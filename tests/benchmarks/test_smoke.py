"""Every benchmark at a tiny size: it runs, its figures are there, and what it derives is what its raw figures say."""

from __future__ import annotations

import importlib.util
import statistics

import numpy as np
import pytest

from eventsim.networks.fly import SUGAR_NEURONS

TIMES = ("--duration", "5", "--warm-up", "5", "--repeats", "2")


def check_report(written, name):
    """What every file says about where it comes from."""
    assert written["benchmark"] == name and written["command"].startswith("python -m benchmarks")
    assert {"python", "numba", "numpy", "eventsim_commit"} <= set(written["versions"])
    assert written["machine"]["cores"] >= 1 and written["machine"]["processor"]
    assert written["date"].startswith("20")


def check_comparison(results, duration=5.0):
    """Medians and ratios of a comparison follow from its runs."""
    first = next(iter(results["runs"]))
    for side, runs in results["runs"].items():
        walls = [run["wall_s"] for run in runs]
        assert min(walls) > 0.0 and results["rtf"][side] == pytest.approx(statistics.median(walls) / (duration / 1000.0))
        if side != first:
            pairs = [a["wall_s"] / b["wall_s"] for a, b in zip(runs, results["runs"][first], strict=True)]
            assert results["ratios"][f"{side} / {first}"]["pairs"] == pytest.approx(pairs)


def test_microcircuit_on_one_and_two_threads_and_beside_a_busy_process(bench):
    printed, written = bench("microcircuit", "--scale", "0.01", "--threads", "1,2", "--busy", *TIMES)
    check_report(written, "microcircuit")
    results = written["results"]
    check_comparison(results)
    one, two = results["runs"]["eventsim, 1 thread"], results["runs"]["eventsim, 2 threads"]
    assert [run["spikes_of"] for run in one][0] == [run["spikes_of"] for run in two][0]  # the same simulation
    assert len(results["runs"]["eventsim, 2 threads, beside a busy process"]) == 2
    fact = results["facts"]["eventsim, 1 thread"]
    assert 4.0 < fact["bytes_per_synapse"] < 100.0 and fact["peak_memory"] > 2**20
    events = statistics.median(run["synaptic_events"] / run["wall_s"] for run in one)
    assert fact["synaptic_events_per_s_and_core"] == pytest.approx(events)
    assert len(results["populations"]) == 8 and "L23E" in printed and "deviation" in printed


def test_vogels_abbott_and_brunel(bench):
    for name in ("vogels-abbott", "brunel"):
        printed, written = bench(name, "--neurons", "100", *TIMES)
        check_report(written, name)
        check_comparison(written["results"])
        assert "RTF" in printed


def test_exact(bench):
    options = ("--neurons", "200", "--in-degree", "20", "--sizes", "100,200", "--drives", "22:0,10:12")
    printed, written = bench("exact", *options, *TIMES)
    check_report(written, "exact")
    for synapses in ("delta", "exponential"):
        found = written["results"][synapses]
        driven, spread = found["activities"]
        for beside in (driven, spread):
            check_comparison(beside)
            runs = beside["runs"]["eventsim, 1 thread"]
            rates = [run["synaptic_events"] / run["wall_s"] for run in runs]
            assert beside["events_per_s"] == pytest.approx(statistics.median(rates))
        assert driven["spikes_per_s"]["eventsim, 1 thread"] > spread["spikes_per_s"]["eventsim, 1 thread"]
        assert [point["synapses"] for point in found["growth"]] == [2000, 4000]
    assert "ns/event" in printed


def test_drives_are_pairs(refused):
    assert "MV:SPREAD" in refused("exact", "--drives", "22")


def test_fly(bench, tmp_path):
    path = tmp_path / "brain.npz"
    ids = np.array([SUGAR_NEURONS[0], 11, 12], np.int64)
    indptr, post, syn = np.array([0, 2, 3, 3], np.int32), np.array([1, 2, 2], np.int32), np.array([90, -5, 30], np.int16)
    np.savez(path, root_id=ids, indptr=indptr, post=post, syn=syn)
    printed, written = bench("fly", "--connectome", str(path), *TIMES)
    check_report(written, "fly")
    check_comparison(written["results"])
    assert str(path) not in str(written["settings"]) and "3 neurons, 3 synapses" in printed


def test_fly_without_data_says_what_to_do(refused, monkeypatch, tmp_path):
    monkeypatch.delenv("EVENTSIM_DATA", raising=False)
    assert "set EVENTSIM_DATA" in refused("fly")
    monkeypatch.setenv("EVENTSIM_DATA", str(tmp_path))
    assert "there is no file" in refused("fly")


def test_procedural(bench):
    printed, written = bench("procedural", "--neurons", "500", "--in-degree", "20", "--duration", "20", "--repeats", "2")
    check_report(written, "procedural")
    for found in written["results"].values():
        walls, held = found["wall_s"], found["estimated_bytes"]
        pairs = [a / b for a, b in zip(walls["procedural"], walls["stored"], strict=True)]
        assert found["procedural / stored"]["pairs"] == pytest.approx(pairs)
        assert found["events"] > 100 and held["procedural"] > 0
    assert "time to stored" in printed


def test_silence(bench):
    sizes = ("--silent", "100,1000", "--neurons", "3000", "--activity", "0.001,0.3", "--duration", "5", "--repeats", "2")
    printed, written = bench("silence", *sizes)
    check_report(written, "silence")
    beside, points = written["results"]["silent"], written["results"]["activity"]
    pairs = [a / b for a, b in zip(beside["wall_s"]["1000"], beside["wall_s"]["100"], strict=True)]
    assert beside["ratios"]["1000 / 100"]["pairs"] == pytest.approx(pairs)
    assert [point["activity"] for point in points] == [0.001, 0.3]
    for point in points:
        assert point["updates_share"] == pytest.approx(point["activity"], rel=0.02)  # who receives is who is updated
        best = min(("dense", "sparse"), key=lambda way: statistics.median(point["wall_s"][way]))
        assert point["better"] == best
        pairs = [a / b for a, b in zip(point["wall_s"]["auto"], point["wall_s"][best], strict=True)]
        assert point["auto / better"]["median"] == pytest.approx(statistics.median(pairs))
    assert written["results"]["worst"]["auto / better"]["median"] == max(p["auto / better"]["median"] for p in points)
    assert "worst auto" in printed


def test_growth(bench):
    sizes = ("--neurons", "100,1000", "--degrees", "5,50", "--fixed-neurons", "100", "--fixed-degree", "5")
    printed, written = bench("growth", *sizes, "--duration", "5", "--repeats", "1")
    check_report(written, "growth")
    series = written["results"]["synapses"]
    assert [point["synapses"] for point in series["points"]] == [500, 5000]
    first, second = series["points"]
    slope = np.log10(second["run_s"] / first["run_s"])
    assert series["exponents"]["run_s"]["all"] == pytest.approx(slope)
    assert "exponent" in printed


def test_start(bench):
    printed, written = bench("start", "--network", "brunel", "--repeats", "1")
    check_report(written, "start")
    found = written["results"]["brunel"]
    run = found["runs"][0]
    assert run["total_s"] > run["import_s"] + run["build_s"] + run["first_step_s"] > 0.0
    assert found["median"] == pytest.approx(run)
    assert "start to first step" in printed


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_inference_of_a_random_net(bench, torch):
    sizes = ("--width", "64", "--layers", "2", "--activity", "0.1", "--density", "0.5", "--batch", "2", "--steps", "20")
    printed, written = bench("inference", *sizes, "--repeats", "2")
    check_report(written, "inference")
    (point,) = written["results"]["points"]
    assert len(set(point["activity"].values())) == 1  # dense and sparse fire the same spikes
    assert 0.02 < point["activity"]["eventsim, 1"] < 0.3 and point["density"] == pytest.approx(0.5, abs=0.05)
    best, own = point["better_threads"]["norse_bridge, over time"], point["better_threads"]["eventsim"]
    pairs = [a["wall_s"] / b["wall_s"] for a, b in zip(point["runs"][best], point["runs"][own], strict=True)]
    assert point["ratios"]["norse_bridge, over time / eventsim"]["pairs"] == pytest.approx(pairs)
    assert "norse_bridge, step by step" in printed


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")
def test_inference_of_a_trained_net(bench, torch):
    printed, written = bench("inference", "--net", "digits", "--epochs", "1", "--batch", "1", "--steps", "20", "--repeats", "1")
    (point,) = written["results"]["points"]
    assert len(set(point["activity"].values())) == 1 and point["about"]["accuracy"] > 0.1
    assert "test images right" in printed


def test_wrong_options_are_refused_with_their_names(refused):
    assert "--threads must be numbers" in refused("microcircuit", "--threads", "two")
    assert "--activity must be shares" in refused("silence", "--activity", "2")


def test_queue(bench):
    printed, written = bench("queue", "--sizes", "200", "--operations", "2000", "--repeats", "2")
    check_report(written, "queue")
    for synapses in ("delta", "exponential"):
        (found,) = written["results"][synapses]
        assert found["ns"] == {name: min(runs) for name, runs in found["runs"].items()} and len(found["ns"]) == 5
        assert 0.0 < found["stale"] < 1.0
    assert "stale pops" in printed


def test_long(bench, tmp_path):
    times = ("--duration", "2", "--part", "0.5", "--repeats", "2", "--folder", str(tmp_path))
    printed, written = bench("long", "--neurons", "100", *times)
    check_report(written, "long")
    whole, cost = written["results"]["whole"], written["results"]["cost"]
    assert whole["spikes"] > 0 and whole["file_bytes"] > 16 * whole["spikes"]  # time and neuron of each
    assert whole["held"][-1][0] == 2000.0 and whole["growth"] == whole["held"][-1][1] / whole["memory_first"] - 1.0
    pairs = [a["wall_s"] / b["wall_s"] for a, b in zip(cost["runs"]["file"], cost["runs"]["memory"], strict=True)]
    assert cost["ratio"]["pairs"] == pytest.approx(pairs)
    assert "against the first minute" in printed and not list(tmp_path.glob("*/"))
