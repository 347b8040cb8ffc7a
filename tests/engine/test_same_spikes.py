"""One network, many ways to run it: the spikes are the same, and those of a simulator of the plainest kind."""

from __future__ import annotations

import numpy as np
import pytest
from engine.networks import DT, STEPS, driven_networks
from engine.reference import simulate
from hypothesis import HealthCheck, Phase, given, settings

from eventsim import (
    LIF,
    FixedInDegree,
    FixedProbability,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    Spikes,
    States,
    Uniform,
)


def spikes_of(network, given, update="dense", workers=1, pieces=(STEPS,), dtype="float64"):
    """The spikes of every population that can fire, as arrays (step, neuron)."""
    record = [Spikes(p.name) for p in network.populations if p.spiking]
    simulation = Simulation(network, DT, dtype=dtype, update=update, workers=workers, record=record, spikes={"input": given})
    parts = [simulation.run(piece * DT).spikes for piece in pieces]
    return {
        name: np.stack(
            [np.concatenate([np.rint(p[name].times / DT) for p in parts]), np.concatenate([p[name].neurons for p in parts])], 1
        )
        for name in parts[0]
    }


def assert_same(a, b):
    for name in b:
        assert np.array_equal(a[name], b[name]), name


@given(case=driven_networks())
@settings(max_examples=50, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
def test_every_way_gives_the_spikes_of_the_reference(case):
    network, given = case
    wanted = simulate(network, DT, STEPS, given={"input": np.vstack([np.zeros_like(given[:1]), given]) > 0})
    dense = spikes_of(network, given)
    assert_same(wanted, dense)
    assert_same(dense, spikes_of(network, given, update="sparse"))
    assert_same(dense, spikes_of(network, given, update="sparse", workers=2))
    assert_same(dense, spikes_of(network, given, workers=3, pieces=(7, 30, 23)))
    assert_same(dense, spikes_of(network, given, update="sparse", pieces=(20, 1, 39)))


def noisy_network():
    """Excitation and inhibition with drawn weights and delays, noise, sources: everything that is random.

    The excitatory neurons differ in their time constants, one of which is far from all others: what one worker knows of its
    neurons must not change how they are stepped.
    """
    neuron = LIF(tau_mem=10.0, tau_syn=3.0, refractory=1.0)
    tau_mem = np.linspace(8.0, 12.0, 400)
    tau_mem[7] = 1e6
    varied = LIF(tau_mem=tau_mem, tau_syn=3.0, refractory=1.0)
    return Network(
        populations=[
            Population("exc", 400, varied, initial={"v": Uniform(0.0, 1.0)}),
            Population("inh", 100, neuron, initial={"v": Normal(0.5, 0.2)}),
            Population("source", 50, PoissonSource(30.0)),
        ],
        projections=[
            Projection("exc", "exc", FixedProbability(0.1), weight=Normal(0.12, 0.02), delay=Uniform(0.1, 4.0)),
            Projection("exc", "inh", FixedInDegree(40), weight=0.12, delay=Normal(1.5, 0.5, low=0.1)),
            Projection("inh", "exc", FixedInDegree(20), weight=-0.6, delay=0.8),
            Projection("inh", "inh", FixedInDegree(20), weight=-0.6, delay=0.8),
            Projection("source", "exc", FixedProbability(0.2), weight=Normal(0.3, 0.1), delay=1.0),
        ],
        inputs=[PoissonNoise("exc", 1000.0, 0.2), PoissonNoise("inh", np.linspace(0.0, 2000.0, 100), 0.2)],
    )


def run_noisy(workers=1, pieces=(300.0,), update="auto", dtype="float32", seed=3):
    simulation = Simulation(
        noisy_network(),
        0.1,
        seed=seed,
        dtype=dtype,
        update=update,
        workers=workers,
        record=[Spikes("exc"), Spikes("inh"), Spikes("source"), States("exc", ("v", "i"), interval=1.0), Rates("inh", 5.0)],
    )
    parts = [simulation.run(piece) for piece in pieces]
    result = [
        np.concatenate([getattr(p.spikes[n], f) for p in parts]) for n in ("exc", "inh", "source") for f in ("times", "neurons")
    ]
    result += [np.concatenate([p.states["exc"].values[f] for p in parts]) for f in ("v", "i")]
    return [*result, simulation.state("inh", "v"), simulation.counters]


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(x, y)


WAYS = [("dense", "float32"), ("sparse", "float32"), ("sparse", "float64")]


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(request):
    return dict(zip(("update", "dtype"), request.param, strict=True))


@pytest.fixture(scope="module")
def whole_run(way):
    return run_noisy(**way)


def test_the_noisy_network_is_worth_comparing(whole_run):
    assert len(whole_run[0]) > 1000 and len(whole_run[2]) > 200 and len(whole_run[4]) > 200


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_same_bits_for_any_number_of_workers(whole_run, way, workers):
    assert_same_bits(whole_run, run_noisy(workers=workers, **way))


@pytest.mark.parametrize("pieces", [(100.0, 200.0), (0.1, 12.7, 0.0, 87.2, 200.0)])
@pytest.mark.parametrize("workers", [1, 2])
def test_same_bits_for_any_chunking(whole_run, way, pieces, workers):
    assert_same_bits(whole_run, run_noisy(workers=workers, pieces=pieces, **way))


def test_another_seed_gives_other_spikes(whole_run, way):
    other = run_noisy(seed=4, **way)
    assert not np.array_equal(whole_run[0][:100], other[0][:100])


def test_sparse_and_dense_agree_on_noise():
    dense, sparse = (run_noisy(update=update, dtype="float64") for update in ("dense", "sparse"))
    for x, y in zip(dense[:6], sparse[:6], strict=True):
        assert np.array_equal(x, y)
    np.testing.assert_allclose(dense[6], sparse[6], atol=1e-12)
    assert sparse[-1].updates < dense[-1].updates == dense[-1].neuron_steps


def test_recording_changes_nothing():
    with_states = run_noisy(update="sparse", pieces=(100.0,))
    simulation = Simulation(noisy_network(), 0.1, seed=3, update="sparse", record=[Spikes("exc")])
    alone = simulation.run(100.0).spikes["exc"]
    simulation.state("exc")
    assert np.array_equal(with_states[0], alone.times)
    assert np.array_equal(simulation.state("inh"), with_states[-2])
