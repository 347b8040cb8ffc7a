"""Rules whose synapses are made by blocks of targets: every part alone is that part of the whole, and no block shows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eventsim.generate import ALL_OF_LINE, BLOCK, LEAST_OF_LINE, MOST_BLOCKS, MOST_SLOTS, block_begin, blocks_of
from eventsim.random import key
from eventsim.rows import batches, count_sources
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber


def made(code, lo=0, hi=None, seed=1):
    """Source, target and number of each synapse onto targets lo .. hi-1, as they come."""
    parts = [
        (source[:count].copy(), target[:count].copy(), edge[:count].copy())
        for source, target, edge, count in batches(code, key(seed), lo, code.n_target if hi is None else hi)
    ]
    empty = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64)
    return [np.concatenate(column) for column in zip(empty, *parts, strict=True)]


def by_number(columns):
    order = np.argsort(columns[2], kind="stable")
    return [column[order] for column in columns]


RULES = [
    FixedProbability(0.5),
    FixedProbability(0.07, False),
    FixedProbability(1.0, False),
    AllToAll(False),
    FixedInDegree(900),
    FixedInDegree(900, self_connections=False),
    FixedInDegree(7, self_connections=False),
    FixedInDegree(7, multapses=False),
    FixedOutDegree(5),
    FixedTotalNumber(20_000),
]


@pytest.mark.parametrize("rule", RULES)
@given(cuts=st.lists(st.integers(0, 3000), max_size=3), n=st.sampled_from([1500, 3000]))
@settings(deadline=None, max_examples=6)
def test_what_workers_make_together_is_the_whole(rule, cuts, n):
    code = rule.encode(40, n, False) if n == 3000 or not hasattr(rule, "self_connections") else rule.encode(n // 30, n // 30, True)
    bounds = [0, *sorted(min(cut, code.n_target) for cut in cuts), code.n_target]
    parts = [made(code, lo, hi) for lo, hi in zip(bounds, bounds[1:], strict=False)]
    whole = by_number(made(code))
    for part, lo, hi in zip(parts, bounds, bounds[1:], strict=False):
        assert np.all((part[1] >= lo) & (part[1] < hi))
        counted = np.zeros(code.n_source, np.int64)
        count_sources(code, key(1), lo, hi, counted)
        assert np.array_equal(counted, np.bincount(part[0], minlength=code.n_source))
    together = by_number([np.concatenate(column) for column in zip(*parts, strict=True)])
    assert all(np.array_equal(a, b) for a, b in zip(whole, together, strict=True))
    assert len(np.unique(whole[2])) == len(whole[2])


@pytest.mark.parametrize("rule", RULES)
def test_numbers_ascend_within_every_source(rule):
    source, _, edge = made(rule.encode(40, 3000, False))
    last = np.full(40, -1)
    for s in range(40):
        mine = edge[source == s]
        assert np.all(np.diff(mine) > 0)
        last[s] = mine[-1] if len(mine) else 0
    assert rule == FixedTotalNumber(20_000) or len(source) == len(np.unique(edge))


def test_blocks_follow_from_sizes():
    for p, n in ((0.1, 10_000), (0.001, 10_000), (1e-9, 10_000), (0.0, 100), (0.5, 1), (0.999, 10**6)):
        code = FixedProbability(p).encode(5, n, False)
        size = 1 << code.shift
        assert code.blocks == -(-n // size)
        assert size >= n or LEAST_OF_LINE <= p * size < 2 * LEAST_OF_LINE
    assert AllToAll().encode(5, 10**6, False).shift == int(math.log2(ALL_OF_LINE))
    for n_source, n_target, k in (
        (100, 100, 10),
        (1000, 1000, 1000),
        (10**4, 10**4, 10**4),
        (10, 7, 2**31 - 1),
        (10, 2**31 - 1, 10**6),
    ):
        code = FixedInDegree(k).encode(n_source, n_target, False)
        ends = [block_begin(b, n_target, code.blocks) for b in (0, 1, code.blocks - 1, code.blocks)]
        assert ends[0] == 0 and ends[-1] == n_target and ends[1] > 0 and ends[2] < n_target
        assert max(ends[1] - ends[0], ends[3] - ends[2]) * k < 2**31  # numbered in 31 bits
        assert code.blocks <= MOST_BLOCKS or n_target * k / code.blocks > MOST_SLOTS / 2 or code.blocks == n_target


@given(n_target=st.integers(1, 2000), k=st.integers(1, 500), n_source=st.integers(1, 50), data=st.data())
@settings(deadline=None, max_examples=80)
def test_a_target_lies_in_its_block(n_target, k, n_source, data):
    code = FixedInDegree(k).encode(n_source, n_target, False)
    lo = data.draw(st.integers(0, n_target - 1))
    hi = data.draw(st.integers(lo + 1, n_target))
    mine = blocks_of(code, lo, hi)
    assert block_begin(mine.start, n_target, code.blocks) <= lo < block_begin(mine.start + 1, n_target, code.blocks)
    assert block_begin(mine.stop - 1, n_target, code.blocks) < hi <= block_begin(mine.stop, n_target, code.blocks)


def test_the_ends_of_blocks_do_not_show_in_fixed_probability():
    """The chance of a synapse is the same at every place of a block, and what one block has tells nothing of the next."""
    code = FixedProbability(0.05).encode(20_000, 9000, False)
    source, target, _ = made(code)
    size = 1 << code.shift
    assert code.blocks > 3
    places = np.bincount(target[target < (code.blocks - 1) * size] % size, minlength=size)
    assert stats.chisquare(places).pvalue > 1e-3
    counts = np.zeros((code.n_source, code.blocks))
    np.add.at(counts, (source, target // size), 1)
    whole = counts[:, :-1]
    assert abs(whole.mean() - 0.05 * size) < 4 * math.sqrt(0.05 * size / whole.size)
    assert whole.var() == pytest.approx(0.05 * 0.95 * size, rel=0.05)
    assert np.abs(np.corrcoef(whole.T) - np.eye(code.blocks - 1)).max() < 5 / math.sqrt(code.n_source)


DEGREES = [(50, 40, 200, 2000), (64, 300, 30, 300), (10, 500, 7, 3000), (300, 12, 64, 300)]


@pytest.mark.parametrize(("n_source", "n_target", "k", "seeds"), DEGREES)
@pytest.mark.parametrize("same", [False, True])
def test_sources_of_a_fixed_in_degree_are_independent_and_uniform(n_source, n_target, k, seeds, same):
    """Each slot has a uniform source, whatever the others have: as if each had been drawn alone."""
    n_target = n_source if same else n_target
    seeds = min(seeds, 2_000_000 // (n_target * k))
    code = FixedInDegree(k, self_connections=False).encode(n_source, n_target, same)
    free = n_source - same
    pairs, degrees = np.zeros((n_source, n_target)), []
    squares, joint = np.zeros(n_target), np.zeros(n_target - 1)
    for seed in range(seeds):
        source, target, _ = made(code, seed=seed)
        one = np.zeros((n_source, n_target))
        np.add.at(one, (source, target), 1)
        assert np.all(one.sum(0) == k)
        pairs += one
        degrees.append(one.sum(1))
        squares += (one * (one - 1)).sum(0)  # pairs of slots of a target that have one source
        joint += (one[:, 1:] * one[:, :-1]).sum(0)  # of neighbouring targets
    off = pairs[~np.eye(n_source, dtype=bool)] if same else pairs.ravel()
    assert np.all(np.diag(pairs) == 0) or not same
    assert stats.chisquare(off).pvalue > 1e-3
    # Out-degrees: binomial in the sum over targets.
    degrees = np.array(degrees)
    law = stats.binom(k * (n_target - same), 1 / free)
    assert degrees.var() == pytest.approx(law.var(), rel=6 * math.sqrt(2 / degrees.size) + 0.02)
    # Two slots agree with chance 1 / free, of one target and of neighbours.
    trials = seeds * k * (k - 1)
    for found, tried, chance in (
        (squares.sum(), trials * n_target, 1 / free),
        (joint.sum(), seeds * k * k * (n_target - 1), (free - 1) / free**2 if same else 1 / free),
    ):
        # Agreeing pairs are hardly correlated: each counts twice in the first sum.
        assert abs(found - tried * chance) < 4.5 * math.sqrt(2 * tried * chance)


def test_a_fixed_in_degree_has_several_lines_in_a_block():
    code = FixedInDegree(5000).encode(10, 20, False)
    source, target, edge = made(code)
    assert code.blocks * BLOCK < len(edge) and np.array_equal(np.sort(edge), np.arange(100_000))
    assert np.array_equal(np.bincount(target), np.full(20, 5000))
    assert np.all(np.diff(source[np.argsort(edge)][: BLOCK // 2]) >= 0)
