"""Saved networks come back equal, and nothing that is not one gets through."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from eventsim import errors as e
from eventsim.connectivity import Connectivity
from eventsim.distributions import LogNormal, Normal, Uniform
from eventsim.models import AFTER_RESET, AT_GRID, BEFORE_FLOW, BEFORE_RESET, IAF, LI, LIF, LIFDelta, LIFExcInh, LIFResetAll
from eventsim.network import Network, Population, Projection
from eventsim.networks import brunel, microcircuit, vogels_abbott
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber, OneToOne
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource, SpikeSource
from eventsim.storage import _Arrays, _encode_population, _encode_projection, load, save
from eventsim.storage import _encode as encode_input
from eventsim.varying_rate import VaryingRate


def contents(network: Network):
    """Everything that a network says, comparable: arrays as (type, values)."""
    arrays = _Arrays()
    texts = [_encode_population(p, arrays) for p in network.populations]
    texts += [_encode_projection(p, arrays) for p in network.projections]
    texts += [encode_input(i, arrays, "") for i in network.inputs]
    values = {name: (array.dtype.str, array.tolist()) for name, array in arrays.named.items()}

    def filled(item):
        if isinstance(item, dict):
            return values[item["array"]] if set(item) == {"array"} else {key: filled(value) for key, value in item.items()}
        return [filled(value) for value in item] if isinstance(item, list) else item

    return [filled(text) for text in texts]


numbers = st.floats(-50, 50, allow_nan=False, width=32)
positive = st.floats(0.5, 50, allow_nan=False)
weights = st.one_of(
    numbers,
    st.builds(Normal, numbers, positive),
    st.builds(lambda mean, std: Normal(mean, std, low=mean - 1.0, outside="clip"), numbers, positive),
    st.builds(LogNormal, st.floats(-2, 2), st.floats(0, 1)),
    st.builds(lambda low, width: Uniform(low, low + width), numbers, positive),
)
delays = st.one_of(st.sampled_from([0.1, 1.0, 2.5]), st.just(Normal(1.5, 0.5, low=0.1)), st.just(Uniform(0.5, 3.0)))
rules = st.one_of(
    st.builds(AllToAll, st.booleans()),
    st.just(OneToOne()),
    st.builds(FixedProbability, st.floats(0, 1), st.booleans()),
    st.builds(FixedTotalNumber, st.integers(0, 1000), st.booleans()),
    st.builds(FixedInDegree, st.integers(0, 3), st.booleans(), st.booleans()),
    st.builds(FixedOutDegree, st.integers(0, 3), st.booleans(), st.booleans()),
)


starts = st.sampled_from(["equilibrium", "ordinary"])


def varying(size):
    """Rates over time, of all or of each."""
    return st.one_of(
        st.just(VaryingRate([5.0, 0.0], [0.5, 3.0], "linear", before="hold", after="zero")),
        st.just(VaryingRate(np.ones((3, size)), [0.0, 1.0, 2.5], period=4.0)),
        st.builds(VaryingRate.sinusoid, positive, positive, positive, st.just(1.0), st.just(8)),
    )


@st.composite
def neurons(draw, size):
    model = draw(st.sampled_from([LIF, LIFResetAll, LIFDelta, LIFExcInh, IAF]))
    order = draw(st.sampled_from([AT_GRID, BEFORE_FLOW, AFTER_RESET, BEFORE_RESET]))
    threshold = draw(st.one_of(numbers, st.lists(numbers, min_size=size, max_size=size)))
    refractory = draw(st.sampled_from([0.0, 2.0]))
    return model(v_th=threshold, order=order, refractory=refractory, method=draw(st.sampled_from(["exact", "euler"])))


@st.composite
def drawn_networks(draw):
    size = draw(st.integers(5, 9))
    start = draw(st.one_of(st.just({}), st.just({"v": Uniform(0.0, 1.0)}), st.just({"v": np.arange(float(size))})))
    populations = (
        Population("a", size, draw(neurons(size)), initial=start),
        Population("b", size, draw(neurons(size))),
        Population("noise", size, PoissonSource(draw(st.one_of(positive, st.lists(positive, min_size=size, max_size=size))))),
        Population("given", size, SpikeSource([1.0, 2.0, 2.0], [0, 1, 2])),
        Population("varying", size, PoissonSource(draw(varying(size)))),
        Population(
            "gamma", size, GammaSource(draw(positive), draw(st.lists(positive, min_size=size, max_size=size)), draw(starts))
        ),
        Population("out", 2, LI()),
    )
    projections = tuple(
        Projection(source, target, draw(rules), weight=draw(weights), delay=draw(delays))
        for source, target in draw(st.lists(st.sampled_from([("a", "b"), ("b", "a"), ("noise", "a"), ("given", "b")]), max_size=4))
    )
    dense = draw(st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=size, max_size=size))
    projections += (Projection("a", "out", np.array(dense), delay=0.0),)
    inputs = (
        PoissonNoise("a", rate=draw(positive), weight=draw(numbers)),
        PoissonNoise("a", rate=draw(varying(size)), weight=draw(numbers)),
        Current("b", [[1.0] * size, [2.0] * size], times=[0.0, 5.0]),
        Current("a", 0.5),
        Increment("out", [0.1, 0.2]),
    )
    return Network(populations, projections, inputs)


@given(drawn_networks())
def test_a_network_comes_back_equal(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("nets") / "network.npz"
    save(network, path)
    assert contents(load(path)) == contents(network)


@pytest.mark.parametrize("build", [brunel, vogels_abbott, microcircuit])
def test_the_built_in_networks_come_back_equal(tmp_path, build):
    network = build().network
    save(network, tmp_path / "n.npz")
    assert contents(load(tmp_path / "n.npz")) == contents(network)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_explicit_connectivity_keeps_its_type_and_is_written_once(tmp_path, dtype):
    matrix = sp.random_array((200, 300), density=0.1, rng=np.random.default_rng(1), dtype=dtype, format="csr")
    populations = (Population("a", 200, LIF()), Population("b", 300, LIF()))
    first = Projection("a", "b", matrix, delay=1.0)
    network = Network(populations, (first, replace(first, port="v")))
    save(network, tmp_path / "n.npz")
    again = load(tmp_path / "n.npz").projections[0].connectivity
    assert again.weights.dtype == dtype
    assert np.array_equal(again.weights, matrix.data) and np.array_equal(again.targets, matrix.indices)
    synapses = matrix.nnz * (4 + np.dtype(dtype).itemsize)
    assert (tmp_path / "n.npz").stat().st_size < synapses + 8 * 201 + 6000, "the weights of the two projections are stored twice"


def test_delays_of_each_synapse_and_multapses_come_back(tmp_path):
    connectivity = Connectivity([0, 2, 3], [1, 1, 0], [1.0, -2.0, 3.0], [0.5, 1.5, 2.0], 2)
    network = Network((Population("a", 2, LIF()),), (Projection("a", "a", connectivity),))
    save(network, tmp_path / "n.npz")
    again = load(tmp_path / "n.npz").projections[0]
    assert again.connectivity.targets.tolist() == [1, 1, 0]
    assert again.delay.values.tolist() == [0.5, 1.5, 2.0]


def test_a_model_of_ones_own_is_found_by_name(tmp_path):
    mine = replace(LIF, name="Mine")
    save(Network((Population("a", 3, mine(v_th=2.0)),)), tmp_path / "n.npz")
    with pytest.raises(e.StorageError, match="model 'Mine' is not known"):
        load(tmp_path / "n.npz")
    assert load(tmp_path / "n.npz", models=[mine]).populations[0].neuron.model is mine


def test_an_impostor_of_a_built_in_model_is_not_saved(tmp_path):
    with pytest.raises(e.StorageError, match="give it its own name"):
        save(Network((Population("a", 3, replace(LIF, doc="another")()),)), tmp_path / "n.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(e.StorageError, match="cannot be written"):
        save(Network((Population("a", 3, LIF()),)), tmp_path / "no" / "n.npz")
    with pytest.raises(e.StorageError, match="no such file"):
        load(tmp_path / "no.npz")


# ------------------------------------------------------------------------------------------------------ malformed files


@pytest.fixture
def parts(tmp_path):
    """``parts()`` is (description, arrays) of a good file; ``parts.write(description, arrays)`` writes and loads one."""
    matrix = sp.csr_array(np.array([[0.0, 1.0], [2.0, 0.0]]))
    network = Network(
        (Population("a", 2, LIF(v_th=[1.0, 2.0])), Population("p", 2, PoissonSource(5.0))),
        (Projection("a", "a", matrix, delay=1.0), Projection("p", "a", OneToOne(), weight=Normal(1.0, 0.1, low=0.0), delay=1.0)),
        (PoissonNoise("a", 5.0, 1.0),),
    )
    path = tmp_path / "good.npz"
    save(network, path)
    with np.load(path) as file:
        arrays = dict(file)
    description = json.loads(arrays.pop("description").tobytes())

    def attempt(change):
        """Change the good file's description and arrays, write it, load it."""
        change(description, arrays)
        text = np.frombuffer(json.dumps(description).encode(), np.uint8)
        np.savez(tmp_path / "bad.npz", description=text, **arrays)
        return load(tmp_path / "bad.npz")

    return attempt


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(description, arrays):
        place = description
        for step in path:
            place = place[step]
        place[last] = value

    return change


def drop(*path):
    def change(description, arrays):
        place = description
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def test_the_unchanged_file_loads(parts):
    assert parts(lambda description, arrays: None).size == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", "something"), "no network saved by eventsim"),
        (put("version", 99), "version 99"),
        (put("extra", 1), "'extra' is unknown"),
        (drop("inputs"), "'inputs' is missing"),
        (put("populations", {}), "must be a list"),
        (put("populations", []), "at least one population"),
        (put("populations", 0, "size", 10**9), "parameter array"),
        (put("populations", 0, "size", "two"), "whole number"),
        (put("populations", 0, "size", 3), "parameter array"),
        (put("populations", 0, "name", 7), "text"),
        (put("populations", 0, "name", {"array": "a0"}), "text"),
        (put("populations", 0, "neuron", None), "neuron must be"),
        (put("populations", 0, "neuron", 5), "neuron must be"),
        (put("populations", 0, "neuron", "model", "os.system"), "is not known"),
        (put("populations", 0, "neuron", "model", ["LIF"]), "is not known"),
        (put("populations", 0, "neuron", "params", "tau_mem", -1.0), "above 0"),
        (put("populations", 0, "neuron", "params", "tau_mem", "ten"), "number"),
        (put("populations", 0, "neuron", "params", "tau_mem", {"number": "nan"}), "no number"),
        (put("populations", 0, "neuron", "params", "tau_mem", {"number": "inf"}), "finite"),
        (put("populations", 0, "neuron", "params", "tau_mem", {"kind": "Normal"}), "stands where"),
        (put("populations", 0, "neuron", "params", "tau", 1.0), "'tau' is unknown"),
        (drop("populations", 0, "neuron", "params", "tau_mem"), "'tau_mem' is missing"),
        (put("populations", 0, "neuron", "order", ["reset"]), "order"),
        (put("populations", 0, "neuron", "order", 3), "order must be a tuple"),
        (put("populations", 0, "neuron", "hold", ["w"]), "hold"),
        (put("populations", 0, "neuron", "refractory", -1), "negative"),
        (put("populations", 0, "initial", {"w": {"kind": "Constant", "value": 1.0}}), "initial names 'w'"),
        (put("populations", 0, "initial", []), "initial must be a mapping"),
        (put("projections", 0, "connectivity", 1), "connectivity must be"),
        (put("projections", 0, "connectivity", "kind", "FixedProbability"), "unknown"),
        (put("projections", 0, "connectivity", "kind", "object"), "stands where"),
        (put("projections", 0, "connectivity", "targets", {"array": "a99"}), "does not hold"),
        (put("projections", 0, "connectivity", "n_target", 1), "targets must be"),
        (put("projections", 0, "source", "nobody"), "no population 'nobody'"),
        (put("projections", 0, "weight", None), "must be distributions"),
        (
            put("projections", 0, "weight", {"kind": "Normal", "mean": 0.0, "std": -1.0, "low": 0, "high": 1, "outside": "clip"}),
            "std",
        ),
        (put("projections", 0, "delay", {"kind": "Constant", "value": -1.0}), "negative"),
        (put("projections", 0, "port", "nowhere"), "no port"),
        (put("projections", 0, "port", ["i"]), "port"),
        (put("inputs", 0, "rate", -5.0), "negative"),
        (put("inputs", 0, "rate", {"kind": "VaryingRate", "values": 5.0}), "'after' is missing"),
        (put("inputs", 0, "rate", {"kind": "PoissonNoise"}), "stands where"),
        (put("inputs", 0, "weight", {"kind": "VaryingRate"}), "stands where"),
        (put("populations", 0, "neuron", {"kind": "VaryingRate"}), "stands where"),
        (put("inputs", 0, "kind", "SpikeSource"), "stands where"),
        (put("inputs", 0, "kind", "LIF"), "stands where"),
        (put("inputs", 0, 5), "wrong place"),
    ],
)
def test_a_changed_description_is_refused_with_a_clear_error(parts, change, message):
    with pytest.raises((e.StorageError, e.NetworkError), match=message):
        parts(change)


@pytest.mark.parametrize(
    "array",
    [
        np.array([5, 0], np.int32),
        np.array([-1, 0], np.int32),
        np.array([0.5, 1.0]),
        np.zeros((2, 2), np.int32),
        np.array(["0", "1"]),
    ],
)
def test_malformed_targets_are_refused(parts, array):
    def change(description, arrays):
        arrays[description["projections"][0]["connectivity"]["targets"]["array"]] = array

    with pytest.raises((e.StorageError, e.NetworkError), match="targets"):
        parts(change)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_file(tmp_path_factory, blob):
    path = tmp_path_factory.mktemp("blob") / "n.npz"
    path.write_bytes(blob)
    with pytest.raises(e.StorageError, match=r"n\.npz"):
        load(path)


@given(st.data())
def test_a_file_with_a_flipped_byte_loads_or_is_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flip")
    save(Network((Population("a", 4, LIF(v_th=[1.0, 2.0, 3.0, 4.0])),)), folder / "n.npz")
    blob = bytearray((folder / "n.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "n.npz").write_bytes(blob[: data.draw(st.integers(len(blob) // 2, len(blob)))])
    try:
        load(folder / "n.npz")
    except e.EventsimError as error:
        assert "n.npz" in str(error)


def test_pickled_objects_are_never_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was read",))

    with open(tmp_path / "n.npz", "wb") as file:
        np.savez(file, description=np.array([Bomb()], dtype=object))
    with pytest.raises(e.StorageError, match="object"):
        load(tmp_path / "n.npz")


def write_member(path, header: bytes, body: bytes, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("description.npy", header + body)


def test_a_header_that_declares_more_than_there_is(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (2**50,)})
    write_member(tmp_path / "n.npz", buffer.getvalue(), b"xx")
    with pytest.raises(e.StorageError, match="declares 1,125,899,906,842,624 bytes"):
        load(tmp_path / "n.npz")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_before_it_does(tmp_path):
    path = tmp_path / "n.npz"
    np.savez_compressed(path, description=np.zeros(50_000_000, np.uint8))
    assert path.stat().st_size < 100_000
    with pytest.raises(e.StorageError, match="more than 1,000,000 bytes"):
        load(path, max_bytes=1_000_000)


def test_json_that_is_too_deep(tmp_path):
    text = np.frombuffer(b"[" * 200_000 + b"]" * 200_000, np.uint8)
    np.savez(tmp_path / "n.npz", description=text)
    with pytest.raises(e.StorageError, match="JSON"):
        load(tmp_path / "n.npz")
