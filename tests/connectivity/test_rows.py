"""Rows: what the kernels read is what `realise` says, for any set of projections and any division among workers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, LogNormal, Normal, Uniform
from eventsim.errors import ConnectivityError, NetworkError
from eventsim.network import Projection
from eventsim.random import key
from eventsim.rows import Rows, RowSpec, build_rows, check_delays, realise
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber, OneToOne
from eventsim.segments import KIND_SHIFT

DT = 0.1
INT32_MAX = 2**31 - 1


def project(connectivity, weight=1.0, delay=0.5):
    return Projection("a", "b", connectivity, weight=weight, delay=delay)


def one_spec(projection, n_source, n_target, **changes):
    values = {"n_source": n_source, "n_target": n_target, "same": False, "source_offset": 0, "inlet": 0, "slot_offset": 0}
    values |= {"target_lo": 0, "target_hi": n_target, "key": key(1)}
    return RowSpec(projection, **values | changes)


def expected_rows(specs, n_sources, dtype):
    """For each source: [((group, delay), [(slot, weight), ...]), ...] in order, from `realise` and plain Python; whole segments."""
    rows = [[] for _ in range(n_sources)]
    for spec in specs:
        made = realise(spec.projection, spec.n_source, spec.n_target, spec.same, spec.key, DT)
        # The shared weights come after the weights of their own, in ascending order.
        shared = (1, dtype(spec.projection.weight.value)) if isinstance(spec.projection.weight, Constant) else (0, 0)
        for source in range(spec.n_source):
            for j in range(made.indptr[source], made.indptr[source + 1]):
                if spec.target_lo <= made.targets[j] < spec.target_hi:
                    slot = spec.slot_offset + made.targets[j] - spec.target_lo
                    place = shared[0], spec.inlet, round(made.delays[j] / DT), shared[1]
                    rows[spec.source_offset + source].append((place, int(slot), dtype(made.weights[j])))
    out = []
    for row in rows:
        segments = {}
        for place, slot, weight in sorted(row, key=lambda entry: entry[:2]):  # stable: then projection, then synapse
            segments.setdefault(place, []).append((slot, weight))
        out.append([(place[1:3], synapses) for place, synapses in segments.items()])
    return out


def found_rows(rows):
    """The same, read from Rows as a kernel reads them; segments that a block of slots ends are joined again."""
    out = []
    for source in range(len(rows.index.indptr) - 1):
        segments, before = [], None
        for i in range(rows.index.indptr[source], rows.index.indptr[source + 1]):
            group, delay, slots, weights = rows.segment_at(i)
            synapses = list(zip(slots.tolist(), weights, strict=True))
            kind = int(rows.index.words[i, 0]) >> KIND_SHIFT
            if before == (group, delay, kind):
                segments[-1][1].extend(synapses)
            else:
                segments.append(((group, delay), synapses))
            before = group, delay, kind
        out.append(segments)
    return out


WEIGHTS = [Constant(2.0), Constant(-1.5), Constant(0.1), LogNormal(0.0, 1.0), Uniform(-1, 1)]
WEIGHTS += [Normal(1.0, 0.5, low=0.0, outside="clip")]
DELAYS = [Constant(0.5), Constant(1.0), Constant(0.0), Normal(0.5, 0.3, low=0.1), Uniform(0.1, 0.4), LogNormal(-1, 0.4)]


@st.composite
def networks(draw):
    """Populations (sizes) and (source, target, projection) between them."""
    sizes = draw(st.lists(st.integers(1, 14), min_size=1, max_size=3))
    projections = []
    for number in range(draw(st.integers(0, 5))):
        source, target = (draw(st.integers(0, len(sizes) - 1)) for _ in range(2))
        n_source, n_target = sizes[source], sizes[target]
        rules = [FixedProbability(draw(st.floats(0, 1))), FixedTotalNumber(draw(st.integers(0, 300))), AllToAll(), FixedInDegree(3)]
        rules += [FixedOutDegree(n_target, multapses=False), FixedInDegree((n_source + 1) // 2, multapses=False), "explicit"]
        rules += [OneToOne()] if n_source == n_target else []
        rules += [AllToAll(False), FixedTotalNumber(40, False), FixedOutDegree(2, True, False)] if n_source > 1 else []
        rule = draw(st.sampled_from(rules))
        weight, delay = draw(st.sampled_from(WEIGHTS)), draw(st.sampled_from(DELAYS))
        if rule == "explicit":
            rng = np.random.default_rng(number)
            n = draw(st.integers(0, 60))
            weights = rng.normal(size=n).astype(draw(st.sampled_from([np.float32, np.float64])))
            delays = rng.integers(0, 9, n) * DT
            rule = Connectivity.from_coo(
                rng.integers(0, n_source, n), rng.integers(0, n_target, n), n_source, n_target, weights, delays
            )
            weight, delay = draw(st.sampled_from([weight, None])), draw(st.sampled_from([delay, None]))
        projections.append((source, target, project(rule, weight, delay)))
    return sizes, projections


def specs_of(sizes, projections, bounds, worker, groups):
    """What ``worker`` of those divided at ``bounds`` (fractions) is given."""
    sources = np.concatenate([[0], np.cumsum(sizes)])
    first = [int(size * bounds[worker]) for size in sizes]
    last = [int(size * bounds[worker + 1]) for size in sizes]
    slots = np.concatenate([[0], np.cumsum(np.subtract(last, first))])
    specs = []
    for number, (source, target, projection) in enumerate(projections):
        if first[target] < last[target]:  # a worker that owns nothing need not hear of it
            group = groups[target]
            specs.append(
                RowSpec(
                    projection,
                    sizes[source],
                    sizes[target],
                    source == target,
                    int(sources[source]),
                    group,
                    int(slots[target]),
                    first[target],
                    last[target],
                    key(7, number),
                )
            )
    return specs, int(sources[-1]), first, slots


@given(networks(), st.lists(st.floats(0, 1), max_size=3), st.sampled_from([np.float32, np.float64]), st.permutations([0, 3, 5]))
@settings(deadline=None, max_examples=150)
def test_rows_are_the_realised_synapses_for_any_division(network, cuts, dtype, groups):
    bounds = [0.0, *sorted(cuts), 1.0]
    for worker in range(len(bounds) - 1):
        specs, n_sources, _, _ = specs_of(*network, bounds, worker, groups)
        rows = build_rows(specs, n_sources, DT, dtype)
        assert found_rows(rows) == expected_rows(specs, n_sources, dtype)
        assert tuple(array.dtype for array in rows.index) == (np.int64, np.int64)
        assert rows.targets.dtype == np.uint16 and rows.weights.dtype == rows.shared.dtype == dtype
        kinds = rows.index.words[:, 0] >> KIND_SHIFT
        shared = {spec.projection.weight.value for spec in specs if isinstance(spec.projection.weight, Constant)}
        assert len(rows.weights) == rows.lengths[kinds == 0].sum() and len(rows.shared) == len(shared)
        assert rows.lengths.sum() == len(rows.targets)


@given(networks(), st.lists(st.floats(0, 1), max_size=3))
@settings(deadline=None, max_examples=40)
def test_what_a_target_receives_does_not_depend_on_the_division(network, cuts):
    def received(bounds):
        """{(population, neuron): [(source, delay, weight), ...]} in the order in which a kernel would add."""
        out = {}
        for worker in range(len(bounds) - 1):
            specs, n_sources, first, slots = specs_of(*network, bounds, worker, [0, 0, 0])
            for source, segments in enumerate(found_rows(build_rows(specs, n_sources, DT, np.float32))):
                for (_, delay), synapses in segments:
                    for slot, weight in synapses:
                        population = int(np.searchsorted(slots, slot, side="right")) - 1
                        neuron = slot - slots[population] + first[population]
                        out.setdefault((population, int(neuron)), []).append((source, delay, weight))
        return out

    assert received([0.0, *sorted(cuts), 1.0]) == received([0.0, 1.0])


@pytest.mark.parametrize("n", [40, 47, 48, 49, 300, 5000])
def test_long_rows_are_sorted_stably(n):
    rng = np.random.default_rng(n)
    # Slots beyond 16 bits, delays beyond 8, few distinct ones so that ties abound: weights tell the order.
    made = Connectivity.from_coo(
        np.zeros(n, int), rng.integers(0, 5, n) * 70_000, 1, 300_000, np.arange(n) * 1.0, rng.integers(0, 4, n) * 100.0
    )
    specs = [one_spec(project(made, None, None), 1, 300_000, slot_offset=7, inlet=2), one_spec(project(made, 9.0, 0.0), 1, 300_000)]
    rows = build_rows(specs, 1, DT, np.float64)
    assert found_rows(rows) == expected_rows(specs, 1, np.float64)


def test_many_codes_need_wider_temporaries():
    made = Connectivity.from_coo([0, 0, 0, 0], [0, 1, 1, 0], 1, 2, [1.0, 2.0, 3.0, 4.0], np.array([9000.0, 0.0, 9000.0, 9000.1]))
    specs = [one_spec(project(made, None, None), 1, 2)]
    rows = build_rows(specs, 1, DT, np.float32)
    assert [rows.segment_at(i)[1] for i in range(3)] == [0, 90_000, 90_001] and found_rows(rows) == expected_rows(
        specs, 1, np.float32
    )


def test_shared_weights_cost_no_weight_array():
    rows = build_rows([one_spec(project(AllToAll(), 0.3), 50, 60)], 50, DT, np.float32)
    assert rows.shared.tolist() == [np.float32(0.3)] and len(rows.targets) == 3000 and not len(rows.weights)
    rows = build_rows([one_spec(project(AllToAll(), Uniform(0, 1)), 50, 60)], 50, DT, np.float32)
    assert not len(rows.shared) and len(rows.weights) == 3000


def test_targets_beyond_16_bits():
    rng = np.random.default_rng(3)
    n, targets = 20_000, 200_000
    long = Connectivity.from_coo(np.zeros(n, int), rng.integers(0, targets, n), 1, targets, rng.normal(size=n))
    short = Connectivity.from_coo(rng.integers(0, 500, n), rng.integers(0, targets, n), 500, targets, rng.normal(size=n))
    for made, sources, dtype in ((long, 1, np.uint16), (short, 500, np.uint32)):
        for weight in (None, 0.5):
            specs = [one_spec(project(made, weight, 0.5), sources, targets)]
            rows = build_rows(specs, sources, DT, np.float32)
            assert rows.targets.dtype == dtype
            assert found_rows(rows) == expected_rows(specs, sources, np.float32)
    blocks = build_rows([one_spec(project(long, None, 0.5), 1, targets)], 1, DT, np.float32)
    assert len(blocks.index.words) == 4 and blocks.targets.max() < 2**16


def test_weights_of_16_bits_are_rounded_to_them():
    specs = [one_spec(project(FixedTotalNumber(5000), Normal(100.0, 30.0)), 20, 30)]
    wide, narrow = (build_rows(specs, 20, DT, np.float32, dtype) for dtype in (np.float32, np.float16))
    assert narrow.weights.dtype == np.float16 and np.array_equal(narrow.weights, wide.weights.astype(np.float16))
    assert np.array_equal(narrow.targets, wide.targets) and np.array_equal(narrow.index.words, wide.index.words)
    with pytest.raises(NetworkError, match="'a' -> 'b': a weight of magnitude .* overflows float16"):
        build_rows([one_spec(project(AllToAll(), Normal(70_000.0, 10.0)), 20, 30)], 20, DT, np.float32, np.float16)


def test_no_projection_no_rows():
    rows = build_rows([], 3, DT, np.float32)
    assert rows.index.indptr.tolist() == [0, 0, 0, 0] and len(rows.targets) == len(rows.weights) == 0


def test_drawn_delays_are_rounded_and_given_ones_must_fit():
    made = realise(project(FixedTotalNumber(5000), delay=Normal(0.3, 0.2, low=0.06)), 10, 10, False, key(2), DT)
    steps = made.delays / DT
    assert np.abs(steps - np.rint(steps)).max() < 1e-9 and steps.min() > 0.9
    assert check_delays(project(OneToOne(), delay=0.3), DT) == (3, 3)  # 0.3 / 0.1 is not 3
    assert check_delays(project(OneToOne(), delay=Normal(1, 1, low=0.26, high=2)), DT) == (3, 20)
    assert check_delays(project(OneToOne(), delay=1000.1), 0.1) == (10001, 10001)
    with pytest.raises(NetworkError, match="'a' -> 'b': a delay of 0.25 ms.*dt = 0.1 ms.*0.2 and 0.3 ms"):
        build_rows([one_spec(project(OneToOne(), delay=0.25), 2, 2)], 2, DT, np.float32)
    with pytest.raises(NetworkError, match="'a' -> 'b': a delay of 1.05 ms"):
        realise(project(Connectivity.from_dense(np.ones((1, 3))), None, [0.5, 1.05, 1.0]), 1, 3, False, key(2), DT)


@pytest.mark.parametrize("delay", [3e8, LogNormal(20, 1), Normal(1.0, 1e9, low=0.0)])
def test_delays_beyond_int32_are_refused(delay):
    with pytest.raises(NetworkError, match="'a' -> 'b': delays from .* do not fit"):
        build_rows([one_spec(project(OneToOne(), delay=delay), 2, 2)], 2, DT, np.float32)


def test_too_many_segments_are_refused():
    specs = [one_spec(project(OneToOne(), weight, 1e8 - weight), 2, 2, inlet=weight) for weight in (1, 2)]
    specs.append(one_spec(project(OneToOne(), 1.0, 0.0), 2, 2))
    with pytest.raises(NetworkError, match="too much to sort"):
        build_rows(specs, 2, DT, np.float32)


@pytest.mark.parametrize("weight", [1e39, -1e39, Normal(1e39, 1.0), Normal(0, 1e38)])
def test_weights_beyond_float32_are_refused_by_name(weight):
    specs = [one_spec(project(AllToAll(), weight), 200, 200)]
    with pytest.raises(NetworkError, match=r"'a' -> 'b': a weight of magnitude [0-9.]+e\+3\d overflows float32"):
        build_rows(specs, 200, DT, np.float32)
    assert np.isfinite(build_rows(specs, 200, DT, np.float64).weights).all()


def test_a_rule_that_cannot_be_met_is_refused():
    rule = project(FixedInDegree(3, multapses=False, self_connections=False))
    with pytest.raises(ConnectivityError, match="'a' -> 'b': FixedInDegree asks for 3"):
        build_rows([one_spec(rule, 3, 3, same=True)], 3, DT, np.float32)
    build_rows([one_spec(rule, 3, 3)], 3, DT, np.float32)


@pytest.mark.parametrize(
    "change",
    [{"source_offset": 1}, {"source_offset": -1}, {"target_hi": 4}, {"target_lo": -1}, {"target_lo": 3, "target_hi": 2}]
    + [{"slot_offset": -1}],
)
def test_a_spec_outside_the_arrays_is_refused(change):
    with pytest.raises(NetworkError, match="'a' -> 'b'.*does not lie within"):
        build_rows([one_spec(project(AllToAll()), 3, 3, **change)], 3, DT, np.float32)


def test_more_inputs_than_can_be_numbered_are_refused():
    with pytest.raises(NetworkError, match="'a' -> 'b'.*2147483650 inputs.*use more workers"):
        build_rows([one_spec(project(AllToAll()), 3, 3, slot_offset=INT32_MAX)], 3, DT, np.float32)


def test_threads_build_at_the_same_time():
    projection = project(FixedTotalNumber(200_000), Normal(1, 1), Normal(1.5, 0.75, low=0.1))
    specs = [[one_spec(projection, 300, 1000, target_lo=250 * w, target_hi=250 * w + 250)] for w in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda spec: build_rows(spec, 300, DT, np.float32), specs))
    for spec, rows in zip(specs, together, strict=True):
        alone = build_rows(spec, 300, DT, np.float32)
        assert isinstance(rows, Rows)
        assert all(np.array_equal(a, b) for a, b in zip((*rows[1:], *rows.index), (*alone[1:], *alone.index), strict=True))
    assert sum(len(rows.targets) for rows in together) == 200_000
