"""Explicit connectivity: every way in gives the same synapses, and nothing malformed comes in."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsim.connectivity import Connectivity, as_connectivity
from eventsim.errors import ConnectivityError


def triples(made):
    """Source, target and weight of each synapse, in order."""
    source = np.repeat(np.arange(made.n_source), np.diff(made.indptr))
    return [(int(s), int(t), float(w)) for s, t, w in zip(source, made.targets, made.weights, strict=True)]


@st.composite
def synapses(draw):
    shape = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    n = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.integers(-2, 3, n).astype(draw(st.sampled_from([np.float32, np.float64])))
    return shape, rng.integers(0, shape[0], n), rng.integers(0, shape[1], n), weights


@given(synapses())
@settings(deadline=None, max_examples=80)
def test_coo_is_sorted_stably_with_duplicates_and_zeros(given):
    shape, source, target, weights = given
    delays = np.arange(len(source)) / 4
    made = Connectivity.from_coo(source, target, *shape, weights, delays)
    order = np.lexsort((target, source))  # stable
    expected = [(int(source[j]), int(target[j]), float(weights[j])) for j in order]
    assert triples(made) == expected and np.array_equal(made.delays, delays[order])
    assert made.weights.dtype == weights.dtype and made.targets.dtype == np.int32 and made.indptr.dtype == np.int64
    # Unsorted CSR arrays: sorted by source only.
    order = np.argsort(source, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=shape[0]))])
    again = Connectivity.from_arrays(indptr, target[order], shape[1], weights[order], delays[order])
    assert triples(again) == expected and np.array_equal(again.delays, made.delays)


@given(synapses(), st.sampled_from(["coo", "csr", "csc", "lil", "dok", "dia", "bsr"]), st.booleans())
@settings(deadline=None, max_examples=120)
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
def test_every_scipy_format_comes_in(given, form, matrix):
    shape, source, target, weights = given
    stored = (sp.coo_matrix if matrix else sp.coo_array)((weights, (source, target)), shape)
    if form != "coo":
        stored = stored.asformat(form)
    made = Connectivity.from_scipy(stored)
    assert (made.n_source, made.n_target) == shape
    dense = np.zeros(shape)
    for s, t, w in triples(made):
        dense[s, t] += w
    assert np.array_equal(dense, stored.toarray())
    if form == "coo":  # csr and csc were summed by scipy before they came here
        assert triples(made) == triples(Connectivity.from_coo(source, target, *shape, weights))


def test_duplicates_and_zeros_of_csr_and_csc_stay():
    csr = sp.csr_array((np.array([1.0, 0.0, 2.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    assert triples(Connectivity.from_scipy(csr)) == [(0, 1, 1.0), (0, 1, 0.0), (1, 0, 2.0)]
    csc = sp.csc_array((np.array([1.0, 0.0, 2.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    assert triples(Connectivity.from_scipy(csc)) == [(0, 1, 2.0), (1, 0, 1.0), (1, 0, 0.0)]


def test_dense_drops_exact_zeros_only():
    made = Connectivity.from_dense(np.array([[0.0, 1e-300, -0.0], [2.0, 0.0, -3.0]]))
    assert triples(made) == [(0, 1, 1e-300), (1, 0, 2.0), (1, 2, -3.0)] and made.n_target == 3
    assert Connectivity.from_dense(np.ones((2, 2), np.float32)).weights.dtype == np.float32
    assert Connectivity.from_dense(np.eye(2, dtype=int)).weights.dtype == np.float64
    assert as_connectivity([[0, 1], [1, 0]], "x").nnz == 2


def test_torch_csr_comes_in_and_other_tensors_do_not():
    torch = pytest.importorskip("torch")
    indptr, columns, values = torch.tensor([0, 2, 2, 3]), torch.tensor([0, 3, 1]), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: "sparse CSR is in beta"
        csr = torch.sparse_csr_tensor(indptr, columns, values, (3, 4))
    made = as_connectivity(csr, "x")
    assert triples(made) == [(0, 0, 1.0), (0, 3, 2.0), (2, 1, 3.0)] and made.n_target == 4 and made.weights.dtype == np.float32
    for wrong in (torch.eye(3), torch.eye(3).to_sparse_coo(), csr.detach().to(torch.bfloat16)):
        with pytest.raises(ConnectivityError, match="x: a torch tensor must be sparse CSR"):
            as_connectivity(wrong, "x")
    with pytest.raises(ConnectivityError, match="real"):
        Connectivity.from_torch(csr.detach().to(torch.complex64))


def test_arrays_are_private_and_unwritable():
    indptr, targets, weights, delays = np.array([0, 2]), np.array([0, 1], np.int32), np.array([1.0, 2.0]), np.array([1.0, 2.0])
    made = Connectivity(indptr, targets, weights, delays, 2)
    targets[:], weights[:], delays[:], indptr[:] = 99, np.nan, -1, 7
    assert made.targets.tolist() == [0, 1] and made.weights.tolist() == [1, 2] and made.delays.tolist() == [1, 2]
    assert made.indptr.tolist() == [0, 2]
    for array in (made.indptr, made.targets, made.weights, made.delays):
        with pytest.raises(ValueError):
            array[0] = 1
    view = np.array([0, 1, 5], np.int32)
    frozen = view[:2]
    frozen.flags.writeable = False
    made = Connectivity([0, 2], frozen, None, None, 2)
    view[0] = 77
    assert made.targets.tolist() == [0, 1] and made.weights is None


def test_empty_connectivity():
    for made in (
        Connectivity.from_coo([], [], 3, 2),
        Connectivity.from_arrays([0, 0, 0, 0], [], 2),
        Connectivity.from_scipy(sp.csr_array((3, 2))),
    ):
        assert made.nnz == 0 and made.n_source == 3 and made.n_target == 2


def test_sizes_must_fit_the_populations():
    made = Connectivity.from_coo([0], [0], 3, 2)
    made.check(3, 2, "projection x")
    with pytest.raises(ConnectivityError, match="projection x: .*3 sources.*2 targets.*2 and 3"):
        made.check(2, 3, "projection x")


GOOD = {"indptr": [0, 1, 2], "targets": [0, 1], "n_target": 2}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"indptr": [1, 1, 2]}, "indptr must start at 0"),
        ({"indptr": [0, 1, 3]}, "end at the number of targets, 2"),
        ({"indptr": [0, 1, 1]}, "end at the number of targets"),
        ({"indptr": [0, 3, 2]}, "row 0"),
        ({"indptr": [0, 2, 1, 2]}, "row 1"),
        ({"indptr": [0, -1, 2]}, "row 0"),
        ({"indptr": [0, 2**62, 2]}, "row 0"),
        ({"indptr": np.array([0, 2**64 - 1, 2], np.uint64)}, "indptr"),
        ({"indptr": [0.0, 1.0, 2.0]}, "indptr must be whole.*float64"),
        ({"indptr": []}, "number of sources"),
        ({"indptr": [[0, 1, 2]]}, "indptr must have one axis"),
        ({"targets": [0, 2]}, "number 1 is 2"),
        ({"targets": np.array([0, 2], np.int32)}, "number 1 is 2"),
        ({"targets": [-1, 0]}, "number 0 is -1"),
        ({"targets": np.array([-1, 0], np.int32)}, "number 0 is -1"),
        ({"targets": [0, 2**32]}, "number 1 is 4294967296"),
        ({"targets": np.array([0, 2**64 - 1], np.uint64)}, "number 1"),
        ({"targets": [0.0, 1.0]}, "targets must be whole.*float64"),
        ({"targets": [True, False]}, "targets must be whole.*bool"),
        ({"targets": np.array([0, 1], object)}, "targets must be whole.*object"),
        ({"targets": [[0, 1]]}, "targets must have one axis"),
        ({"n_target": 2**31}, "n_target"),
        ({"n_target": -1}, "n_target"),
        ({"n_target": 2.0}, "n_target"),
        ({"n_target": 0}, "targets must be from 0 to -1"),
        ({"weights": [1.0, np.nan]}, "weights: value 1 is nan"),
        ({"weights": [np.inf, 1.0]}, "weights: value 0 is inf"),
        ({"weights": np.array([1, -np.inf], np.float32)}, "weights: value 1"),
        ({"weights": [1.0]}, "weights must hold one value for each of the 2"),
        ({"weights": [[1.0, 1.0]]}, "weights must hold"),
        ({"weights": np.array([1j, 0])}, "weights must be real.*complex"),
        ({"weights": np.array([1, 2], object)}, "weights must be real.*object"),
        ({"weights": ["1", "2"]}, "weights must be real"),
        ({"delays": [1.0, -1.0]}, "delays .ms.: value 1 is -1.0.*>= 0"),
        ({"delays": [np.nan, 1.0]}, "delays .ms.: value 0 is nan"),
        ({"delays": [1.0, np.inf]}, "delays .ms.: value 1 is inf"),
        ({"delays": [1.0, 1.0, 1.0]}, "delays .ms. must hold"),
    ],
)
def test_malformed_csr_is_refused(change, says):
    Connectivity(**GOOD)
    with pytest.raises(ConnectivityError, match=says):
        Connectivity(**{**GOOD, **change})


@pytest.mark.parametrize(
    "source, target, says",
    [
        ([0, 3], [0, 0], "source must be from 0 to 2, but number 1 is 3"),
        ([0, -1], [0, 0], "source.*number 1 is -1"),
        ([0, 1], [0, 2], "target must be from 0 to 1, but number 1 is 2"),
        ([0, 1], [0], "one length"),
        ([0.0, 1.0], [0, 1], "source must be whole"),
        ([0, 1], ["a", "b"], "target must be whole"),
        ([2**40, 0], [0, 0], "source"),
    ],
)
def test_malformed_triples_are_refused(source, target, says):
    with pytest.raises(ConnectivityError, match=says):
        Connectivity.from_coo(source, target, 3, 2)


def broken_csr(part, value):
    array = sp.csr_array(np.eye(3))
    setattr(array, part, np.array(value))
    return array


@pytest.mark.parametrize(
    "array, says",
    [
        (broken_csr("indices", [0, 1, 3]), "number 2 is 3"),
        (broken_csr("indptr", [0, 9, 1, 3]), "row 0"),
        (broken_csr("indptr", [0, 3]), "2 offsets for 3 rows"),
        (broken_csr("data", [1.0, 2.0]), "weights must hold"),
        (broken_csr("data", [1.0, 2.0, np.nan]), "value 2 is nan"),
        (sp.coo_array(np.eye(3) * 1j), "complex"),
        (np.ones(3), "shape .3,"),
        (np.ones((2, 2, 2)), "shape"),
        (np.array([["a"]]), "real numbers"),
        (np.array([[np.nan, 0.0]]), "nan"),
        ([[1.0, None]], "real numbers"),
        ("AllToAll", "must be a rule"),
        (None, "must be a rule"),
        (Connectivity, "must be a rule"),
        (7, "must be a rule"),
    ],
)
def test_what_is_no_connectivity_is_refused_by_name(array, says):
    with pytest.raises(ConnectivityError, match=f"projection x: .*{says}"):
        as_connectivity(array, "projection x")


def test_a_broken_csc_is_refused():
    csc = sp.csc_array(np.eye(3))
    csc.indices = np.array([0, 1, -1])
    with pytest.raises(ConnectivityError, match="number 2 is -1"):
        Connectivity.from_scipy(csc)
