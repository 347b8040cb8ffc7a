"""A simulation that was saved and loaded goes on as if nothing had happened, bit for bit, on any number of workers."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
from engine.networks import DT, STEPS, driven_networks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from eventsim import (
    IAF,
    LIF,
    Current,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    GammaSource,
    Izhikevich,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
    StorageError,
    Uniform,
    VaryingRate,
    save,
)
from eventsim.checkpoint import read_checkpoint, write_checkpoint


def everything(network):
    """Recorders of all that fires and of all states."""
    record = [Spikes(p.name) for p in network.populations if p.spiking]
    record += [Rates(p.name, 3.0) for p in network.populations if p.spiking]
    return record + [States(p.name, p.neuron.model.State._fields) for p in network.populations if hasattr(p.neuron, "model")]


def arrays_of(recording):
    """Everything that was recorded, as one list of arrays."""
    found = [array for name in sorted(recording.spikes) for array in recording.spikes[name]]
    found += [array for name in sorted(recording.rates) for array in recording.rates[name]]
    return found + [values for name in sorted(recording.states) for values in recording.states[name].values.values()]


def assert_same(a, b):
    for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
        assert x.dtype == y.dtype and np.array_equal(x, y)


def assert_goes_on(network, path, dt, durations, workers=(1, 1), **how):
    """Runs of these durations: in one simulation, and with a checkpoint after each from which another one goes on."""
    given = {name: how[name] for name in ("spikes", "increments") if name in how}
    whole = Simulation(network, dt, workers=workers[0], record=everything(network), **how)
    cut = Simulation(network, dt, workers=workers[0], record=everything(network), **how)
    for turn, duration in enumerate(durations):
        wanted = whole.run(duration)
        assert_same(wanted, cut.run(duration))
        cut.save(path)
        assert_same_bits_again(cut, path)
        cut = Simulation.load(path, network, workers=workers[(turn + 1) % len(workers)], **given)
        assert cut.time == whole.time and cut.counters == whole.counters and cut.update_modes() == whole.update_modes()
    return whole


def assert_same_bits_again(simulation, path):
    """To save changes nothing: what is saved twice is the same."""
    first = read_checkpoint(path)
    simulation.save(path)
    second = read_checkpoint(path)
    assert first[0] == second[0] and first[1].keys() == second[1].keys()
    assert all(np.array_equal(first[1][name], second[1][name]) for name in first[1])


@given(
    case=driven_networks(),
    update=st.sampled_from(["dense", "sparse", "auto"]),
    cut=st.integers(0, STEPS),
    workers=st.sampled_from([(1, 1), (1, 3), (2, 1), (3, 2)]),
)
@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_random_networks_go_on(tmp_path, case, update, cut, workers):
    network, spikes = case
    durations = (cut * DT, (STEPS - cut) * DT, 5 * DT)
    assert_goes_on(
        network, tmp_path / "state.npz", DT, durations, workers, update=update, dtype="float64", spikes={"input": spikes}
    )


def noisy():
    """Drawn synapses of many delays, with weights of their own and shared ones; every kind of source and input; layers."""
    neuron = LIF(tau_mem=10.0, tau_syn=3.0, refractory=1.0)
    rng = np.random.default_rng(2)
    return Network(
        populations=[
            Population("exc", 200, LIF(tau_mem=np.linspace(8.0, 12.0, 200), refractory=2.0), initial={"v": Uniform(0.0, 1.0)}),
            Population("inh", 60, neuron, initial={"v": Normal(0.5, 0.2)}),
            Population("other", 40, Izhikevich()),
            Population("poisson", 50, PoissonSource(30.0)),
            Population("varying", 30, PoissonSource(VaryingRate(rng.uniform(0, 100, (4, 30)), [3.0, 50.0, 80.0, 120.0], "linear"))),
            Population("gamma", 30, GammaSource(rng.uniform(0, 100, 30), 0.7)),
            Population("given", 5, SpikeSource(np.arange(1.0, 60.0, 1.5), np.arange(40) % 5)),
            Population("behind", 30, IAF()),
        ],
        projections=[
            Projection("exc", "exc", FixedProbability(0.1), weight=Normal(0.12, 0.02), delay=Uniform(0.1, 4.0)),
            Projection("exc", "inh", FixedInDegree(20), weight=0.12, delay=Normal(1.5, 0.5, low=0.1)),
            Projection("inh", "exc", FixedInDegree(10), weight=-0.3, delay=0.8),
            Projection("poisson", "exc", FixedProbability(0.2), weight=Normal(0.3, 0.1), delay=Uniform(0.1, 25.0)),
            Projection("varying", "inh", FixedOutDegree(20), weight=0.3, delay=1.0),
            Projection("gamma", "exc", FixedOutDegree(20), weight=0.3, delay=0.3),
            Projection("given", "other", FixedOutDegree(20), weight=5.0, delay=0.1),
            Projection("exc", "behind", FixedOutDegree(3), weight=0.2, delay=0.0),
        ],
        inputs=[
            PoissonNoise("exc", 1000.0, 0.2),
            PoissonNoise("inh", np.linspace(0.0, 2000.0, 60), 0.2),
            PoissonNoise("inh", VaryingRate([500.0, 3000.0], [0.0, 31.7], period=60.0), 0.05),
            Current("inh", np.array([0.1, 0.0, 0.3]), times=[0.0, 14.0, 22.2]),
        ],
    )


@pytest.mark.parametrize("update", ["dense", "sparse", "auto"])
def test_everything_random_goes_on(tmp_path, update):
    durations = (0.0, 7.3, 14.9, 0.1, 20.0)
    whole = assert_goes_on(noisy(), tmp_path / "state.npz", 0.1, durations, (1, 3, 2), update=update, seed=5)
    assert whole.counters.spikes > 500


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_goes_on(tmp_path, dtype):
    rows = (np.random.default_rng(1).random((200, 3, 20)) < 0.1).astype(np.uint8)
    network = Network(
        [Population("s", 20, SpikeSource()), Population("n", 300, LIF(tau_mem=10.0, tau_syn=3.0))],
        [
            Projection("s", "n", FixedOutDegree(30), weight=1.5, delay=2.0),
            Projection("n", "n", FixedOutDegree(3), weight=0.5, delay=4.5),
        ],
    )
    how = {"batch": 3, "dtype": dtype, "spikes": {"s": rows}, "increments": {"n": 0.01 * np.ones((200, 300))}}
    assert_goes_on(network, tmp_path / "state.npz", 0.5, (30.0, 20.0, 50.0), (1, 2), **how)


@pytest.mark.cpu_only("it updates densely")
def test_updates_that_were_being_chosen_go_on(tmp_path):
    """A network that falls silent and wakes: the account of what the other update would have cost is kept, too."""
    times = np.repeat(np.concatenate([np.arange(1.0, 200.0, 1.0), [900.0]]), 20)
    source = SpikeSource(times, np.tile(np.arange(20), len(times) // 20))
    network = Network(
        [Population("s", 20, source), Population("n", 2000, LIF(tau_mem=10.0, tau_syn=3.0))],
        [Projection("s", "n", FixedOutDegree(100), weight=1.5, delay=2.0)],
    )
    whole = Simulation(network, 0.5)
    modes = [(whole.run(step), whole.update_modes()["n"])[1] for step in (100.0, 300.0, 500.0)]
    assert len(set(modes)) == 2
    assert_goes_on(network, tmp_path / "state.npz", 0.5, (37.0, 63.0, 107.5, 192.5, 500.0), (1, 2, 1))


SCRIPT = """
import sys, numpy as np
from eventsim import Simulation, load
path, network, out = sys.argv[1:]
simulation = Simulation.load(path, load(network), workers=2)
recording = simulation.run(15.0)
np.savez(out, times=recording.spikes["exc"].times, neurons=recording.spikes["exc"].neurons, v=simulation.state("exc"))
"""


@pytest.mark.cpu_only("the other process runs on the processor")
def test_another_process_goes_on(tmp_path):
    network = noisy()
    simulation = Simulation(network, 0.1, seed=9, record=[Spikes("exc")])
    simulation.run(12.0)
    simulation.save(tmp_path / "state.npz")
    save(network, tmp_path / "network.npz")
    arguments = [tmp_path / name for name in ("state.npz", "network.npz", "found.npz")]
    subprocess.run([sys.executable, "-c", SCRIPT, *map(str, arguments)], check=True)
    wanted = simulation.run(15.0).spikes["exc"]
    with np.load(tmp_path / "found.npz") as found:
        assert len(wanted.times) > 20
        assert np.array_equal(found["times"], wanted.times) and np.array_equal(found["neurons"], wanted.neurons)
        assert np.array_equal(found["v"], simulation.state("exc"))


@pytest.fixture
def saved(tmp_path):
    """A network, and a checkpoint of it with spikes on their way."""
    network = noisy()
    simulation = Simulation(
        network, 0.1, seed=9, record=[Spikes("exc", [1, 5, 7]), States("inh", interval=1.0, neurons=slice(3, 9))]
    )
    simulation.run(12.0)
    simulation.save(tmp_path / "state.npz")
    return network, tmp_path / "state.npz"


def test_recorders_are_those_that_were_asked_for(saved):
    network, path = saved
    recording = Simulation.load(path, network).run(5.0)
    assert set(recording.spikes["exc"].neurons) <= {1, 5, 7} and recording.states["inh"].neurons.tolist() == [3, 4, 5, 6, 7, 8]
    other = Simulation.load(path, network, record=[Rates("exc", 1.0)]).run(5.0)
    assert not other.spikes and other.rates["exc"].counts.sum() > 0


def test_another_network_is_refused(saved):
    network, path = saved
    populations = [*network.populations[:-1], Population("behind", 31, IAF())]
    with pytest.raises(StorageError, match=r"state\.npz.*another network"):
        Simulation.load(path, Network(populations, network.projections, network.inputs))
    changed = Network(network.populations, network.projections[:-1], network.inputs)
    with pytest.raises(StorageError, match="another network"):
        Simulation.load(path, changed)


def test_other_spikes_are_refused(saved):
    network, path = saved
    with pytest.raises(StorageError, match="other spikes or increments"):
        Simulation.load(path, network, spikes={"given": SpikeSource([1.0], [0])})


def test_what_is_no_checkpoint_is_refused(tmp_path, saved):
    network, path = saved
    save(network, tmp_path / "network.npz")
    with pytest.raises(StorageError, match="no checkpoint"):
        Simulation.load(tmp_path / "network.npz", network)
    with pytest.raises(StorageError, match="no such file"):
        Simulation.load(tmp_path / "nothing.npz", network)
    (tmp_path / "half.npz").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StorageError, match="not a complete"):
        Simulation.load(tmp_path / "half.npz", network)
    description, arrays = read_checkpoint(path)
    write_checkpoint(tmp_path / "later.npz", description | {"version": description["version"] + 1}, arrays)
    with pytest.raises(StorageError, match=rf"version {description['version'] + 1}"):
        Simulation.load(tmp_path / "later.npz", network)


def test_a_simulation_that_comes_from_no_run_has_none_to_resume(saved):
    network, path = saved
    with pytest.raises(SimulationError, match=r"use run\(duration\)"):
        Simulation.load(path, network).resume()


def damaged(name, array, rng):
    """The array with something wrong, or something else in its place."""
    way = rng.integers(0, 6)
    if way == 0 or not array.size:
        return None
    if way == 1:
        return array[..., :-1].copy()
    if way == 2:
        return array.astype(np.float32 if array.dtype != np.float32 else np.int64)
    other = array.copy().reshape(-1)
    at = rng.integers(0, other.size, 3)
    if way == 3:
        other[at] = 0
    elif other.dtype.kind == "f":
        other[at] = rng.choice([np.nan, np.inf, -1e30, -1.0], 3)
    else:
        other[at] = rng.choice(np.array([-1, 2**40, 2**62, 119, 7], np.int64), 3).astype(other.dtype)
    return other.reshape(array.shape)


def test_damaged_arrays_are_refused_or_do_no_harm(tmp_path, saved):
    network, path = saved
    description, arrays = read_checkpoint(path)
    rng, refused = np.random.default_rng(3), 0
    for turn in range(150):
        name = sorted(arrays)[turn % len(arrays)]
        changed = damaged(name, arrays[name], rng)
        others = {key: value for key, value in arrays.items() if key != name}
        write_checkpoint(tmp_path / "damaged.npz", description, others if changed is None else others | {name: changed})
        try:
            simulation = Simulation.load(tmp_path / "damaged.npz", network)
        except StorageError as error:
            assert "damaged.npz" in str(error)
            refused += 1
            continue
        try:
            simulation.run(1.0)
        except SimulationError as error:
            assert " is " in str(error)  # a state that is not finite
    assert refused > 50


def places(value, path=()):
    """The path of every value in nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, item in inner for found in places(item, (*path, key))]


def test_damaged_descriptions_are_refused_or_do_no_harm(tmp_path, saved):
    network, path = saved
    Simulation.load(path, network).run(1.0, checkpoint=path)  # so that it tells of a run, too
    description, arrays = read_checkpoint(path)
    rng, refused = np.random.default_rng(4), 0
    for place in places(description):
        for _ in range(3):
            changed = copy.deepcopy(description)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            wrong = [None, -1, 10**9, 0.5, 1e300, "dense", [], {}, True, [[3]], {"slice": "abc"}]
            inner[place[-1]] = wrong[rng.integers(0, len(wrong))]
            write_checkpoint(tmp_path / "damaged.npz", changed, arrays)
            try:
                simulation = Simulation.load(tmp_path / "damaged.npz", network)
            except StorageError as error:
                assert "damaged.npz" in str(error)
                refused += 1
                continue
            try:
                if simulation._resumed and simulation._resumed["stop"] < 1e6:
                    simulation.resume()
            except SimulationError as error:
                assert str(error).startswith(("run: ", "resume: "))
    assert refused > 40
