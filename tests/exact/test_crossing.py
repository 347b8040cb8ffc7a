"""A prediction of one neuron: never early, never late, never of what does not happen; and gaps that add up."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from exact.single_neurons import MODELS
from hypothesis import given, settings
from hypothesis import strategies as st
from shorter import shorter

from eventsim import Network, Population, Projection, Simulation, Spikes, SpikeSource, States
from eventsim.connectivity import Connectivity
from eventsim.exact.crossing import bind_crossing, bind_jump
from eventsim.models import BUILT_IN, LIF, LSNN, QIF, AdaLIF, IAFSubtract, LIFAlpha, LIFDelta, LIFExcInh, LIFResetAll
from eventsim.models.model import with_ops
from eventsim.ops import NUMPY

EXACT = [*MODELS, BUILT_IN["LI"], BUILT_IN["Integrator"]]
TAU = st.one_of(st.sampled_from([0.01, 5.0, 10.0]), st.floats(0.05, 200.0))
ROUNDINGS = 64 * np.finfo(np.float64).eps


@functools.cache
def compiled(model):
    return bind_crossing(model), bind_jump(model)


@st.composite
def neurons(draw, model):
    """``(s, p)``: a state, most often below the threshold."""
    values = {name: draw(TAU, label=name) for name in model.Params._fields if name.startswith("tau")}
    for name, strategy in {
        "v_leak": st.one_of(st.sampled_from([0.0, 1.0]), st.floats(-1.0, 1.5)),
        "v_crit": st.floats(-0.5, 0.9),
        "v_th": st.just(1.0),
        "r_mem": st.floats(0.2, 2.0),
        "slope": st.floats(-0.2, 0.2),
        "drive": st.one_of(st.just(0.0), st.floats(-0.5, 0.5)),
    }.items():
        if name in model.Params._fields:
            values[name] = draw(strategy, label=name)
    p = model.Params(**values)
    s = {"v": draw(st.one_of(st.floats(-2.0, 0.999), st.just(0.0)), label="v")}
    for name in model.State._fields[1:]:
        s[name] = draw(st.one_of(st.just(0.0), st.floats(-30.0, 30.0)), label=name)
    if model is LSNN:
        s["b"] = 1.0 + abs(s["b"]) / 10.0
    return model.State(**s), p


def size(model, s, p):
    """The largest number that the margin is computed from."""
    r = getattr(p, "r_mem", 1.0)
    return max(1.0, abs(getattr(p, "v_leak", 0.0)), *(abs(value) for value in s), *(abs(r * value) for value in s[1:]))


def margins(model, s, p, times):
    """The margin at these times, each by one jump."""
    advance = with_ops(model.advance, NUMPY)
    with np.errstate(over="ignore", under="ignore"):
        return np.array([model.margin(advance(s, model.exact(NUMPY, t, p), p) if t > 0 else s, p) for t in times])


@pytest.mark.parametrize("model", [model for model in MODELS if model is not QIF], ids=str)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_crossing_is_never_early_and_never_missed(model, data):
    """That of QIF, whose voltage may be ill conditioned, is tested in `tests/exact/test_crossing_qif.py`."""
    s, p = data.draw(neurons(model))
    crossing, _ = compiled(model)
    t = crossing(s, p)
    rounding = ROUNDINGS * size(model, s, p)
    last = 1e5 if math.isinf(t) else t
    before = np.concatenate([np.linspace(0.0, last, 300), np.geomspace(1e-6, 1.0, 300) * last])
    if t > 0:
        assert np.all(margins(model, s, p, before[before < t]) <= rounding)
    if t == 0.0:
        assert model.margin(s, p) >= 0.0
    elif t < math.inf:
        slope = (margins(model, s, p, [t * (1 + 1e-6)]) - margins(model, s, p, [t * (1 - 1e-6)])) / (2e-6 * t)
        assert abs(margins(model, s, p, [t])[0]) <= rounding + 4 * abs(slope[0]) * np.spacing(t)


@pytest.mark.parametrize("model", EXACT, ids=str)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_two_jumps_are_one(model, data):
    """Over a + b, to rounding: what the first jump rounds, the second one carries along."""
    s, p = data.draw(neurons(model))
    a, b = data.draw(st.floats(1e-3, 50.0)), data.draw(st.floats(1e-3, 50.0))
    crossing, jump = compiled(model)
    room = 1.0
    if model is QIF:
        t = crossing(s, p)
        a, b = (min(time, 0.4 * t) for time in (a, b))  # before it fires
        room = abs((jump(s._replace(v=s.v + 1e-7), a + b, p).v - jump(s, a + b, p).v) / 1e-7) + 10.0
    once, twice = jump(s, a + b, p), jump(jump(s, a, p), b, p)
    np.testing.assert_allclose(
        once, twice, rtol=0.0, atol=room * ROUNDINGS * size(model, s, p) * (2.0 + abs(getattr(p, "slope", 0.0)) * (a + b))
    )


def test_a_crossing_is_found_however_short_the_time_constants_are():
    """The rise and the fall of a membrane that is done after a microsecond lie far within the first step of a coarse search."""
    scale = 1e-5
    slow, fast = (LIFExcInh.Params(tau_mem=10.0 * f, tau_exc=2.0 * f, tau_inh=5.0 * f, v_leak=0.1) for f in (1.0, scale))
    crossing, _ = compiled(LIFExcInh)
    for exc, inh in ((20.0, -1.0), (30.0, -4.0), (20.0, 0.0), (40.0, -10.0)):
        wanted = crossing(LIFExcInh.State(0.1, exc, inh), slow)
        assert 0.0 < wanted < 5.0
        assert crossing(LIFExcInh.State(0.1, exc, inh), fast) == pytest.approx(scale * wanted, rel=1e-12)


@pytest.mark.parametrize("v", [-10.0, -0.7, 0.1, 0.2999])
@pytest.mark.parametrize("model", [LIF, LIFDelta, LIFExcInh, LIFAlpha, AdaLIF, LSNN], ids=str)
def test_a_leak_at_the_threshold_is_never_above_it(model, v):
    """v comes close to it from below, and no rounding makes that a spike."""
    for level in (0.3, 0.1, 1.0, -50.0):
        p = model.Params(v_leak=level, v_th=level)
        s = model.initial(p)._replace(v=level + v - 0.3)
        assert compiled(model)[0](s, p) == math.inf


def given_to(model, times, weights, port=None, refractory=0.0, record=(), **params):
    """One neuron, and its input: a network and what it recorded in 60 ms."""
    n = len(times)
    wires = Connectivity.from_coo(np.arange(n), np.zeros(n, int), n, 1, weights=np.array(weights, float), delays=np.zeros(n))
    cells = Population("cell", 1, model(refractory=refractory, **params))
    network = Network(
        [Population("in", n, SpikeSource(np.array(times), np.arange(n))), cells], [Projection("in", "cell", wires, port=port)]
    )
    return Simulation(network, method="exact", record=[Spikes("cell"), *record]).run(60.0)


@pytest.mark.parametrize("above", shorter([(a,) for a in (1e-6, 1e-8, 1e-9, 1e-12)], lambda above: above in (1e-6, 1e-12)))
@pytest.mark.parametrize("model", [LIF, LIFResetAll, LIFDelta, LIFExcInh, LIFAlpha, AdaLIF, LSNN], ids=str)
def test_a_kick_that_barely_reaches_the_threshold_fires(model, above):
    """v falls at once: it is above the threshold for a moment that no bound on later times sees."""
    assert given_to(model, [1.5], [1.0 + above], "v").spikes["cell"].times.tolist() == [1.5]
    assert given_to(model, [1.5], [1.0 - above], "v").spikes["cell"].times.tolist() == []


@pytest.mark.parametrize("model", [LIF, LIFExcInh, LIFAlpha, AdaLIF, LSNN, LIFDelta, QIF, IAFSubtract], ids=str)
def test_a_refractory_neuron_stands_still_and_then_flows(model):
    """Held for the period, deaf on v; then the free flow from there, with the currents as they have become, and its next crossing."""
    port = next(iter(model.ports))
    start, period = 2.0, 7.3
    weights = {"v": 30.0}.get(port, 60.0)
    states = States("cell", model.State._fields, interval=0.5)
    found = given_to(model, [start], [weights], port, period, [states])
    first = found.spikes["cell"].times[0]
    data = found.states["cell"]
    held = (data.times > first) & (data.times <= first + period)
    v = data.values["v"][:, 0]
    after = model.reset(model.State(*(0.0 for _ in model.State._fields))._replace(v=model.Params().v_th), 1.0, model.Params()).v
    assert held.sum() >= 14
    if model is not IAFSubtract:  # it keeps what was above the threshold
        np.testing.assert_allclose(v[held], after, rtol=0, atol=1e-14)
    assert len(set(v[held])) == 1
    deaf = given_to(model, [start, first + 0.5 * period], [weights, 30.0], port if port == "v" else None, period)
    if port == "v":
        assert deaf.spikes["cell"].times.tolist() == found.spikes["cell"].times.tolist()
    # free from first + period on: a run of its own that begins in the state there gives the same next spike
    later = found.spikes["cell"].times[1:]
    crossing, jump = compiled(model)
    p, rest = model.Params(), model.initial(model.Params())
    s = model.ports[port](rest, weights, p)
    wait = crossing(s, p)
    assert start + wait == pytest.approx(first, rel=1e-14)
    fired = model.reset(jump(s, wait, p), 1.0, p)
    free = jump(fired, period, p)._replace(v=fired.v)
    following = first + period + crossing(free, p)
    if following < 60.0:
        assert later[0] == pytest.approx(following, rel=1e-12) and later[0] >= first + period
    else:
        assert len(later) == 0


def test_input_to_a_voltage_that_is_held_is_discarded_and_to_a_current_it_is_not():
    kicked = given_to(LIF, [1.0, 3.0, 9.0], [2.0, 2.0, 0.5], "v", refractory=5.0)
    assert kicked.spikes["cell"].times.tolist() == [1.0]
    again = given_to(LIF, [1.0, 3.0, 6.0], [2.0, 2.0, 2.0], "v", refractory=5.0)
    assert again.spikes["cell"].times.tolist() == [1.0, 6.0]  # at its end the period is over
    driven = given_to(LIF, [1.0, 3.0], [30.0, 200.0], "i", refractory=5.0)
    assert len(driven.spikes["cell"].times) > 1 and driven.spikes["cell"].times[1] > driven.spikes["cell"].times[0] + 5.0
