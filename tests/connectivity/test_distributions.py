"""Distributions: their law, their bounds, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eventsim.distributions import Constant, LogNormal, Normal, PerSynapse, Uniform, as_distribution, draw, sample
from eventsim.errors import NetworkError
from eventsim.random import key

N = 50_000


@pytest.mark.parametrize(
    "distribution, law",
    [
        (Normal(2.0, 3.0), stats.norm(2.0, 3.0)),
        (Normal(1.5, 0.75, low=0.1), stats.truncnorm((0.1 - 1.5) / 0.75, np.inf, 1.5, 0.75)),
        (Normal(0.0, 1.0, low=-0.2, high=0.1), stats.truncnorm(-0.2, 0.1)),
        (LogNormal(0.3, 0.5), stats.lognorm(0.5, scale=math.exp(0.3))),
        (Uniform(-1.0, 4.0), stats.uniform(-1.0, 5.0)),
    ],
)
def test_samples_follow_the_law(distribution, law):
    values = sample(distribution, key(11), N)
    assert stats.kstest(values, law.cdf).pvalue > 0.01
    assert distribution.minimum <= values.min() and values.max() <= distribution.maximum


def test_clipping_moves_to_the_ends_and_redrawing_does_not():
    clipped = sample(Normal(0.0, 1.0, low=-1.0, high=0.5, outside="clip"), key(3), N)
    assert abs(np.mean(clipped == -1.0) - stats.norm.cdf(-1.0)) < 0.01
    assert abs(np.mean(clipped == 0.5) - stats.norm.sf(0.5)) < 0.01
    redrawn = sample(Normal(0.0, 1.0, low=-1.0, high=0.5), key(3), N)
    assert redrawn.min() >= -1.0 and redrawn.max() <= 0.5 and not np.any((redrawn == -1.0) | (redrawn == 0.5))
    inside = (clipped > -1.0) & (clipped < 0.5)
    assert np.array_equal(clipped[inside], redrawn[inside])
    log = sample(LogNormal(0.0, 1.0, low=0.5, high=2.0), key(3), N)
    assert log.min() >= 0.5 and log.max() <= 2.0


@pytest.mark.parametrize(
    "distribution",
    [Constant(2.5), PerSynapse(np.arange(3000.0)), Normal(0, 1, low=0.5), LogNormal(0, 1, high=1, outside="clip"), Uniform(0, 1)],
)
def test_a_value_depends_on_key_and_element_only(distribution):
    whole, part = sample(distribution, key(1), 3000), sample(distribution, key(1), 1500)
    assert np.array_equal(whole[:1500], part)
    code = distribution.encode()
    assert all(draw(*code, key(1), j) == whole[j] for j in range(0, 3000, 37))
    drawn = not isinstance(distribution, (Constant, PerSynapse))
    assert np.array_equal(whole, sample(distribution, key(2), 3000)) != drawn


@settings(deadline=None, max_examples=60)
@given(
    mean=st.floats(-5, 5),
    std=st.floats(0.001, 3),
    ends=st.tuples(st.floats(-6, 6), st.floats(-6, 6)),
    log=st.booleans(),
    clip=st.booleans(),
)
def test_no_draw_leaves_the_bounds(mean, std, ends, log, clip):
    low, high = sorted(ends)
    try:
        distribution = (LogNormal if log else Normal)(mean, std, low, high, "clip" if clip else "redraw")
    except NetworkError:
        # Only where hardly anything lies inside.
        assert not clip
        law = stats.norm(mean, std)
        low, high = (np.log(max(end, 1e-300)) if log else end for end in (low, high))
        assert law.cdf(high) - law.cdf(low) < 1e-5
        return
    values = sample(distribution, key(0), 50)
    assert np.all((low <= values) & (values <= high))
    assert np.all((distribution.minimum <= values) & (values <= distribution.maximum))


def test_minimum_and_maximum():
    assert Normal(1, 1).minimum == -math.inf and Normal(1, 1, low=0.5).minimum == 0.5 and Normal(1, 0).minimum == 1
    assert Normal(1, 1).maximum < 10 and Normal(1, 1, high=2).maximum == 2
    assert LogNormal(0, 1).minimum == 0 and LogNormal(0, 1, low=-3).minimum == 0 and LogNormal(0, 0).minimum == 1
    assert Constant(3).minimum == Constant(3).maximum == 3
    assert PerSynapse([3, 1, 2]).minimum == 1 and PerSynapse([3, 1, 2]).maximum == 3
    assert Uniform(1, 2).minimum == 1 and Uniform(1, 2).maximum == 2


def test_arrays_are_private_and_keep_float32():
    values = np.array([1.0, 2.0], np.float32)
    distribution = as_distribution(values, "weight", 2)
    values[0] = 9.0
    assert distribution.values.tolist() == [1.0, 2.0] and distribution.values.dtype == np.float32
    with pytest.raises(ValueError):
        distribution.values[0] = 1.0
    assert as_distribution([1, 2], "weight", 2).values.dtype == np.float64
    # One that is unwritable and owns its data, as a Connectivity's are, is not copied: it may be gigabytes.
    assert as_distribution(distribution.values, "weight", 2).values is distribution.values


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int64(3), np.array(3.0)])
def test_numbers_become_constants(value):
    assert as_distribution(value, "weight") == Constant(3.0)


@pytest.mark.parametrize(
    "value, says",
    [
        (math.nan, "finite"),
        (math.inf, "finite"),
        ("3", "number"),
        (True, "number"),
        (np.bool_(True), "number"),
        (np.array(True), "number"),
        (None, "number"),
        (1j, "number"),
        (Normal, "number"),
        ([1.0, math.nan], "value 1"),
        ([1.0, -math.inf], "value 1"),
        ([1.0, 2.0, 3.0], "3 values, 2"),
        ([[1.0, 2.0]], "shape"),
        ([True, False], "bool"),
        (["1", "2"], "numbers"),
        (np.array([1j, 2j]), "complex"),
        (PerSynapse([1.0]), "1 values, 2"),
    ],
)
def test_what_is_no_distribution_is_refused_by_name(value, says):
    with pytest.raises(NetworkError, match=f"my weight.*{says}"):
        as_distribution(value, "my weight", 2)


def test_an_array_without_a_known_length_is_refused():
    for value in ([1.0, 2.0], PerSynapse([1.0, 2.0])):
        with pytest.raises(NetworkError, match="my weight.*rule"):
            as_distribution(value, "my weight")


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Normal(0, -1), "Normal: std"),
        (lambda: Normal(math.nan, 1), "Normal: mean"),
        (lambda: Normal(0, "1"), "Normal: std"),
        (lambda: Normal(0, 1, low=math.nan), "Normal: low"),
        (lambda: Normal(0, 1, low=1, high=-1), "low 1.0 must not exceed"),
        (lambda: Normal(0, 1, low=math.inf, outside="clip"), "low inf"),
        (lambda: Normal(0, 1, outside="reflect"), "outside"),
        (lambda: Normal(0, 1, low=5.5), "1.9e-08"),
        (lambda: Normal(0, 1, high=-5.5), "1.9e-08"),
        (lambda: Normal(0, 0, low=1), "0.0e"),
        (lambda: Normal(0, 1e308), "overflow"),
        (lambda: LogNormal(0, -1), "LogNormal: sigma"),
        (lambda: LogNormal(0, 1, high=-1), "LogNormal: (only|low)"),
        (lambda: LogNormal(0, 1, high=0), "LogNormal: only"),
        (lambda: LogNormal(700, 2), "overflow"),
        # Their logarithms are equal: drawing would never end.
        (lambda: LogNormal(1, 0, low=np.nextafter(math.e, 3)), "LogNormal: only"),
        (lambda: LogNormal(1, 1e-17, low=np.nextafter(math.e, 3)), "LogNormal: only"),
        (lambda: Uniform(2, 1), "Uniform: low"),
        (lambda: Uniform(0, math.inf), "Uniform: high"),
        (lambda: Constant(math.nan), "Constant"),
        (lambda: Constant([1.0]), "Constant"),
        (lambda: PerSynapse([[1.0]]), "PerSynapse"),
        (lambda: PerSynapse([math.nan]), "PerSynapse"),
    ],
)
def test_impossible_parameters_are_refused(make, says):
    with pytest.raises(NetworkError, match=says):
        make()


def test_the_rarest_accepted_range_can_be_drawn():
    assert sample(Normal(0, 1, low=4.5), key(1), 3).min() >= 4.5
