"""Models whose flow has no closed form: how their schemes converge, where they are exact, and that engine and reference agree."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from engine.reference import simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from shorter import shorter

from eventsim import (
    AFTER_RESET,
    BEFORE_FLOW,
    Current,
    Network,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    States,
)
from eventsim.connectivity import Connectivity
from eventsim.models import LIF, AdaLIF, CobaLIF, Izhikevich, LIFAdEx, LIFEx
from eventsim.models.model import with_ops
from eventsim.ops import NUMPY

DT, STEPS = 0.5, 300


def slopes(model, p):
    """The equations, written a second time: ``y -> dy/dt``."""

    def upswing(v):
        return p.delta_t * np.exp((v - p.v_th) / p.delta_t)

    if model is LIFEx:
        return lambda t, y: [(p.v_leak - y[0] + upswing(y[0]) + p.r_mem * y[1]) / p.tau_mem, -y[1] / p.tau_syn]
    if model is LIFAdEx:
        return lambda t, y: [
            (p.v_leak - y[0] + upswing(y[0]) + p.r_mem * y[1] - y[2] + p.drive) / p.tau_mem,
            -y[1] / p.tau_syn,
            (p.adaptation_current * (y[0] - p.v_leak) - y[2]) / p.tau_ada,
        ]
    if model is Izhikevich:
        return lambda t, y: [
            (p.sq * y[0] ** 2 + p.mn * y[0] + p.bias - y[1]) / p.tau,
            p.a * (p.b * y[0] - y[1]) / p.tau,
            0.0,
        ]
    return lambda t, y: [
        (p.g_l * (p.v_rest - y[0]) + y[1] * (p.e_exc - y[0]) + y[2] * (p.e_inh - y[0]) + p.drive) / p.c_m,
        -y[1] / p.tau_exc,
        -y[2] / p.tau_inh,
    ]


CASES = {
    "LIFEx": (LIFEx, LIFEx.Params(), LIFEx.State(0.2, 0.9)),
    "LIFAdEx": (LIFAdEx, LIFAdEx.Params(tau_ada=30.0, drive=0.1), LIFAdEx.State(0.2, 1.5, 0.3)),
    "Izhikevich": (Izhikevich, Izhikevich.Params(), Izhikevich.State(-58.0, -14.0, 0.0)),
    "CobaLIF": (CobaLIF, CobaLIF.Params(drive=3.0), CobaLIF.State(-63.0, 2.0, 3.0)),
}


def walk(model, p, s, time, steps, method):
    k, advance = method(NUMPY, time / steps, p), with_ops(model.advance, NUMPY)
    for _ in range(steps):
        s = advance(s, k, p)
    return np.array(s)


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, (model, _, _) in CASES.items() for method in model.methods], ids=str
)
def test_the_schemes_converge_to_the_equation_with_first_order(name, method):
    model, p, s = CASES[name]
    time = 4.0
    wanted = solve_ivp(slopes(model, p), (0.0, time), list(s), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    errors = [np.abs(walk(model, p, s, time, steps, getattr(model, method)) - wanted)[0] for steps in (400, 800, 1600)]
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 1.0, atol=0.1)
    assert errors[-1] < 2e-3 * np.abs(wanted - np.array(s))[0]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_without_the_exponential_term_the_flow_is_that_of_lif(data):
    """delta_t = 0 is no NaN but the limit; and in LIFAdEx without adaptation the same."""
    tau, dt = st.floats(0.5, 30.0), data.draw(st.floats(0.05, 20.0))
    values = {"tau_mem": data.draw(tau), "tau_syn": data.draw(tau), "v_leak": data.draw(st.floats(-1.0, 1.0))}
    v, i = data.draw(st.floats(-3.0, 3.0)), data.draw(st.floats(-3.0, 3.0))
    for method in ("exact", "euler"):
        lif = LIF.Params(**values)
        wanted = LIF.advance(LIF.State(v, i), getattr(LIF, method)(NUMPY, dt, lif), lif)
        p = LIFEx.Params(**values, delta_t=0.0)
        assert LIFEx.advance(NUMPY, LIFEx.State(v, i), getattr(LIFEx, method)(NUMPY, dt, p), p) == wanted
        q = LIFAdEx.Params(**values, delta_t=0.0, adaptation_current=0.0)
        found = LIFAdEx.advance(NUMPY, LIFAdEx.State(v, i, 0.0), getattr(LIFAdEx, method)(NUMPY, dt, q), q)
        assert found == (*wanted, 0.0)


def test_the_exponential_term_in_high_precision():
    p, s = LIFEx.Params(delta_t=0.3, v_th=0.8), LIFEx.State(0.7, 0.2)
    k = LIFEx.euler(NUMPY, 0.25, p)
    with mpmath.workdps(40):
        delta, v = mpmath.mpf(0.3), mpmath.mpf(0.7)
        wanted = v + mpmath.mpf(0.25) / 10 * (-v + delta * mpmath.exp((v - mpmath.mpf(0.8)) / delta) + mpmath.mpf(0.2))
    assert LIFEx.advance(NUMPY, s, k, p).v == pytest.approx(float(wanted), rel=1e-15)


def test_delta_t_of_each_neuron_may_be_0_for_some():
    p = LIFEx.Params(delta_t=np.array([0.0, 0.5]))
    k = LIFEx.euler(NUMPY, 0.1, p)
    assert k.steep.tolist() == [0.0, 2.0]
    v = LIFEx.advance(NUMPY, LIFEx.State(np.full(2, 5.0), np.zeros(2)), k, p).v
    assert v[0] == 5.0 - 0.01 * 5.0 and v[1] > 5.0


def test_a_signed_input_goes_to_the_conductance_of_its_sign():
    s, p = CobaLIF.State(-60.0, 1.0, 2.0), CobaLIF.Params()
    receive = with_ops(CobaLIF.ports["signed"], NUMPY)
    assert receive(s, 0.5, p) == (-60.0, 1.5, 2.0) and receive(s, -0.5, p) == (-60.0, 1.0, 2.5)


def wired(rng, sources, targets, mean):
    count = 4 * targets
    return Connectivity.from_coo(
        rng.integers(0, sources, count),
        rng.integers(0, targets, count),
        sources,
        targets,
        weights=rng.normal(mean, 0.3 * abs(mean), count),
        delays=(1 + rng.integers(0, 6, count)) * DT,
    )


NEURONS = {
    "LIFEx": (lambda: LIFEx(tau_mem=8.0, tau_syn=3.0, delta_t=0.2), {"i": 0.8}),
    "LIFEx refractory": (lambda: LIFEx(tau_mem=8.0, tau_syn=3.0, delta_t=np.linspace(0.0, 0.3, 20), refractory=1.5), {"i": 0.8}),
    "LIFAdEx": (
        lambda: LIFAdEx(tau_mem=8.0, tau_syn=3.0, tau_ada=20.0, delta_t=0.2, adaptation_spike=0.3, order=AFTER_RESET),
        {"i": 1.4, "v": 0.05},
    ),
    "AdaLIF": (lambda: AdaLIF(tau_mem=8.0, tau_syn=3.0, tau_adapt=20.0, beta=0.4, refractory=1.0), {"i": 1.2}),
    "Izhikevich": (lambda: Izhikevich(tau=2.0, order=BEFORE_FLOW), {"i": 12.0}),
    "CobaLIF": (lambda: CobaLIF(tau_exc=3.0, tau_inh=5.0, order=BEFORE_FLOW), {"signed": 1.2, "exc": 0.4, "inh": 0.2}),
}
EVERY_RUN = ("LIFEx refractory", "LIFAdEx", "Izhikevich")


@pytest.mark.parametrize("name", shorter([(name,) for name in NEURONS], lambda name: name in EVERY_RUN))
def test_dense_sparse_and_the_reference_agree(name):
    """In the engine the sparse update takes the steps of the dense one; float64 spikes are those of the plain reference."""
    make, ports = NEURONS[name]
    rng = np.random.default_rng(11)
    projections = [Projection("input", "cells", wired(rng, 8, 20, mean), port=port) for port, mean in ports.items()]
    projections.append(Projection("cells", "cells", wired(rng, 20, 20, 0.3 * next(iter(ports.values())))))
    network = Network([Population("input", 8, SpikeSource()), Population("cells", 20, make())], projections)
    given_spikes = (rng.random((STEPS, 8)) < np.linspace(0.4, 0.0, STEPS)[:, None]).astype(np.uint8)
    fields = make().model.State._fields
    found = {}
    for dtype in ("float64", "float32") if name in ("LIFEx", "CobaLIF") else ("float64",):
        for update, workers in (("dense", 1), ("sparse", 1), ("sparse", 2)):
            record = [Spikes("cells"), States("cells", fields)]
            simulation = Simulation(
                network, DT, dtype=dtype, update=update, workers=workers, record=record, spikes={"input": given_spikes}
            )
            recording = simulation.run(STEPS * DT)
            made = [*recording.spikes["cells"], *recording.states["cells"].values.values()]
            first = found.setdefault(dtype, made)
            assert all(np.array_equal(a, b) for a, b in zip(first, made, strict=True))
            assert all(np.all(np.isfinite(values)) for values in made)
    wanted = simulate(network, DT, STEPS, given={"input": np.vstack([np.zeros_like(given_spikes[:1]), given_spikes]) > 0})["cells"]
    times, neurons = found["float64"][:2]
    assert np.array_equal(wanted, np.stack([np.rint(times / DT), neurons], 1)) and len(times) > 50


@pytest.mark.parametrize(
    ("neuron", "current", "v"),
    [
        (LIFAdEx(adaptation_current=0.0, delta_t=0.0, v_th=9.0), 0.7, 0.7),
        (LIFAdEx(adaptation_current=1.0, tau_ada=10.0, delta_t=0.0, v_th=9.0), 0.7, 0.35),  # a = v: half of it
        (CobaLIF(g_l=2.0), 10.0, -55.0),  # v_rest + current/g_l
        (AdaLIF(v_th=9.0, r_mem=2.0), 0.7, 1.4),
    ],
    ids=lambda value: str(value) if isinstance(value, float) else value.model.name,
)
def test_a_constant_current_moves_the_neuron_to_its_new_rest(neuron, current, v):
    simulation = Simulation(Network([Population("cell", 1, neuron)], inputs=[Current("cell", current)]), 0.1, dtype="float64")
    simulation.run(2000.0)
    assert simulation.state("cell", "v")[0] == pytest.approx(v, abs=1e-9)


def test_izhikevich_regular_spiking_slows_down():
    """The source's first figure (RS cell, 10 units of current): the second interval is longer than the first, then it is steady."""
    network = Network([Population("cell", 1, Izhikevich(v_start=-65.0, u_start=-13.0))], inputs=[Current("cell", 10.0)])
    times = Simulation(network, 0.1, dtype="float64", record=[Spikes("cell")]).run(1000.0).spikes["cell"].times
    intervals = np.diff(times)
    assert 10 < len(times) < 40 and intervals[1] > 1.2 * intervals[0]
    np.testing.assert_allclose(intervals[-5:], intervals[-1], atol=0.2)
