"""A model's ``earliest`` never lies behind the crossing: the engine looks for one only then."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim import IAF, LIF, LIFDelta, LIFExcInh
from eventsim.exact.crossing import bind_crossing, bind_earliest

DRIVE = {IAF: "slope"}


@pytest.mark.parametrize("model", [LIF, LIFDelta, LIFExcInh, IAF], ids=str)
def test_no_crossing_comes_before_it(model):
    crossing, earliest = bind_crossing(model), bind_earliest(model)
    rng, found = np.random.default_rng(1), 0
    for _ in range(1000):
        p = model(**{DRIVE.get(model, "v_leak"): rng.uniform(-1.0, 2.0)}).params
        s = model.State(*(rng.normal(0.0, scale) for scale in (1.0, 5.0, 5.0)[: len(model.State._fields)]))
        t, early = crossing(s, p), earliest(s, p)
        assert 0.0 <= early <= t
        found += 0.0 < early <= t < np.inf
    assert found > 100
