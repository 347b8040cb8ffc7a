"""Estimates: counts and bytes against what is then built."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from shorter import shorter

from eventsim import program, state
from eventsim.cpu.part import Part
from eventsim.distributions import LogNormal, Normal, Uniform
from eventsim.errors import SimulationError
from eventsim.estimate import estimate
from eventsim.models import LIF, LIFDelta, LIFExcInh
from eventsim.network import Network, Population, Projection
from eventsim.rules import AllToAll, FixedInDegree, FixedProbability, FixedTotalNumber
from eventsim.simulation import Simulation
from eventsim.sizes import SEGMENTS_DUE
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource, SpikeSource
from eventsim.varying_rate import VaryingRate

DT = 0.1
SYNAPSES = ("targets", "weights")  # of the rows; the rest tells where they begin


def network(*projections, neuron=None, inputs=()):
    populations = (
        Population("a", 300, neuron or LIF()),
        Population("b", 200, neuron or LIF()),
        Population("p", 50, PoissonSource(5.0)),
    )
    return Network(populations, projections, inputs)


def built_bytes(net: Network, workers: int, dtype="float32") -> tuple[int, int]:
    """(synapses, bytes of rows) that the engine's own builder makes."""
    laid_out = program.build(net, DT, dtype, seed=0)
    count = size = 0
    for worker in range(workers):
        rows = laid_out.rows(worker, workers)
        count += len(rows.targets)
        size += sum(array.nbytes for array in (*rows[1:], *rows.index))
    return count, size


DELAYS = [
    1.5,
    Normal(1.5, 0.75, low=0.1),
    Normal(2.0, 1.0, low=0.5, high=3.0, outside="clip"),
    Uniform(0.5, 4.0),
    LogNormal(0.5, 0.5, low=0.1, high=20.0),
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
    net = network(Projection("a", "a", FixedTotalNumber(1000), weight=1.0, delay=Normal(1.5, 0.5, low=0.06)))
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


def held_bytes(simulation: Simulation) -> dict[str, int]:
    """The bytes of the arrays of a simulation's parts and instances, by the kinds of an estimate; each array once."""
    seen: set[int] = set()

    def size(arrays) -> int:
        bases = [a if a.base is None else a.base for a in arrays]
        new = {id(a): a.nbytes for a in bases if id(a) not in seen}
        seen.update(new)
        return sum(new.values())

    items = simulation._items
    members = [member for item in items for member in item.members]
    parts = {id(member.part): member.part for member in members}.values()
    groups = [group.arrays for member in members for group in member.groups]

    def placed(*places: int) -> list[np.ndarray]:
        return [arrays[place] for arrays in groups for place in places if place in arrays]

    rows = [[*part.rows.index, part.rows.shared] for part in parts]
    return {
        "synapses": size(getattr(part.rows, name) for part in parts for name in SYNAPSES),
        "segments": size(a for part in rows for a in part),
        "coefficients": size(placed(state.TABLE)),
        "predictions": size(placed(state.HEAD)),
        "inputs": size([*placed(state.EVENTS, state.EVENT_NEURONS), *(a for m in members for a in (*m.noise, *m.increments))]),
        "neurons": size(
            [*(a for arrays in groups for a in arrays.values()), *(a for p in parts for a in p.states if a is not None)]
        ),
        "wheel": size(a for member in members for a in (member.wheel, member.count)),
        "boxes": size([a for item in items for a in (item.box_gid, item.box_end)] + [member.box_step for member in members]),
        "spike buffer": size(a for item in items for a in (item.buffer.step, item.buffer.gid)),
    }


def small_values(size: int) -> np.ndarray:
    return np.linspace(0.5, 1.0, size)


DRAWN, FIXED = Normal(0.1, 0.01), 0.1
WHOLE = {
    "one group": network(
        Projection("a", "b", FixedProbability(0.1), weight=DRAWN, delay=Uniform(1.0, 3.0)),
        Projection("p", "a", FixedInDegree(10), weight=FIXED, delay=1.5),
        inputs=(PoissonNoise("a", 5.0, 0.1),),
    ),
    "own parameters": network(
        Projection("a", "b", FixedProbability(0.1), weight=DRAWN, delay=20.0), neuron=LIF(tau_mem=20.0, refractory=2.0)
    ),
    "everything": Network(
        (
            Population("a", 900, LIF(tau_mem=10.0 + small_values(900))),
            Population("c", 700, LIFDelta(v_th=small_values(700), refractory=1.0)),
            Population("r", 400, LIF(tau_mem=20.0, refractory=np.repeat([1.0, 2.0], 200))),
            Population("d", 300, LIFExcInh()),
            Population("e", 200, LIFExcInh()),
            Population("p", 500, PoissonSource(small_values(500))),
            Population("s", 600, SpikeSource(np.repeat(1.0 + np.arange(40.0), 20), np.arange(800) % 600)),
        ),
        (
            Projection("a", "c", FixedProbability(0.05), weight=DRAWN, delay=Uniform(0.5, 2.0)),
            Projection("s", "d", FixedInDegree(10), weight=DRAWN, delay=1.5, port="exc"),
            Projection("p", "e", FixedInDegree(10), weight=FIXED, delay=Uniform(0.5, 9.0), port="inh"),
        ),
        (
            PoissonNoise("c", small_values(700), small_values(700)),
            Increment("a", small_values(900)),
            Current("r", np.ones((3, 400)), interval=5.0),
            Current("d", 0.1),
        ),
    ),
    "stimuli": Network(
        (
            Population("a", 900, LIF()),
            Population("v", 500, PoissonSource(VaryingRate.sinusoid(20.0, 10.0, 5.0))),
            Population("w", 300, PoissonSource(VaryingRate(np.ones((7, 300)), 5.0 + np.arange(7.0), "linear"))),
            Population("g", 600, GammaSource(small_values(600), 2.0)),
            Population("h", 600, GammaSource(5.0, 2.0, "ordinary")),
        ),
        (),
        (
            PoissonNoise("a", VaryingRate.sinusoid(20.0, 10.0, 5.0), 0.1),
            PoissonNoise("a", VaryingRate(np.ones((2, 900)), [0.0, 5.0], period=9.0), small_values(900)),
        ),
    ),
    "no delay": network(Projection("a", "b", FixedProbability(0.1), weight=DRAWN, delay=0.0)),
}


@pytest.mark.parametrize(
    ("name", "workers", "batch", "dtype"),
    shorter(
        [(name, *how) for name in WHOLE for how in ((1, 1, "float32"), (2, 1, "float64"), (1, 3, "float64"), (2, 2, "float32"))],
        lambda name, workers, batch, dtype: dtype == "float32" or name == "everything",
    ),
)
def test_a_simulation_takes_the_bytes_that_were_estimated(name, workers, batch, dtype):
    net = WHOLE[name]
    simulation = Simulation(net, DT, dtype=dtype, update="sparse", workers=workers, batch=batch)
    guess = estimate(net, DT, dtype, workers, batch, update="sparse").bytes
    built = held_bytes(simulation)
    assert guess.keys() - built.keys() == {"given"} and not built.keys() - guess.keys()
    for kind, size in built.items():
        # Left out is what has no length: parameters that all neurons of a group share, tables of a noise, ends of lists.
        slack = 400 * len(simulation._program.groups) * workers * batch if kind in ("neurons", "inputs") else 0
        assert guess[kind] == pytest.approx(size, rel=0.03, abs=slack), kind


def test_a_dense_update_takes_no_more_than_was_estimated():
    net = WHOLE["everything"]
    guess, built = (
        estimate(net, DT, update="sparse").bytes["neurons"],
        held_bytes(Simulation(net, DT, update="dense", workers=1))["neurons"],
    )
    assert built <= guess and guess - built <= 29 * net.size


def test_a_batch_shares_synapses_and_parameters():
    net = WHOLE["one group"]
    one, four = estimate(net, DT).bytes, estimate(net, DT, batch=4).bytes
    for kind in ("synapses", "segments", "coefficients", "given"):
        assert one[kind] == four[kind]
    for kind in ("wheel", "boxes", "spike buffer", "predictions"):
        assert 4 * one[kind] == four[kind]
    assert one["neurons"] < four["neurons"] < 4 * one["neurons"]


def test_what_is_reserved_is_said():
    guess = estimate(WHOLE["own parameters"], DT)
    # 500 neurons and 50 sources, workers meet every 64 steps
    assert guess.bytes["spike buffer"] == 550 * 64 * 12
    assert guess.reserved_bytes == guess.bytes["boxes"] + guess.bytes["spike buffer"] < guess.total_bytes
    assert "spike buffer, reserved" in guess.table() and "only as much is touched" in guess.table()


def test_the_constants_are_those_of_the_engine():
    assert Part(program.build(network(), DT, "float32", 0), 0, 1).wheel_width == SEGMENTS_DUE


@pytest.mark.parametrize(
    ("dt", "dtype", "workers", "batch"),
    [(0.0, "float32", 1, 1), (float("nan"), "float32", 1, 1), (0.1, "f2", 1, 1), (0.1, "float32", 0, 1), (0.1, "float32", 1, 0)],
)
def test_nonsense_is_refused(dt, dtype, workers, batch):
    with pytest.raises(SimulationError, match="estimate"):
        estimate(network(), dt, dtype, workers, batch)


def test_a_network_without_synapses():
    guess = estimate(network(), DT)
    assert guess.synapses == 0 and guess.total_bytes > 0 and "projection" not in guess.table()
