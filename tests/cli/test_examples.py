"""Every example runs, at small size."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def main_of(name):
    return runpy.run_path(str(EXAMPLES / name), run_name="example")["main"]


def test_balanced_network(tmp_path):
    recording = main_of("balanced_network.py")(neurons=1000, duration=100.0, path=tmp_path / "b.png")
    assert len(recording.spikes["exc"].times) > 100 and (tmp_path / "b.png").exists()


def test_own_connectome(tmp_path):
    recording = main_of("own_connectome.py")(neurons=200, duration=60.0, folder=tmp_path)
    reached = recording.spikes["ring"]
    assert reached.neurons.max() > 100, "the wave travels"
    assert {path.name for path in tmp_path.iterdir()} == {"own_connectome.npz", "own_connectome.png"}


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_train_dense_simulate_sparse():
    accuracy, differing = main_of("train_dense_simulate_sparse.py")(iterations=25)
    assert differing == 0 and accuracy > 0.8


def test_no_example_is_left_out():
    tested = Path(__file__).read_text()
    assert all(path.name in tested for path in EXAMPLES.glob("*.py"))
