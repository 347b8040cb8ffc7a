"""A network in which every sum is exact in float32, so that no order of them matters; and how it is run."""

from __future__ import annotations

import numpy as np

import eventsim as es

RECORDED = [es.Spikes("e"), es.Spikes("i"), es.Spikes("p"), es.States("e", fields=("v", "i"), interval=1.0), es.Rates("e", 2.0)]


def network(size=60, rate=4000.0):
    """Excitatory and inhibitory neurons, Poisson sources and noise, with weights that are multiples of 1/4."""
    lif = es.LIF(tau_mem=20.0, tau_syn=5.0, v_th=12.0, v_reset=0.0, v_leak=0.0, refractory=2.0)
    populations = [
        es.Population("e", size, lif, initial={"v": es.Uniform(0.0, 11.0)}),
        es.Population("i", size // 4, lif),
        es.Population("p", size // 2, es.PoissonSource(100.0)),
    ]
    delay, p = es.Uniform(0.1, 3.0), 0.2
    projections = [
        es.Projection("e", "e", es.FixedProbability(p), 1.0, delay),
        es.Projection("e", "i", es.FixedProbability(p), 0.75, delay),
        es.Projection("i", "e", es.FixedProbability(2 * p), -2.0, delay),
        es.Projection("p", "e", es.FixedProbability(p), 2.0, delay),
    ]
    noise = [es.PoissonNoise("e", rate, 0.5), es.PoissonNoise("i", np.full(size // 4, 1.25 * rate), 0.5)]
    return es.Network(populations, projections, noise)


def run(net, duration=60.0, record=RECORDED, **given):
    """What it records, and the simulation."""
    simulation = es.Simulation(net, 0.1, record=record, seed=3, **given)
    return simulation.run(duration), simulation


def assert_same(one, other):
    """Both recordings hold the same bits."""
    assert sum(len(data.times) for data in one.spikes.values()) > 0
    for name, data in one.spikes.items():
        for a, b in zip(data, other.spikes[name], strict=True):
            assert np.array_equal(a, b), name
    for name, states in one.states.items():
        assert np.array_equal(states.times, other.states[name].times)
        for field, values in states.values.items():
            assert np.array_equal(values, other.states[name].values[field]), (name, field)
    for name, rates in one.rates.items():
        assert np.array_equal(rates.counts, other.rates[name].counts)
