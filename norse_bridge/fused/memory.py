"""Memory for what a layer gives back, used again where it was given back itself.

A process that gives much memory back to the system gets it again page by page, each filled with zeros first: for a large layer
that takes longer than its steps.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from typing import Any

import numpy as np
import torch

KEPT_BYTES = 1 << 29  # at most so much memory is kept for the next call
LINE = 64  # bytes: what is lent begins where a cache line does
LARGE_BYTES = 1 << 20  # smaller pieces are the C library's own affair
NUMPY_TYPE: dict[torch.dtype, Any] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}

_kept: list[np.ndarray] = []  # the piece that came back last stands last
_lent: dict[int, tuple[weakref.ref, np.ndarray]] = {}
_lock = threading.RLock()  # a piece may come back at any moment, in the midst of `_find` too


def _renew() -> None:
    """In a child of a process nobody will ever release a lock that another thread held when it was forked."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def _find(size: int) -> np.ndarray | None:
    """A piece for exactly so many bytes that nobody uses any more."""
    with _lock:
        found = next((piece for piece in reversed(tuple(_kept)) if piece.nbytes == size + LINE), None)
        if found is not None:
            _kept[:] = [piece for piece in _kept if piece is not found]
    return found


def _gone(seen: weakref.ref, lent=_lent, at_its_end=sys.is_finalizing) -> None:
    """The array that was lent is no more. (While the interpreter ends, names of this module may mean nothing any more.)"""
    if not at_its_end():
        _come_back(lent.pop(id(seen))[1])


def _come_back(piece: np.ndarray) -> None:
    """Keep a piece, and drop those that were not used for longest."""
    if piece.nbytes > KEPT_BYTES:
        return
    with _lock:
        _kept.append(piece)
        while sum(other.nbytes for other in _kept) > KEPT_BYTES:
            del _kept[0]


def empty(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """A tensor without values, of the type of another one. NumPy, unlike torch, asks the system for large pages where an array is
    large."""
    kind = NUMPY_TYPE[like.dtype]
    size = math.prod(shape) * kind.itemsize
    if size < LARGE_BYTES:
        return torch.from_numpy(np.empty(shape, kind))
    piece = _find(size)
    if piece is None:
        piece = np.empty(size + LINE, np.uint8)
    lent = np.ndarray(shape, kind, piece, offset=-piece.ctypes.data % LINE)
    seen = weakref.ref(lent, _gone)
    _lent[id(seen)] = seen, piece
    return torch.from_numpy(lent)
