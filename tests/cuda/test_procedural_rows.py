"""Rows that are not stored, on a GPU: the network, the spikes and the bits of the stored form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import eventsim as es

DT = 0.125
LAWS = {
    "shared": (2.0, 0.3, 0.5, 0.5),
    "drawn": (es.Normal(2.0, 0.5), es.Uniform(0.2, 0.4), es.LogNormal(-1.0, 0.5), es.Normal(1.5, 0.75, low=DT)),
}
RECORD = [es.Spikes("e"), es.Spikes("i"), es.Spikes("o")]


def network(procedural, law="drawn"):
    """One projection of each rule that has rows, and neurons with two ports."""
    strong, weak, other, delay = LAWS[law]
    lif = es.LIF(tau_mem=20.0, tau_syn=5.0, v_th=12.0, refractory=2.0)
    populations = [
        es.Population("p", 60, es.PoissonSource(200.0)),
        es.Population("e", 200, lif),
        es.Population("i", 80, lif),
        es.Population("o", 80, es.LIFExcInh(tau_mem=10.0, v_th=6.0)),
    ]
    projections = [
        es.Projection("p", "e", es.FixedProbability(0.3), strong, delay),
        es.Projection("e", "e", es.FixedInDegree(30, self_connections=False), weak, delay),
        es.Projection("e", "i", es.FixedOutDegree(33), strong, delay),
        es.Projection("i", "i", es.FixedOutDegree(7, self_connections=False), other, delay),
        es.Projection("i", "e", es.FixedProbability(0.4), -1.0, 1.0),
        es.Projection("i", "o", es.OneToOne(), strong, delay, port="exc"),
        es.Projection("e", "o", es.AllToAll(), weak, delay, port="exc"),
        es.Projection("p", "o", es.FixedInDegree(90), other, delay, port="inh"),
    ]
    marked = [replace(p, procedural=procedural) for p in projections]
    return es.Network(populations, marked, [es.PoissonNoise("e", 500.0, 0.5)])


def run(net, duration=40.0, backend="cuda", **given):
    simulation = es.Simulation(net, DT, record=RECORD, seed=3, backend=backend, update="dense", **given)
    return simulation.run(duration), simulation


def assert_same(one, other):
    (a, first), (b, second) = one, other
    assert all(len(data.times) > 50 for data in a.spikes.values())
    for name, data in a.spikes.items():
        for x, y in zip(data, b.spikes[name], strict=True):
            assert np.array_equal(x, y), name
    for name in ("e", "i", "o"):
        assert np.array_equal(first.state(name), second.state(name))
    assert first.counters == second.counters


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("settings", [{}, {"weight_dtype": "float16", "batch": 3}], ids=str)
def test_the_bits_of_the_stored_form(law, settings):
    assert_same(run(network(False, law), **settings), run(network(True, law), **settings))


def test_the_spikes_of_a_processor():
    """In float64 sums are rounded so little that the same neurons fire in the same steps for a while."""
    one, cpu = run(network(True), dtype="float64", backend="cpu", workers=2)
    other, cuda = run(network(True), dtype="float64")
    for name in ("e", "i", "o"):
        assert np.array_equal(one.spikes[name].times, other.spikes[name].times)
        assert np.allclose(cpu.state(name), cuda.state(name), rtol=0, atol=1e-9)
    assert cpu.counters == cuda.counters


def test_some_stored_and_some_not():
    net = network(False)
    mixed = [replace(p, procedural=number % 2 == 0) for number, p in enumerate(net.projections)]
    assert_same(run(net), run(replace(net, projections=mixed)))


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_checkpoint_goes_on_with_synapses_on_their_way(tmp_path, first, then):
    net = network(True)
    whole, end = run(net, 40.0, dtype="float64")
    begun, simulation = run(net, 17.0, first, dtype="float64")
    counted = simulation.counters
    simulation.save(tmp_path / "half.npz")
    assert simulation.counters == counted
    other = es.Simulation.load(tmp_path / "half.npz", net, backend=then)
    assert other.counters == counted
    rest = other.run(23.0)
    for name, data in whole.spikes.items():
        assert np.array_equal(np.concatenate([begun.spikes[name].times, rest.spikes[name].times]), data.times), name
    assert other.counters == end.counters


def test_without_delay_it_acts_within_the_step():
    lif, other = es.LIF(tau_mem=10.0, v_th=0.5, refractory=2.0), es.LIFExcInh(tau_mem=10.0, v_th=0.5)
    populations = [
        es.Population("s", 3, es.SpikeSource([1.0, 2.0], [0, 1])),
        *(es.Population(n, 30, lif if n != "o" else other) for n in "eio"),
    ]
    ties = [("s", "e", 0.0), ("e", "i", 0.0), ("i", "o", 0.0), ("e", "o", 0.0), ("o", "e", 0.5)]

    def net(procedural):
        rule = es.FixedProbability(0.5)
        return es.Network(populations, [es.Projection(x, y, rule, 8.0, d, procedural=procedural) for x, y, d in ties])

    one, other = (es.Simulation(net(procedural), DT, record=RECORD, backend="cuda").run(6.0) for procedural in (False, True))
    assert all(len(one.spikes[name].times) for name in "eio")
    for name in "eio":
        assert np.array_equal(one.spikes[name].times, other.spikes[name].times)
        assert np.array_equal(one.spikes[name].neurons, other.spikes[name].neurons)
