"""Binomial and multinomial counts from counters: the laws of scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eventsim.jit import jit
from eventsim.multinomial import FEW, TOSSES, binomial, spread
from eventsim.random import key

DRAWS = 100_000


@jit
def draw_many(n, part, whole, key, out):
    for j in range(len(out)):
        out[j] = binomial(n, part, whole, key, np.uint64(j))


def counts(n, part, whole, seed=1, draws=DRAWS):
    out = np.empty(draws, np.int64)
    draw_many(n, part, whole, key(seed, n), out)
    return out


LAWS = [
    # fair, by bits: whole words, parts of them, the most that are tossed; one more is drawn by rejection
    *((n, 1, 2) for n in (1, 5, 63, 64, 65, 128, 130, TOSSES, TOSSES + 1, 10**9)),
    # rare on either side, from gaps
    *((50, 3, 70), (7, 1, 100), (10**6, 1, 10**6), (10**6, 999_997, 10**6), (19, 1, 2 * 19 // int(FEW) + 1), (3, 2, 3)),
    # common, by rejection, n p just above its limit and far above
    *((31, 1, 3), (1000, 1, 3), (1000, 999, 1400), (10**10, 1, 3), (2**40, 1, 2**31 - 1), (10**5, 101, 10**6)),
]


@pytest.mark.parametrize(("n", "part", "whole"), LAWS)
def test_the_law_of_binomial_counts(n, part, whole):
    found, law = counts(n, part, whole), stats.binom(n, part / whole)
    assert found.min() >= 0 and found.max() <= n
    ends = np.unique(np.concatenate([[-1.0], law.ppf(np.linspace(0.02, 0.98, 30)), [n]]))
    chances = np.diff(law.cdf(ends))
    observed = np.histogram(found, ends + 0.5)[0]
    likely = chances * DRAWS > 5
    assert observed[~likely].sum() < 40  # of bins where fewer than five are expected in each
    if likely.sum() > 1:
        expected = chances[likely] / chances[likely].sum() * observed[likely].sum()
        assert stats.chisquare(observed[likely], expected).pvalue > 1e-3
    assert abs(found.mean() - law.mean()) < 4 * law.std() / np.sqrt(DRAWS)


def test_the_ends_of_binomial_counts():
    for n, part, whole, count in ((0, 1, 2, 0), (9, 0, 4, 0), (9, 4, 4, 9), (2**40, 7, 7, 2**40)):
        assert np.all(counts(n, part, whole, draws=10) == count)


def test_counts_of_different_nodes_are_independent():
    found = counts(400, 1, 2).reshape(-1, 2)
    assert abs(np.corrcoef(found.T)[0, 1]) < 4 / np.sqrt(len(found))


def spread_of(n, places, seed, first=0):
    offsets = np.empty(places + 1, np.int64)
    spread(n, places, key(seed), np.uint64(first), offsets)
    return offsets


@given(n=st.integers(0, 3000), places=st.integers(1, 200), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_everything_falls_somewhere(n, places, seed):
    offsets = spread_of(n, places, seed)
    assert offsets[0] == 0 and offsets[-1] == n and np.all(np.diff(offsets) >= 0)


@pytest.mark.parametrize("places", [2, 7, 64, 77])
def test_counts_are_multinomial(places):
    """Pearson's statistic has its law: counts are neither more nor less equal than they should be; and no place has more."""
    n, seeds = 60 * places, 1500
    found = np.array([np.diff(spread_of(n, places, seed)) for seed in range(seeds)])
    pearson = ((found - 60.0) ** 2 / 60.0).sum(1)
    assert stats.kstest(pearson, stats.chi2(places - 1).cdf).pvalue > (1e-3 if places > 2 else 1e-9)  # 61 values only with two
    assert stats.chisquare(found.sum(0)).pvalue > 1e-3
    assert stats.binomtest(int(found[:, 0].sum()), n * seeds, 1 / places).pvalue > 1e-3
    left, right = found[:, 0], found[:, -1]
    assert abs(np.corrcoef(left, right)[0, 1] + 1 / (places - 1)) < 4 / np.sqrt(seeds)


def test_few_things_at_many_places():
    places, n = 100_000, 40
    hit = np.concatenate([np.flatnonzero(np.diff(spread_of(n, places, seed))) for seed in range(200)])
    assert len(hit) > 0.99 * 200 * n
    assert stats.kstest((hit + 0.5) / places, "uniform").pvalue > 1e-3


def test_other_counters_give_other_counts():
    assert not np.array_equal(spread_of(5000, 100, 1), spread_of(5000, 100, 1, first=100))
