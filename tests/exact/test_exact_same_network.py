"""One seed makes one network: synapses, weights, delays and initial states are the same numbers in both engines."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim import (
    AllToAll,
    Connectivity,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    LIFExcInh,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Simulation,
    SpikeSource,
    Uniform,
)
from eventsim.exact.layout import UNIFORM

SIZE = 30
RNG = np.random.default_rng(1)
GIVEN = Connectivity.from_coo(RNG.integers(0, SIZE, 300), RNG.integers(0, SIZE, 300), SIZE, SIZE)  # pairs come more than once
RULES = {
    "AllToAll": AllToAll(),
    "AllToAll, no selves": AllToAll(self_connections=False),
    "OneToOne": OneToOne(),
    "FixedProbability": FixedProbability(0.3),
    "FixedProbability, no selves": FixedProbability(0.7, self_connections=False),
    "FixedTotalNumber": FixedTotalNumber(5000),  # more than a block of its generator
    "FixedTotalNumber, no selves": FixedTotalNumber(400, self_connections=False),
    "FixedInDegree": FixedInDegree(7),
    "FixedInDegree, no multapses": FixedInDegree(17, multapses=False, self_connections=False),
    "FixedOutDegree": FixedOutDegree(7),
    "FixedOutDegree, no multapses": FixedOutDegree(17, multapses=False, self_connections=False),
    "given": GIVEN,
}
LAWS = {  # weights, delays in ms
    "constant": (0.37, 1.5),
    "uniform": (Uniform(-1.0, 2.0), Uniform(0.5, 3.0)),
    "normal": (Normal(1.0, 2.0), Normal(1.5, 0.5, low=0.3)),
    "clipped": (Normal(0.0, 1.0, -0.5, 0.5, "clip"), Normal(1.5, 1.0, 0.5, 2.5, "clip")),
    "log-normal": (LogNormal(0.0, 1.0), LogNormal(0.3, 0.5, 0.3, 6.0)),
}


def network(rule, weight, delay):
    """Two populations of one kind, and sources, with synapses to both ports and within a population."""
    a, b = (LIFExcInh(tau_mem=tau) for tau in (10.0, 20.0))
    initial = {"v": Normal(0.3, 0.2, high=0.9), "exc": Uniform(0.0, 1.0), "inh": LogNormal(-2.0, 0.3)}
    return Network(
        [
            Population("s", SIZE, SpikeSource()),
            Population("a", SIZE, a, initial=initial),
            Population("b", SIZE, b, initial=initial),
        ],
        [
            Projection("s", "a", rule, weight, delay, port="exc"),
            Projection("a", "b", rule, weight, delay, port="inh"),
            Projection("a", "a", rule, weight, delay, port="exc"),
            Projection("a", "b", rule, weight, delay, port="exc"),
        ],
    )


def in_order(source, target, port, weight, delay):
    """Synapses as columns, sorted."""
    columns = [np.concatenate([np.atleast_1d(part) for part in column]) for column in (source, target, port, weight, delay)]
    order = np.lexsort(columns[::-1])
    return [column[order] for column in columns]


def of_the_grid(simulation):
    """(source, target, port, weight, delay in steps) of every synapse; neurons as numbered in the network."""
    program = simulation._program
    rows = program.rows(0, 1)
    source = np.repeat(np.arange(program.size), np.diff(rows.index.indptr))
    found = []
    for i, neuron in enumerate(source):
        inlet, steps, slots, weights = rows.segment_at(i)
        g, _, _ = program.inlets[inlet]
        owned, ports = program.owned(g, 0, 1), np.array(program.groups[g].spec.ports)
        targets = program.gids(g, 0, 1)[slots % owned]
        found.append((np.full(len(slots), neuron), targets, ports[slots // owned], weights, np.full(len(slots), steps)))
    return in_order(*zip(*found, strict=True))


def of_continuous_time(simulation, dt):
    """The same, with delays that are rounded as the grid does."""
    made, found = simulation._synapses, []
    parcels = np.repeat(np.arange(simulation.network.size), np.diff(made.parcels_of))
    for parcel, neuron in enumerate(parcels):
        for kernel, begin, many in made.segment[made.segments_of[parcel] : made.segments_of[parcel + 1]]:
            g, port = divmod(int(kernel) % UNIFORM, simulation._most_ports)
            targets = simulation._offsets[simulation._groups[g].number] + made.target[begin : begin + many].astype(np.int64)
            steps = np.rint(made.delay[parcel] / dt).astype(np.int64)
            columns = neuron, simulation._groups[g].ports[port], steps
            full = [np.full(many, value) for value in columns]
            found.append((full[0], targets, full[1], made.weight[begin : begin + many], full[2]))
    return in_order(*zip(*found, strict=True))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rule", RULES)
def test_synapses_of_both_engines_are_the_same(rule, law):
    chosen = network(RULES[rule], *LAWS[law])
    exact = Simulation(chosen, method="exact", seed=11)
    for dt in (0.1, 0.5):
        mine = of_continuous_time(exact, dt)
        for one, other in zip(mine, of_the_grid(Simulation(chosen, dt, dtype="float64", seed=11)), strict=True):
            np.testing.assert_array_equal(one, other)
    assert exact.synapses == len(mine[0]) >= 4 * SIZE
    if law == "constant":
        assert set(mine[3]) == {0.37} and set(exact._synapses.delay) == {1.5}
    else:  # drawn, and not rounded
        delay = exact._synapses.delay
        assert law == "clipped" or np.all(delay * 10.0 != np.rint(delay * 10.0))
        low, high = LAWS[law][1].minimum, LAWS[law][1].maximum
        assert delay.min() >= low and delay.max() <= high and len(np.unique(delay)) > 10


def test_weights_and_delays_that_are_given_belong_to_the_same_synapses():
    weights, delays = RNG.normal(0.0, 1.0, GIVEN.nnz), RNG.integers(1, 60, GIVEN.nnz) / 10.0
    chosen = network(GIVEN, weights, delays)
    exact, grid = Simulation(chosen, method="exact"), Simulation(chosen, 0.1, dtype="float64")
    for one, other in zip(of_continuous_time(exact, 0.1), of_the_grid(grid), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(exact._synapses.delay) == set(delays) and set(exact._synapses.weight) == set(weights)


@pytest.mark.parametrize("seed", [0, 7])
def test_initial_states_of_both_engines_are_the_same(seed):
    chosen = network(OneToOne(), 0.1, 1.0)
    exact, grid = Simulation(chosen, method="exact", seed=seed), Simulation(chosen, 0.1, dtype="float64", seed=seed)
    other = Simulation(chosen, method="exact", seed=seed + 1)
    for name in ("a", "b"):
        for field in ("v", "exc", "inh"):
            np.testing.assert_array_equal(exact.state(name, field), grid.state(name, field))
            assert len(np.unique(exact.state(name, field))) == SIZE
            assert not np.any(exact.state(name, field) == other.state(name, field))
