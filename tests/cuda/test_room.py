"""Where a list, the spill or the record of spikes is full a launch ends, room is made, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

import eventsim as es
from eventsim.cuda import engine as engine_module
from eventsim.cuda import layout as w
from tests.cuda.dyadic import RECORDED, assert_same, network, run


@pytest.fixture
def statuses(monkeypatch):
    """Why launches have ended."""
    found = []
    take = engine_module.Engine._take

    def watched(self, control, *others):
        found.append(int(control[w.STATUS]))
        return take(self, control, *others)

    monkeypatch.setattr(engine_module.Engine, "_take", watched)
    return found


def test_lists_of_the_wheel_grow(monkeypatch, statuses):
    monkeypatch.setattr(engine_module, "ROOM", 1)
    whole, _ = run(network(), 40.0)
    assert_same(whole, run(network(), 40.0, backend="cuda")[0])
    assert {w.WHEEL_FULL, w.SPILL_SMALL} <= set(statuses)


def test_the_record_of_spikes_is_drained(monkeypatch, statuses):
    monkeypatch.setattr(engine_module, "SPIKES", 0)
    whole, _ = run(network(rate=40000.0), 30.0, RECORDED[:3])
    assert_same(whole, run(network(rate=40000.0), 30.0, RECORDED[:3], backend="cuda")[0])
    assert w.FIRED_FULL in statuses


def test_launches_may_be_as_short_as_a_step(monkeypatch):
    monkeypatch.setattr(engine_module, "LAUNCH", 1)
    whole, _ = run(network(), 10.0)
    assert_same(whole, run(network(), 10.0, backend="cuda")[0])


@pytest.mark.parametrize("room", [1, 3000])
def test_states_come_back_however_many_fit_a_launch(monkeypatch, room):
    record = [
        es.States("e", fields=("i", "v"), neurons=[3, 59, 17], interval=0.7),
        es.States("i", interval=0.1),
        es.Spikes("e"),
    ]
    whole, _ = run(network(), 12.0, record, batch=2)
    monkeypatch.setattr("eventsim.cuda.sampling.BYTES", room)
    simulation = es.Simulation(network(), 0.1, record=record, seed=3, batch=2, backend="cuda")
    pieces = [simulation.run(duration) for duration in (0.3, 5.0, 0.1, 6.6)]
    for name, data in whole.states.items():
        assert np.array_equal(np.concatenate([piece.states[name].times for piece in pieces]), data.times)
        for field, values in data.values.items():
            assert np.array_equal(np.concatenate([piece.states[name].values[field] for piece in pieces]), values), (name, field)
    assert np.any(whole.states["e"].values["i"] != 0)


def test_sums_have_the_finest_unit_that_cannot_overflow():
    from eventsim.cuda.units import LARGEST_SUM, unit_of

    for largest in (1e-30, 3e-5, 0.5, 1.0, 1.5, 77.0, 2.0**40):
        power = unit_of(largest)
        assert largest * 2.0**power <= 2.0**LARGEST_SUM
        assert power == 120 or largest * 2.0**power >= 2.0 ** (LARGEST_SUM - 1)
    assert unit_of(0.0) == 0


@pytest.mark.parametrize("mean", [1e-9, 0.003, 0.7, 20.0, 143.0, 900.0])
def test_thresholds_of_single_neurons_count_as_the_processor_does(mean):
    from eventsim.cpu.inputs import fill_count_thresholds, poisson_count
    from eventsim.random import uniform

    room = np.zeros(1 << 15, np.uint32)
    cuts = room[: fill_count_thresholds(mean, room)]
    bits = np.random.default_rng(1).integers(0, 2**32, 2000, dtype=np.uint32)
    edges = np.concatenate([cuts, cuts - 1, [0, 2**32 - 1]]).astype(np.uint32)
    for word in (*bits, *edges):
        assert np.searchsorted(cuts, word, side="right") == poisson_count(mean, uniform(word))
