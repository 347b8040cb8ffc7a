"""The unit of what arrives at a neuron: a power of two so small that the sum of all that can arrive in a step just fits 64 bits.

It follows from rules and weights alone, and so does not depend on whether synapses are stored.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsim.generate import EXPLICIT, IN_DEGREE, IN_SLOTS, ONE_TO_ONE, OUT_DEGREE, TOTAL_NUMBER, RuleCode
from eventsim.program import Program

LARGEST_SUM = 62  # bits of a sum of everything that can arrive at a neuron in one step
LEAST_UNIT, MOST_UNIT = -120, 120  # powers of two between which float32 has the unit and its inverse


def unit_of(largest: float) -> int:
    """The power of two whose multiples hold every sum up to ``largest`` in 64 bits, as fine as they can be."""
    if largest == 0.0:
        return 0
    return max(LEAST_UNIT, min(MOST_UNIT, LARGEST_SUM - math.frexp(largest)[1]))


def most_onto(code: RuleCode) -> int:
    """The most synapses onto one target."""
    if code.kind == EXPLICIT:
        return int(np.bincount(code.indices).max(initial=0))
    if code.kind in (IN_DEGREE, IN_SLOTS, TOTAL_NUMBER):
        return code.k
    if code.kind == OUT_DEGREE:
        return code.n_source * (code.k if code.multapses else 1)
    return 1 if code.kind == ONE_TO_ONE else code.n_source


def largest_sums(program: Program) -> list[float]:
    """For each group the most that can arrive at a port of a neuron in one step: every synapse brings one spike."""
    totals: dict[tuple[int, Any], float] = {}
    network = program.network
    for projection in network.projections:
        source, target = network.number(projection.source), network.number(projection.target)
        sizes = network.populations[source].size, network.populations[target].size
        most = most_onto(projection.connectivity.encode(*sizes, source == target)) * projection.weight.magnitude
        place = target, program.port_number(target, projection.port)
        totals[place] = totals.get(place, 0.0) + most
    result = [0.0] * len(program.groups)
    for (target, _), total in totals.items():
        g = program.place[target]
        result[g] = max(result[g], total)
    return result
