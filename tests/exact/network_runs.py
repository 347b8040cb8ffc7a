"""A `DrawnNetwork` in the exact engine and in its reference, and how long two runs of it can be the same.

That is found by the engine itself: one input is moved by 1e-12 ms, which is far more than what is rounded, and the run is compared up to
where the two differ by `TOLERANCE`, its *horizon*.
"""

from __future__ import annotations

import numpy as np
from drawn_network import NEURONS, SOURCES
from exact_reference import Reference, parts_at
from reference_flows import FLOWS

from eventsim import Connectivity, Network, Population, Projection, Simulation, Spikes, SpikeSource
from eventsim.models import BUILT_IN

TOLERANCE = 1e-9  # ms
MOVED = 1e-12  # ms
INPUTS = 3


def network(drawn, moved=0.0, which=0):
    """As eventsim's; one of the given spikes comes ``moved`` ms later."""
    times = drawn.times.copy()
    times[which] += moved
    neuron = BUILT_IN[drawn.model](**drawn.params, refractory=drawn.refractory)
    projections = []
    for chosen, port in ((~drawn.inhibits, drawn.ports[0]), (drawn.inhibits, drawn.ports[1])):
        ends = drawn.source[chosen], drawn.target[chosen], NEURONS, NEURONS
        connectivity = Connectivity.from_coo(*ends, drawn.weight[chosen], drawn.delay[chosen])
        projections.append(Projection("cells", "cells", connectivity, port=port))
    outer = Connectivity.from_coo(drawn.outer_source, drawn.outer_target, SOURCES, NEURONS, drawn.outer_weight, drawn.outer_delay)
    return Network(
        [
            Population("cells", NEURONS, neuron, initial={"v": drawn.start}),
            Population("inputs", SOURCES, SpikeSource(times, drawn.givers)),
        ],
        [*projections, Projection("inputs", "cells", outer, port=drawn.ports[0])],
    )


def simulate(drawn, moved=0.0, which=0):
    """Its spikes: times in ms, neurons."""
    simulation = Simulation(network(drawn, moved, which), method="exact", record=[Spikes("cells")])
    found = simulation.run(drawn.duration).spikes["cells"]
    return found.times, found.neurons


def refer(drawn, until):
    """Its spikes until then by the reference."""
    ports = np.where(drawn.inhibits, drawn.ports[1], drawn.ports[0])
    columns = drawn.source, drawn.target, drawn.weight, drawn.delay, ports
    synapses = list(zip(*(c.tolist() for c in columns), strict=True))
    outer = NEURONS + drawn.outer_source, drawn.outer_target, drawn.outer_weight, drawn.outer_delay
    synapses += [(*synapse, drawn.ports[0]) for synapse in zip(*(c.tolist() for c in outer), strict=True)]
    given = zip(drawn.times.tolist(), (NEURONS + drawn.givers).tolist(), strict=True)
    rest = FLOWS[drawn.model].rest(drawn.params)
    start = [(v, *rest) for v in drawn.start.tolist()]
    times, numbers = Reference(drawn.model, drawn.params, drawn.refractory, start, synapses, given).run(until)
    mine = numbers < NEURONS
    return times[mine], numbers[mine]


def horizons(drawn, found, tolerances):
    """How long in ms runs of it are the same to each of these tolerances in ms, whatever is rounded: to the end at the most.

    One input is moved, but of `INPUTS` in turn: what a single one brings may die out, where a kick sets the time of every spike.
    """
    moved = [simulate(drawn, MOVED, which) for which in range(INPUTS)]
    return [min(drawn.duration, *(parts_at(found, run, tolerance) for run in moved)) for tolerance in tolerances]


def horizon(drawn, found):
    """The same to `TOLERANCE`."""
    return horizons(drawn, found, [TOLERANCE])[0]


def same_until(found, other, until, tolerance=TOLERANCE):
    """Whether the same neurons fire before then, at the same times."""
    return parts_at(found, other, tolerance) >= until
