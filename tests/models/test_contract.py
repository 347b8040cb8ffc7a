"""Every function of every model: one type in, the same type out; the same bits in Numba, NumPy and torch; the exact flow exact."""

import functools
import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shorter import shorter

from eventsim.cpu.scalar import scalar_ops
from eventsim.errors import ModelError
from eventsim.jit import jit
from eventsim.models import (
    BUILT_IN,
    IAF,
    LI,
    LIF,
    LSNN,
    QIF,
    AdaLIF,
    CobaLIF,
    IAFSubtract,
    Integrator,
    Izhikevich,
    LIBox,
    LIFAdEx,
    LIFAlpha,
    LIFBox,
    LIFBoxSubtract,
    LIFCondExp,
    LIFDelta,
    LIFEx,
    LIFExcInh,
    LIFSubtract,
    lif,
)
from eventsim.models.model import ORDERS, bind_refractory_step, bind_step, with_ops
from eventsim.ops import NUMPY

MODELS = list(BUILT_IN.values())
WITH_EXP = (LIFEx, LIFAdEx)  # equal to rounding, where the others are equal to the last bit
NOT_LINEAR = (CobaLIF, Izhikevich, LIFCondExp, QIF, *WITH_EXP)
ONE_STEP_CURRENT = (Izhikevich, LIBox, LIFBox, LIFBoxSubtract)
DT = 0.1


def typed(values, dtype):
    return type(values)(*(dtype(v) for v in values))


def awkward_params(model):
    """Parameters that are not round in float32."""
    return model.Params(*(v * 1.1 + 0.037 for v in model.Params()))


def functions(model):
    """(name, function of (state, weight, propagator, params)) of all step functions."""
    yield "advance", lambda s, w, k, p: with_ops(model.advance, NUMPY)(s, k, p)
    for port, receive in model.ports.items():
        yield f"port {port}", lambda s, w, k, p, receive=receive: with_ops(receive, NUMPY)(s, w, p)
    if model.spiking:
        yield "margin", lambda s, w, k, p: model.margin(s, p)
        yield "reset", lambda s, w, k, p: model.reset(s, w, p)
    yield "initial", lambda s, w, k, p: model.initial(p)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_float32_stays_float32(model):
    p64 = awkward_params(model)
    k = typed(model.exact(NUMPY, DT, p64), np.float32)
    p, s = typed(p64, np.float32), model.State(*(np.float32(0.3) for _ in model.State._fields))
    for name, function in functions(model):
        result = function(s, np.float32(0.7), k, p)
        values = result if isinstance(result, tuple) else (result,)
        assert all(v.dtype == np.float32 for v in values), name


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_float32_stays_float32_in_numba(model):
    p64 = awkward_params(model)
    k = typed(model.exact(NUMPY, DT, p64), np.float32)
    p, s = typed(p64, np.float32), model.State(*(np.float32(0.3) for _ in model.State._fields))
    step = bind_step(model, scalar_ops(np.dtype(np.float32)), jit=jit)
    step(s, (np.float32(0.7),), k, p)
    (returned,) = step.nopython_signatures
    state, z = returned.return_type
    assert {str(t) for t in (*state, *([z] if model.spiking else []))} == {"float32"}


def run_numpy(model, dtype, order, inputs, refractory):
    p64 = awkward_params(model)
    k, p = typed(model.exact(NUMPY, DT, p64), dtype), typed(p64, dtype)
    s = model.State(*(np.full(inputs.shape[1], v, dtype) for v in model.initial(p)))
    rho = np.zeros(inputs.shape[1], dtype)
    plain, held = bind_step(model, NUMPY, order), bind_refractory_step(model, NUMPY, order) if model.spiking else None
    history = []
    for x in inputs:
        if refractory:
            s, rho, z = held(s, rho, (x,), k, p, dtype(7))
        else:
            s, z = plain(s, (x,), k, p)
        history.append(np.stack([*s, z if model.spiking else x]))
    return np.stack(history)


def run_numba(model, dtype, order, inputs, refractory):
    p64 = awkward_params(model)
    k, p = typed(model.exact(NUMPY, DT, p64), dtype), typed(p64, dtype)
    ops = scalar_ops(np.dtype(dtype))
    plain, held = bind_step(model, ops, order, jit=jit), bind_refractory_step(model, ops, order, jit=jit) if model.spiking else None
    history = np.empty((len(inputs), len(model.State._fields) + 1, inputs.shape[1]), dtype)
    for j in range(inputs.shape[1]):
        s, rho = model.State(*(dtype(v) for v in model.initial(p))), dtype(0)
        for t in range(len(inputs)):
            if refractory:
                s, rho, z = held(s, rho, (inputs[t, j],), k, p, dtype(7))
            else:
                s, z = plain(s, (inputs[t, j],), k, p)
            # a float32 that crosses into Python comes back as a Python float, of the same value
            s, rho = model.State(*(dtype(v) for v in s)), dtype(rho)
            history[t, :, j] = [*s, z if model.spiking else inputs[t, j]]
    return history


def run_torch(model, dtype, order, inputs, refractory):
    torch = pytest.importorskip("torch")
    from norse_bridge.ops import surrogate_ops

    kind = {np.float32: torch.float32, np.float64: torch.float64}[dtype]
    p64 = awkward_params(model)
    k = type(model.exact(NUMPY, DT, p64))(*(torch.tensor(float(v), dtype=kind) for v in model.exact(NUMPY, DT, p64)))
    p = type(p64)(*(torch.tensor(float(v), dtype=kind) for v in p64))
    n = inputs.shape[1]
    s = model.State(*(torch.full((n,), float(v), dtype=kind) for v in model.initial(typed(p64, dtype))))
    ops = surrogate_ops("super", 100.0)
    rho = torch.zeros(n, dtype=kind)
    plain, held = bind_step(model, ops, order), bind_refractory_step(model, ops, order) if model.spiking else None
    history = []
    for x in torch.tensor(inputs):
        if refractory:
            s, rho, z = held(s, rho, (x,), k, p, torch.tensor(7.0, dtype=kind))
        else:
            s, z = plain(s, (x,), k, p)
        assert all(v.dtype == kind for v in s)
        history.append(torch.stack([*s, z if model.spiking else x]).numpy())
    return np.stack(history)


@pytest.mark.parametrize(
    ("model", "dtype", "refractory"),
    shorter(
        itertools.product(MODELS, (np.float32, np.float64), (False, True)),
        lambda model, dtype, refractory: dtype is np.float32 or not refractory,
    ),
    ids=str,
)
def test_same_bits_in_numba_numpy_and_torch(model, dtype, refractory):
    if refractory and not model.spiking:
        pytest.skip("a neuron that never fires is never refractory")
    scale = 50.0 if model in ONE_STEP_CURRENT else 1.0  # of what flows for one step alone
    same = np.array_equal
    if model in WITH_EXP:
        same = functools.partial(np.allclose, rtol=0, atol=2e-5 if dtype is np.float32 else 1e-12)
    inputs = np.random.default_rng(5).normal(0.1 * scale, 0.5 * scale, (300, 3)).astype(dtype)
    for order in ORDERS[:2] if dtype is np.float64 else ORDERS[:1]:
        wanted = run_numpy(model, dtype, order, inputs, refractory)
        assert np.all(np.isfinite(wanted))
        assert same(wanted, run_numba(model, dtype, order, inputs, refractory))
        assert same(wanted, run_torch(model, dtype, order, inputs, refractory))
        if model.spiking:
            assert wanted[:, -1].sum() > 5


def flow_matrix(model, p):
    """d/dt of (state - rest, 1) as a matrix: the model's equation, written a second time."""
    if model in (LIFDelta,):
        return np.array([[-1 / p.tau_mem]])
    if model is LIFExcInh:
        m = p.tau_mem
        return np.array([[-1 / m, p.r_mem / m, p.r_mem / m], [0, -1 / p.tau_exc, 0], [0, 0, -1 / p.tau_inh]])
    if model is LIFAlpha:
        m, y = p.tau_mem, p.tau_syn
        return np.array([[-1 / m, p.r_mem / m, 0], [0, -1 / y, math.e / y], [0, 0, -1 / y]])
    membrane = np.array([[-1 / p.tau_mem, p.r_mem / p.tau_mem], [0, -1 / p.tau_syn]])
    if model in (LSNN, AdaLIF):
        matrix = scipy.linalg.block_diag(membrane, -1 / p.tau_adapt)
        matrix[0, 2] = -1 / p.tau_mem if model is AdaLIF else 0.0
        return matrix
    return membrane


WITHOUT_MATRIX = (IAF, IAFSubtract, Integrator, *NOT_LINEAR, *ONE_STEP_CURRENT)


@pytest.mark.parametrize("model", [m for m in MODELS if m not in WITHOUT_MATRIX], ids=str)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_exact_flow_is_the_matrix_exponential(model, data):
    tau = st.floats(0.3, 50.0)
    p = model.Params()._replace(
        **{name: data.draw(tau, label=name) for name in model.positive}, r_mem=data.draw(st.floats(0.1, 3.0))
    )
    dt = data.draw(st.floats(0.01, 60.0))
    s = np.array([data.draw(st.floats(-2.0, 2.0)) for _ in model.State._fields])
    got = model.advance(model.State(*s), model.exact(NUMPY, dt, p), p)
    rest = np.array(model.initial(p))
    np.testing.assert_allclose(got, rest + scipy.linalg.expm(dt * flow_matrix(model, p)) @ (s - rest), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model", [LIBox, LIFBox, LIFBoxSubtract], ids=str)
def test_a_box_current_flows_for_one_step(model):
    """Exact for a current that is constant in the step: v = rest + (v - rest) exp(-dt/tau), rest = v_leak + r_mem i."""
    p = model.Params()._replace(tau_mem=7.0, v_leak=-0.3, r_mem=1.7)
    for dt in (0.1, 3.0):
        new = model.advance(model.State(0.4, 0.9), model.exact(NUMPY, dt, p), p)
        rest = p.v_leak + p.r_mem * 0.9
        assert new.v == pytest.approx(rest + (0.4 - rest) * math.exp(-dt / p.tau_mem), rel=1e-14) and new.i == 0.0


@pytest.mark.parametrize("ratio", [1.0, 1.0 + 1e-12, 1.0 + 1e-7, 1.001])
def test_coupling_has_no_singularity_where_the_time_constants_meet(ratio):
    x, y = 0.01, 0.01 * ratio
    with mpmath.workdps(60):
        a, b = mpmath.mpf(x), mpmath.mpf(y)
        vi = a * mpmath.exp(-a) if a == b else a * (mpmath.exp(-b) - mpmath.exp(-a)) / (a - b)
        wanted = vi / (1 - mpmath.exp(-a))
    assert lif.coupling(NUMPY, x, y) == pytest.approx(float(wanted), rel=1e-13)


@pytest.mark.parametrize("gap", [1e3, 1e6, 1e12])
@pytest.mark.parametrize("tau_syn", [0.5, 10.0, 80.0])
def test_long_gaps_end_at_rest(gap, tau_syn):
    p = LIF.Params(tau_syn=tau_syn, v_leak=-65.0)
    s = LIF.advance(LIF.State(-51.0, 300.0), LIF.exact(NUMPY, gap, p), p)
    assert np.all(np.isfinite(s))
    assert s.v == pytest.approx(-65.0, abs=1e-2 if gap < 1e4 else 1e-12)


@pytest.mark.parametrize("model", [LIF, LI, LIFDelta], ids=str)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_two_short_flows_are_one_long_flow(model, data):
    p = model.Params()._replace(**{name: data.draw(st.floats(0.5, 30.0)) for name in model.positive})
    a, b = data.draw(st.floats(0.05, 20.0)), data.draw(st.floats(0.05, 20.0))
    s = model.State(*(data.draw(st.floats(-1.0, 1.0)) for _ in model.State._fields))
    once = model.advance(s, model.exact(NUMPY, a + b, p), p)
    twice = model.advance(model.advance(s, model.exact(NUMPY, a, p), p), model.exact(NUMPY, b, p), p)
    np.testing.assert_allclose(once, twice, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("model", [LIF, LI, LIFDelta, IAF], ids=str)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_euler_is_the_exact_flow_of_other_constants(model, data):
    p = model.Params()._replace(**{name: data.draw(st.floats(1.0, 30.0)) for name in model.positive})
    dt, steps = data.draw(st.floats(0.05, 0.9)), data.draw(st.integers(1, 60))
    s = walk = model.State(*(data.draw(st.floats(-1.0, 1.0)) for _ in model.State._fields))
    for _ in range(steps):
        walk = model.advance(walk, model.euler(NUMPY, dt, p), p)
    flow = model.euler_flow(NUMPY, dt, p)
    np.testing.assert_allclose(model.advance(s, model.exact(NUMPY, steps * dt, flow), flow), walk, rtol=1e-9, atol=1e-12)


@given(
    v=st.floats(-1.0, 1.0), i=st.floats(-3.0, 3.0), tau_mem=st.floats(1.0, 30.0), ratio=st.sampled_from([0.2, 1.0, 1.0 + 1e-9, 3.0])
)
@example(v=-0.5, i=5e-324, tau_mem=10.0, ratio=0.2)
@example(v=-0.5, i=-5e-324, tau_mem=10.0, ratio=1.0)
@settings(max_examples=200, deadline=None)
def test_turning_time_is_where_the_voltage_turns(v, i, tau_mem, ratio):
    p = LIF.Params(tau_mem=tau_mem, tau_syn=tau_mem * ratio)
    with np.errstate(over="ignore", invalid="ignore"):  # a current of 1e-310 turns the voltage after more than 1e308 ms: inf
        t = LIF.turning_time(NUMPY, LIF.State(v, i), p)

    def slope(time):
        s = LIF.State(v, i) if time == 0 else LIF.advance(LIF.State(v, i), LIF.exact(NUMPY, time, p), p)
        return -s.v + p.r_mem * s.i

    if math.isfinite(t):
        scale = (abs(v) + abs(i) + 1e-9) * math.exp(-t / (tau_mem * max(ratio, 1.0)))
        assert abs(slope(t)) < 1e-6 * scale + 1e-14  # advance adds an increment to v: rounding is relative to v, not to the result
        if 1e-6 < t < 50 * tau_mem:
            assert slope(0.5 * t) * slope(2.0 * t) <= 1e-9
    else:
        signs = {
            np.sign(slope(time)) for time in np.linspace(0.0, 20 * tau_mem, 200) if abs(slope(time)) > 1e-9 * (abs(v) + abs(i))
        }
        assert len(signs) <= 1


@pytest.mark.parametrize("port", ["default", "all"])
@pytest.mark.parametrize("model", [model for model in MODELS if len(model.ports) > 1], ids=str)
def test_every_port_in_numba(model, port):
    """All ports at once, those that ask for ops too: the bits of NumPy, and float32 stays float32."""
    ports = model.default_port if port == "default" else tuple(model.ports)
    p64 = awkward_params(model)
    k, p = typed(model.euler(NUMPY, DT, p64), np.float32), typed(p64, np.float32)
    s = model.State(*(np.float32(0.3) for _ in model.State._fields))
    x = tuple(np.float32(w) for w in (-0.7, 0.4, 0.9, 0.2)[: len(ports)])
    step = bind_step(model, scalar_ops(np.dtype(np.float32)), ports=ports, jit=jit)
    found, _ = step(s, x, k, p)
    wanted, _ = bind_step(model, NUMPY, ports=ports)(s, x, k, p)
    tolerance = 1e-6 if model in WITH_EXP else 0.0
    np.testing.assert_allclose(np.array(found, np.float32), np.array(wanted), rtol=tolerance, atol=0.0)
    assert {str(t) for t in step.nopython_signatures[0].return_type[0]} == {"float32"}


def test_a_model_without_an_exact_flow_refuses_it():
    for model in (Izhikevich, CobaLIF):
        assert model().method == "euler"
        with pytest.raises(ModelError, match=f"{model.name}: it has no method 'exact'; use 'euler'"):
            model(method="exact")


def test_reset_is_an_exact_select():
    s, p = LIF.State(np.float32(0.1), np.float32(3.3)), typed(LIF.Params(v_reset=-0.7), np.float32)
    assert LIF.reset(s, np.float32(0.0), p) == s
    assert LIF.reset(s, np.float32(1.0), p).v == np.float32(-0.7)


@pytest.mark.parametrize("model", [LIFSubtract, LIFBoxSubtract, IAFSubtract], ids=str)
def test_a_soft_reset_takes_the_threshold_off(model):
    s, p = model.State(*(np.float64(1.75) for _ in model.State._fields)), model.Params()._replace(v_th=0.5, v_reset=-9.0)
    assert model.reset(s, np.float64(0.0), p) == s
    assert model.reset(s, np.float64(1.0), p) == s._replace(v=1.25)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"tau_mem": 0.0}, "tau_mem"),
        ({"tau_syn": -1.0}, "tau_syn"),
        ({"v_th": math.nan}, "v_th"),
        ({"v_leak": "high"}, "v_leak"),
        ({"v_rest": 0.0}, "v_rest"),
        ({"v_th": np.zeros((2, 2))}, "v_th"),
        ({"refractory": -1.0}, "refractory"),
        ({"refractory": 1.0, "hold": ("g",)}, "'g'"),
        ({"method": "rk4"}, "rk4"),
        ({"order": ("fire", "advance", "receive", "reset")}, "order"),
    ],
)
def test_wrong_parameters_are_refused_by_name(params, named):
    with pytest.raises(ModelError, match=named):
        LIF(**params)
