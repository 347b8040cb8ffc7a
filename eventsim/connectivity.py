"""Explicit connectivity: who connects to whom as a checked, private CSR structure, and the ways to make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsim.errors import ConnectivityError
from eventsim.generate import EXPLICIT, RuleCode
from eventsim.jit import jit

_INT32_MAX = 2**31 - 1
_WELL, _DECREASING, _OUTSIDE, _UNSORTED = range(4)


@jit
def _inspect(indptr, targets, n_target):
    """(status, row or synapse where it was found) of a CSR structure whose indptr starts at 0 and ends at nnz; modifies nothing."""
    nnz = len(targets)
    for row in range(len(indptr) - 1):
        # Against nnz too: an offset that falls back later would otherwise be followed out of the array first.
        if indptr[row + 1] < indptr[row] or indptr[row + 1] > nnz:
            return _DECREASING, row
    for j in range(nnz):
        if targets[j] < 0 or targets[j] >= n_target:
            return _OUTSIDE, j
    for row in range(len(indptr) - 1):
        for j in range(indptr[row] + 1, indptr[row + 1]):
            if targets[j] < targets[j - 1]:
                return _UNSORTED, row
    return _WELL, 0


@jit
def _first_bad(values, low):
    """The first index whose value is not finite or below ``low``, or -1; modifies nothing."""
    for j in range(len(values)):
        if not (np.isfinite(values[j]) and values[j] >= low):
            return j
    return -1


@jit
def _sort_rows(indptr, targets, weights, delays):
    """Sorts every row of ``targets`` in place, stably, and takes ``weights`` and ``delays`` (each maybe empty) along."""
    for row in range(len(indptr) - 1):
        begin, end = indptr[row], indptr[row + 1]
        # Target and position in one word: sorted by any method, the order is the stable one.
        words = np.empty(end - begin, np.int64)
        for j in range(end - begin):
            words[j] = (np.int64(targets[begin + j]) << 32) | j
        words.sort()
        old_weights, old_delays = weights[begin:end].copy(), delays[begin:end].copy()
        for j in range(end - begin):
            old = words[j] & 0xFFFFFFFF
            targets[begin + j] = words[j] >> 32
            if len(weights):
                weights[begin + j] = old_weights[old]
            if len(delays):
                delays[begin + j] = old_delays[old]


@jit
def _scatter(source, target, weights, delays, next_position, out_targets, out_weights, out_delays):
    """Writes triples into rows at ``next_position`` (moved on), keeping their order within a row."""
    for j in range(len(source)):
        at = next_position[source[j]]
        next_position[source[j]] = at + 1
        out_targets[at] = target[j]
        if len(weights):
            out_weights[at] = weights[j]
        if len(delays):
            out_delays[at] = delays[j]


def _array(value: Any, name: str) -> np.ndarray:
    """An array of what was given, which may be rows of different lengths."""
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ConnectivityError(f"{name} must be an array of numbers: {error}") from error


def _indices(array: Any, name: str) -> np.ndarray:
    array = _array(array, name)
    if array.ndim != 1:
        raise ConnectivityError(f"{name} must have one axis, not shape {array.shape}")
    if array.size == 0 and array.dtype == np.float64:
        array = array.astype(np.int64)  # np.asarray([]) is float64
    if array.dtype.kind not in "iu":
        raise ConnectivityError(f"{name} must be whole numbers (an integer dtype), not {array.dtype}")
    return array


def _values(array: Any, name: str, nnz: int, dtypes: tuple, low: float) -> np.ndarray | None:
    """A private, unwritable array of finite values, or None."""
    if array is None:
        return None
    array = _array(array, name)
    if array.dtype.kind not in "biuf":
        raise ConnectivityError(f"{name} must be real numbers, not {array.dtype}")
    if array.shape != (nnz,):
        raise ConnectivityError(f"{name} must hold one value for each of the {nnz} synapses, not shape {array.shape}")
    array = _private(array, array.dtype if array.dtype in dtypes else np.float64)
    bad = _first_bad(array, low)
    if bad >= 0:
        raise ConnectivityError(f"{name}: value {bad} is {array[bad]}; it must be finite{' and >= 0' if low == 0.0 else ''}")
    return array


def _private(array: np.ndarray, dtype: Any) -> np.ndarray:
    """A contiguous, unwritable copy; an array that already is one and owns its data is taken as it is."""
    if array.dtype != dtype or array.flags.writeable or not array.flags.owndata or not array.flags.c_contiguous:
        array = np.array(array, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


def _or_empty(array: np.ndarray | None) -> np.ndarray:
    """An array that compiled code can take in place of None."""
    return np.zeros(0) if array is None else array


def _size(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value <= _INT32_MAX:
        raise ConnectivityError(f"{name} must be a whole number from 0 to {_INT32_MAX}, not {value!r}")
    return int(value)


def _check_inside(array: np.ndarray, n: int, name: str) -> None:
    if array.size and (int(array.min()) < 0 or int(array.max()) >= n):
        bad = int(np.argmax((array < 0) | (array >= n)))
        raise ConnectivityError(f"{name} must be from 0 to {n - 1}, but number {bad} is {array[bad]}")


@dataclass(frozen=True, eq=False)
class Connectivity:
    """Synapses in CSR form: row s holds those of source s, sorted by target, those of one pair in the order given.

    Several synapses of one pair (multapses) are kept apart, explicit zeros are kept. All arrays are checked once and held as
    private, unwritable copies.

    Attributes
    ----------
    indptr : int64 (n_source + 1,), row s is ``targets[indptr[s]:indptr[s + 1]]``
    targets : int32 (nnz,)
    weights : float32 or float64 (nnz,), or None; float32 where float32 was given; unit of the state that they are added to
    delays : float64 (nnz,) in ms, or None
    n_target : int
    """

    indptr: Any
    targets: Any
    weights: Any = None
    delays: Any = None
    n_target: int = 0

    def __post_init__(self):
        n_target = _size(self.n_target, "n_target")
        indptr, targets = _indices(self.indptr, "indptr"), _indices(self.targets, "targets")
        nnz = len(targets)
        _size(len(indptr) - 1, "number of sources (the length of indptr, less 1)")
        if int(indptr[0]) != 0 or int(indptr[-1]) != nnz:
            raise ConnectivityError(
                f"indptr must start at 0 and end at the number of targets, {nnz}, not {indptr[0]} and {indptr[-1]}"
            )
        if indptr.dtype.kind == "u":
            _check_inside(indptr, nnz + 1, "indptr")  # before the cast, which would wrap
        if targets.dtype != np.int32:
            _check_inside(targets, n_target, "targets")
        indptr, targets = _private(indptr, np.int64), _private(targets, np.int32)
        weights = _values(self.weights, "weights", nnz, (np.float32, np.float64), -np.inf)
        delays = _values(self.delays, "delays (ms)", nnz, (np.float64,), 0.0)
        status, where = _inspect(indptr, targets, n_target)
        if status == _DECREASING:
            raise ConnectivityError(
                f"indptr must not decrease or exceed {nnz}: row {where} is {indptr[where]} to {indptr[where + 1]}"
            )
        if status == _OUTSIDE:
            raise ConnectivityError(f"targets must be from 0 to {n_target - 1}, but number {where} is {targets[where]}")
        if status == _UNSORTED:
            targets, weights, delays = (None if array is None else array.copy() for array in (targets, weights, delays))
            _sort_rows(indptr, targets, _or_empty(weights), _or_empty(delays))
        for name, array in (("indptr", indptr), ("targets", targets), ("weights", weights), ("delays", delays)):
            if array is not None:
                array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "n_target", n_target)

    @property
    def nnz(self) -> int:
        """Number of synapses."""
        return len(self.targets)

    @property
    def n_source(self) -> int:
        """Number of sources."""
        return len(self.indptr) - 1

    def check(self, n_source: int, n_target: int, label: str, same: bool = False) -> None:
        """Refuse populations of other sizes."""
        if (self.n_source, self.n_target) != (n_source, n_target):
            raise ConnectivityError(
                f"{label}: the connectivity has {self.n_source} sources (rows) and {self.n_target} targets (columns), the "
                f"populations have {n_source} and {n_target} neurons"
            )

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """The number of synapses, as for a rule."""
        return float(self.nnz)

    def encode(self, n_source: int, n_target: int, same: bool) -> RuleCode:
        """The form that the generators of `rules` read."""
        return RuleCode(EXPLICIT, n_source, n_target, 0, 0.0, 0.0, 1, 0, True, False, self.indptr, self.targets)

    @staticmethod
    def from_arrays(indptr, targets, n_target, weights=None, delays=None) -> Connectivity:
        """CSR arrays as they are: indptr (n_source + 1,), targets (nnz,), weights and delays in ms (nnz,) or None."""
        return Connectivity(indptr, targets, weights, delays, n_target)

    @staticmethod
    def from_coo(source, target, n_source, n_target, weights=None, delays=None) -> Connectivity:
        """Synapse j goes from source[j] to target[j]: int (nnz,); weights, delays in ms: (nnz,) or None. Duplicates stay apart."""
        n_source, n_target = _size(n_source, "n_source"), _size(n_target, "n_target")
        source, target = _indices(source, "source"), _indices(target, "target")
        if len(source) != len(target):
            raise ConnectivityError(f"source and target must have one length, not {len(source)} and {len(target)}")
        _check_inside(source, n_source, "source")
        _check_inside(target, n_target, "target")
        nnz = len(source)
        weights = _values(weights, "weights", nnz, (np.float32, np.float64), -np.inf)
        delays = _values(delays, "delays (ms)", nnz, (np.float64,), 0.0)
        indptr = np.zeros(n_source + 1, np.int64)
        np.cumsum(np.bincount(source.astype(np.int64), minlength=n_source), out=indptr[1:])
        targets = np.empty(nnz, np.int32)
        out_weights, out_delays = (None if values is None else np.empty_like(values) for values in (weights, delays))
        given, out = (_or_empty(weights), _or_empty(delays)), (targets, _or_empty(out_weights), _or_empty(out_delays))
        _scatter(source.astype(np.int32), target.astype(np.int32), *given, indptr[:-1].copy(), *out)
        for array in (indptr, targets, out_weights, out_delays):
            if array is not None:
                array.flags.writeable = False  # so that the constructor does not copy it again
        return Connectivity(indptr, targets, out_weights, out_delays, n_target)

    @staticmethod
    def from_dense(array) -> Connectivity:
        """Weights as a 2-D array (sources, targets); exact zeros are no synapses."""
        array = _array(array, "a dense array")
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise ConnectivityError(
                f"a dense array must be real numbers (sources, targets), not {array.dtype} of shape {array.shape}"
            )
        source, target = np.nonzero(array)
        return Connectivity.from_coo(source, target, array.shape[0], array.shape[1], array[source, target])

    @staticmethod
    def from_scipy(array) -> Connectivity:
        """A scipy sparse array or matrix of any format, (sources, targets); its stored values are the weights.

        What is stored counts: explicit zeros and duplicates stay (dia and dok, which cannot hold them, apart).
        """
        if len(array.shape) != 2:
            raise ConnectivityError(f"a sparse array must have two axes (sources, targets), not shape {array.shape}")
        # scipy's own conversions follow indices without looking, so that only its raw arrays are safe to touch before the checks.
        n_source, n_target = array.shape
        if array.format == "csr":
            if np.shape(array.indptr) != (n_source + 1,):
                raise ConnectivityError(f"indptr holds {np.size(array.indptr)} offsets for {n_source} rows")
            return Connectivity(array.indptr, array.indices, array.data, None, n_target)
        if array.format == "csc":
            if np.shape(array.indptr) != (n_target + 1,):
                raise ConnectivityError(f"indptr holds {np.size(array.indptr)} offsets for {n_target} columns")
            columns = Connectivity(array.indptr, array.indices, array.data, None, n_source)
            target = np.repeat(np.arange(n_target), np.diff(columns.indptr))
            return Connectivity.from_coo(columns.targets, target, n_source, n_target, columns.weights)
        try:
            coo = array if array.format == "coo" else array.tocoo()
        except (ValueError, IndexError, TypeError) as error:
            raise ConnectivityError(f"a sparse array whose parts do not fit each other: {error}") from error
        return Connectivity.from_coo(coo.row, coo.col, n_source, n_target, coo.data)

    @staticmethod
    def from_torch(tensor) -> Connectivity:
        """A torch sparse CSR tensor (sources, targets); its values are the weights. Transpose a layer's weight (out, in) first."""
        try:
            parts = [part.detach().cpu() for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values())]
            indptr, targets, weights = (part.numpy() for part in parts)
        except (AttributeError, RuntimeError, TypeError) as error:
            raise ConnectivityError(
                f"a torch tensor must be sparse CSR, of a NumPy type ({error}); use .to_sparse_csr(), or .numpy() if dense"
            ) from error
        if len(tensor.shape) != 2 or indptr.shape != (tensor.shape[0] + 1,):
            raise ConnectivityError(f"a torch tensor must have two axes (sources, targets), not shape {tuple(tensor.shape)}")
        return Connectivity(indptr, targets, weights, None, int(tensor.shape[1]))


def as_connectivity(obj: Any, label: str) -> Connectivity:
    """A Connectivity, scipy sparse array, torch sparse CSR tensor or dense array, as a Connectivity; errors name ``label``."""
    if isinstance(obj, Connectivity):
        return obj
    make: Callable[[Any], Connectivity] | None = None
    if isinstance(obj, type):
        pass
    elif hasattr(obj, "crow_indices"):
        make = Connectivity.from_torch
    elif hasattr(obj, "format") and hasattr(obj, "tocoo"):
        make = Connectivity.from_scipy
    elif isinstance(obj, (np.ndarray, list, tuple)):
        make = Connectivity.from_dense
    if make is None:
        raise ConnectivityError(
            f"{label}: connectivity must be a rule such as FixedProbability(0.1), a Connectivity, a scipy sparse array, a torch "
            f"sparse CSR tensor or a dense array (sources, targets), not {obj!r}"
        )
    try:
        return make(obj)
    except ConnectivityError as error:
        raise ConnectivityError(f"{label}: {error}") from error
