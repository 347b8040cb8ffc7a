"""Real numbers of what somebody has given."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_floats(value: Any) -> np.ndarray:
    """A new float64 array; a TypeError or ValueError where there is something other than real numbers.

    NumPy alone would take texts and dates for numbers, and the real parts of complex ones.
    """
    array = np.array(value)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"{array.dtype} are no real numbers")
    try:
        with np.errstate(over="ignore"):  # a longer type's: it becomes infinite
            return array.astype(np.float64)
    except OverflowError as error:
        raise ValueError(str(error)) from error
