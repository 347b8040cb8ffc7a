"""QIF: its flow against an integrator and in high precision at the border, and a voltage that passes infinity within a step."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from eventsim import QIF, Current, Network, Population, Projection, Simulation, Spikes, SpikeSource
from eventsim.connectivity import Connectivity
from eventsim.ops import NUMPY


def flowed(s, t, p):
    return QIF.advance(NUMPY, s, QIF.exact(NUMPY, t, p), p)


@pytest.mark.parametrize("drive", [-0.4, 0.0, 0.2, 0.25, 0.3, 1.7])
@pytest.mark.parametrize("v", [-1.3, 0.0, 0.4, 0.6])
def test_the_exact_flow_is_the_solution(drive, v):
    p = QIF.Params(tau_mem=7.0, curve=1.0, v_th=50.0, drive=drive)

    def slope(t, y):
        return [(p.curve * (y[0] - p.v_leak) * (y[0] - p.v_crit) + p.drive) / p.tau_mem]

    for time in (0.3, 6.0):
        wanted = solve_ivp(slope, (0.0, time), [v], method="DOP853", rtol=1e-12, atol=1e-12).y[0, -1]
        assert flowed(QIF.State(v), time, p).v == pytest.approx(wanted, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("off", [0.0, 1e-15, -1e-15, 1e-9, -1e-9, 1e-4, -1e-4])
def test_the_flow_is_finite_and_exact_at_the_border(off):
    """Where the two zeros of dv/dt meet: tan becomes tanh, and neither is divided by 0."""
    p = QIF.Params(tau_mem=8.0, v_leak=0.0, v_crit=1.0, drive=0.25 + off, v_th=20.0)
    for v in (-3.0, 0.3, 0.5, 0.75):
        for t in (0.01, 5.0, 20.0):
            with mpmath.workdps(60):
                c, w, s = 0.25 - mpmath.mpf(p.drive), mpmath.mpf(v) - 0.5, mpmath.mpf(t) / 8
                k = mpmath.sqrt(abs(c))
                through = s if c == 0 else (mpmath.tan(k * s) if c < 0 else mpmath.tanh(k * s)) / k
                wanted = 0.5 + (w - c * through) / (1 - w * through)
            assert flowed(QIF.State(v), t, p).v == pytest.approx(float(wanted), rel=1e-13, abs=1e-14)


@given(
    v=st.floats(-5.0, 5.0),
    tau=st.floats(0.5, 30.0),
    curve=st.floats(0.1, 3.0),
    drive=st.one_of(st.sampled_from([0.0, 0.25]), st.floats(-2.0, 4.0)),
    v_th=st.sampled_from([0.2, 2.0, 1e3]),
    dt=st.floats(0.01, 100.0),
)
@settings(max_examples=300, deadline=None)
def test_a_step_fires_if_and_only_if_the_threshold_is_crossed_within_it(v, tau, curve, drive, v_th, dt):
    """Through infinity, or several times through it: what counts is the crossing of the continuous solution."""
    p = QIF.Params(tau_mem=tau, curve=curve, drive=drive, v_th=v_th)
    if not v < v_th:
        return
    t = float(QIF.crossing(NUMPY, QIF.State(v), p))
    assert t > 0.0
    if abs(dt - t) < 1e-6 * dt:
        return
    new = flowed(QIF.State(v), dt, p)
    assert math.isfinite(new.v)
    force = curve * (v - p.v_leak) * (v - p.v_crit) + drive
    end = curve * (v_th - p.v_leak) * (v_th - p.v_crit) + drive
    if end > 0.0 or force <= 0.0:  # else it may creep towards a threshold that stands where v comes to rest
        assert (QIF.margin(new, p) > 0.0) == (t < dt)
    again = QIF.reset(new, 1.0, p)
    assert again.v == p.v_reset


def test_at_rest_it_stays_to_the_last_bit():
    p = QIF.Params(v_leak=-65.3, v_crit=-50.1, v_th=30.0)
    assert flowed(QIF.initial(p), 0.1, p) == QIF.initial(p) == flowed(QIF.initial(p), 1e9, p)
    p = QIF.Params(v_leak=0.0, v_crit=-0.5, v_th=1.0)  # the other way round: it rests where the least kick makes it fire
    assert flowed(QIF.initial(p), 0.1, p) == QIF.initial(p) == flowed(QIF.initial(p), 1e9, p)


def test_period_of_a_driven_neuron():
    """From -infinity to infinity it takes pi tau_mem / sqrt(curve drive) without a leak: the theta neuron's period."""
    far = 1e7
    neuron = QIF(tau_mem=10.0, v_leak=0.0, v_crit=0.0, drive=0.04, v_th=far, v_reset=-far)
    network = Network([Population("cell", 1, neuron)])
    times = Simulation(network, method="exact", record=[Spikes("cell")]).run(1000.0).spikes["cell"].times
    wanted = math.pi * 10.0 / math.sqrt(0.04) - 2 * 10.0 / far
    np.testing.assert_allclose(np.diff(times), wanted, rtol=1e-12)
    on_grid = Simulation(network, 0.1, dtype="float64", record=[Spikes("cell")]).run(1000.0).spikes["cell"].times
    assert len(on_grid) == len(times) and np.all(np.abs(on_grid - times) < 0.1 * (2 + np.arange(len(times))))


@pytest.mark.parametrize("method", QIF.methods)
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_dense_and_sparse_fire_alike(method, dtype):
    """Driven over the border and through infinity, with input, noise-free: equal spikes in float64, nearly as many in float32."""
    rng = np.random.default_rng(4)
    n, count = 30, 200
    wires = Connectivity.from_coo(
        rng.integers(0, 10, count),
        rng.integers(0, n, count),
        10,
        n,
        weights=rng.uniform(0.1, 0.9, count),
        delays=np.full(count, 0.5),
    )
    times = np.sort(rng.integers(1, 180, 60)) * 0.5
    given_spikes = SpikeSource(times, rng.integers(0, 10, 60))
    cells = QIF(tau_mem=5.0, v_th=8.0, v_reset=-0.5, drive=np.linspace(-0.1, 0.6, n), refractory=1.0, method=method)
    network = Network([Population("in", 10, given_spikes), Population("cells", n, cells)], [Projection("in", "cells", wires)])
    found = {}
    for update in ("dense", "sparse", "auto"):
        spikes = Simulation(network, 0.5, dtype=dtype, update=update, record=[Spikes("cells")]).run(150.0).spikes["cells"]
        found[update] = sorted(zip(spikes.times.tolist(), spikes.neurons.tolist(), strict=True))
    assert len(found["dense"]) > 60
    if dtype == "float64" or method == "euler":
        assert found["dense"] == found["sparse"] == found["auto"]
    else:
        assert abs(len(found["dense"]) - len(found["sparse"])) <= 2


def test_a_current_is_a_drive():
    neuron = QIF(r_mem=2.0, v_th=100.0)
    simulation = Simulation(Network([Population("cell", 1, neuron)], inputs=[Current("cell", 0.08)]), method="exact")
    simulation.run(1000.0)
    assert simulation.state("cell", "v")[0] == pytest.approx(0.2)  # v (v - 1) + 0.16 = 0
