"""The law of Poisson counts as a table of 32-bit thresholds."""

from __future__ import annotations

import numpy as np


def thresholds(mean: float) -> np.ndarray:
    """Ascending uint32 such that the number of them that 32 random bits reach follows a Poisson law with this mean.

    Threshold k is ``round(2**32 P(count <= k))``: a probability is off by at most 2**-33; counts rarer than that do not occur.
    """
    if mean <= 0.0:
        return np.zeros(0, np.uint32)
    from scipy import special  # a quarter of the time that importing eventsim would take

    reach = int(mean + 8.0 * np.sqrt(mean) + 40.0)
    cumulative = np.rint(special.pdtr(np.arange(reach), mean) * 2.0**32)
    return cumulative[cumulative < 2.0**32].astype(np.uint32)
