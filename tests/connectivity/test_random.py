"""Counter-based random numbers: published vectors, ranges, laws."""

import math

import numpy as np
import pytest
from scipy import stats

from eventsim.errors import SimulationError
from eventsim.random import NORMAL_REACH, bounded, draw4, draw4_each, exp, key, log, normal, normal_each, philox, uniform, uniform53

KNOWN = [  # Random123 1.14, kat_vectors, philox4x32 10: counter, key, result
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("counter, keys, expected", KNOWN)
def test_philox_gives_the_published_vectors(counter, keys, expected):
    words = [np.uint32(word) for word in (*counter, *keys)]
    assert tuple(int(word) for word in philox(*words)) == expected
    whole = [np.uint64(low | high << 32) for low, high in (keys, counter[:2], counter[2:])]
    assert tuple(int(word) for word in draw4(*whole)) == expected
    bits = np.empty((4, 3), np.uint32)
    edges = np.array([1, 2, counter[0] | counter[1] << 32], np.uint64).view(np.int64)
    draw4_each(whole[0], edges, whole[2], 3, bits)
    assert tuple(int(word) for word in bits[:, 2]) == expected


def test_keys_depend_on_every_number_and_on_their_order():
    keys = {int(key(*words)) for words in [(1,), (2,), (1, 2), (2, 1), (1, 2, 3), (1, 3, 2), (1, 0), (1, 0, 0), (2**64 - 1,)]}
    assert len(keys) == 9
    assert key(5, 6) == key(np.int64(5), 6) and isinstance(key(5), np.uint64)
    assert len({int(key(3, stream)) for stream in range(10000)}) == 10000


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", True, None])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(SimulationError, match="seed"):
        key(seed)


def test_uniforms_keep_their_ends():
    zero, ones = np.uint32(0), np.uint32(0xFFFFFFFF)
    assert uniform(zero) == 2.0**-33 and uniform(ones) == 1 - 2.0**-33
    assert uniform53(zero, zero) == 0.0 and uniform53(ones, ones) == 1 - 2.0**-53
    assert uniform53(zero, np.uint32(64)) == 2.0**-53 and uniform53(np.uint32(1 << 31), zero) == 0.5


@pytest.mark.parametrize("n", [1, 3, 7, 2**31 - 1, 2**31])
def test_bounded_is_the_exact_multiple(n):
    for bits in (0, 1, 2**32 - 1, 2**63, 0x9E3779B97F4A7C15, 2**64 - 1):
        assert bounded(np.uint32(bits >> 32), np.uint32(bits & 0xFFFFFFFF), n) == bits * n >> 64


def test_log_is_within_an_ulp():
    x = np.concatenate([np.linspace(2.0**-20, 1, 2001), 2.0 ** -np.arange(1, 54), 1 - 2.0 ** -np.arange(1, 54), [1.0, 3.0, 1e300]])
    ours = np.array([log(value) for value in x])
    exact = np.log(x.astype(np.longdouble))
    assert np.all(np.abs(ours - exact) <= np.spacing(np.abs(np.log(x))))


def test_exp_is_within_an_ulp():
    x = np.concatenate(
        [np.random.default_rng(1).uniform(-708.0, 709.5, 20_000), np.linspace(-1.0, 1.0, 20_001), [0.0, -0.0, 1e-300]]
    )
    x = np.concatenate([x, np.arange(-1020, 1023) * math.log(2.0), (np.arange(-1020, 1023) + 0.5) * math.log(2.0)])
    found = np.array([exp(value) for value in x])
    assert np.all(np.abs(found - np.exp(x.astype(np.longdouble))) <= np.spacing(found))
    assert exp(0.0) == 1.0 and exp(-746.0) == 0.0 == exp(-1e300) and exp(-745.0) == 5e-324


def test_normal_has_the_normal_law_and_its_reach():
    n = 100_000
    bits = np.empty((4, n), np.uint32)
    draw4_each(key(1), np.arange(n), np.uint64(0), n, bits)
    values = np.empty(n)
    normal_each(bits, n, values)
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.02
    assert all(values[j] == normal(*bits[:, j]) for j in range(0, n, 97))
    reach = math.sqrt(2 * 53 * math.log(2))
    ones = np.uint32(0xFFFFFFFF)
    assert abs(normal(ones, ones, ones, ones) - reach) < 1e-9 and reach < NORMAL_REACH < 1.01 * reach
