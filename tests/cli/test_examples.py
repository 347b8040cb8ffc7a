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


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_yin_yang(tmp_path):
    accuracy = main_of("yin_yang.py")(epochs=12, hidden=60, samples=1500, tests=200, path=tmp_path / "y.png")
    assert accuracy > 0.5 and (tmp_path / "y.png").exists()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_digits_first_spike(tmp_path):
    pytest.importorskip("sklearn")
    accuracy = main_of("digits_first_spike.py")(epochs=20, hidden=60, samples=600, path=tmp_path / "d.png")
    assert accuracy > 0.6 and (tmp_path / "d.png").exists()


def test_no_example_is_left_out():
    tested = Path(__file__).read_text()
    assert all(path.name in tested for path in EXAMPLES.glob("*.py"))
