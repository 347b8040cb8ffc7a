"""Connection rules: what each promises, whatever the sizes and the key."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from eventsim import generate
from eventsim.errors import ConnectivityError
from eventsim.network import Projection
from eventsim.random import key
from eventsim.rows import realise
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber, OneToOne

sizes = st.integers(1, 40)


def pairs(rule, n_source, n_target, same=False, seed=1):
    """Source and target of each synapse."""
    made = realise(Projection("a", "b", rule, weight=1.0, delay=1.0), n_source, n_target, same, key(seed), 0.1)
    return np.repeat(np.arange(n_source), np.diff(made.indptr)), made.targets


@given(n_source=sizes, n_target=sizes, square=st.booleans())
@settings(deadline=None, max_examples=30)
def test_all_to_all_is_every_pair_once(n_source, n_target, square):
    source, target = pairs(AllToAll(), n_source, n_target)
    assert np.array_equal(source * n_target + target, np.arange(n_source * n_target))
    source, target = pairs(AllToAll(self_connections=False), n_source, n_source, same=True)
    assert np.array_equal(np.stack([source, target]), np.nonzero(1 - np.eye(n_source)))
    # Neuron i of one population and neuron i of another are not the same neuron.
    assert len(pairs(AllToAll(self_connections=False), n_source, n_target)[0]) == n_source * n_target


@pytest.mark.parametrize("n", [1, 5, generate.BLOCK, generate.BLOCK + 1])
def test_one_to_one(n):
    source, target = pairs(OneToOne(), n, n)
    assert np.array_equal(source, np.arange(n)) and np.array_equal(target, np.arange(n))


@given(n_source=sizes, n_target=sizes, k=st.integers(0, 45), multapses=st.booleans(), own=st.booleans(), out=st.booleans())
@settings(deadline=None, max_examples=150)
def test_fixed_degrees_are_exact(n_source, n_target, k, multapses, own, out):
    same = n_source == n_target
    rule = (FixedOutDegree if out else FixedInDegree)(k, multapses, own)
    available = (n_target if out else n_source) - (same and not own)
    if k and (available < 1 or (k > available and not multapses)):
        with pytest.raises(ConnectivityError, match=f"asks for {k} .*only {available}"):
            pairs(rule, n_source, n_target, same)
        return
    source, target = pairs(rule, n_source, n_target, same)
    line, lines, other = (source, n_source, target) if out else (target, n_target, source)
    assert np.array_equal(np.bincount(line, minlength=lines), np.full(lines, k))
    assert other.size == 0 or (other.min() >= 0 and other.max() < (n_target if out else n_source))
    if not multapses:
        assert len(np.unique(source * n_target + target)) == len(source)
    if same and not own:
        assert np.all(source != target)


@given(n_source=sizes, n_target=sizes, n=st.integers(0, 9000), own=st.booleans())
@settings(deadline=None, max_examples=40)
def test_fixed_total_number_is_exact(n_source, n_target, n, own):
    same = n_source == n_target
    assume(own or not same or n_source > 1)
    source, target = pairs(FixedTotalNumber(n, own), n_source, n_target, same)
    assert len(source) == n
    if same and not own:
        assert np.all(source != target)


@given(sizes, sizes, st.sampled_from([0.0, 5e-324, 1e-300, 1e-17, 0.2, 0.999, 1 - 2**-53, 1.0]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_fixed_probability_makes_no_pair_twice(n_source, n_target, p, own):
    same = n_source == n_target
    source, target = pairs(FixedProbability(p, own), n_source, n_target, same)
    assert len(np.unique(source * n_target + target)) == len(source)
    if same and not own:
        assert np.all(source != target)
    if p < 1e-10 or p > 1 - 1e-10:
        assert len(source) == (round(FixedProbability(p, own).expected(n_source, n_target, same)) if p > 0.5 else 0)


@pytest.mark.parametrize("p", [0.003, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("same", [False, True])
def test_pairs_of_fixed_probability_are_independent_with_chance_p(p, same):
    n, seeds = 60, 40
    rule = FixedProbability(p, self_connections=False)
    counts = np.zeros((n, n))
    totals = []
    for seed in range(seeds):
        source, target = pairs(rule, n, n, same, seed)
        np.add.at(counts, (source, target), 1)
        totals.append(len(source))
    expected = rule.expected(n, n, same)
    std = math.sqrt(expected * (1 - p))
    assert abs(np.mean(totals) - expected) < 4 * std / math.sqrt(seeds)
    assert 0.5 * std < np.std(totals) < 1.6 * std
    # No column, the first and the last least of all, may differ from the others.
    columns = counts.sum(0)
    trials = (n - same) * seeds
    assert stats.binomtest(int(columns[0]), trials, p).pvalue > 1e-3
    assert stats.binomtest(int(columns[-1]), trials, p).pvalue > 1e-3
    assert stats.chisquare(columns).pvalue > 1e-3 or p > 0.5


@pytest.mark.parametrize(
    "rule",
    [
        FixedTotalNumber(40_000, self_connections=False),
        FixedInDegree(2000, self_connections=False),
        FixedOutDegree(2000, self_connections=False),
    ],
)
@pytest.mark.parametrize("same", [False, True])
def test_pairs_are_drawn_uniformly(rule, same):
    n = 20
    source, target = pairs(rule, n, n, same, seed=5)
    counts = np.bincount(source * n + target, minlength=n * n).reshape(n, n)
    counts = counts[~np.eye(n, dtype=bool)] if same else counts.ravel()
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("k", [3, 9, 15])
def test_distinct_picks_are_uniform(k):
    counts = np.zeros((18, 18))
    for seed in range(200):
        source, target = pairs(FixedInDegree(k, multapses=False, self_connections=False), 18, 18, True, seed)
        np.add.at(counts, (source, target), 1)
    assert np.all(np.diag(counts) == 0)
    off = counts[~np.eye(18, dtype=bool)]
    std = math.sqrt(200 * k / 17 * (1 - k / 17))
    assert np.abs(off - 200 * k / 17).max() < 4.5 * std


RULES = [
    AllToAll(False),
    FixedProbability(0.3, False),
    FixedTotalNumber(999, False),
    FixedInDegree(7, True, False),
    FixedInDegree(25, False),
    FixedOutDegree(7, False, False),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("same", [False, True])
def test_expected_is_the_number_made(rule, same):
    counts = [len(pairs(rule, 30, 30, same, seed)[0]) for seed in range(20)]
    assert abs(np.mean(counts) - rule.expected(30, 30, same)) <= (15 if isinstance(rule, FixedProbability) else 0)


@pytest.mark.parametrize("rule", RULES[1:])
def test_the_key_decides(rule):
    first, again, other = (np.stack(pairs(rule, 30, 30, True, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: FixedProbability(-0.1), "FixedProbability: p"),
        (lambda: FixedProbability(1.1), "FixedProbability: p"),
        (lambda: FixedProbability(math.nan), "FixedProbability: p"),
        (lambda: FixedProbability("0.1"), "FixedProbability: p"),
        (lambda: FixedProbability(True), "FixedProbability: p"),
        (lambda: FixedTotalNumber(-1), "FixedTotalNumber: n"),
        (lambda: FixedTotalNumber(10.0), "FixedTotalNumber: n"),
        (lambda: FixedTotalNumber(2**63), "FixedTotalNumber: n"),
        (lambda: FixedInDegree(-1), "FixedInDegree: k"),
        (lambda: FixedInDegree(2**31), "FixedInDegree: k"),
        (lambda: FixedOutDegree(1.5), "FixedOutDegree: k"),
        (lambda: FixedOutDegree(True), "FixedOutDegree: k"),
        (lambda: FixedOutDegree(1, multapses=1), "FixedOutDegree: multapses"),
        (lambda: AllToAll(self_connections=None), "AllToAll: self_connections"),
    ],
)
def test_malformed_rules_are_refused(make, says):
    with pytest.raises(ConnectivityError, match=says):
        make()


@pytest.mark.parametrize(
    "rule, n_source, n_target, same",
    [
        (OneToOne(), 3, 4, False),
        (FixedInDegree(4, multapses=False), 3, 9, False),
        (FixedOutDegree(4, multapses=False), 9, 3, False),
        (FixedInDegree(3, multapses=False, self_connections=False), 3, 3, True),
        (FixedInDegree(1, self_connections=False), 1, 1, True),
        (FixedTotalNumber(1, self_connections=False), 1, 1, True),
    ],
)
def test_populations_that_do_not_fit_are_refused_by_name(rule, n_source, n_target, same):
    with pytest.raises(ConnectivityError, match=f"projection x: .*{type(rule).__name__}"):
        rule.check(n_source, n_target, "projection x", same)


GOLDEN = [(469, 3836367846), (999, 3097143383), (280, 2784917587), (1000, 3456405753), (280, 971362152)]


@pytest.mark.parametrize("rule, expected", list(zip(RULES[1:], GOLDEN, strict=True)))
def test_networks_stay_the_same_from_version_to_version(rule, expected):
    """Published results name a seed: if this fails on purpose, the CHANGELOG must say that networks change."""
    source, target = pairs(rule, 40, 40, True, seed=1)
    assert (len(source), zlib.crc32((source * 40 + target).astype("<i8").tobytes())) == expected


@pytest.mark.parametrize(
    "rule, expected",
    [
        (FixedProbability(0.5, False), (44756, 2541485330)),
        (FixedInDegree(200, self_connections=False), (60000, 3432621651)),
    ],
)
def test_networks_of_several_blocks_stay_the_same(rule, expected):
    assert rule.encode(300, 300, True).blocks > 2
    source, target = pairs(rule, 300, 300, True, seed=1)
    assert (len(source), zlib.crc32((source * 300 + target).astype("<i8").tobytes())) == expected
