"""Projections whose synapses are not stored: the network, the spikes and the bits of the stored form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import eventsim.cpu.part
from eventsim import (
    LIF,
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
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    States,
    Uniform,
    estimate,
    load,
    save,
)
from eventsim.cpu.floats16 import half_bits
from eventsim.errors import MemoryShortage, NetworkError, StorageError
from eventsim.memory import Available
from eventsim.segments import BLOCK_SHIFT, INLET_SHIFT, KIND_SHIFT

DT = 0.125
MS = 40.0
BROAD = Normal(1.5, 0.75, low=DT)
LAWS = {
    "constant": (0.05, 1.5),
    "drawn weights": (Normal(0.05, 0.02), 1.5),
    "drawn delays": (0.05, BROAD),
    "drawn": (LogNormal(-3.0, 0.5), Uniform(0.5, 12.0)),
}
RULES = {
    "probability": (FixedProbability(0.1), FixedProbability(0.4, False)),
    "in-degree": (FixedInDegree(20), FixedInDegree(80, self_connections=False)),
    "others": (FixedOutDegree(20), AllToAll(False)),
}


def network(rules="in-degree", law="drawn", procedural=True, **settings):
    """Noisy sources, two populations of one neuron and a third, all connected."""
    rule, recurrent = RULES[rules]
    weight, delay = LAWS[law]
    procedural = dict.fromkeys(("in", "aa", "ab", "bc", "ca"), procedural) | settings
    neuron = LIF(tau_mem=10.0, v_th=1.0, refractory=1.0)
    populations = (
        Population("in", 60, PoissonSource(60.0)),
        Population("a", 300, neuron),
        Population("b", 130, neuron),
        Population("c", 130, LIFExcInh(tau_mem=8.0, v_th=1.0)),
    )
    projections = (
        Projection("in", "a", rule, 0.9, delay, procedural=procedural["in"]),
        Projection("a", "a", recurrent, weight, delay, procedural=procedural["aa"]),
        Projection("a", "b", rule, Normal(0.6, 0.1) if law != "constant" else 0.6, delay, procedural=procedural["ab"]),
        Projection("b", "c", OneToOne(), 2.5, delay, port="exc", procedural=procedural["bc"]),
        Projection("c", "a", rule, -0.2, 2.0, procedural=procedural["ca"]),
    )
    return Network(populations, projections, (PoissonNoise("a", 40.0, 0.3),))


def run(made, pieces=(MS,), **settings):
    """Spikes, last states and counters."""
    record = [Spikes(p.name) for p in made.populations if p.name != "in"]
    simulation = Simulation(made, DT, record=record, **{"workers": 1, **settings})
    recordings = [simulation.run(piece).spikes for piece in pieces]
    spikes = {
        r.population: [np.concatenate([getattr(one[r.population], f) for one in recordings]) for f in ("times", "neurons")]
        for r in record
    }
    states = {r.population: simulation.state(r.population) for r in record}
    return spikes, states, simulation.counters


def assert_same(one, other):
    for name, (times, neurons) in one[0].items():
        assert np.array_equal(times, other[0][name][0]) and np.array_equal(neurons, other[0][name][1]), name
        assert np.array_equal(one[1][name], other[1][name])
    assert one[2][:3] == other[2][:3]


def rows_stored(simulation, source):
    """{(inlet, delay, shared weight or None): [(slot, weight), ...]} of the stored row of a source."""
    rows, found = simulation._parts[0].rows, {}
    for i in range(rows.index.indptr[source], rows.index.indptr[source + 1]):
        inlet, delay, slots, weights = rows.segment_at(i)
        shared = float(weights[0]) if int(rows.index.words[i, 0]) >> KIND_SHIFT else None
        found.setdefault((inlet, delay, shared), []).extend(zip(slots.tolist(), weights.tolist(), strict=True))
    return found


def row_made(simulation, source):
    """The same of a row that is made, in the order of the slots."""
    member = simulation._items[0].members[0]
    count = member.make_row(1, source)
    ring, found = member.transient, {}
    for first, second, third in member.procedural.index.words[:count].tolist():
        begin, kind, length = first & ((1 << KIND_SHIFT) - 1), first >> KIND_SHIFT, second & ((1 << BLOCK_SHIFT) - 1)
        slots = ring.targets[begin : begin + length].tolist()
        own = ring.weights[begin : begin + length] if kind == 0 else np.full(length, ring.recipe.shared[kind - 1])
        own = own.view(np.float16) if own.dtype == np.uint16 else own
        place = third >> INLET_SHIFT, third & ((1 << INLET_SHIFT) - 1), float(own[0]) if kind else None
        assert place not in found
        found[place] = sorted(zip(slots, own.tolist(), strict=True), key=lambda synapse: synapse[0])  # stable
    return found


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("weight_dtype", ["float32", "float16"])
def test_rows_are_those_that_would_be_stored(rules, law, weight_dtype):
    stored, made = (Simulation(network(rules, law, p), DT, workers=1, weight_dtype=weight_dtype) for p in (False, True))
    total = 0
    for source in range(stored.network.size):
        wanted, found = rows_stored(stored, source), row_made(made, source)
        assert list(found) == list(wanted) and found == wanted, source
        total += sum(map(len, found.values()))
    assert total == stored.synapses == made.synapses > 10_000
    assert len(made._parts[0].rows.targets) == 0


WAYS = {
    "dense": {"update": "dense"},
    "sparse, two workers": {"update": "sparse", "workers": 2},
    "auto, three workers, in pieces": {"workers": 3, "pieces": (1.0, 7.5, 0.125, 20.0, 11.375)},
    "float64": {"dtype": "float64", "workers": 2},
    "float16": {"weight_dtype": "float16", "workers": 3, "update": "dense"},
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rules", RULES)
def test_the_bits_of_the_stored_form(rules, law):
    for settings in WAYS.values():
        plain = {name: value for name, value in settings.items() if name in ("dtype", "weight_dtype", "update")}
        stored = run(network(rules, law, False), **plain)
        assert sum(len(times) for times, _ in stored[0].values()) > 300
        assert_same(stored, run(network(rules, law, True), **settings))


@pytest.mark.parametrize("some", [{"aa": False}, {"in": False, "bc": False}, {"ca": False, "ab": False}])
def test_a_mixture_has_the_same_bits_for_any_workers(some):
    mixed = network(**some)
    one = run(mixed)
    assert_same(one, run(mixed, workers=3, pieces=(3.0, 37.0)))
    assert_same(one, run(mixed, workers=2))
    # The same synapses in another order of sums: equal in exact arithmetic, and hardly different in float64.
    states = [Simulation(n, DT, dtype="float64", workers=1) for n in (mixed, network(procedural=False))]
    for simulation in states:
        simulation.run(6.0)
    assert np.allclose(states[0].state("a"), states[1].state("a"), rtol=0, atol=1e-9)


def test_stored_where_all_of_a_group_is_has_the_bits_too():
    """What one group receives from one stage is in one form: only within that does the form decide an order."""
    assert_same(run(network(procedural=False)), run(network(procedural=True, bc=False)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_ring_that_grows_and_goes_round_changes_nothing(monkeypatch, workers):
    made = network("probability", "drawn")
    wanted = run(made, workers=workers)
    monkeypatch.setattr(eventsim.cpu.part, "RING", 8)
    monkeypatch.setattr(eventsim.cpu.part, "RECORDS", 1)
    simulation = Simulation(made, DT, workers=workers, record=[Spikes("a"), Spikes("b"), Spikes("c")])
    recorded = simulation.run(MS).spikes
    for name, (times, neurons) in wanted[0].items():
        assert np.array_equal(recorded[name].times, times) and np.array_equal(recorded[name].neurons, neurons)
        assert np.array_equal(simulation.state(name), wanted[1][name])
    for member in simulation._items[0].members:
        assert len(member.transient.targets) > 64 and len(member.transient.records) > 1
        assert len(member.transient.targets) < 8 * simulation.synapses / workers


def test_a_ring_is_as_large_as_what_is_on_its_way():
    """A long run takes no more of it than a short one, and rows are given up."""
    simulation = Simulation(network(), DT, workers=1)
    simulation.run(100.0)
    member = simulation._items[0].members[0]
    before = len(member.transient.targets), len(member.transient.records)
    simulation.run(400.0)
    assert simulation.counters.synaptic_events > 10 * before[0]
    assert (len(member.transient.targets), len(member.transient.records)) in (before, (2 * before[0], before[1]))


def test_zero_delays_and_several_stages():
    def layers(procedural):
        neuron = LIF(tau_mem=5.0, v_th=0.5)
        populations = (Population("in", 40, PoissonSource(200.0)), *(Population(f"l{i}", 70, neuron) for i in range(3)))
        names = [p.name for p in populations]
        return Network(
            populations,
            [
                Projection(a, b, FixedProbability(0.4), Normal(0.3, 0.1), 0.0, procedural=procedural)
                for a, b in zip(names, names[1:], strict=False)
            ]
            + [Projection("l0", "l2", FixedInDegree(9), 0.2, BROAD, procedural=procedural)],
        )

    stored = run(layers(False))
    assert len(Simulation(layers(True), DT)._program.schedule.span) > 1
    assert sum(len(times) for times, _ in stored[0].values()) > 300
    assert_same(stored, run(layers(True)))
    stored = run(layers(False), update="sparse")
    assert_same(stored, run(layers(True), workers=3, update="sparse", pieces=(11.0, 0.125, 28.875)))


def test_zero_delays_within_a_stage():
    def loop(procedural):
        neuron = LIF(tau_mem=5.0, v_th=0.5)
        populations = (Population("in", 40, PoissonSource(200.0)), Population("a", 70, neuron), Population("b", 50, neuron))
        rule = FixedInDegree(12)
        return Network(
            populations,
            [
                Projection("in", "a", rule, 0.3, 0.5, procedural=procedural),
                Projection("a", "b", rule, 0.2, 0.0, procedural=procedural),
                Projection("b", "a", rule, Normal(0.1, 0.05), DT, procedural=procedural),
            ],
        )

    stored = run(loop(False))
    assert_same(stored, run(loop(True), workers=2))


def test_a_batch():
    def items(procedural, threads):
        simulation = Simulation(network(procedural=procedural), DT, batch=3, workers=threads, record=[Spikes("a")])
        return simulation.run(MS).spikes["a"], simulation.state("a")

    (stored, before), (made, after) = items(False, 1), items(True, 2)
    assert np.array_equal(before, after) and not np.array_equal(after[0], after[1])
    for field in ("times", "neurons", "batch"):
        assert np.array_equal(getattr(stored, field), getattr(made, field))


@pytest.mark.parametrize(("saved", "loaded"), [(True, True), (True, False), (False, True), ("mixed", "mixed")])
@pytest.mark.parametrize("workers", [(1, 3), (2, 1)])
def test_a_checkpoint_goes_on_in_either_form(tmp_path, monkeypatch, saved, loaded, workers):
    """The form is no part of what a network is: a state of one goes on in the other."""
    before, after = (network(aa=False) if form == "mixed" else network(procedural=form) for form in (saved, loaded))
    record = [Spikes("a"), States("b", interval=DT)]
    whole = Simulation(before, DT, workers=1, record=record)
    whole.run(15.0)
    wanted = whole.run(20.0)
    first = Simulation(before, DT, workers=workers[0], record=record)
    first.run(15.0)
    first.save(tmp_path / "state.npz")
    monkeypatch.setattr(eventsim.cpu.part, "RING", 16)
    monkeypatch.setattr(eventsim.cpu.part, "RECORDS", 1)
    second = Simulation.load(tmp_path / "state.npz", after, workers=workers[1])
    second.save(tmp_path / "again.npz")
    with np.load(tmp_path / "state.npz") as one, np.load(tmp_path / "again.npz") as other:
        assert len(one["state/item0/flying/step"]) > 20
        for name in one.files:
            assert name == "description" or np.array_equal(one[name], other[name]), name
    found = second.run(20.0)
    assert np.array_equal(wanted.spikes["a"].times, found.spikes["a"].times)
    assert np.array_equal(wanted.spikes["a"].neurons, found.spikes["a"].neurons)
    assert np.array_equal(wanted.states["b"].values["v"], found.states["b"].values["v"])
    assert whole.counters[:3] == second.counters[:3]


def test_a_checkpoint_of_another_rule_is_refused(tmp_path):
    simulation = Simulation(network("in-degree"), DT)
    simulation.save(tmp_path / "state.npz")
    with pytest.raises(StorageError, match="of another network"):
        Simulation.load(tmp_path / "state.npz", network("probability"))


def test_a_saved_network_says_what_is_procedural(tmp_path):
    made = network(aa=False)
    save(made, tmp_path / "net.npz")
    again = load(tmp_path / "net.npz")
    assert [p.procedural for p in again.projections] == [True, False, True, True, True]
    assert_same(run(made, pieces=(5.0,)), run(again, pieces=(5.0,)))


@pytest.mark.parametrize("law", ["constant", "drawn"])
def test_groups_beyond_16_bits(law):
    """One worker has slots of 31 bits, three have slots of 16."""
    weight = (4.0, Normal(4.0, 1.0))[law == "drawn"]

    def large(procedural):
        sources = Population("in", 20, SpikeSource(np.repeat(np.arange(1.0, 5.0), 20), np.tile(np.arange(20), 4)))
        cells = Population("cells", 70_000, LIFExcInh(tau_mem=20.0, v_th=10.0, refractory=1.0))
        return Network(
            (sources, cells),
            [
                Projection("in", "cells", FixedProbability(0.2), weight, 0.5, port="exc", procedural=procedural),
                Projection("in", "cells", FixedOutDegree(3000), -0.1, 0.5, port="inh", procedural=procedural),
            ],
        )

    stored = run(large(False), (6.0,), update="dense")
    for settings in ({}, {"workers": 3}):
        simulation = Simulation(large(True), DT, **{"workers": 1, **settings})
        kind = np.uint16 if settings else np.uint32
        assert all(member.transient.targets.dtype == kind for member in simulation._items[0].members)
        assert_same(stored, run(large(True), (6.0,), update="dense", **settings))


def test_every_float16_is_the_one_of_numpy():
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = np.unique(values[np.isfinite(values)].astype(np.float32))
    rng = np.random.default_rng(0)
    drawn = (rng.normal(size=5000) * 10.0 ** rng.uniform(-9, 4, 5000)).clip(-65519, 65519).astype(np.float32)
    tried = np.concatenate(
        [values[::7], (values[:-1] / 2 + values[1:] / 2)[::7], np.nextafter(values, np.float32(1e9))[::7], drawn]
    )
    tried = tried[np.abs(tried) < 65520]
    assert np.array_equal([half_bits(x) for x in tried], tried.astype(np.float16).view(np.uint16))


REFUSED = {
    "arrays": (
        Connectivity.from_dense(np.ones((60, 60))),
        None,
        "synapses from a rule, and these are given as arrays; leave it out",
    ),
    "total": (FixedTotalNumber(50), 1.0, r"cannot make the row of one source of FixedTotalNumber\(.*use FixedProbability"),
    "distinct in": (FixedInDegree(5, multapses=False), 1.0, "FixedInDegree or FixedOutDegree with multapses, or leave it out"),
    "distinct out": (FixedOutDegree(5, multapses=False), 1.0, "FixedInDegree or FixedOutDegree with multapses, or leave it out"),
    "weights": (FixedInDegree(5), np.ones(300), "weight: an array needs a known number of synapses"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_rows_is_refused(case):
    connectivity, weight, says = REFUSED[case]
    with pytest.raises(NetworkError, match=f"'a' -> 'b'.*{says}"):
        Projection("a", "b", connectivity, weight, 1.0, procedural=True)


def test_other_refusals():
    with pytest.raises(NetworkError, match="'a' -> 'b': procedural must be True or False, not 1"):
        Projection("a", "b", FixedInDegree(5), 1.0, 1.0, procedural=1)
    with pytest.raises(NetworkError, match="'in' -> 'a': method='exact' stores every synapse"):
        Simulation(network(), method="exact")
    with pytest.raises(NetworkError, match="'in' -> 'a': method='exact' stores every synapse"):
        estimate(network(), method="exact")

    def with_weight(weight):
        return replace(network(), projections=[Projection("in", "a", FixedInDegree(5), weight, 1.0, procedural=True)])

    for weight in (Normal(0.0, 1e5), Normal(-7e4, 1.0), LogNormal(0.0, 9.0), 1e39, Normal(-1e39, 1.0)):
        with pytest.raises(NetworkError, match="'in' -> 'a': a weight of magnitude .* overflows float"):
            Simulation(with_weight(weight), DT, weight_dtype="float16")


def test_nothing_is_held_for_each_synapse(monkeypatch):
    def sized(rule, procedural=True):
        cells = Population("cells", 20_000, LIF())
        return Network([cells], [Projection("cells", "cells", rule, Normal(0.1, 0.01), BROAD, procedural=procedural)])

    # Tables of a fixed in-degree stop to grow with 32 blocks of targets; a fixed probability has none.
    small, large = (estimate(sized(FixedInDegree(k)), DT) for k in (3000, 300_000))
    assert small.bytes["synapses"] == large.bytes["synapses"] == 0
    assert small.bytes["procedural"] == large.bytes["procedural"] < 20_000 * 32 * 4 * 1.1
    sparse, dense = (estimate(sized(FixedProbability(p)), DT) for p in (0.001, 0.9))
    assert sparse.bytes["procedural"] == dense.bytes["procedural"] < 2**17
    assert dense.peak_bytes < 1.1 * sparse.peak_bytes
    assert estimate(sized(FixedProbability(0.9), False), DT).bytes["synapses"] > 2e9
    # Refused where there is no memory for them, with the way out.
    monkeypatch.setattr("eventsim.fitting.available_memory", lambda: Available(2**28, "here"))
    with pytest.raises(MemoryShortage, match="procedural=True in its projections"):
        Simulation(sized(FixedProbability(0.5), False), DT)
    simulation = Simulation(sized(FixedProbability(0.5)), DT)
    simulation.run(DT)
