"""Estimates: counts and bytes against what is then built."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from eventsim.distributions import LogNormal, Normal, Uniform
from eventsim.errors import SimulationError
from eventsim.estimate import estimate
from eventsim.models import LIF, LIFDelta
from eventsim.network import Network, Population, Projection
from eventsim.rows import RowSpec, build_rows
from eventsim.rules import AllToAll, FixedInDegree, FixedProbability, FixedTotalNumber
from eventsim.stimuli import PoissonNoise, PoissonSource

DT = 0.1


def network(*projections, neuron=None, inputs=()):
    populations = (
        Population("a", 300, neuron or LIF()),
        Population("b", 200, neuron or LIF()),
        Population("p", 50, PoissonSource(5.0)),
    )
    return Network(populations, projections, inputs)


def built_bytes(net: Network, workers: int, dtype="float32") -> tuple[int, int]:
    """(synapses, bytes of rows) that the engine's own builder makes; populations of one neuron are one group."""
    offsets = {"a": 0, "b": 300, "p": 500}
    count = size = 0
    for worker in range(workers):
        specs = []
        for number, projection in enumerate(net.projections):
            source, target = net.population(projection.source), net.population(projection.target)
            low, high = (target.size * worker // workers, target.size * (worker + 1) // workers)
            same, offset = source is target, offsets[source.name]
            slot = offsets[target.name]
            specs.append(RowSpec(projection, source.size, target.size, same, offset, 0, slot, low, high, np.uint64(number + 1)))
        rows = build_rows(specs, net.size, DT, dtype)
        count += len(rows.targets)
        arrays = {id(array): array.nbytes for array in rows}
        size += sum(arrays.values())
    return count, size


DELAYS = [
    1.5,
    Normal(1.5, 0.75, low=0.1),
    Normal(2.0, 1.0, low=0.5, high=3.0, outside="clip"),
    Uniform(0.5, 4.0),
    LogNormal(0.5, 0.5, high=20.0),
]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("weight", [0.5, Normal(1.0, 0.1)])
def test_connectivity_takes_the_bytes_that_were_estimated(delay, weight, workers):
    net = network(
        Projection("a", "b", FixedProbability(0.1), weight=weight, delay=delay),
        Projection("b", "a", FixedTotalNumber(5000), weight=weight, delay=delay),
        Projection("p", "a", FixedInDegree(10), weight=weight, delay=delay),
    )
    guess = estimate(net, DT, workers=workers)
    synapses, size = built_bytes(net, workers)
    assert guess.synapses == pytest.approx(synapses, rel=0.03)
    assert guess.bytes["synapses"] + guess.bytes["segments"] == pytest.approx(size, rel=0.04)


def test_delays_that_are_given_are_counted():
    matrix = sp.random_array((300, 200), density=0.2, rng=np.random.default_rng(0), format="csr")
    delays = np.random.default_rng(1).integers(1, 30, matrix.nnz) * DT
    net = network(Projection("a", "b", matrix, delay=delays))
    guess = estimate(net, DT)
    synapses, size = built_bytes(net, 1)
    assert guess.synapses == synapses == matrix.nnz
    assert guess.bytes["synapses"] + guess.bytes["segments"] == pytest.approx(size, rel=0.04)
    assert (guess.projections[0].delay_low, guess.projections[0].delay_high) == (0.1, 2.9)
    assert guess.bytes["given"] >= matrix.nnz * (8 + 8 + 4)


def test_degrees_and_delays():
    net = network(
        Projection("a", "b", FixedInDegree(6), weight=1.0, delay=1.0), Projection("a", "a", AllToAll(False), weight=1.0, delay=2.0)
    )
    first, second = estimate(net, DT).projections
    assert (first.synapses, first.in_degree, first.out_degree) == (1200, 6, 4)
    assert (first.delay_low, first.delay_high) == (1.0, 1.0)
    assert (second.synapses, second.in_degree) == (300 * 299, 299)


def test_a_likely_delay_is_one_that_occurs():
    net = network(Projection("a", "a", FixedTotalNumber(1000), weight=1.0, delay=Normal(1.5, 0.5, low=0.05)))
    projection = estimate(net, DT).projections[0]
    assert 0.1 <= projection.delay_low <= 0.5 and 2.5 <= projection.delay_high <= 3.5


def test_wider_types_and_parameters_of_each_neuron_cost_more():
    plain = network()
    assert estimate(plain, DT, "float64").bytes["neurons"] > estimate(plain, DT).bytes["neurons"]
    own = Network((Population("a", 300, LIFDelta(v_th=np.linspace(1, 2, 300))),))
    same = Network((Population("a", 300, LIFDelta(v_th=1.0)),))
    assert estimate(own, DT).bytes["neurons"] > estimate(same, DT).bytes["neurons"]


def test_arrays_of_inputs_are_counted():
    rate = np.full(300, 5.0)
    assert estimate(network(inputs=(PoissonNoise("a", rate, 1.0),)), DT).bytes["given"] >= rate.nbytes


def test_the_table_names_everything():
    text = estimate(network(Projection("a", "b", AllToAll(), weight=1.0, delay=Uniform(1.0, 2.0))), DT).table()
    for part in ("a -> b", "60000", "1 ... 2", "LIF", "PoissonSource", "total", "550 neurons, 60,000 synapses"):
        assert part in text


@pytest.mark.parametrize(
    ("dt", "dtype", "workers"), [(0.0, "float32", 1), (float("nan"), "float32", 1), (0.1, "f2", 1), (0.1, "float32", 0)]
)
def test_nonsense_is_refused(dt, dtype, workers):
    with pytest.raises(SimulationError, match="estimate"):
        estimate(network(), dt, dtype, workers)


def test_a_network_without_synapses():
    guess = estimate(network(), DT)
    assert guess.synapses == 0 and guess.total_bytes > 0 and "projection" not in guess.table()
