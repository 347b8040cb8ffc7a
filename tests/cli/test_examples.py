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
def test_yin_yang():
    validation, test = main_of("yin_yang.py")(epochs=10, hidden=60, samples=1500, others=300)
    assert min(validation, test) > 0.6


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_yin_yang_is_the_published_data():
    """The first points of the published training set (seed 42), and its rule."""
    example = runpy.run_path(str(EXAMPLES / "yin_yang.py"), run_name="example")
    times, labels = example["yin_yang"](300, 42)
    points = times[:, :2, 0].numpy() / example["LATEST"]
    assert [example["class_of"](x, y) for x, y in points] == labels.tolist()
    assert [example["class_of"](x, y) for x, y in ((0.25, 0.5), (0.75, 0.5), (0.4, 0.5), (0.6, 0.5), (0.5, 0.9), (0.0, 0.0))] == [
        2,
        2,
        1,
        0,
        1,
        -1,
    ]
    assert (times[:, 2:4, 0] + times[:, :2, 0]).numpy() == pytest.approx(example["LATEST"])


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_digits_first_spike():
    pytest.importorskip("sklearn")
    validation, test = main_of("digits_first_spike.py")(epochs=15, hidden=60, samples=600)
    assert min(validation, test) > 0.6


def test_no_example_is_left_out():
    tested = Path(__file__).read_text()
    assert all(path.name in tested for path in EXAMPLES.glob("*.py"))
