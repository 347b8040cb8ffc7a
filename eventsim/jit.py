"""The one way in which this package compiles: Numba with NumPy's division, without the interpreter lock, never fastmath."""

from __future__ import annotations

from numba import njit

jit = njit(nogil=True, error_model="numpy")
