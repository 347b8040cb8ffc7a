"""The models' ``earliest``: in 50 digits never late, at any size of its numbers, and close to the crossing."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from exact.closed_forms import EQUATIONS, constant
from exact.single_neurons import drawn_params
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mpf

from eventsim.exact.crossing import EARLY, bind_crossing, bind_earliest
from eventsim.models import BUILT_IN, IAF, LIF, LSNN, QIF, AdaLIF, LIFAlpha, LIFDelta, LIFExcInh
from eventsim.ops import NUMPY

DIGITS = 130
NOTHING = mpf(10) ** -100  # of the largest number: rounding of so many digits
LEAST = 1e-40  # products with parameters lose no digits
LONG = 150  # time constants, after which everything has come to rest
TAU = st.one_of(st.sampled_from([1.0, 2.0, 10.0, math.nextafter(10.0, 11.0)]), st.floats(-4.0, 4.0).map(lambda k: 10.0**k))
SIGN = st.sampled_from([-1.0, 1.0])
SIZE = st.one_of(st.just(0.0), st.floats(-20.0, 12.0).map(lambda k: 10.0**k), st.floats(0.1, 10.0), st.floats(LEAST, 1e-30))
NUMBER = st.builds(lambda sign, size: sign * size, SIGN, SIZE)
NEAR = st.one_of(st.just(0.0), st.floats(-16.0, 0.0).map(lambda k: 10.0**k))


def beside(x, sign):
    """The number next to x above or below it; beside 0 a small one that is not subnormal."""
    return math.nextafter(x, sign * math.inf) if abs(x) > LEAST else x + sign * LEAST


@st.composite
def neurons(draw, model):
    """``(s, p)``: time constants and currents of all sizes; currents that cancel the leak, or each other, all but a rounding."""
    taus = {name: draw(TAU, label=name) for name in model.Params._fields if name.startswith("tau")}
    v_th = draw(st.sampled_from([0.0, 1.0, -50.0, LEAST]))
    v_leak = draw(st.one_of(st.just(v_th), SIGN.map(lambda sign: beside(v_th, sign)), NUMBER))
    values = {"v_leak": v_leak, "v_th": v_th, "r_mem": draw(st.sampled_from([1.0, 0.3]))}
    if model is QIF:
        values |= {"v_crit": v_leak + draw(SIZE), "curve": draw(st.floats(0.01, 10.0)), "drive": draw(NUMBER)}
    if model is IAF:
        values |= {"slope": draw(NUMBER)}
    p = model.Params(**taus, **{name: value for name, value in values.items() if name in model.Params._fields})
    v = min(v_th - draw(SIZE), beside(v_th, -1.0) if draw(st.booleans()) else v_th)
    sizes = [draw(st.one_of(NUMBER, NEAR.map(lambda x: (v - v_leak) * (1.0 + x)))) for _ in model.State._fields[1:]]
    if len(sizes) > 1 and draw(st.booleans()):
        sizes[1] = (
            -sizes[0] * (1.0 + draw(NEAR)) * draw(st.sampled_from([1.0, taus.get("tau_inh", 1.0) / taus.get("tau_exc", 1.0)]))
        )
    s = model.State(v, *sizes)
    if model is LSNN:
        s = s._replace(b=max(s.v, s.b + p.v_th))
    return s, p


def crosses_before(model, s, p, t):
    """Whether the margin rises above 0 before t, in many digits."""
    with mpmath.workdps(DIGITS):
        exact = {name: mpf(float(value)) for name, value in p._asdict().items()}
        state = {name: mpf(float(value)) for name, value in s._asdict().items()}
        end = mpf(t) if t < math.inf else LONG * max([mpf(1), *(value for name, value in exact.items() if name[:3] == "tau")])
        equations = EQUATIONS[model.name]
        rounding = constant(-NOTHING * max(map(abs, (*exact.values(), *state.values()))))
        return (equations.margin(exact, equations.flow(exact, state)) + rounding).first_above(end) is not None


@pytest.mark.parametrize("model", [IAF, LIF, LIFDelta, LIFExcInh, LSNN, AdaLIF, LIFAlpha], ids=str)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_crossing_comes_before_it_whatever_the_sizes(model, data):
    s, p = data.draw(neurons(model))
    t = bind_earliest(model)(s, p)
    assert t >= 0.0
    if t > 0.0:
        assert not crosses_before(model, s, p, t), (t, s, p)


@given(neuron=neurons(QIF))
@settings(max_examples=1000, deadline=None)
def test_no_crossing_of_a_quadratic_neuron_comes_before_it(neuron):
    """Beside what is found, which has a test of its own: close to where v stands still the truth is a matter of rounding."""
    assert 0.0 <= bind_earliest(QIF)(*neuron) <= bind_crossing(QIF)(*neuron)


@pytest.mark.parametrize("model", [LIF, LIFDelta, LIFExcInh, LSNN, AdaLIF, LIFAlpha], ids=str)
@given(data=st.data(), power=st.sampled_from([-1010, -900, -500, -480, -300, 300, 480, 500, 900, 1010]))
@settings(max_examples=200, deadline=None)
def test_no_unit_of_the_voltage_is_too_large_or_too_small_for_it(model, data, power):
    """Where squares would overflow or vanish it is smaller, never larger."""
    s, p = data.draw(neurons(model))
    unit = 2.0**power
    sizes = [abs(value) * unit for value in (*s, p.v_leak, p.v_th) if value]
    assume(not sizes or (min(sizes) > 1e-290 and max(sizes) < 1e307))
    scaled = p._replace(v_leak=p.v_leak * unit, v_th=p.v_th * unit)
    assert bind_earliest(model)(model.State(*(value * unit for value in s)), scaled) <= bind_earliest(model)(s, p) * (1.0 + 1e-9)


# Of 10,000 random neurons: of the time that is left until they cross, how much the bound is on average, at least; and which part of
# those that never cross it finds.
CLOSE = {
    IAF: (0.999, 1.0),
    LIF: (0.93, 0.94),
    LIFDelta: (0.97, 1.0),
    LIFExcInh: (0.84, 0.79),
    LSNN: (0.80, 0.85),
    AdaLIF: (0.81, 0.87),
    LIFAlpha: (0.55, 0.68),
    QIF: (0.99, 1.0),
}


def drawn_states(model, n, seed):
    """``(params, states)``, (n,) each: half of the voltages close to the threshold, currents of either sign of one to ten times it."""
    rng = np.random.default_rng(seed)
    params, scale = drawn_params(model, rng, n)
    p = model.Params(**params)
    below = np.where(rng.random(n) < 0.5, rng.exponential(1.0, n), 10.0 ** rng.uniform(-12.0, 0.0, n))
    states = {"v": p.v_th - scale * below}
    for name in model.State._fields[1:]:
        states[name] = scale * rng.choice([1.0, 1.0, 1.0, -1.0], n) * rng.exponential(3.0, n) * rng.choice([1.0, 1.0, 10.0, 0.1], n)
        if name == "b":
            states[name] = scale * rng.choice([0.0, 1.0, 1.0, -0.3], n) * rng.exponential(0.8, n) + (
                p.v_th if model is LSNN else 0.0
            )
    return p, model.State(**states)


def each(values, j):
    return type(values)(*(float(value[j]) for value in values))


@pytest.mark.parametrize("model", list(CLOSE), ids=str)
def test_it_is_never_behind_the_crossing_that_is_found_and_close_to_it(model):
    n = 10_000
    params, states = drawn_states(model, n, seed=5)
    crossing, earliest = bind_crossing(model), bind_earliest(model)
    found = np.array([crossing(each(states, j), each(params, j)) for j in range(n)])
    early = np.array([earliest(each(states, j), each(params, j)) for j in range(n)])
    assert np.all(early <= found)
    crosses, never = (0.0 < found) & (found < np.inf), found == np.inf
    assert min(crosses.sum(), never.sum()) > 50
    share, told = (early[crosses] / found[crosses]).mean(), np.mean(early[never] == np.inf)
    close, inform = CLOSE[model]
    assert share >= close and told >= inform, (share, told)
    assert model is IAF or share < close + 0.04


@pytest.mark.parametrize("model", list(CLOSE), ids=str)
def test_arrays_have_what_single_neurons_have(model):
    params, states = drawn_states(model, 500, seed=6)
    with np.errstate(all="ignore"):
        together = EARLY * model.earliest(NUMPY, states, params)
    alone = np.array([bind_earliest(model)(each(states, j), each(params, j)) for j in range(500)])
    below = model.margin(states, params) <= 0.0
    assert below.sum() > 300
    np.testing.assert_array_equal(together[below], alone[below])


def test_all_models_that_run_here_have_it():
    here = [m for m in BUILT_IN.values() if m.spiking and (m.crossing or (m.slope and m.bend))]
    assert len(here) > 10 and all(m.earliest is not None for m in here)


def test_values_by_hand():
    """Without a current the logarithm is log(1 + x), x = (v_th - v)/(v_leak - v_th) = 1, and its approximant 9/13. With a current of
    tau_mem = 2 tau the quotient is exact: v_th - v = i x/(1 + x), and x = 1 for twice as much."""
    earliest = {model: bind_earliest(model) for model in (LIF, LIFDelta)}
    free = LIFDelta.Params(tau_mem=10.0, v_leak=2.0, v_th=1.0)
    assert earliest[LIFDelta](LIFDelta.State(0.0), free) == pytest.approx(90.0 / 13.0, rel=2e-9)
    driven = LIF.Params(tau_mem=10.0, tau_syn=5.0, v_leak=1.0, v_th=1.0)
    assert earliest[LIF](LIF.State(0.0, 2.0), driven) == pytest.approx(90.0 / 13.0, rel=2e-9)
    assert earliest[LIF](LIF.State(0.0, 0.999), driven) == math.inf
    assert bind_crossing(LIF)(LIF.State(0.0, 2.0), driven) == pytest.approx(10.0 * math.log(2.0))
