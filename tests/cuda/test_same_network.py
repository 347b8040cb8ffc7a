"""backend='cuda' against backend='cpu': the same bits where every sum is exact."""

from __future__ import annotations

import numpy as np
import pytest

import eventsim as es
from eventsim.errors import SimulationError
from tests.cuda.dyadic import assert_same, network, run


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 3])
def test_same_bits_as_on_a_processor(dtype, batch):
    one, cpu = run(network(), dtype=dtype, batch=batch)
    other, cuda = run(network(), dtype=dtype, batch=batch, backend="cuda")
    assert len(one.spikes["e"].times) > 20
    assert_same(one, other)
    assert cpu.counters[:3] == cuda.counters[:3]
    assert np.array_equal(cpu.state("i"), cuda.state("i"))


@pytest.mark.parametrize("weights", ["float16", "float32", "float64"])
def test_every_type_of_weights_arrives(weights):
    net = network()
    drawn = [
        es.Projection(p.source, p.target, p.connectivity, es.Uniform(0.5, 1.5), p.delay) if p.source == "p" else p
        for p in net.projections
    ]
    net = es.Network(net.populations, drawn, net.inputs)
    one, _ = run(net, 20.0, dtype="float64", weight_dtype=weights)
    other, _ = run(net, 20.0, dtype="float64", weight_dtype=weights, backend="cuda")
    for field in ("v", "i"):  # sums are rounded on a processor alone
        a, b = one.states["e"].values[field], other.states["e"].values[field]
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12)
        assert np.any(a != 0)


def test_the_same_run_gives_the_same_bits_however_it_is_cut():
    whole, _ = run(network(), 40.0, backend="cuda")
    simulation = es.Simulation(network(), 0.1, record=[es.Spikes("e")], seed=3, backend="cuda")
    times = np.concatenate([simulation.run(duration).spikes["e"].times for duration in (0.1, 7.3, 30.0, 2.6)])
    assert np.array_equal(times, whole.spikes["e"].times)


def test_chains_without_delay_act_within_the_step():
    lif = es.LIF(tau_mem=10.0, tau_syn=5.0, v_th=0.5, v_reset=0.0, v_leak=0.0)
    populations = [es.Population("s", 3, es.SpikeSource([1.0, 2.0], [0, 1])), *(es.Population(n, 3, lif) for n in "abc")]
    ties = [("s", "a", 0.0), ("a", "b", 0.0), ("b", "c", 0.0), ("a", "c", 0.0), ("c", "a", 0.5)]
    net = es.Network(populations, [es.Projection(x, y, es.AllToAll(), 8.0, d) for x, y, d in ties])
    record = [es.Spikes(n) for n in "abc"]
    one = es.Simulation(net, 0.1, record=record).run(6.0)
    other = es.Simulation(net, 0.1, record=record, backend="cuda").run(6.0)
    assert all(len(one.spikes[n].times) for n in "abc")
    for name in "abc":
        assert np.array_equal(one.spikes[name].times, other.spikes[name].times)


def test_a_checkpoint_goes_both_ways(tmp_path):
    net = network()
    whole, _ = run(net, 60.0)
    for first, then in (("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")):
        begun, simulation = run(net, 25.0, backend=first)
        simulation.save(tmp_path / "half.npz")
        other = es.Simulation.load(tmp_path / "half.npz", net, backend=then)
        rest = other.run(35.0)
        assert type(other).__name__ == ("CudaSimulation" if then == "cuda" else "Simulation")
        for name, data in whole.spikes.items():
            times = np.concatenate([begun.spikes[name].times, rest.spikes[name].times])
            assert np.array_equal(times, data.times), (first, then, name)


def test_what_it_does_not_do_is_refused_by_name(monkeypatch):
    net = network()
    for given, what in (
        ({"workers": 2}, "workers"),
        ({"update": "sparse"}, "densely"),
        ({"update": {"e": "sparse"}}, "densely"),
        ({"method": "exact"}, "continuous time"),
    ):
        with pytest.raises(SimulationError, match=what):
            es.Simulation(net, **given, backend="cuda")
    with pytest.raises(SimulationError, match="'cpu' or 'cuda'"):
        es.Simulation(net, backend="gpu")
    monkeypatch.setenv("EVENTSIM_CUDA", "sometimes")
    with pytest.raises(SimulationError, match="EVENTSIM_CUDA"):
        es.Simulation(net, backend="cuda")
