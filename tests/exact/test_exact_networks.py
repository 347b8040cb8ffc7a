"""The exact engine beside a slow reference in plain Python: the same spikes, as long as rounding cannot have parted them.

How long that is says the engine itself: one input is moved by 1e-12 ms, which is far more than what is rounded, and the run counts
up to where the two differ by `TOLERANCE`. Networks that are balanced lose it after tens of ms, others hardly.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from exact_reference import Reference, parts_at

from eventsim import (
    IAF,
    LIF,
    Connectivity,
    LIFDelta,
    LIFExcInh,
    Network,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)

TOLERANCE = 1e-9  # ms
MOVED = 1e-12  # ms
NEURONS, SOURCES, EXCITATORY = 1000, 50, 800
MODELS = {"LIFDelta": LIFDelta, "LIF": LIF, "LIFExcInh": LIFExcInh, "IAF": IAF}
COMMON = {"v_th": 20.0, "v_reset": 10.0}
MEMBRANE = {"tau_mem": 20.0, "r_mem": 1.0, **COMMON}
CASES = {
    # model: parameters without and with a drive above the threshold, weight of an excitatory synapse, inhibitory port
    "LIFDelta": (MEMBRANE, 12.0, 24.0, 0.6, "v", "v"),
    "LIF": ({**MEMBRANE, "tau_syn": 2.0}, 12.0, 24.0, 6.0, "i", "i"),
    "LIFExcInh": ({**MEMBRANE, "tau_exc": 2.0, "tau_inh": 5.0}, 12.0, 24.0, 6.0, "exc", "inh"),
    "IAF": (COMMON, 0.2, 0.8, 0.6, "v", "v"),
}


class Case:
    """A network as arrays, for both sides."""

    def __init__(self, model, kind, delays, seed=1, duration=40.0):
        rng = np.random.default_rng(seed)
        base, below, above, weight, self.exc, self.inh = CASES[model]
        drive = above if kind == "balanced" else below
        self.model, self.params = model, {**base, ("slope" if model == "IAF" else "v_leak"): drive}
        self.refractory = 2.0
        degree = {"balanced": 40, "weak": 40, "feed-forward": 40}[kind]
        scale = {"balanced": 1.0, "weak": 0.01, "feed-forward": 3.0}[kind]
        source = rng.integers(0, NEURONS, NEURONS * degree)
        target = rng.integers(0, NEURONS, NEURONS * degree)
        if kind == "feed-forward":  # five layers of 200
            source = rng.integers(0, NEURONS - 200, NEURONS * degree)
            target = source // 200 * 200 + 200 + rng.integers(0, 200, len(source))
        inhibits = source % 5 == 4
        self.weight = scale * weight * rng.uniform(0.5, 1.5, len(source)) * np.where(inhibits, -5.0, 1.0)
        outer = 30 * SOURCES
        outer_source, outer_target = rng.integers(0, SOURCES, outer), rng.integers(0, 200, outer)
        outer_weight = (5.0 if kind == "feed-forward" else 2.0) * weight * rng.uniform(0.5, 1.5, outer)
        self.source, self.target, self.inhibits = source, target, inhibits
        self.outer = outer_source, outer_target, outer_weight
        drawn = rng.uniform(0.7, 3.1, len(source)), rng.uniform(0.7, 3.1, outer)
        self.delays = drawn if delays == "drawn" else (np.full(len(source), 1.5), np.full(outer, 1.5))
        many = round(SOURCES * 0.2 * duration)
        times = np.sort(rng.uniform(0.5, duration, many))
        self.given = times, rng.integers(0, SOURCES, many)
        self.start = rng.uniform(10.0, 20.0, NEURONS)
        self.duration = duration

    def network(self, moved=0.0):
        connect = Connectivity.from_coo
        times = self.given[0].copy()
        times[0] += moved
        neuron = MODELS[self.model](**self.params, refractory=self.refractory)
        projections = []
        for chosen, port in ((~self.inhibits, self.exc), (self.inhibits, self.inh)):
            at = self.source[chosen], self.target[chosen], NEURONS, NEURONS, self.weight[chosen], self.delays[0][chosen]
            projections.append(Projection("cells", "cells", connect(*at), port=port))
        outer = connect(*self.outer[:2], SOURCES, NEURONS, self.outer[2], self.delays[1])
        return Network(
            [
                Population("cells", NEURONS, neuron, initial={"v": self.start}),
                Population("inputs", SOURCES, SpikeSource(times, self.given[1])),
            ],
            [*projections, Projection("inputs", "cells", outer, port=self.exc)],
        )

    def simulate(self, moved=0.0):
        found = Simulation(self.network(moved), method="exact", record=[Spikes("cells")]).run(self.duration).spikes["cells"]
        return found.times, found.neurons

    def reference(self, until):
        ports = np.where(self.inhibits, self.inh, self.exc)
        synapses = list(zip(*(a.tolist() for a in (self.source, self.target, self.weight, self.delays[0], ports)), strict=True))
        sources, targets, weights = self.outer
        outer = (a.tolist() for a in (NEURONS + sources, targets, weights, self.delays[1]))
        synapses += [(*synapse, self.exc) for synapse in zip(*outer, strict=True)]
        given = zip(self.given[0].tolist(), (NEURONS + self.given[1]).tolist(), strict=True)
        rest = [0.0] * (len(MODELS[self.model].State._fields) - 1)
        start = [(v, *rest) for v in self.start.tolist()]
        times, numbers = Reference(self.model, self.params, self.refractory, start, synapses, given).run(until)
        mine = numbers < NEURONS
        return times[mine], numbers[mine]


@pytest.mark.parametrize(
    ("model", "kind", "delays"),
    [
        ("LIFDelta", "balanced", "one"),
        ("LIFDelta", "feed-forward", "drawn"),
        ("LIF", "balanced", "drawn"),
        ("LIF", "feed-forward", "one"),
        ("LIFExcInh", "weak", "one"),
        ("LIFExcInh", "balanced", "drawn"),
        ("IAF", "weak", "drawn"),
        ("IAF", "feed-forward", "one"),
    ],
)
def test_the_same_spikes_as_a_reference_in_plain_python(model, kind, delays):
    case = Case(model, kind, delays)
    found = case.simulate()
    horizon = parts_at(found, case.simulate(MOVED), TOLERANCE)
    if kind == "feed-forward":
        assert math.isinf(horizon)  # what is rounded does not come back
    until = min(horizon, case.duration)
    assert until > 15.0 and np.sum(found[0] < until) > 500
    assert parts_at(found, case.reference(until), TOLERANCE) >= until


def test_the_comparison_sees_synapses_that_are_missing():
    case = Case("LIF", "weak", "drawn")
    found = case.simulate()
    case.weight[case.source == found[1][0]] = 0.0
    assert parts_at(found, case.simulate(), TOLERANCE) < case.duration
