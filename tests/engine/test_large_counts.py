"""Numbers beyond 2**31: synapses, segments, steps. Counted, not allocated."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim.cpu.deliver import DeliverSpec, bind_rows
from eventsim.cpu.exchange import push
from eventsim.distributions import Normal, draw_each
from eventsim.errors import NetworkError
from eventsim.estimate import estimate
from eventsim.generate import generate_lines, line_capacity, lines_of, new_table, scratch_size
from eventsim.models import LIF, LIFExcInh
from eventsim.network import Network, Population, Projection
from eventsim.program import build
from eventsim.recording import Rates, Spikes, States
from eventsim.rows import Index, batches
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber
from eventsim.segments import BLOCK_SHIFT, INLET_SHIFT, KIND_SHIFT, cut
from eventsim.simulation import Simulation
from eventsim.state import NEVER
from eventsim.stimuli import SpikeSource

FAR = 2**33
MOST = 2**31 - 1


def two(size: int, rule, neuron=None) -> Network:
    populations = (Population("a", size, neuron or LIF()), Population("b", size, neuron or LIF()))
    return Network(populations, (Projection("a", "b", rule, weight=0.1, delay=1.5),))


@pytest.mark.parametrize("size", [2**31, 2**40])
@pytest.mark.parametrize("method", ["grid", "exact"])
def test_more_neurons_than_can_be_numbered_are_refused(size, method):
    net = Network((Population("a", size, LIF()),))
    with pytest.raises(NetworkError, match=rf"{size} neurons; at most 2\*\*31 - 1"):
        Simulation(net, method=method, force=True)
    with pytest.raises(NetworkError, match="can be numbered"):
        estimate(net, method=method)


@pytest.mark.parametrize(
    "rule", [FixedTotalNumber(2**40), FixedInDegree(1_200_000), AllToAll(), FixedProbability(1.0), FixedOutDegree(1_200_000)]
)
def test_more_synapses_than_can_be_numbered_are_refused(rule):
    with pytest.raises(NetworkError, match=r"'a' -> 'b': .* synapses; at most 2\*\*40"):
        Simulation(two(1 << 20, rule), force=True)


def test_many_projections_count_together():
    half = FixedTotalNumber(2**39)
    net = two(100, half)
    build(net, 0.1, "float32", 0)
    both = Network(net.populations, net.projections * 2)
    with pytest.raises(NetworkError, match=r"at most 2\*\*40"):
        build(both, 0.1, "float32", 0)


@pytest.mark.parametrize("method", ["grid", "exact"])
def test_sizes_beyond_32_bits_are_counted(method):
    guess = estimate(two(2_000_000, FixedInDegree(5000)), method=method)
    assert guess.synapses == 10**10
    assert guess.peak_bytes > guess.bytes["synapses"] >= 2 * 10**10


@pytest.mark.parametrize(
    ("rule", "n_source", "n_target"),
    [
        (FixedInDegree(100_000), 1000, MOST),
        (FixedInDegree(500, multapses=False), 1000, MOST),
        (FixedOutDegree(100_000), MOST, MOST),
        (FixedProbability(1.0), MOST, 3),
        (AllToAll(), MOST, 3),
        (FixedTotalNumber(2**40), MOST, MOST),
    ],
)
def test_the_last_synapses_of_a_large_projection(rule, n_source, n_target):
    code = rule.encode(n_source, n_target, False)
    capacity, lines = line_capacity(code), lines_of(code, n_target - 1, n_target)
    last = lines.count
    source, target = np.full(capacity, -1, np.int32), np.full(capacity, -1, np.int32)
    edge = np.full(capacity, -1, np.int64)
    scratch = np.zeros(scratch_size(code), np.uint8)
    arrays = scratch, new_table(code), capacity, source, target, edge
    while True:  # a line of a fixed in-degree is a part of a block, of which the last may be empty
        count, line = generate_lines(*code, last - 1, last, lines.block, lines.width, np.uint64(5), *arrays)
        if count:
            break
        last -= 1
    assert (count == capacity or rule == FixedInDegree(100_000)) and line == last
    source, target, edge = source[:count], target[:count], edge[:count]
    assert np.array_equal(edge, np.arange(edge[0], edge[0] + count)) and edge[-1] == round(rule.expected(n_source, n_target)) - 1
    assert edge[-1] > 2**32 and source.min() >= 0 and target.min() >= 0
    assert source.max() < n_source and target.max() < n_target


def test_a_worker_far_behind_generates_its_part_of_the_synapses():
    code = FixedInDegree(3, multapses=False).encode(1000, MOST, False)
    _, target, edge, count = next(iter(batches(code, np.uint64(5), MOST - 2, MOST)))
    assert count == 6 and np.array_equal(target[:6], np.repeat([MOST - 2, MOST - 1], 3))
    assert np.array_equal(edge[:6], 3 * (MOST - 2) + np.arange(6))


def test_values_of_synapses_32_bits_apart_differ():
    edges, values = np.array([7, 7 + 2**32, 7 + 2**40]), np.empty(3)
    draw_each(*Normal(0.0, 1.0).encode(), np.uint64(3), edges, 3, values)
    assert len(set(values)) == 3


def test_segments_begin_beyond_32_bits():
    """A table of FAR synapses with own weights, none of which a row has here, before two rows that share a weight."""
    inlets = np.zeros(1, np.int32)
    layout = (inlets, 15, 1, 1, 2)
    own = np.full(3, FAR, np.int64), np.empty(0, np.uint8), layout
    shared = np.array([0, 3, 4]), np.array([0, 0, 1, 1], np.uint8), layout
    index = Index(np.empty(3, np.int64), np.empty((3, 3), np.int64))
    cut(*own, *shared, *index)
    assert index.indptr.tolist() == [0, 2, 3]
    spec = DeliverSpec(np.dtype(np.uint16), np.dtype(np.float32), np.dtype(np.float32))
    wheel, count = np.zeros((16, 6), np.int64), np.zeros(16, np.int64)
    assert push(0, 3, FAR % 16, index, 16, wheel, count) == 3 and count[15] == 3
    words = bind_rows(spec)[1]
    found = [words(e, wheel[15]) for e in range(3)]
    assert found == [(FAR, 2, 1, 0), (FAR + 2, 1, 1, 2**16), (FAR + 3, 1, 1, 2**16)]


def test_the_words_of_a_segment_hold_its_largest_numbers():
    spec = DeliverSpec(np.dtype(np.uint16), np.dtype(np.float32), np.dtype(np.float32))
    entries = np.array([(2**40 - 1) | (5 << KIND_SHIFT), (2**31 - 1) | (2**15 << BLOCK_SHIFT)])
    assert bind_rows(spec)[1](0, entries) == (2**40 - 1, 2**31 - 1, 5, 2**31)
    assert 2**31 - 1 < 1 << INLET_SHIFT


def test_more_inputs_than_a_worker_can_number_are_refused_by_name():
    net = Network(
        (Population("a", 10, LIF()), Population("b", MOST - 10, LIFExcInh())),
        (Projection("a", "b", FixedTotalNumber(5), weight=0.1, delay=1.5, port="inh"),),
    )
    with pytest.raises(NetworkError, match="'a' -> 'b': .* inputs .* use more workers"):
        build(net, 0.1, "float32", 0).rows(0, 1)


def fired_from(start: int, update: str) -> Simulation:
    """Three neurons that answer to given spikes after a step."""
    source = SpikeSource((start + np.array([1, 5, 9, 40])) * 0.125, [0, 0, 0, 0])
    net = Network(
        (Population("s", 1, source), Population("a", 3, LIF())),
        (Projection("s", "a", AllToAll(), weight=30.0, delay=1.0), Projection("a", "a", AllToAll(), weight=0.5, delay=2.0)),
    )
    return Simulation(net, 0.125, update=update, record=[Spikes("a"), Spikes("s"), States("a", interval=0.125), Rates("a", 8.0)])


def shifted(name: str, array: np.ndarray, steps: int) -> np.ndarray:
    """An array of a captured state, so many steps later."""
    if name.endswith(("/last", "/due", "/step")):
        return np.where(array < NEVER, array + steps, array)
    return array + steps * np.array([1, 0, 1]) * (array < NEVER) if name.endswith("/clock") else array


@pytest.mark.parametrize("update", ["sparse", "dense", "auto"])
@pytest.mark.parametrize("later", [2**31 - 20, 2**31 + 2**33])  # multiples of the ring of predictions or not
def test_steps_beyond_32_bits(update, later):
    """A state that is put far into the future goes on as it would have done, with other times."""
    now, far = fired_from(0, update), fired_from(later, update)
    now.run(10 * 0.125)
    description, arrays = now._capture()
    moved = {name: shifted(name, array, later) for name, array in arrays.items()}
    far._restore({"step": description["step"] + later}, moved, "far")
    before, after = now.run(100 * 0.125), far.run(100 * 0.125)
    assert far.time == (later + 110) * 0.125 and len(before.spikes["a"].times) > 3
    for name in ("a", "s"):
        assert np.array_equal(after.spikes[name].times, before.spikes[name].times + later * 0.125)
        assert np.array_equal(after.spikes[name].neurons, before.spikes[name].neurons)
    assert np.array_equal(after.states["a"].values["v"], before.states["a"].values["v"])
    assert after.rates["a"].counts.sum() == before.rates["a"].counts.sum() == len(before.spikes["a"].times)
    assert far.counters.steps == later + 110 and far.counters.neuron_steps == 3 * (later + 110)
