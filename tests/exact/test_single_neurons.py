"""The exact engine against 50 digits: every spike, none besides, and their times as exact as float64 lets them be."""

from __future__ import annotations

import numpy as np
import pytest
from exact.grazing import grazing_case
from exact.single_neurons import MODELS, drawn_case, in_50_digits, in_engine

from eventsim.models import LIF, LSNN, AdaLIF, LIFAlpha, LIFDelta, LIFExcInh

SHORT, LONG = 30, 10_000 // len(MODELS) + 1  # neurons of each model
RELATIVE = 1e-12  # where the time is well conditioned
ROUNDINGS = 10.0  # elsewhere, times what float64 may move it by


def compare(case):
    """``(spikes, worst relative error of the well conditioned ones, worst error in units of the conditioning)``"""
    found = in_engine(case)
    spikes, worst, roundings = 0, 0.0, 0.0
    for j in range(case.size):
        times, conditioning = in_50_digits(case, j)
        label = f"{case.model.name} {j}: {[float(t) for t in times]}, found {list(found[j])}"
        assert len(times) == len(found[j]), label
        for wanted, room, got in zip(times, conditioning, found[j], strict=True):
            error = float(abs(wanted - type(wanted)(float(got))))
            assert error <= max(RELATIVE * float(wanted), ROUNDINGS * float(room)), label
            if ROUNDINGS * room <= RELATIVE * wanted and wanted > 0:
                worst = max(worst, error / float(wanted))
            if room > 0:
                roundings = max(roundings, error / float(room))
        spikes += len(times)
    return spikes, worst, roundings


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_random_neurons(model):
    spikes, worst, _ = compare(drawn_case(model, seed=7, n=SHORT))
    assert spikes > SHORT and 0.0 < worst < RELATIVE


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_ten_thousand_random_neurons(model):
    spikes, worst, roundings = compare(drawn_case(model, seed=11, n=LONG))
    assert spikes > LONG
    print(f"\n{model.name}: {LONG} neurons, {spikes} spikes; well conditioned: {worst:.1e}; at most {roundings:.1f} roundings")


GRAZING = [
    (LIF, "i"),
    (LIF, "v"),
    (LSNN, "i"),
    (AdaLIF, "i"),
    (LIFAlpha, "i"),
    (LIFDelta, "v"),
    (LIFExcInh, "exc"),
    (LIFExcInh, "v"),
]


def assert_grazing_neurons_fire_where_they_should(model, port, seed, n):
    """Of all that were drawn: those whose peak lies above the threshold fire after the last arrival, no other one does."""
    case, heights = grazing_case(model, port, seed, n)
    found = in_engine(case)
    fired = np.array([len(times) > 0 for times in found])
    assert np.array_equal(fired, heights > 0), (heights[fired != (heights > 0)], model)
    assert len(heights) > n // 2 and np.abs(heights).max() < 1.1e-6 and np.abs(heights).min() > 0.9e-13
    for j in np.flatnonzero(fired):
        assert found[j][0] >= case.times[-1, j]
    return int(fired.sum()), len(heights)


@pytest.mark.parametrize(("model", "port"), GRAZING, ids=str)
def test_a_peak_that_grazes_the_threshold(model, port):
    above, all_of_them = assert_grazing_neurons_fire_where_they_should(model, port, seed=3, n=20)
    assert 0 < above < all_of_them


@pytest.mark.slow
@pytest.mark.parametrize(("model", "port"), GRAZING, ids=str)
def test_many_peaks_that_graze_the_threshold(model, port):
    above, all_of_them = assert_grazing_neurons_fire_where_they_should(model, port, seed=5, n=250)
    print(f"\n{model.name} {port}: {above} of {all_of_them} peaks above the threshold, no spike missed or invented")
