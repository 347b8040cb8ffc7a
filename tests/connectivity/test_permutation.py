"""The keyed permutation: every number once, and all orders equally likely."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eventsim.jit import jit
from eventsim.permutation import KEYS, SMALL, permuted, permuted_each, rectangle, write_keys
from eventsim.random import key


def keys_of(seed, node=0):
    out = np.empty(KEYS, np.uint32)
    write_keys(key(seed), np.uint64(node), out)
    return out


def places_of(n, keys, first=0, count=None):
    count = n - first if count is None else count
    out, scratch = np.empty(count, np.uint64), np.empty(count, np.uint64)
    permuted_each(first, count, n, *rectangle(n), keys, scratch, out)
    return out.astype(np.int64)


@given(n=st.one_of(st.integers(1, 60), st.integers(1, 20_000)), seed=st.integers(0, 2**40), share=st.floats(0, 1))
@settings(deadline=None, max_examples=120)
def test_every_place_is_taken_once_and_found_from_anywhere(n, seed, share):
    keys, first = keys_of(seed), int(share * n)
    found = places_of(n, keys)
    assert np.array_equal(np.sort(found), np.arange(n))
    assert np.array_equal(places_of(n, keys, first), found[first:])
    for i in (0, first // 2, n - 1):
        assert permuted(i, n, *rectangle(n), keys) == found[i]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 15, 16, 17, 2**30, 2**31 - 1, 46340**2, 46341**2 - 1])
def test_the_rectangle_is_hardly_larger(n):
    rows, columns = rectangle(n)
    assert n <= rows * columns < n + rows and (rows - 1) ** 2 < n <= rows**2


def test_the_ends_of_the_largest():
    n = 2**31 - 1
    found = places_of(n, keys_of(3), n - 5000)
    assert len(set(found.tolist())) == 5000 and found.min() >= 0 and found.max() < n
    assert stats.kstest(found / n, "uniform").pvalue > 1e-3


@jit
def orders(n, rows, columns, key, out):
    keys, scratch, places = np.empty(KEYS, np.uint32), np.empty(n, np.uint64), np.empty(n, np.uint64)
    for trial in range(len(out)):
        write_keys(key, np.uint64(trial), keys)
        permuted_each(0, n, n, rows, columns, keys, scratch, places)
        out[trial] = 0
        for i in range(n):
            out[trial] = out[trial] * n + np.int64(places[i])


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_all_orders_of_a_few_are_equally_likely(n):
    out = np.empty(200_000, np.int64)
    orders(n, *rectangle(n), key(9), out)
    found, times = np.unique(out, return_counts=True)
    assert len(found) == len(list(itertools.permutations(range(n))))
    assert stats.chisquare(times).pvalue > 1e-3


@jit
def pairs(n, rows, columns, key, i, j, out):
    keys = np.empty(KEYS, np.uint32)
    for trial in range(len(out)):
        write_keys(key, np.uint64(trial), keys)
        out[trial, 0] = permuted(i, n, rows, columns, keys)
        out[trial, 1] = permuted(j, n, rows, columns, keys)


@pytest.mark.parametrize("n", [30, 1000, SMALL, SMALL + 1, 100_000, 2**31 - 1])
@pytest.mark.parametrize("apart", [1, "row", "half"])
def test_two_numbers_go_to_independent_places(n, apart):
    """Neighbours, two of one column, two far apart: all pairs of places are equally likely."""
    step = {"row": rectangle(n)[1], "half": n // 2}.get(apart, apart)
    out, cells = np.empty((60_000, 2), np.int64), 10
    pairs(n, *rectangle(n), key(4), 7, 7 + step, out)
    assert np.all(out[:, 0] != out[:, 1])
    cell = out * cells // n
    counts = np.zeros((cells, cells))
    np.add.at(counts, tuple(cell.T), 1)
    size = np.bincount(np.arange(n) * cells // n if n < 10**6 else np.arange(cells), minlength=cells).astype(float)
    expected = np.outer(size, size) - np.diag(size if n < 10**6 else 0 * size)
    assert stats.chisquare(counts.ravel(), (expected / expected.sum() * len(out)).ravel()).pvalue > 1e-3


@pytest.mark.parametrize("n", [1000, SMALL + 1, 300_000])
def test_differences_of_neighbours_are_uniform(n):
    found = places_of(n, keys_of(8))
    difference = np.diff(found) % n
    assert stats.kstest(difference / n, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 4 / np.sqrt(n)
