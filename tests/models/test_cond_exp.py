"""LIFCondExp: conductances have no closed form; how good the step is, how far it holds, and that nothing jumps over it."""

from __future__ import annotations

import re

import mpmath
import numpy as np
import pytest
from engine.reference import simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from eventsim import Current, LIFCondExp, Network, PoissonNoise, Population, Projection, Simulation, Spikes, SpikeSource, States
from eventsim.connectivity import Connectivity
from eventsim.cpu.dense import make_dense
from eventsim.cpu.kernels import KernelSpec
from eventsim.cpu.pointers import KERNEL
from eventsim.jit import compile_callback
from eventsim.models import AT_GRID
from eventsim.models.lif_cond_exp import relaxation, slope
from eventsim.ops import NUMPY

MV = LIFCondExp.Params(v_leak=-60.0, v_th=-50.0, v_reset=-60.0, e_exc=0.0, e_inh=-80.0)  # the source's potentials, in mV
START = LIFCondExp.State(-63.0, 3.0, 9.0)


def solution(p, s, time):
    """The state after ``time`` ms, by an integrator of order 8 at a tolerance of 1e-13: the equation, written a second time."""

    def slopes(t, y):
        v, exc, inh = y
        drive = p.v_leak - v + p.r_mem * (exc * (p.e_exc - v) + inh * (p.e_inh - v))
        return [drive / p.tau_mem, -exc / p.tau_exc, -inh / p.tau_inh]

    return solve_ivp(slopes, (0.0, time), list(s), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]


def walk(p, s, time, steps, method=LIFCondExp.exact):
    k = method(NUMPY, time / steps, p)
    for _ in range(steps):
        s = LIFCondExp.advance(s, k, p)
    return np.array(s)


@pytest.mark.parametrize(("method", "order"), [("exact", 4), ("euler", 1)])
def test_the_order_of_the_method(method, order):
    wanted = solution(MV, START, 8.0)
    steps = np.array([8, 16, 32, 64]) * (1 if order == 4 else 8)
    errors = [abs(walk(MV, START, 8.0, n, getattr(LIFCondExp, method))[0] - wanted[0]) for n in steps]
    measured = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(measured, order, atol=0.15)


def test_at_a_tenth_of_a_millisecond_a_step_is_exact_to_float32():
    """8 ms under some of the strongest conductances of the benchmark; a unit in the last place of -63 mV is 4e-6 mV in float32."""
    wanted = solution(MV, START, 8.0)
    assert abs(walk(MV, START, 8.0, 80)[0] - wanted[0]) < 1e-8
    np.testing.assert_allclose(walk(MV, START, 8.0, 80)[1:], wanted[1:], rtol=1e-12)
    p, s, k = (type(t)(*map(np.float32, t)) for t in (MV, START, LIFCondExp.exact(NUMPY, 0.1, MV)))
    for _ in range(80):
        s = LIFCondExp.advance(s, k, p)
    assert s.v.dtype == np.float32 and abs(s.v - wanted[0]) < 2e-5


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_parameters_against_an_integrator(data):
    tau = st.floats(2.0, 50.0)
    p = MV._replace(tau_mem=data.draw(tau), tau_exc=data.draw(tau), tau_inh=data.draw(tau), r_mem=data.draw(st.floats(0.05, 2.0)))
    s = LIFCondExp.State(data.draw(st.floats(-80.0, -40.0)), data.draw(st.floats(0.0, 10.0)), data.draw(st.floats(0.0, 30.0)))
    np.testing.assert_allclose(walk(p, s, 4.0, 200), solution(p, s, 4.0), rtol=0, atol=2e-6)


def test_a_constant_conductance_is_relaxed_from_exactly():
    """With conductances that hardly decay v goes exponentially to its equilibrium, in one step of any length."""
    p = MV._replace(tau_exc=1e15, tau_inh=1e15)
    total, target = 1.0 + 3.0 + 9.0, (-60.0 + 3.0 * 0.0 + 9.0 * -80.0) / 13.0
    for dt in (0.1, 3.0, 60.0):
        v = LIFCondExp.advance(START, LIFCondExp.exact(NUMPY, dt, p), p).v
        assert v == pytest.approx(target + (-63.0 - target) * np.exp(-total * dt / 20.0), abs=1e-9)


@pytest.mark.parametrize(
    ("a", "error"),
    [(-0.5, 2e-16), (0.0, 0.0), (1e-3, 2e-16), (0.1, 3e-16), (1.0, 2e-15), (2.0, 1e-13), (8.0, 6e-11), (55.0, 6e-11)],
)
def test_the_polynomial_is_phi(a, error):
    k = LIFCondExp.exact(NUMPY, 0.1, MV)
    with mpmath.workdps(40):
        wanted = (1 - mpmath.exp(-mpmath.mpf(a))) / mpmath.mpf(a) if a else mpmath.mpf(1)
        assert abs(mpmath.mpf(float(relaxation(a, k))) / wanted - 1) <= error
    assert relaxation(a, LIFCondExp.euler(NUMPY, 0.1, MV)) == 1.0


def test_phi_between_the_points_and_where_it_ends():
    k = LIFCondExp.exact(NUMPY, 0.1, MV)
    a = np.linspace(1e-3, 55.0, 20_001)
    assert np.max(np.abs(relaxation(a, k) * a / -np.expm1(-a) - 1)) < 6e-11
    assert abs(1 - 70.0 * relaxation(70.0, k)) > 1, "beyond its range a step diverges, as the docstring says"


@pytest.mark.parametrize("y", [0.0, 1e-30, 1e-9, 1e-3, 0.1, 0.2499999, 0.25, 1.0, 7.0, 1e3, 1e12])
def test_the_first_moment_of_a_decay(y):
    with mpmath.workdps(120):
        z = mpmath.mpf(y)
        wanted = (1 - (1 + z) * mpmath.exp(-z)) / z**2 - (1 - mpmath.exp(-z)) / (2 * z) if y else mpmath.mpf(0)
    assert slope(NUMPY, y) == pytest.approx(float(wanted), rel=1e-13, abs=0.0)


def test_at_rest_nothing_moves():
    for dtype in (np.float32, np.float64):
        p = LIFCondExp.Params(*map(dtype, MV))
        k = LIFCondExp.Propagator(*map(dtype, LIFCondExp.exact(NUMPY, 0.1, MV)))
        rest = LIFCondExp.initial(p)
        assert LIFCondExp.advance(rest, k, p) == rest


def test_a_conductance_in_nS_is_one_relative_to_the_leak():
    relative = walk(MV, START, 5.0, 50)
    leak = 10.0  # nS
    absolute = walk(MV._replace(r_mem=1.0 / leak), START._replace(exc=leak * START.exc, inh=leak * START.inh), 5.0, 50)
    np.testing.assert_allclose(absolute[0], relative[0], rtol=1e-14)
    # 100 pA through 10 nS are 10 mV
    assert LIFCondExp.inject(MV._replace(r_mem=1.0 / leak), 100.0).v_leak == pytest.approx(-50.0)


DT, STEPS = 0.5, 300


def driven(v_leak, **neuron):
    """A source, a recurrent population with both ports and v in use, and no other model."""
    rng = np.random.default_rng(7)
    cells = LIFCondExp(tau_mem=8.0, tau_exc=2.0, tau_inh=5.0, v_leak=v_leak, **neuron)

    def wired(sources, targets, mean):
        return Connectivity.from_coo(
            rng.integers(0, sources, 3 * targets),
            rng.integers(0, targets, 3 * targets),
            sources,
            targets,
            weights=np.abs(rng.normal(mean, 0.3 * mean, 3 * targets)),
            delays=(1 + rng.integers(0, 6, 3 * targets)) * DT,
        )

    sizes = {"input": 8, "cells": 20}
    projections = [
        Projection(source, "cells", wired(sizes[source], 20, mean), port=port)
        for source, mean, port in (("input", 0.5, "exc"), ("cells", 0.3, "exc"), ("cells", 0.5, "inh"), ("input", 0.1, "v"))
    ]
    spikes = (rng.random((STEPS, 8)) < np.linspace(0.3, 0.0, STEPS)[:, None]).astype(np.uint8)
    return Network([Population("input", 8, SpikeSource()), Population("cells", 20, cells)], projections), spikes


def run(network, given, update, dtype="float64", **how):
    record = [Spikes("cells"), States("cells", ("v", "exc", "inh"))]
    simulation = Simulation(network, DT, dtype=dtype, update=update, record=record, spikes={"input": given}, **how)
    recording = simulation.run(STEPS * DT)
    return recording.spikes["cells"], recording.states["cells"].values, simulation.counters


@pytest.mark.parametrize(
    "neuron",
    [{"v_leak": 0.0}, {"v_leak": 0.0, "refractory": 1.5}, {"v_leak": 1.2, "refractory": 1.0}, {"v_leak": 0.0, "method": "euler"}],
    ids=str,
)
def test_dense_sparse_and_the_reference_agree(neuron):
    """Never jumped over: the sparse update takes every step of the dense one, and so has its bits, in float32, too."""
    network, given_spikes = driven(**neuron)
    wanted = simulate(network, DT, STEPS, given={"input": np.vstack([np.zeros_like(given_spikes[:1]), given_spikes]) > 0})["cells"]
    for dtype in ("float64", "float32"):
        spikes, states, dense = run(network, given_spikes, "dense", dtype)
        for how in ({}, {"workers": 2}):
            other, also, sparse = run(network, given_spikes, "sparse", dtype, **how)
            assert np.array_equal(spikes.times, other.times) and np.array_equal(spikes.neurons, other.neurons)
            for field, values in states.items():
                assert np.array_equal(values, also[field])
        if dtype == "float64":
            assert np.array_equal(wanted, np.stack([np.rint(spikes.times / DT), spikes.neurons], 1))
            assert len(spikes.times) > 50


def test_parameters_and_currents_of_each_neuron():
    """Coefficients that differ between neurons beside those that are constants; currents that change the flow."""
    n = 20
    cells = LIFCondExp(tau_mem=np.linspace(5.0, 20.0, n), tau_exc=np.linspace(2.0, 8.0, n), refractory=1.0)
    inputs = [PoissonNoise("cells", 800.0, 0.3, port="exc"), PoissonNoise("cells", 300.0, 0.3, port="inh")]
    inputs += [Current("cells", np.linspace(0.0, 0.5, n)), Current("cells", [0.0, 0.4, 0.0], times=[0.0, 20.0, 50.0])]
    network = Network([Population("cells", n, cells)], inputs=inputs)
    made = []
    for update in ("dense", "sparse"):
        simulation = Simulation(network, 0.1, seed=1, update=update, record=[Spikes("cells"), States("cells", ("v", "exc", "inh"))])
        recording = simulation.run(200.0)
        made.append([*recording.spikes["cells"], *recording.states["cells"].values.values()])
    assert len(made[0][0]) > 300
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


def test_a_silent_neuron_sleeps():
    """After the conductances have run out nothing is computed, for any number of steps."""
    cells = LIFCondExp(tau_mem=8.0, tau_exc=2.0, tau_inh=5.0)
    network = Network([Population("cells", 50, cells, initial={"v": 0.5, "exc": 1.0})])
    simulation = Simulation(network, 0.5, dtype="float64", update="sparse")
    simulation.run(10_000.0)
    before = simulation.counters.updates
    simulation.run(10_000.0)
    assert simulation.counters.updates == before < 50 * 20_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dense_sweep_is_vectorised(dtype):
    """No call of exp, and all products of the step in packed instructions."""
    spec = KernelSpec(
        model=LIFCondExp,
        order=AT_GRID,
        ports=("exc", "inh"),
        hold=("v",),
        holds=True,
        own=(False,) * (len(LIFCondExp.Params._fields) + 1),
        own_step=(False,) * len(LIFCondExp.Propagator._fields),
        closed=False,
        dtype=np.dtype(dtype),
    )
    assembly = compile_callback(KERNEL, make_dense(spec), None)._library.get_asm_str()  # code kept on disk has no text
    if not re.search(r"\bv?mul[ps][sd]\b", assembly):
        pytest.skip("not an x86 processor")
    assert not re.search(r"call.*exp", assembly)
    packed = "mulps" if dtype == "float32" else "mulpd"
    assert len(re.findall(rf"\bv?{packed}\b", assembly)) >= 35


def test_noise_drives_a_conductance():
    """A Poisson train of rate nu gives a mean conductance w nu tau; the mean of v is near its equilibrium under the mean."""
    cells = LIFCondExp(v_th=100.0)
    noise = [PoissonNoise("cells", 2000.0, 0.05, port="exc"), PoissonNoise("cells", 1000.0, 0.1, port="inh")]
    simulation = Simulation(Network([Population("cells", 2000, cells)], inputs=noise), 0.1, seed=4)
    simulation.run(200.0)
    assert simulation.state("cells", "exc").mean() == pytest.approx(0.05 * 2.0 * 5.0, rel=0.02)
    assert simulation.state("cells", "inh").mean() == pytest.approx(0.1 * 1.0 * 10.0, rel=0.02)
    assert simulation.state("cells", "v").mean() == pytest.approx((0.5 * 6.0 - 1.0 * 2.0) / 2.5, abs=0.03)
