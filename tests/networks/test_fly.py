"""The fly: its file is checked, and its network is the paper's. The whole brain runs in `tests/engine/test_data.py`."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim.errors import NetworkError, StorageError
from eventsim.networks.fly import SUGAR_NEURONS, fly, kick_rate, read_connectome
from eventsim.recording import Spikes, States
from eventsim.simulation import Simulation

GOOD = {
    "root_id": np.array([SUGAR_NEURONS[0], 11, 12, SUGAR_NEURONS[3]], np.int64),
    "indptr": np.array([0, 2, 3, 3, 4], np.int32),
    "pre": np.array([0, 0, 1, 3], np.int32),
    "post": np.array([1, 2, 2, 1], np.int32),
    "syn": np.array([40, -5, 30, 7], np.int16),
}


@pytest.fixture
def write(tmp_path):
    """``write(**changes)`` is the path of the small connectome with some arrays changed, or left out where None."""

    def make(**changes):
        arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
        np.savez(tmp_path / "brain.npz", **arrays)
        return tmp_path / "brain.npz"

    return make


def test_the_network_is_that_of_the_paper(write):
    example = fly(write())
    brain = example.network.population("brain")
    assert brain.size == 4
    assert brain.neuron.params._asdict() == {
        "tau_mem": 20.0, "tau_syn": 5.0, "v_leak": -52.0, "v_th": -45.0, "v_reset": -52.0, "r_mem": 1.0,
    }  # fmt: skip
    assert brain.neuron.refractory == pytest.approx([0.0, 2.1, 2.1, 0.0])
    assert brain.neuron.hold == ("v", "i")
    projection = example.network.projections[0]
    assert projection.weight.values == pytest.approx(0.275 * np.array([40, -5, 30, 7]))
    assert projection.delay.value == 1.8
    noise = example.network.inputs[0]
    assert float(noise.weight) == pytest.approx(68.75) and noise.port == "v"
    assert noise.rate[[1, 2]].tolist() == [0.0, 0.0] and np.all(noise.rate[[0, 3]] > 200.0)


def test_what_is_missing_is_said(write):
    notes = " ".join(fly(write()).notes)
    assert "2 of 21 neurons stimulated" in notes and "19 of the stimulated neurons not in brain.npz" in notes


def test_a_step_has_an_event_as_often_as_one_draw_of_rate_times_dt():
    # Brian2's stimulus is one draw of chance rate*dt a step.
    assert 1.0 - np.exp(-0.001 * kick_rate(200.0, 0.1) * 0.1) == pytest.approx(0.02)
    assert kick_rate(0.0, 0.1) == 0.0
    for rate in (-1.0, 10_000.0, float("nan")):
        with pytest.raises(NetworkError, match="stimulus rate"):
            kick_rate(rate, 0.1)


def test_silent_neurons_are_appended_without_synapses(write):
    example = fly(write(), silent=1000)
    connectivity = example.network.projections[0].connectivity
    assert example.network.size == 1004 and connectivity.n_source == connectivity.n_target == 1004
    assert connectivity.nnz == 4 and np.all(np.diff(connectivity.indptr)[4:] == 0)
    with pytest.raises(NetworkError, match="silent"):
        fly(write(), silent=-1)


def test_other_neurons_can_be_stimulated(write):
    example = fly(write(), stimulated=(11,), stimulus_rate=150.0)
    assert np.flatnonzero(example.network.inputs[0].rate).tolist() == [1]
    with pytest.raises(NetworkError, match="none of the 1 stimulated"):
        fly(write(), stimulated=(99,))


def test_stimulated_neurons_fire_and_excite_and_the_others_rest(write):
    simulation = Simulation(fly(write()).network, 0.1, seed=1, record=[Spikes("brain"), States("brain", ("v",), [2], 1.0)])
    recording = simulation.run(2000.0)
    spikes = np.bincount(recording.spikes["brain"].neurons, minlength=4)
    # Geometric gaps of 50 steps on average, and one step from kick to spike: 196 a second.
    assert abs(spikes[0] - 392) < 5 * np.sqrt(392) and abs(spikes[3] - 392) < 5 * np.sqrt(392)
    assert spikes[1] > 0, "40 synapses of a neuron that fires 196 times a second reach the threshold"
    assert recording.states["brain"].values["v"].max() < -45.0 + 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"post": None}, "lacks the array 'post'"),
        ({"syn": None}, "lacks the array 'syn'"),
        ({"root_id": None}, "lacks the array 'root_id'"),
        ({"syn": np.array([1.0, 2.0, 3.0, 4.0])}, "syn must be a list of signed integers"),
        ({"syn": np.array([1, 2, 3], np.int16)}, "syn holds 3 values, post 4"),
        ({"post": np.array([[1, 2], [2, 1]], np.int32)}, "post must be a list"),
        ({"post": np.array([1, 2, 2, 4], np.int32), "pre": None}, "post must name neurons from 0 to 3"),
        ({"post": np.array([1, 2, 2, -1], np.int32)}, "post must name neurons"),
        ({"indptr": np.array([0, 2, 3, 4], np.int32)}, "4 neurons in root_id need 5 values in indptr"),
        ({"indptr": np.array([0, 3, 2, 3, 4], np.int32)}, "indptr must rise"),
        ({"indptr": np.array([1, 2, 3, 3, 4], np.int32)}, "indptr must rise"),
        ({"indptr": np.array([0, 2, 3, 3, 9], np.int32)}, "indptr must rise"),
        ({"pre": np.array([0, 1, 1, 3], np.int32)}, "pre and indptr disagree"),
        ({"pre": np.array([0, 1], np.int32)}, "pre holds 2 values"),
        ({"root_id": np.array([1, 1, 2, 3], np.int64)}, "names a neuron twice"),
        ({"root_id": np.array(["a", "b", "c", "d"])}, "root_id must be a list of signed integers"),
        ({"root_id": np.zeros(0, np.int64), "indptr": np.zeros(1, np.int64)}, "0 neurons"),
    ],
)
def test_a_malformed_connectome_is_refused(write, changes, message):
    with pytest.raises(StorageError, match=message):
        read_connectome(write(**changes))


def test_no_pickle_no_folder_no_text(tmp_path):
    np.savez(tmp_path / "o.npz", **(GOOD | {"syn": np.array([None] * 4)}))
    with pytest.raises(StorageError, match="object"):
        read_connectome(tmp_path / "o.npz")
    (tmp_path / "t.npz").write_text("neuron,neuron\n")
    with pytest.raises(StorageError, match="not a complete"):
        read_connectome(tmp_path / "t.npz")
    with pytest.raises(StorageError, match="cannot be read|not a complete"):
        read_connectome(tmp_path)
    with pytest.raises(StorageError, match="no such file"):
        read_connectome(tmp_path / "nothing.npz")
