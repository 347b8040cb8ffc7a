"""The order in which a network was put together changes no bit of what the exact engine computes, where nothing is drawn by it.

Sums at one time are formed by source, delay and synapse. What is drawn is keyed by the place of a population, a projection or a
noise among its kind: these places are part of the description, and what is added behind changes nothing that was there.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsim import (
    LIF,
    Connectivity,
    Current,
    FixedInDegree,
    GammaSource,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    Uniform,
)

NEURON = LIF(tau_mem=20.0, tau_syn=2.0, v_leak=0.9, refractory=2.0)
SOURCES, CELLS = 5, 4
PORTS = ("i", "v")


@st.composite
def pieces(draw):
    """Synapses, spikes and currents with times and delays that come together, and with numbers whose sums are rounded."""
    amount = st.floats(-1.0, 2.0).map(lambda x: x / 3.0)
    synapse = st.tuples(
        st.booleans(),  # from a source, or from a neuron
        st.integers(0, SOURCES - 2),
        st.integers(0, CELLS - 1),
        amount,
        st.sampled_from([0.5, 1.0, 1.0 / 3.0]),
        st.sampled_from(PORTS),
        st.integers(0, 2),  # the projection
    )
    spike = st.tuples(
        st.integers(1, 8).map(lambda x: x / 2.0) | st.integers(1, 12).map(lambda x: x / 3.0), st.integers(0, SOURCES - 1)
    )
    currents = st.lists(st.tuples(amount, st.sampled_from([0.0, 1.0, 7.0 / 3.0])), max_size=4)
    return draw(st.lists(synapse, min_size=5, max_size=40)), draw(st.lists(spike, min_size=3, max_size=30)), draw(currents)


def outcome(synapses, spikes, currents, orders):
    """Spikes and final states of a network that is put together in this order; ``orders`` permute (projections, currents)."""
    times, fired = np.array([t for t, _ in spikes]), np.array([s for _, s in spikes])
    groups: dict[tuple, list] = {}
    for from_source, source, target, weight, delay, port, number in synapses:
        groups.setdefault((from_source, port, number), []).append((source, target, weight, delay))
    projections = []
    for from_source, port, number in sorted(groups):
        source, target, weight, delay = (np.array(column) for column in zip(*groups[from_source, port, number], strict=True))
        wires = Connectivity.from_coo(source, target, SOURCES if from_source else CELLS, CELLS, weight, delay)
        projections.append(Projection("given" if from_source else "cells", "cells", wires, port=port))
    inputs = [Current("cells", [0.0, amplitude], times=[0.0, start + 0.1]) for amplitude, start in currents]
    shuffle = [np.random.default_rng(order).permutation for order in orders]
    network = Network(
        [Population("given", SOURCES, SpikeSource(times, fired)), Population("cells", CELLS, NEURON)],
        [projections[k] for k in shuffle[0](len(projections))],
        [inputs[k] for k in shuffle[1](len(inputs))],
    )
    simulation = Simulation(network, method="exact", record=[Spikes("cells"), Spikes("given")])
    found = simulation.run(12.0).spikes
    spikes_found = [(found[name].times.tolist(), found[name].neurons.tolist()) for name in ("cells", "given")]
    return spikes_found, simulation.state("cells", "v").tolist(), simulation.state("cells", "i").tolist()


@given(pieces(), st.randoms(use_true_random=False), st.integers(0, 1000))
@settings(max_examples=120, deadline=None)
def test_synapses_projections_given_spikes_and_currents_may_be_named_in_any_order(made, random, order):
    synapses, spikes, currents = made
    expected = outcome(synapses, spikes, currents, (1, 2))
    shuffled = [random.sample(part, len(part)) for part in made]
    assert outcome(*shuffled, (order, order + 1)) == expected


def drawn(projections, populations=("a", "b", "s", "g"), inputs=("noise", "more", "current"), seed=5):
    """A network with everything that is drawn, put together in this order: its spikes by population."""
    made = {
        "a": Population("a", 20, NEURON, initial={"v": Uniform(0.0, 0.9)}),
        "b": Population("b", 20, NEURON, initial={"v": Uniform(0.0, 0.9)}),
        "s": Population("s", 10, PoissonSource(80.0)),
        "g": Population("g", 10, GammaSource(80.0, 3.0)),
        "late": Population("late", 7, PoissonSource(200.0)),
    }
    wires = {
        "sa": Projection("s", "a", FixedInDegree(5), weight=Normal(0.5, 0.2), delay=Uniform(0.5, 2.0)),
        "gb": Projection("g", "b", FixedInDegree(5), weight=Normal(0.5, 0.2), delay=Uniform(0.5, 2.0)),
        "late": Projection("a", "b", FixedInDegree(5), weight=0.0, delay=Uniform(0.5, 2.0)),
    }
    stimuli = {
        "noise": PoissonNoise("a", 300.0, 0.3),
        "more": PoissonNoise("b", 300.0, 0.3),
        "current": Current("a", 0.2),
        "late": PoissonNoise("b", 100.0, 0.0),
    }
    network = Network([made[k] for k in populations], [wires[k] for k in projections], [stimuli[k] for k in inputs])
    found = Simulation(network, method="exact", seed=seed, record=[Spikes(name) for name in populations]).run(60.0).spikes
    assert all(len(spikes.times) > 20 for spikes in found.values())
    return {name: (spikes.times.tolist(), spikes.neurons.tolist()) for name, spikes in found.items()}


BASE = drawn(["sa", "gb"])


@pytest.mark.parametrize(
    ("how", "same", "other"),
    [
        ({"projections": ["gb", "sa"]}, "sg", "ab"),  # other synapses
        ({"populations": ["b", "a", "s", "g"]}, "sg", "ab"),  # other initial states
        ({"populations": ["a", "b", "g", "s"]}, "", "absg"),  # sources of other streams
        ({"inputs": ["more", "noise", "current"]}, "sg", "ab"),  # noise of other streams
        ({"inputs": ["noise", "current", "more"]}, "asg", "b"),  # of one of them, behind the current now
        ({"seed": 6}, "", "absg"),
        ({"populations": ["a", "b", "s", "g", "late"]}, "absg", ""),
        ({"projections": ["sa", "gb", "late"]}, "asg", ""),  # b: spikes of weight 0 reach it, and what is rounded differs
        ({"inputs": ["noise", "more", "current", "late"]}, "asg", ""),
        ({}, "absg", ""),
    ],
    ids=[
        "projections",
        "neurons",
        "sources",
        "noise",
        "a current",
        "seed",
        "new population",
        "new synapses",
        "new noise",
        "nothing",
    ],
)
def test_what_is_drawn_is_named_by_its_place_and_what_comes_behind_changes_nothing(how, same, other):
    found = drawn(**{"projections": ["sa", "gb"], **how})
    for name in same:
        assert found[name] == BASE[name], name
    for name in other:
        assert found[name] != BASE[name], name
    if not other:
        for name in BASE:
            assert found[name][1] == BASE[name][1], name
            np.testing.assert_allclose(found[name][0], BASE[name][0], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("turned", [("two", "one"), ("one", "two")], ids=["turned", "as it was"])
def test_populations_that_fire_at_one_time_may_be_named_in_any_order_where_sums_are_exact(turned):
    """Their number is the order in which weights are summed: with dyadic ones that changes no bit, with others a rounding."""

    def outcome_of(names, unit):
        populations = {
            "one": Population("one", 3, SpikeSource(np.repeat([1.0, 2.0, 3.0], 3), np.tile([0, 1, 2], 3))),
            "two": Population("two", 3, SpikeSource(np.repeat([1.5, 2.5, 3.5], 3), np.tile([0, 1, 2], 3))),
        }
        weights = unit * np.arange(1.0, 10.0).reshape(3, 3)
        projections = [
            Projection("one", "n", Connectivity.from_dense(weights), delay=1.5),
            Projection("two", "n", Connectivity.from_dense(weights.T), delay=1.0),
        ]
        network = Network([*(populations[name] for name in names), Population("n", 3, NEURON)], projections)
        found = Simulation(network, method="exact", record=[Spikes("n")]).run(10.0).spikes["n"]
        return found.times, found.neurons

    for unit, room in ((0.125, 0.0), (0.1, 1e-12)):
        (times, neurons), (expected, who) = outcome_of(turned, unit), outcome_of(("one", "two"), unit)
        assert len(who) >= 3 and neurons.tolist() == who.tolist()
        np.testing.assert_allclose(times, expected, rtol=0.0, atol=room)
