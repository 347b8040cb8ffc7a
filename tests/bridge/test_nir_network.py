"""network_from_nir: the exact solutions of NIR's equations, step by step in high precision; delays, cycles, and the layers' steps."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

nir = pytest.importorskip("nir")

from bridge.nir_graphs import DT, between, draw, euler, neuron, run  # noqa: E402
from bridge.test_nir import branches, cycle  # noqa: E402

import norse_bridge as nb  # noqa: E402
from eventsim import Simulation, Spikes, States  # noqa: E402
from eventsim.errors import ModelError, NetworkError  # noqa: E402

STEPS = 1000


def spike_trains(seed, inputs, rate=0.3, steps=STEPS):
    return (np.random.default_rng(seed).random((steps, inputs)) < rate).astype(np.uint8)


def simulated(graph, spikes, name, method="exact", soft=False, update="auto", voltage=False):
    """Spikes (steps, neurons) of 0 and 1 of a population, or its voltage, for spikes (steps, inputs) of the input."""
    network = nb.network_from_nir(graph, method=method, reset_method=nb.reset_subtract if soft else nb.reset_value)
    record = [States(name, ("v",), interval=1.0)] if voltage else [Spikes(name)]
    simulation = Simulation(network, dt=1.0, dtype="float64", update=update, record=record, spikes={"input": spikes})
    recording = simulation.run(float(len(spikes)))
    if voltage:
        return np.asarray(recording.states[name].values["v"]).reshape(len(spikes), -1)
    found = np.zeros((len(spikes), network.population(name).size))
    data = recording.spikes[name]
    found[np.rint(np.asarray(data.times)).astype(int) - 1, np.asarray(data.neurons)] = 1.0
    return found


def equations(kind, q):
    """d/dt of (v, I, u, 1) as a matrix, for an input u that stays: NIR's equations."""
    rows = mpmath.zeros(4)
    if kind in ("I", "IF"):
        rows[0, 2] = q["r"]
        return rows
    tau = q.get("tau", q.get("tau_mem"))
    rows[0, 0], rows[0, 3] = -1 / tau, q["v_leak"] / tau
    if kind in ("LI", "LIF"):
        rows[0, 2] = q["r"] / tau
    else:
        rows[0, 1], rows[1, 1], rows[1, 2] = q["r"] / tau, -1 / q["tau_syn"], q["w_in"] / q["tau_syn"]
    return rows


def exact(node, xs, soft=False):
    """The output of a node of neurons for input (steps, neurons) that is constant within each step of DT: NIR's equations solved by
    the exponential of their matrix, with 40 digits; threshold and reset at the ends of the steps."""
    fields = {name: value for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    out = np.zeros(xs.shape)
    with mpmath.workdps(40):
        for n in range(xs.shape[1]):
            q = {name: mpmath.mpf(float(value[n])) for name, value in fields.items()}
            step = mpmath.expm(equations(type(node).__name__, q) * mpmath.mpf(DT), method="taylor")
            state = mpmath.matrix([q.get("v_leak", q.get("v_reset", 0)), 0, 0, 1])
            for t, x in enumerate(xs[:, n]):
                state[2] = mpmath.mpf(float(x))
                state = step * state
                fired = "v_threshold" in q and state[0] > q["v_threshold"]
                out[t, n] = float(fired) if "v_threshold" in q else float(state[0])
                if fired:
                    state[0] = state[0] - q["v_threshold"] if soft else q["v_reset"]
    return out


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_a_spiking_node_fires_at_the_steps_of_its_exact_solution(kind, soft):
    node, weight = neuron(kind, (4,), seed=11), draw(12, (4, 6), -0.5, 1.5)
    spikes = spike_trains(13, 6)
    wanted = exact(node, spikes @ weight.T, soft)
    assert 200 < wanted.sum() < 3500
    graph = between(nir.Linear(weight), node, shape=(6,))
    for update in ("dense", "sparse"):
        assert np.array_equal(simulated(graph, spikes, "n1", soft=soft, update=update), wanted)
    forward_euler = euler(node, spikes @ weight.T, soft)
    if kind != "IF":
        assert np.any(forward_euler != wanted)  # the two methods can be told apart


@pytest.mark.parametrize("kind", ["LI", "CubaLI", "I"])
def test_the_voltage_of_a_readout_is_its_exact_solution(kind):
    node, weight, bias = neuron(kind, (3,), seed=11), draw(12, (3, 6), -0.5, 1.5), draw(14, (3,), -1.0, 1.0)
    spikes = spike_trains(13, 6, steps=100)
    got = simulated(between(nir.Affine(weight, bias), node, shape=(6,)), spikes, "n1", voltage=True)
    np.testing.assert_allclose(got, exact(node, spikes @ weight.T + bias), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("ratio", [1.0, 1.0 + 1e-9, 1e-3, 50.0])
def test_cuba_at_any_ratio_of_its_time_constants(ratio):
    one = np.ones(2)
    node = nir.CubaLI(0.01 * ratio * one, 0.01 * one, 2.0 * one, 0.1 * one, w_in=3.0 * one)
    spikes = spike_trains(3, 2, steps=60)
    got = simulated(between(nir.Scale(np.array([0.5, -2.0])), node, shape=(2,)), spikes, "n1", voltage=True)
    np.testing.assert_allclose(got, exact(node, spikes * np.array([0.5, -2.0])), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_in_euler_the_network_fires_as_the_layers_do(kind, soft):
    node, weight = neuron(kind, (4,), seed=11), draw(12, (4, 6), -0.5, 1.5)
    spikes = spike_trains(13, 6, steps=400)
    got = simulated(between(nir.Linear(weight), node, shape=(6,)), spikes, "n1", method="euler", soft=soft)
    assert np.array_equal(got, euler(node, spikes @ weight.T, soft)) and got.sum() > 100


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def shape_of(graph):
    """The shape of what enters a graph."""
    return tuple(graph.nodes["input"].input_type["input"])


def assert_as_layers(graph, spikes, name, wanted_spikes=20):
    """In forward Euler a population fires as the Output of `from_nir`'s layers, for graphs whose Output hears this population."""
    module = nb.from_nir(graph)
    x = torch.tensor(spikes, dtype=torch.float64).reshape(len(spikes), 1, *shape_of(graph))
    wanted = run(module, x).reshape(len(spikes), -1).numpy()
    assert wanted.sum() > wanted_spikes
    assert np.array_equal(simulated(graph, spikes, name, method="euler"), wanted)


def test_a_network_of_all_linear_nodes(double):
    shape = (2, 6, 5)
    nodes = [
        nir.Scale(draw(1, shape, 0.5, 3.0)),
        nir.Conv2d(None, draw(2, (4, 1, 3, 2), -0.5, 1.5), (1, 2), (1, 0), 1, 2, draw(3, (4,), -0.1, 0.1)),
        neuron("CubaLIF", (4, 6, 2)),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([0, 1])),
        nir.AvgPool2d(np.array([2, 1]), np.array([1, 1]), np.array([0, 0])),
        nir.Flatten({"input": None}, 1, 2),
        nir.Conv1d(None, draw(4, (3, 4, 2), -0.2, 1.0), 2, 1, 1, 1, draw(5, (3,), -0.1, 0.1)),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(draw(6, (5, 12), -0.2, 0.5), draw(7, (5,), -0.1, 0.1)),
        nir.Threshold(draw(8, (5,), 0.5, 1.0)),
        nir.Linear(draw(9, (3, 5), 0.0, 1.0)),
        neuron("LIF", (3,)),
    ]
    graph = between(*nodes, shape=shape)
    network = nb.network_from_nir(graph)
    assert [p.name for p in network.populations] == ["input", "n2", "n9", "n11"]
    assert_as_layers(graph, spike_trains(1, 60), "n11")


def test_a_cycle_and_delays_in_it(double):
    spikes = spike_trains(1, 6)
    weight = nir.Linear(draw(2, (5, 5), -2.0, 2.0))
    assert_as_layers(cycle({"w_rec": weight}), spikes, "lif")
    delay = nir.Delay(np.array([0.001, 0.003, 0.002, 0.007, 0.001]))
    graph = cycle({"delay": delay, "w_rec": weight, "again": nir.Delay(np.array([0.0, 0.001, 0.0, 0.002, 0.0]))})
    assert_as_layers(graph, spikes, "lif")
    (loop,) = (p for p in nb.network_from_nir(graph, method="euler").projections if p.source == "lif")
    assert (loop.delay.minimum, loop.delay.maximum) == (1.0, 9.0)
    assert_as_layers(between(cycle({"delay": delay, "w_rec": weight}), shape=(6,)), spikes, "n0.lif")


def test_branches_and_graphs_in_graphs(double):
    inner = between(nir.Linear(draw(2, (4, 3), 0.0, 2.0)), neuron("CubaLIF", (4,)), shape=(3,))
    graph = branches(inner)
    graph.edges.remove(("a", "output"))
    network = nb.network_from_nir(graph)
    assert [p.name for p in network.populations] == ["input", "b.n1", "lif"]
    assert_as_layers(graph, spike_trains(1, 3, 0.5), "lif")


def test_a_bias_behind_a_delay_arrives_later(double):
    delay = np.array([0.0, 0.003, 0.05])
    graph = between(
        nir.Affine(draw(1, (3, 4), 0.0, 1.0), np.array([1.0, 1.5, 2.0])), nir.Delay(delay), neuron("LIF", (3,)), shape=(4,)
    )
    spikes = spike_trains(1, 4, 0.1)
    assert_as_layers(graph, spikes, "n2")
    first = simulated(graph, np.zeros_like(spikes), "n2", method="euler").argmax(axis=0)
    assert 50 < first[2] < 60 and first[0] + 3 <= first[1] + 3


@st.composite
def graphs(draw_value):
    """Any graph of nodes of three features, each of which something leads to: neurons, linear maps, delays, cycles."""
    seed = draw_value(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    makers = [
        lambda: neuron("LIF", (3,), seed % 1000),
        lambda: neuron("CubaLIF", (3,), seed % 1000),
        lambda: nir.Affine(rng.uniform(-1.0, 2.0, (3, 3)), rng.uniform(0.0, 0.3, 3)),
        lambda: nir.Scale(rng.uniform(0.5, 2.0, 3)),
        lambda: nir.Delay(rng.integers(0, 4, 3) * DT),
        lambda: nir.Delay(rng.integers(1, 4, 3) * DT),
    ]
    count = draw_value(st.integers(2, 7))
    nodes = {f"n{i}": draw_value(st.sampled_from(makers if i else makers[:2]))() for i in range(count)}
    edges = [("input", "n0")]
    edges += [(draw_value(st.sampled_from(["input", *[f"n{j}" for j in range(i)]])), f"n{i}") for i in range(1, count)]
    more = st.tuples(st.sampled_from(["input", *nodes]), st.sampled_from(list(nodes)))
    edges += [edge for edge in dict.fromkeys(draw_value(st.lists(more, max_size=6))) if edge not in edges]
    spiking = [name for name, node in nodes.items() if type(node).__name__ in ("LIF", "CubaLIF")]
    ends = {"input": nir.Input(np.array([3]))} | {f"out {name}": nir.Output(np.array([3])) for name in spiking}
    edges += [(name, f"out {name}") for name in spiking]
    return nir.NIRGraph(ends | nodes, edges, type_check=False), spiking


@given(graphs())
@settings(deadline=None, max_examples=200, derandomize=True)
def test_any_graph_fires_in_layers_as_in_the_network(case):
    graph, spiking = case
    torch.set_default_dtype(torch.float64)
    try:
        module = nb.from_nir(graph)
    except NetworkError as error:
        with pytest.raises(NetworkError, match="closes a cycle without a neuron"):
            nb.network_from_nir(graph)
        assert "closes a cycle" in str(error)
        return
    finally:
        torch.set_default_dtype(torch.float32)
    try:
        network = nb.network_from_nir(graph, method="euler")
    except NetworkError as error:
        assert "closes a cycle without a neuron" in str(error)  # a cycle of Delays alone: an echo without end
        return
    spikes = spike_trains(1, 3, 0.4, 40)
    simulation = Simulation(network, dt=1.0, dtype="float64", record=[Spikes(n) for n in spiking], spikes={"input": spikes})
    recording = simulation.run(40.0)
    state = None
    for t, row in enumerate(torch.tensor(spikes, dtype=torch.float64)):
        out, state = module(row[None], state)
        for name in spiking:
            z = out[f"out {name}"] if len(spiking) > 1 else out
            data = recording.spikes[name]
            fired = np.asarray(data.neurons)[np.rint(np.asarray(data.times)) == t + 1]
            assert np.array_equal(np.flatnonzero(z[0].detach().numpy()), np.sort(fired)), (name, t)


def test_threshold_is_a_neuron_without_memory():
    graph = between(nir.Linear(np.array([[1.0, 1.0, 1.0]])), nir.Threshold(np.array([1.0])), shape=(3,))
    spikes = spike_trains(1, 3)
    assert np.array_equal(simulated(graph, spikes, "n1")[:, 0], (spikes.sum(axis=1) > 1).astype(float))


def test_parameters_are_numbers_where_they_are_equal():
    one = np.ones(3)
    neuron_of = (
        nb.network_from_nir(between(nir.LIF(0.01 * one, one, 0 * one, one, np.arange(3.0)), shape=(3,))).population("n0").neuron
    )
    assert neuron_of.params.tau_mem == 10.0 and neuron_of.params.v_reset.tolist() == [0.0, 1.0, 2.0]


def test_what_no_network_can_be():
    li, lif, one = neuron("LI"), neuron("LIF"), np.ones(5)
    cases = {
        r"node 'n0' \(LI\) sends a voltage to 'n1'": between(li, lif),
        "'n1'.* is in front of the Output": between(lif, nir.Scale(one)),
        "no neuron": between(nir.Scale(one)),
        r"sends a voltage to 'n1'": between(between(li), nir.Scale(one)),
        "not of one LIF": lif,
        "its input": between(nir.Linear(np.ones((3, 5))), lif),
    }
    for why, graph in cases.items():
        with pytest.raises((ModelError, NetworkError), match=why):
            nb.network_from_nir(graph)
    echo = between(nir.Scale(one), lif)
    echo.nodes["echo"] = nir.Delay(0.002 * one)
    echo.edges += [("n0", "echo"), ("echo", "n0")]
    with pytest.raises(NetworkError, match="closes a cycle without a neuron"):
        nb.network_from_nir(echo)
    assert nb.from_nir(echo).registers == ("echo",)
    through = between(shape=(5,))
    through.nodes["output"] = nir.Output(np.array([5]))
    loop = between(through, lif)
    loop.edges.append(("n0", "n0"))
    with pytest.raises(NetworkError, match="closes a cycle without a neuron"):
        nb.network_from_nir(loop)
    with pytest.warns(UserWarning, match="5 of 5 delays are no multiples of dt"):
        nb.network_from_nir(between(nir.Delay(0.0014 * one), lif))
    with pytest.raises(ModelError, match="method must be"):
        nb.network_from_nir(between(lif), method="rk4")
    with pytest.raises(ModelError, match="dt must be"):
        nb.network_from_nir(between(lif), dt=-1.0)


def test_nodes_of_graphs_in_a_graph_keep_apart():
    """input -> s, a graph with the node "w" -> "s.w" -> output: both fire."""
    lif = nir.LIF(0.01 * np.ones(2), 20.0 * np.ones(2), np.zeros(2), np.ones(2))
    inner = nir.NIRGraph(
        {"in": nir.Input(np.array([2])), "w": lif, "out": nir.Output(np.array([2]))}, [("in", "w"), ("w", "out")], type_check=False
    )
    nodes = {"input": nir.Input(np.array([2])), "s": inner, "s.w": lif, "output": nir.Output(np.array([2]))}
    edges = [("input", "s"), ("s", "s.w"), ("s.w", "output")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    network = nb.network_from_nir(graph)
    assert [p.name for p in network.populations] == ["input", "s.w_", "s.w"]
    spikes = spike_trains(1, 2, steps=50)
    first = simulated(graph, spikes, "s.w_")
    assert first.sum() > 10 and np.array_equal(first, simulated(between(lif, shape=(2,)), spikes, "n0"))
    last = simulated(graph, spikes, "s.w")
    two = between(lif, lif, shape=(2,))
    assert last.sum() > 10 and np.array_equal(last, simulated(two, spikes, "n1"))
    deep = nir.NIRGraph(dict(nodes), edges, type_check=False)
    deep.nodes["s"] = nir.NIRGraph({**inner.nodes, "w": inner}, inner.edges, type_check=False)
    deep.nodes["s.w"] = inner
    assert {"s.w.w", "s.w.w_"} <= {p.name for p in nb.network_from_nir(deep).populations}
