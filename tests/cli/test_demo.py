"""The demo: the data that it takes, what it says without its extras, and the whole of it."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner

from eventsim.cli import main
from eventsim.cli.demo.data import load_digits, load_mnist
from eventsim.errors import StorageError
from eventsim.simulation import Simulation
from eventsim.storage import load

needs_extras = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "sklearn", "matplotlib")), reason="needs the extra demo"
)


@needs_extras
def test_the_digits_are_split_by_the_seed_alone():
    first, again, other = load_digits(0), load_digits(0), load_digits(1)
    assert np.array_equal(first.test, again.test) and not np.array_equal(first.test, other.test)
    assert len(first.train) + len(first.test) == 1797 and first.train.shape[1] == 64
    assert 0.0 <= first.train.min() and first.train.max() == 1.0


def mnist(tmp_path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (20, 6, 6)).astype(np.uint8),
        "y_train": (np.arange(20) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (10, 6, 6)).astype(np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    } | changes
    np.savez(tmp_path / "mnist.npz", **{name: array for name, array in arrays.items() if array is not None})
    return tmp_path / "mnist.npz"


def test_mnist_is_read(tmp_path):
    images = load_mnist(mnist(tmp_path))
    assert images.train.shape == (20, 36) and images.test.dtype == np.float32 and images.test.max() <= 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "lacks the array 'x_test'"),
        ({"x_train": np.zeros((20, 36), np.uint8)}, "x_train must be uint8"),
        ({"x_train": np.zeros((20, 6, 6))}, "x_train must be uint8"),
        ({"y_test": np.zeros(3, np.uint8)}, "one label for each"),
        ({"y_train": np.full(20, 12)}, "digits from 0 to 9"),
        ({"x_test": np.zeros((10, 5, 5), np.uint8)}, "differ in size"),
    ],
)
def test_a_malformed_mnist_is_refused(tmp_path, changes, message):
    with pytest.raises(StorageError, match=message):
        load_mnist(mnist(tmp_path, **changes))


def test_without_the_extras_the_demo_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("eventsim.cli.demo.find_spec", lambda name: None if name in ("torch", "sklearn") else find(name))
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 2
    assert "needs torch, scikit-learn: pip install 'eventsim[demo]'" in result.stderr


@needs_extras
def test_the_demo_in_short(tmp_path):
    """Three epochs on the digits: not yet good, but the same spikes."""
    result = CliRunner().invoke(main, ["demo", "--epochs", "3", "--test-images", "60", "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for part in ("dense (torch)", "sparse (eventsim)", "differing spikes", "neurons firing per step", "dense operations per event"):
        assert part in result.stdout
    folder = tmp_path / "out"
    results = json.loads((folder / "results.json").read_text())
    assert results["differing"] == 0 and results["spikes"] > 1000
    assert results["accuracy_dense"] == results["accuracy_sparse"] > 0.5
    assert results["dense_operations_per_event"] > 5 and results["images"] == 60
    assert results["synapses_kept"] < 0.35 * results["synapses_dense"]
    assert (folder / "model.pt").stat().st_size > 10_000 and (folder / "raster.png").stat().st_size > 10_000
    network = load(folder / "network.npz")
    simulation = Simulation(network, 1.0, dtype="float64")
    simulation.run(32.0)
    assert simulation.counters.spikes > 0, "the saved network carries the first test image"


@needs_extras
@pytest.mark.slow
def test_the_demo_in_full(tmp_path):
    result = CliRunner().invoke(main, ["demo", "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["differing"] == 0
    assert results["accuracy_dense"] >= 0.95 and results["accuracy_sparse"] >= 0.95
    assert results["dense_operations_per_event"] >= 5
