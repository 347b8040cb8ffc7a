"""Peers: another process answers, its errors and its death are told, and ratios are what the raw times say."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest

from benchmarks import simulators
from benchmarks.describe import describe
from benchmarks.networks import example
from benchmarks.process import Child, Failed, busy_process

FAKE = str(Path(__file__).with_name("fake_peer.py"))


@pytest.fixture
def network(tmp_path):
    """A small network as peers are told about it."""
    return describe(example("brunel", {"neurons": 50}), tmp_path / "arrays.npz")


def test_a_peer_answers_whatever_it_prints(network):
    with Child("fake", [sys.executable, FAKE]) as child:
        built = child.ask({"build": {"network": network}})
        assert built["built_s"] == 0.5 and built["version"] == "Fake 1.0" and built["memory"] > 1_000_000
        first, second = child.ask({"run_ms": 10.0}), child.ask({"run_ms": 10.0})
    assert (first["wall_s"], second["wall_s"]) == (1.0, 2.0)
    assert first["spikes"] == 50


def test_what_a_peer_cannot_do_is_said_and_it_goes_on(network):
    with Child("fake", [sys.executable, FAKE]) as child:
        child.ask({"build": {"network": network}})
        with pytest.raises(Failed, match="fake: runs of more than a second are too long"):
            child.ask({"run_ms": 2000.0})
        with pytest.raises(Failed, match="neither 'build' nor 'run_ms'"):
            child.ask({"dance": True})
        assert child.ask({"run_ms": 10.0})["wall_s"] == 1.0


def test_the_last_words_of_a_peer_that_dies_are_told(network):
    with Child("fake", [sys.executable, FAKE]) as child:
        child.ask({"build": {"network": network}})
        with pytest.raises(Failed, match="(?s)fake ended without an answer.*a last word"):
            child.ask({"run_ms": 1.0, "settings": {"dies": True}})


@pytest.mark.parametrize("script, module", [("nest", "nest"), ("brian2", "brian2"), ("norse", "norse")])
def test_a_python_without_the_simulator_is_told_what_to_install(network, script, module):
    isolated = [sys.executable, "-S", *simulators.PEERS[script]]  # without site-packages: no simulator can be there
    with Child(script, isolated) as child, pytest.raises(Failed, match=f"cannot import {module}.*pip install"):
        child.ask({"build": {"network": network, "threads": 1, "seed": 1}})


def test_an_interpreter_that_is_not_there_is_named():
    with pytest.raises(Failed, match="no/such/python cannot be started"):
        Child("nest", ["no/such/python"])


def test_a_comparison_runs_in_turn_and_its_ratios_are_those_of_the_pairs(bench, monkeypatch):
    monkeypatch.setitem(simulators.PEERS, "nest", (FAKE,))
    options = ("--neurons", "100", "--duration", "5", "--warm-up", "1", "--repeats", "3")
    printed, written = bench("brunel", *options, "--peer", "nest", "--peer-python", sys.executable)
    results = written["results"]
    ours, theirs = ([run["wall_s"] for run in results["runs"][side]] for side in ("eventsim, 1 thread", "nest"))
    assert theirs == [2.0, 3.0, 4.0]  # the first one was the warm-up
    found = results["ratios"]["nest / eventsim, 1 thread"]
    assert found["pairs"] == pytest.approx([b / a for a, b in zip(ours, theirs, strict=True)])
    assert found["median"] == pytest.approx(statistics.median(found["pairs"]))
    assert results["rtf"]["nest"] == pytest.approx(3.0 / 0.005)
    assert results["spikes_per_s"]["nest"] == pytest.approx(200.0)
    assert "nest (Fake 1.0)" in printed
    assert written["settings"]["peers"] == ["nest"] and sys.executable not in written["command"]


def test_peers_and_interpreters_must_fit(refused):
    assert "brian2" in refused("fly", "--peer", "nest", "--peer-python", "python")
    assert "--peer-python 0 times" in refused("brunel", "--peer", "nest")


def test_a_busy_process_ends():
    with busy_process():
        pass
