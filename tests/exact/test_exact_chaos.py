"""Networks that are chaotic, and how long two runs of them can be compared (`network_runs.horizon`).

In strongly coupled networks a difference of 1e-12 ms in one input grows by a power of ten in each 5 to 20 ms, until the runs have
nothing in common; nothing follows from what they do after their horizon. Models without a leak are not chaotic: v is a sum of
weights and of a slope times the time since the last reset, so that a spike comes as much later as that reset or as the spike that
sets it off, whatever the weights.
"""

from __future__ import annotations

import numpy as np
import pytest
from drawn_network import LAWS, NO_LEAK, DrawnNetwork
from exact_reference import by_neuron, parts_at
from network_runs import MOVED, TOLERANCE, horizon, horizons, same_until, simulate

AGAIN = 2e-12  # ms: 1e-12 and what is rounded


@pytest.fixture(scope="module")
def chaotic():
    """A network, its spikes, and its horizon in ms."""
    drawn = DrawnNetwork("QIF", "strong", "drawn")
    found = simulate(drawn)
    return drawn, found, horizon(drawn, found)


CHAOTIC = [pytest.param(model, marks=pytest.mark.slow if model == "LIFAlpha" else ()) for model in LAWS if model not in NO_LEAK]


@pytest.mark.parametrize("model", CHAOTIC)
def test_strong_coupling_makes_a_rounding_grow(model):
    drawn = DrawnNetwork(model, "strong", "drawn")
    found = simulate(drawn)
    lower, at, upper = horizons(drawn, found, (1e-10, TOLERANCE, 1e-8))
    assert 5.0 < lower < at < upper < drawn.duration
    assert np.sum(found[0] < at) > 1000


@pytest.mark.parametrize("model", NO_LEAK)
def test_without_a_leak_no_weight_makes_a_rounding_grow(model):
    drawn = DrawnNetwork(model, "strong", "drawn")
    found = simulate(drawn)
    assert len(found[0]) > 1000
    assert horizons(drawn, found, [AGAIN]) == [drawn.duration]


def test_two_runs_of_a_chaotic_network_have_nothing_in_common_in_the_end():
    drawn = DrawnNetwork("QIF", "strong", "drawn")
    drawn.duration = 120.0  # the given spikes end before, the network goes on by itself
    one, other = (by_neuron(*simulate(drawn, moved)) for moved in (0.0, MOVED))
    apart = [np.abs(one[j][-1] - other[j]).min() for j in one.keys() & other.keys()]
    assert len(apart) > 500
    assert np.median(apart) > 0.1


def test_an_error_before_the_horizon_is_found(chaotic):
    _, (times, neurons), until = chaotic
    assert until < 60.0 and np.sum(times < until) > 1000
    for k in np.flatnonzero(times < until - 0.01)[:: len(times) // 20]:
        late, missing, other = times.copy(), np.delete(times, k), neurons.copy()
        late[k] += 2.0 * TOLERANCE
        other[k] = (other[k] + 1) % 1000
        assert not same_until((times, neurons), (late, neurons), until)
        assert not same_until((times, neurons), (missing, np.delete(neurons, k)), until)
        assert not same_until((missing, np.delete(neurons, k)), (times, neurons), until)
        assert not same_until((times, neurons), (times, other), until)


def test_a_rounding_before_the_horizon_is_not_reported(chaotic):
    _, (times, neurons), until = chaotic
    rounded = times + 0.9 * TOLERANCE * np.cos(np.arange(len(times)))
    assert same_until((times, neurons), (rounded, neurons), until - 2.0 * TOLERANCE)


def test_what_comes_after_the_horizon_is_not_reported(chaotic):
    drawn, (times, neurons), until = chaotic
    before = times < until
    assert np.sum(~before) > 1000
    assert same_until((times, neurons), (times[before], neurons[before]), until)
    moved = simulate(drawn, MOVED)
    assert parts_at((times, neurons), moved, TOLERANCE) < drawn.duration
    assert same_until((times, neurons), moved, until)


@pytest.mark.parametrize(("share", "reported"), [(0.5, True), (1.5, False)])
def test_a_weight_that_changes_is_reported_if_it_acts_before_the_horizon(chaotic, share, reported):
    """One given spike is left out: half way to the horizon, or behind it."""
    drawn, found, until = chaotic
    other = DrawnNetwork("QIF", "strong", "drawn")
    gone = np.searchsorted(other.times, share * until)
    other.times, other.givers = np.delete(other.times, gone), np.delete(other.givers, gone)
    assert same_until(found, simulate(other), until) is not reported
