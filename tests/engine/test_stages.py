"""Stages: which populations go through a block of steps together, and how workers meet."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim import (
    LIF,
    FixedProbability,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    States,
)
from eventsim.stages import LONGEST_SPAN, UNBOUNDED, schedule


def network(edges, names="abcd", size=3):
    """LIF populations with one-to-one projections: (source, target, delay in ms)."""
    return Network(
        [Population(name, size, LIF(tau_mem=5.0)) for name in names],
        [Projection(source, target, OneToOne(), weight=1.3, delay=float(delay)) for source, target, delay in edges],
    )


def made(edges, names="abcd"):
    net = network(edges, names)
    return schedule(net, [(round(p.delay.minimum), round(p.delay.maximum)) for p in net.projections])


@pytest.mark.parametrize(
    ("edges", "stage", "span"),
    [
        # a feed-forward net without delays: every layer is a stage
        ([("a", "b", 0), ("b", "c", 0), ("c", "d", 0)], (0, 1, 2, 3), (64, 64, 64, 64)),
        # a recurrent layer meets as often as its shortest delay says, the others once a block
        ([("a", "b", 0), ("b", "b", 2), ("b", "c", 0), ("c", "d", 0)], (0, 1, 2, 3), (64, 2, 64, 64)),
        # what leads back joins what lies between
        ([("a", "b", 0), ("b", "c", 0), ("c", "b", 3), ("c", "d", 0)], (0, 1, 1, 2), (64, 1, 64)),
        ([("a", "b", 0), ("b", "c", 0), ("c", "d", 0), ("d", "a", 5)], (0, 0, 0, 0), (1,)),
        # with delays there is one stage: its workers meet as seldom as the delays let them
        ([("a", "b", 7), ("b", "c", 5), ("c", "d", 9)], (0, 0, 0, 0), (5,)),
        ([], (0, 0, 0, 0), (64,)),
    ],
)
def test_stages_end_where_nothing_leads_back(edges, stage, span):
    order = made(edges)
    assert order.stage == stage and order.span == span and LONGEST_SPAN == 64
    longest = max((delay for _, _, delay in edges), default=0)
    assert order.block == (64 if len(span) > 1 else UNBOUNDED)
    assert order.slots == longest + (64 if len(span) > 1 else 1)
    assert {"abcd"[p] for p in order.instant} == {
        s for s, t, d in edges if d == 0 and stage["abcd".index(s)] == stage["abcd".index(t)]
    }


def test_large_stages_take_shorter_blocks():
    net = network([("a", "b", 0)], "ab", size=1_000_000)
    order = schedule(net, [(0, 0)])
    assert order.block == 4 and order.span == (4, 4) and order.slots == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_layer_hears_every_stage_in_one_order(workers):
    """Sums of floats depend on their order: that of stages, steps and neurons, wherever blocks and pieces of a run end."""
    rng = np.random.default_rng(3)
    n, steps = 40, 300
    edges = [
        ("a", "b", 0),
        ("a", "c", 3),
        ("b", "c", 0),
        ("c", "c", 1),
        ("b", "b", 2),
        ("a", "d", 60),
        ("c", "d", 0),
        ("d", "d", 70),
    ]
    source = Population("a", n, SpikeSource())
    layers = [Population(name, n, LIF(tau_mem=5.0)) for name in "bcd"]
    projections = [Projection(s, t, FixedProbability(0.5), weight=Normal(0.05, 0.1), delay=float(d)) for s, t, d in edges]
    net = Network([source, *layers], projections)
    given = (rng.random((steps, n)) < 0.1).astype(np.uint8)

    def run(pieces, workers):
        record = [*(Spikes(name) for name in "bcd"), States("d", ("v",))]
        simulation = Simulation(net, 1.0, spikes={"a": given}, record=record, workers=workers)
        recordings = [simulation.run(float(piece)) for piece in pieces]
        arrays = [np.concatenate([r.spikes[name].times for r in recordings]) for name in "bcd"]
        return [*arrays, np.concatenate([r.states["d"].values["v"] for r in recordings])]

    wanted = run([steps], 1)
    assert all(len(times) > 50 for times in wanted)
    for pieces in ([steps], [1, 63, 64, 65, 107], [7] * 42 + [6]):
        assert all(np.array_equal(a, b) for a, b in zip(wanted, run(pieces, workers), strict=True))
