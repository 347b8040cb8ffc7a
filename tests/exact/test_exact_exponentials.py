"""exp and expm1 of the exact engine against mpmath: within two units in the last place, and where they end."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from eventsim.exact.exponentials import HIGH, LOW, exp, expm1, phi
from eventsim.jit import jit

RNG = np.random.default_rng(1)
POINTS = np.concatenate(
    [RNG.uniform(-1.0, 1.0, 3000), RNG.uniform(-700.0, 700.0, 1000), RNG.uniform(-40.0, 40.0, 1000)]
    + [sign * 10.0 ** RNG.uniform(-300.0, 0.0, 500) for sign in (-1.0, 1.0)]
    + [math.log(2.0) * (np.arange(-20, 20) + 0.5)]  # where the next power of 2 is taken
)


def ulps(found, expected):
    """How far a float64 is from an exact number, in units of its last place."""
    return abs(mpmath.mpf(found) - expected) / mpmath.mpf(math.ulp(float(expected)))


@pytest.mark.parametrize("ours, exact", [(exp, mpmath.exp), (expm1, mpmath.expm1)], ids=["exp", "expm1"])
def test_within_two_units_in_the_last_place(ours, exact):
    with mpmath.workprec(200):
        assert max(ulps(ours(x), exact(mpmath.mpf(x))) for x in POINTS) < 2.0


def test_the_two_parts_of_log_2():
    with mpmath.workprec(200):
        assert abs(mpmath.mpf(HIGH) + mpmath.mpf(LOW) - mpmath.log(2)) < 1e-25
    assert all(math.fmod(HIGH * k, math.ldexp(1.0, -33)) == 0.0 for k in (1, 3, 1023))  # its product with k is exact


def test_ends():
    assert exp(0.0) == 1.0 and expm1(0.0) == 0.0 and phi(0.0) == 1.0
    assert exp(-1e12) == exp(-math.inf) == 0.0 and expm1(-1e12) == expm1(-math.inf) == -1.0
    assert exp(710.0) == expm1(math.inf) == math.inf
    assert math.isnan(exp(math.nan)) and math.isnan(expm1(math.nan))
    assert phi(1e12) == 1e-12 and phi(1e-9) == 1.0 - 0.5e-9 and phi(2.0) == pytest.approx(-math.expm1(-2.0) / 2.0, rel=1e-15)


def test_several_at_a_time_give_the_same_bits():
    """A loop over an array, which the compiler does in vectors, against calls one by one."""

    @jit
    def each(x, out_exp, out_expm1):
        for i in range(x.size):
            out_exp[i], out_expm1[i] = exp(x[i]), expm1(x[i])

    found = np.empty_like(POINTS), np.empty_like(POINTS)
    each(POINTS, *found)
    assert found[0].tolist() == [exp(x) for x in POINTS] and found[1].tolist() == [expm1(x) for x in POINTS]


@pytest.mark.parametrize("x", [709.0, 709.43, 709.45, 709.6, 709.69])
def test_next_to_the_largest_number(x):
    assert exp(x) == pytest.approx(math.exp(x), rel=1e-15) == expm1(x)
