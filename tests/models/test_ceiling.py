"""The bound on the margin of a neuron that hears nothing: never below what dense stepping finds, and it spares no prediction a spike."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsim.ceiling import rises
from eventsim.crossing import bind_ceiling
from eventsim.errors import ModelError
from eventsim.models import BUILT_IN, IAF, LIF, IAFSubtract, LIFDelta
from eventsim.ops import NUMPY

LINEAR = [model for model in BUILT_IN.values() if model.linear and model.spiking]
BOUNDED = [model for model in LINEAR if model not in (IAF, IAFSubtract)]  # without a leak there is no rest to measure from
STEPS = 3000
values = st.floats(-100.0, 100.0)


def params(model, scale, tau, ratio, leak, r):
    own = {"tau_mem": tau, "tau_syn": tau * ratio, "v_leak": scale * leak, "v_th": scale * (leak + 1.0), "r_mem": r}
    return model.Params(**{f: v for f, v in own.items() if f in model.Params._fields})


@pytest.mark.parametrize("method", ["exact", "euler"])
@pytest.mark.parametrize("model", BOUNDED, ids=str)
@given(
    states=st.tuples(values, values),
    scale=st.sampled_from([1e-3, 1.0, 60.0]),
    tau=st.floats(0.5, 200.0),
    ratio=st.one_of(st.just(1.0), st.floats(0.3, 4.0)),
    leak=st.floats(-2.0, 2.0),
    r=st.sampled_from([1e-6, 1.0, -3.0, 1e6]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_margin_never_rises_above_its_ceiling(model, method, states, scale, tau, ratio, leak, r):
    dt, p = 0.1, params(model, scale, tau, ratio, leak, r)
    flow = p if method == "exact" else model.euler_flow(NUMPY, dt, p)
    k = (model.exact if method == "exact" else model.euler)(NUMPY, dt, p)
    found = rises(model, flow, dt, 1)
    assert np.all(np.isfinite(found))
    s = model.State(*(rest + scale * d for rest, d in zip(model.initial(p), states[: len(found) // 2], strict=False)))
    ceiling = bind_ceiling(model).py_func(s, flow, found, 0)
    size, highest = max(1.0, abs(r)) * sum(map(abs, s)) + abs(p.v_leak) + abs(p.v_th), -np.inf
    for _ in range(STEPS):
        s = model.advance(s, k, p)
        highest = max(highest, model.margin(s, p))
    assert ceiling >= highest - 1e-12 * size


@pytest.mark.parametrize("model", BOUNDED, ids=str)
def test_the_ceiling_of_one_state_is_reached(model):
    """A bound that is never met would be of no use: with one state away from rest it is the margin's true maximum."""
    p = model.Params()
    found = rises(model, p, 0.1, 1)
    for f in range(len(model.State._fields)):
        s = model.State(*(rest + (0.5 if f == other else 0.0) for other, rest in enumerate(model.initial(p))))
        ceiling = bind_ceiling(model).py_func(s, p, found, 0)
        margins = [model.margin(model.advance(s, model.exact(NUMPY, 0.01 * t, p), p), p) for t in range(10, 5000)]
        assert ceiling == pytest.approx(max(margins), abs=1e-6)


def test_own_parameters_have_gains_of_their_own():
    tau = np.array([5.0, 10.0, 20.0])
    together = rises(LIF, LIF.Params(tau_mem=tau), 0.1, 3)
    for j, value in enumerate(tau):
        assert np.array_equal(together[:, j], rises(LIF, LIF.Params(tau_mem=value), 0.1, 1)[:, 0])


@pytest.mark.parametrize("model", [IAF, replace(LIF, linear=False), replace(LIF, turning_time=None)], ids=str)
def test_where_nothing_is_known_nothing_is_claimed(model):
    found = rises(model, model.Params(**({"slope": 0.01} if model is IAF else {})), 0.1, 1)
    assert np.all(np.isinf(found))
    s = model.State(*(0.0 for _ in model.State._fields))
    assert not bind_ceiling(model).py_func(s, model.Params(), found, 0) < 0.0


def test_gains_that_a_current_would_change_are_not_used():
    """A current may change while the simulation runs, and gains are not measured again."""

    def inject(p, current):
        return p._replace(tau_mem=p.tau_mem + current)

    assert np.all(np.isinf(rises(replace(LIFDelta, inject=inject), LIFDelta.Params(), 0.1, 1)))


def test_a_model_that_is_not_linear_is_refused():
    def margin(s, p):
        return s.v * s.v - p.v_th

    for wrong in (replace(LIFDelta, margin=margin), replace(LIF, margin=margin)):
        with pytest.raises(ModelError, match=r"linear.*'v'"):
            rises(wrong, wrong.Params(), 0.1, 1)
