"""A model's ``earliest`` never lies behind the crossing: the engine looks for one only then, or when it is about to come."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim import (
    IAF,
    LIF,
    Current,
    LIFDelta,
    LIFExcInh,
    Network,
    OneToOne,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from eventsim.exact.crossing import bind_crossing, bind_earliest

DRIVE = {IAF: "slope"}


@pytest.mark.parametrize("model", [LIF, LIFDelta, LIFExcInh, IAF], ids=str)
def test_no_crossing_comes_before_it(model):
    crossing, earliest = bind_crossing(model), bind_earliest(model)
    rng, found = np.random.default_rng(1), 0
    for _ in range(1000):
        p = model(**{DRIVE.get(model, "v_leak"): rng.uniform(-1.0, 2.0)}).params
        s = model.State(*(rng.normal(0.0, scale) for scale in (1.0, 5.0, 5.0)[: len(model.State._fields)]))
        t, early = crossing(s, p), earliest(s, p)
        assert 0.0 <= early <= t
        found += 0.0 < early <= t < np.inf
    assert found > 100


@pytest.mark.parametrize("model", [LIF, LIFExcInh], ids=str)
def test_what_arrives_when_a_neuron_is_due_to_fire_does_not_keep_it_from_firing(model):
    """Its next crossing lies within a rounding of the time then."""
    size, current = 100, np.linspace(1.1, 3.0, 100)
    target = Population("a", size, model(tau_mem=10.0, v_th=1.0, v_reset=0.0))
    port = {"port": "exc"} if model is LIFExcInh else {}

    def spikes(source):
        given = Projection("in", "a", OneToOne(), weight=0.5, delay=1.0, **port)
        network = Network([target, Population("in", size, source)], [given], [Current("a", current)])
        return Simulation(network, method="exact", record=[Spikes("a")]).run(60.0).spikes["a"]

    alone = spikes(SpikeSource([], []))
    late = alone.times > 40.0
    who, first = np.unique(alone.neurons[late], return_index=True)
    times = alone.times[late][first]
    assert len(who) == size
    found = spikes(SpikeSource(times - 1.0, who))
    for neuron, t in zip(who, times, strict=True):
        mine, before = found.times[found.neurons == neuron], alone.times[alone.neurons == neuron]
        np.testing.assert_allclose(mine[: np.sum(before <= t)], before[before <= t], rtol=0, atol=1e-9)


@pytest.mark.parametrize("gap", [1e-3, 1e-12, 2.0**-53])
def test_a_reset_to_just_below_the_threshold(gap):
    neuron = LIF(tau_mem=10.0, tau_syn=2.0, v_leak=3.0, v_th=1.0, v_reset=1.0 - gap, refractory=5.0)
    network = Network([Population("a", 1, neuron, initial={"v": 0.0})])
    times = Simulation(network, method="exact", record=[Spikes("a")]).run(30.0).spikes["a"].times
    first, again = 10.0 * np.log(3.0 / 2.0), 5.0 + 10.0 * np.log1p(gap / 2.0)
    np.testing.assert_allclose(times, first + again * np.arange(6), rtol=1e-13)
