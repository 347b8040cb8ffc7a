"""A neuron written outside the package: one file of plain functions, and it runs in every way that a built-in one does."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from eventsim import AFTER_RESET, LIF, FixedOutDegree, Model, Network, Population, Projection, Simulation, Spikes, SpikeSource
from eventsim.errors import ModelError
from eventsim.models.model import bind_refractory_step, bind_step
from eventsim.ops import NUMPY

DT = 0.5
STEPS = 900
SIZE = 2500  # more than what is always swept under update="auto"


class QIFState(NamedTuple):
    v: Any
    i: Any


class QIFParams(NamedTuple):
    tau: Any = 10.0
    tau_syn: Any = 4.0
    v_rest: Any = 0.0
    v_crit: Any = 1.0
    v_peak: Any = 6.0
    v_reset: Any = -0.5


class QIFPropagator(NamedTuple):
    v: Any
    i: Any


def qif_flow(ops, dt, p):
    return QIFPropagator(dt / p.tau, -(dt / p.tau_syn))


def qif_advance(s, k, p):
    return QIFState(s.v + k.v * ((s.v - p.v_rest) * (s.v - p.v_crit) + s.i), s.i + k.i * s.i)


def qif_receive(s, w, p):
    return QIFState(s.v, s.i + w)


def qif_margin(s, p):
    return s.v - p.v_peak


def qif_reset(s, z, p):
    return QIFState(s.v - z * s.v + z * p.v_reset, s.i)


def qif_initial(p):
    return QIFState(p.v_rest, 0.0 * p.v_rest)


# Quadratic integrate-and-fire by forward Euler: tau dv/dt = (v - v_rest) (v - v_crit) + i, tau_syn di/dt = -i. Not predictable.
QIF_MODEL = Model(
    name="QIF",
    State=QIFState,
    Params=QIFParams,
    Propagator=QIFPropagator,
    exact=qif_flow,  # there is no exact flow in closed form: both methods are Euler's
    euler=qif_flow,
    advance=qif_advance,
    ports={"i": qif_receive},
    margin=qif_margin,
    reset=qif_reset,
    initial=qif_initial,
    positive=("tau", "tau_syn"),
)


class State(NamedTuple):
    v: Any
    w: Any


class Params(NamedTuple):
    tau_mem: Any = 15.0
    tau_w: Any = 60.0
    v_leak: Any = 0.0
    v_th: Any = 1.0
    v_reset: Any = 0.0
    jump: Any = 0.6


class Propagator(NamedTuple):
    v: Any
    r: Any
    w: Any


def exact(ops, dt, p):
    x, y = dt / p.tau_mem, dt / p.tau_w
    r = ops.exp(-ops.minimum(x, y)) * ops.phi(ops.absolute(x - y)) / ops.phi(x)
    return Propagator(-ops.expm1(-x), r, ops.expm1(-y))


def euler(ops, dt, p):
    return Propagator(dt / p.tau_mem, 0.0 * dt / p.tau_mem + 1.0, -(dt / p.tau_w))


def advance(s, k, p):
    return State(s.v + k.v * ((p.v_leak - s.v) - k.r * s.w), s.w + k.w * s.w)


def kick(s, w, p):
    return State(s.v + w, s.w)


def advance_with_ops(ops, s, k, p):
    v = ops.relu(s.v) - ops.relu(-s.v)  # s.v itself
    return State(s.v + k.v * ((p.v_leak - v) - k.r * s.w), s.w + k.w * s.w)


def kick_with_ops(ops, s, w, p):
    return State(s.v + (ops.relu(w) - ops.relu(-w)), s.w)


def margin(s, p):
    return s.v - p.v_th


def reset(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset, s.w + z * p.jump)


def weaker_reset(s, z, p):
    return State(s.v - z * s.v + z * p.v_reset, s.w - z * p.jump)


def inject(p, current):
    return p._replace(v_leak=p.v_leak + current)


def initial(p):
    return State(p.v_leak, 0.0 * p.v_leak)


def turning_time(ops, s, p):
    """That of a LIF whose synaptic current is -w."""
    still = s.w == 0.0
    q = p.tau_w + p.tau_w * (s.v - p.v_leak) / ops.select(still, 1.0, s.w)
    x = q / p.tau_mem - q / p.tau_w
    turns = (q > 0.0) & (x > -1.0) & (s.w != 0.0)
    return ops.select(turns, q * ops.log1p_over(ops.select(turns, x, 0.0)), math.inf)


ADAPTING = Model(
    name="ALIF",
    State=State,
    Params=Params,
    Propagator=Propagator,
    exact=exact,
    euler=euler,
    advance=advance,
    ports={"v": kick},
    margin=margin,
    reset=reset,
    inject=inject,
    initial=initial,
    turning_time=turning_time,
    positive=("tau_mem", "tau_w"),
)

MASKED = np.linspace(0.9, 1.3, SIZE)
NEURONS = {
    "not predictable": (QIF_MODEL(), 3.0),
    "predictable": (ADAPTING(v_leak=1.02), 0.5),
    "predictable, each its own, refractory": (ADAPTING(v_leak=MASKED, refractory=1.5, order=AFTER_RESET), 0.5),
    "not predictable, each its own, refractory": (QIF_MODEL(v_reset=-MASKED, refractory=2.0, hold=("v", "i")), 3.0),
}


def given():
    """A burst in a quiet stretch, so that "auto" has reason to change."""
    rng = np.random.default_rng(1)
    rows = np.zeros((STEPS, 40), np.uint8)
    rows[rng.integers(0, STEPS, 8), rng.integers(0, 40, 8)] = 1
    rows[200:400] = rng.random((200, 40)) < 0.1
    return rows


def synapses():
    rng = np.random.default_rng(2)
    return rng.uniform(0.2, 1.0, (40, SIZE)) * (rng.random((40, SIZE)) < 0.05)


def simulate(neuron, strength, update="dense", **how):
    network = Network(
        [Population("s", 40, SpikeSource()), Population("n", SIZE, neuron)],
        [
            Projection("s", "n", strength * synapses(), delay=2.0),
            Projection("n", "n", FixedOutDegree(2), weight=-0.1, delay=3.0),
        ],
    )
    simulation = Simulation(network, DT, dtype="float64", update=update, record=[Spikes("n")], spikes={"s": given()}, **how)
    spikes = simulation.run(STEPS * DT).spikes["n"]
    return np.stack([np.rint(spikes.times / DT), spikes.neurons], 1), simulation


@pytest.mark.parametrize("kind", NEURONS)
def test_every_update_gives_the_same_spikes(kind):
    neuron, strength = NEURONS[kind]
    dense, simulation = simulate(neuron, strength)
    assert len(np.unique(dense[:, 1])) > SIZE // 4
    for how in ({"update": "sparse"}, {"update": "auto"}, {"update": "sparse", "workers": 2}, {"workers": 2}):
        spikes, other = simulate(neuron, strength, **how)
        assert np.array_equal(dense, spikes), how
        for field in neuron.model.State._fields:
            np.testing.assert_allclose(other.state("n", field), simulation.state("n", field), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", NEURONS)
def test_numpy_gives_the_same_bits(kind):
    """The very functions on arrays, without synapses among the neurons."""
    neuron, strength = NEURONS[kind]
    model, p = neuron.model, neuron.params
    rng = np.random.default_rng(3)
    received = strength * rng.uniform(0.0, 1.0, (300, SIZE)) * (rng.random((300, SIZE)) < 0.05)
    simulation = Simulation(
        Network([Population("n", SIZE, neuron)]),
        DT,
        dtype="float64",
        update="dense",
        record=[Spikes("n")],
        increments={"n": received},
    )
    spikes = simulation.run(300 * DT).spikes["n"]
    k = model.exact(NUMPY, DT, p)
    s = model.State(*(np.broadcast_to(v, SIZE).astype(float) for v in model.initial(p)))
    rho, period, fired = np.zeros(SIZE), np.rint(neuron.refractory / DT), []
    plain, held = bind_step(model, NUMPY, neuron.order), bind_refractory_step(model, NUMPY, neuron.order, hold=neuron.hold)
    for x in received:
        if neuron.holds:
            s, rho, z = held(s, rho, (x,), k, p, period)
        else:
            s, z = plain(s, (x,), k, p)
        fired.append(z > 0)
    assert np.array_equal(np.argwhere(fired), np.stack([np.rint(spikes.times / DT) - 1, spikes.neurons], 1))
    assert len(spikes.times) > 300
    for field in model.State._fields:
        assert np.array_equal(simulation.state("n", field), getattr(s, field))


def test_predictable_neurons_sleep_between_spikes_and_others_at_rest():
    """An isolated neuron of each kind: what it costs."""
    for neuron, most in ((ADAPTING(v_leak=1.3), 400), (QIF_MODEL(tau=2.0), 3000)):  # the latter once v is too small to shrink
        network = Network([Population("n", 1, neuron, initial={"v": 0.5})])
        how = {"dtype": "float64", "record": [Spikes("n")]}
        dense, sparse = (Simulation(network, DT, update=update, **how) for update in ("dense", "sparse"))
        a, b = dense.run(5000.0).spikes["n"], sparse.run(5000.0).spikes["n"]
        assert np.array_equal(a.times, b.times)
        assert sparse.counters.updates < most < dense.counters.updates
        assert (len(a.times) > 50) == (neuron.model is ADAPTING)


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_functions_that_ask_for_ops_make_the_same_neuron(update):
    """Everywhere: in kernels, in jumps and predictions, where coefficients are made, and in the bound on the margin."""
    plain = replace(ADAPTING, name="ALIFPlain", linear=True)
    asking = replace(plain, name="ALIFOps", advance=advance_with_ops, ports={"v": kick_with_ops})
    (wanted, one), (found, other) = (simulate(model(v_leak=1.02, refractory=1.0), 0.5, update) for model in (plain, asking))
    assert np.array_equal(wanted, found) and len(wanted) > SIZE
    assert one.counters.updates == other.counters.updates
    assert all(np.array_equal(one.state("n", field), other.state("n", field)) for field in State._fields)


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_another_function_is_another_neuron(update):
    """Two models that differ in one function only, and models that go by a built-in name: nothing compiled for one serves another."""
    strength = 0.5
    one, _ = simulate(ADAPTING(), strength, update)
    other, _ = simulate(replace(ADAPTING, reset=weaker_reset)(), strength, update)
    assert len(other) > 1.2 * len(one) > 0  # adaptation with the sign turned: excitation
    again, _ = simulate(ADAPTING(), strength, update)
    assert np.array_equal(one, again)


LIFState = LIF.State


def reset_all(s, z, p):
    return LIFState(s.v - z * s.v + z * p.v_reset, s.i - z * s.i)


def test_the_name_of_a_built_in_neuron_is_not_taken_for_it():
    original, _ = simulate(LIF(), 5.0)
    imitation, _ = simulate(replace(LIF, reset=reset_all)(), 5.0)
    assert len(original) > len(imitation) > 0


def test_a_function_that_numba_cannot_compile_is_refused_by_name():
    def through_the_model(s, k, p):
        return LIF.State(s.v, s.i)

    model = replace(LIF, name="Unfit", advance=through_the_model)
    with pytest.raises(ModelError, match="Unfit: Numba cannot compile"):
        Simulation(Network([Population("n", 2, model())]))
