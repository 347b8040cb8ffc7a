"""Recordings as what other tools work with."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from stretches import INTERVAL, assert_same, stretch

import eventsim as es
from eventsim.errors import StorageError

NOT_NEEDED = "{} is optional"


def test_to_numpy():
    recording = stretch(0, 100, batch=2)
    arrays = recording.to_numpy()
    assert arrays["spikes/b/c/times"] is recording.spikes["b/c"].times
    assert arrays["states/a/v"] is recording.states["a"].values["v"]
    assert arrays["rates/a/rate"] is recording.rates["a"].rate
    assert [float(arrays[name]) for name in ("start", "stop", "dt")] == [recording.start, recording.stop, recording.dt]
    assert len(arrays) == 3 + 2 * 3 + 4 + 2 * 3


@pytest.mark.parametrize(
    ("module", "call"), [("pandas", "to_pandas"), ("neo", "to_neo"), ("quantities", "to_neo"), ("pynwb", "to_nwb")]
)
def test_what_is_missing_is_named(tmp_path, monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    if module == "quantities":
        monkeypatch.setitem(sys.modules, "neo", sys)
    with pytest.raises(StorageError, match=f"{call} needs {module}: pip install {module}"):
        getattr(stretch(0, 10), call)(*([tmp_path / "r.nwb"] if call == "to_nwb" else []))


def test_to_pandas():
    pytest.importorskip("pandas", reason=NOT_NEEDED.format("pandas"))
    recording = stretch(0, 100, batch=2)
    frame = recording.to_pandas()
    assert list(frame.columns) == ["population", "neuron", "time", "batch"]
    for name, spikes in recording.spikes.items():
        mine = frame[frame.population == name]
        found = es.SpikeData(mine.time.to_numpy(), mine.neuron.to_numpy(), mine.batch.to_numpy())
        assert_same(es.Recording(0.0, 1.0, 0.1, {"a": found}), es.Recording(0.0, 1.0, 0.1, {"a": spikes}))
    assert len(stretch(0, 0).to_pandas()) == 0
    assert len(es.Recording(0.0, 1.0, 0.1).to_pandas()) == 0


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of neo's own
def test_to_neo(batch):
    pytest.importorskip("neo", reason=NOT_NEEDED.format("neo"))
    recording = stretch(0, 100, batch)
    block = recording.to_neo()
    assert len(block.segments) == batch
    for item, segment in enumerate(block.segments):
        for name, spikes in recording.spikes.items():
            trains = [train for train in segment.spiketrains if train.annotations["population"] == name]
            times = np.concatenate([train.rescale("ms").magnitude for train in trains])
            neurons = np.concatenate([np.full(len(train), train.annotations["neuron"]) for train in trains])
            order, mine = np.lexsort((neurons, times)), spikes.batch == item
            assert np.array_equal(times[order], spikes.times[mine])
            assert np.array_equal(neurons[order], spikes.neurons[mine])
        signals = {signal.name: signal for signal in segment.analogsignals}
        values = recording.states["a"].values["v"]
        assert np.array_equal(signals["a v"].magnitude, values if batch == 1 else values[:, item])
        assert np.allclose(signals["a v"].times.rescale("ms").magnitude, recording.states["a"].times)
        assert float(signals["a rate"].sampling_period.rescale("ms")) == pytest.approx(INTERVAL)
        rate = recording.rates["a"].rate
        assert np.array_equal(signals["a rate"].magnitude[:, 0], rate if batch == 1 else rate[:, item])
    assert stretch(0, 3).to_neo().segments[0].irregularlysampledsignals[0].times.size == 1


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.filterwarnings("ignore")  # of pynwb's own
def test_to_nwb(tmp_path, batch):
    pynwb = pytest.importorskip("pynwb", reason=NOT_NEEDED.format("pynwb"))
    recording = stretch(0, 100, batch)
    recording.to_nwb(tmp_path / "r.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "r.nwb"), "r") as file:
        found = file.read()
        units = found.units.to_dataframe()
        for name, spikes in recording.spikes.items():
            mine = units[units.population == name]
            assert set(zip(mine.batch, mine.neuron, strict=True)) == set(zip(spikes.batch, spikes.neurons, strict=True))
            assert np.allclose(np.sort(np.concatenate(list(mine.spike_times))), np.sort(spikes.times) / 1000.0, rtol=1e-12)
        assert np.array_equal(found.acquisition["a v"].data[()], recording.states["a"].values["v"])
        assert np.array_equal(found.acquisition["a rate"].data[()], recording.rates["a"].rate)
        assert np.array_equal(found.processing["neurons"]["a"]["neuron"].data[()], recording.states["a"].neurons)
    with pytest.raises(StorageError, match="cannot be written"):
        recording.to_nwb(tmp_path / "no" / "r.nwb")
