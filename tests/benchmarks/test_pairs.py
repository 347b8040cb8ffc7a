"""Measuring in turn, and the arithmetic of ratios and exponents."""

from __future__ import annotations

import pytest

from benchmarks.growth import exponent
from benchmarks.inference import steps_for
from benchmarks.pairs import in_turn, ratio


def test_sides_run_in_turn_forwards_and_backwards():
    order = []
    sides = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    results = in_turn(sides, 3)
    assert "".join(order) == "abccbaabc"
    assert results == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_a_ratio_is_the_median_of_pairs_not_of_medians():
    found = ratio([2.0, 30.0, 9.0], [1.0, 10.0, 1.0])
    assert found.pairs == [2.0, 3.0, 9.0] and found.median == 3.0
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])


def test_exponents_are_slopes_of_logarithms():
    assert exponent([1.0, 10.0, 100.0], [5.0, 500.0, 50000.0]) == pytest.approx(2.0)
    assert exponent([1.0, 10.0, 100.0], [0.0, 5.0, 50.0], least=1.0) == pytest.approx(1.0)
    assert exponent([1.0, 10.0], [0.0, 5.0], least=1.0) is None


def test_the_engine_gets_fewer_steps_where_much_happens():
    assert steps_for(4096, 3, 0.001, 0.01, 1, 100) == 100
    assert 10 <= steps_for(4096, 3, 0.1, 1.0, 32, 100) < 100
