"""The exact engine beside a slow reference in plain Python: the same spikes, as long as rounding cannot have parted them.

Every model that the reference knows, in three kinds of networks of 1,000 neurons (`drawn_network`), with one delay for all and with one
for each synapse. How long two runs can be the same is found as `network_runs` says.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn_network import KINDS, LAWS, NO_LEAK, DrawnNetwork
from network_runs import horizon, refer, same_until, simulate
from shorter import shorter

AFTER = 0.01  # ms that the reference goes on: a spike may be rounded to behind the horizon
FIRST = {  # of each model one in all runs of the tests, the others in those of the slow ones
    ("IAF", "weak", "drawn"),
    ("IAFSubtract", "layers", "one"),
    ("LIFDelta", "strong", "one"),
    ("QIF", "strong", "drawn"),
    ("LIF", "strong", "drawn"),
    ("LIFResetAll", "weak", "one"),
    ("LIFSubtract", "layers", "drawn"),
    ("LIFExcInh", "strong", "one"),
    ("LIFAlpha", "weak", "drawn"),
    ("LSNN", "layers", "one"),
    ("AdaLIF", "weak", "drawn"),
}
CASES = shorter(itertools.product(LAWS, KINDS, ("one", "drawn")), lambda *case: case in FIRST)


@pytest.mark.parametrize(("model", "kind", "delays"), CASES)
def test_the_same_spikes_as_a_reference_in_plain_python(model, kind, delays):
    drawn = DrawnNetwork(model, kind, delays)
    found = simulate(drawn)
    until = horizon(drawn, found)
    chaotic = kind == "strong" and model not in NO_LEAK
    assert 20.0 < until < 45.0 if chaotic else until == drawn.duration  # in the others what is rounded does not come back
    assert np.sum(found[0] < until) > (3000 if chaotic else 1000)
    assert same_until(found, refer(drawn, until + AFTER), until)


def test_the_reference_sees_a_weight_that_is_not_the_same():
    drawn = DrawnNetwork("LIF", "weak", "drawn")
    found = simulate(drawn)
    drawn.weight[drawn.source == found[1][0]] *= 1.0 + 1e-6
    assert not same_until(found, refer(drawn, drawn.duration), drawn.duration)
