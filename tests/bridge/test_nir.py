"""NIR and layers: every node in forward Euler, every layer through a file and back, graphs with cycles and graphs in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

nir = pytest.importorskip("nir")

from bridge.nir_graphs import DT, between, draw, euler, neuron, run  # noqa: E402

import norse_bridge as nb  # noqa: E402
from eventsim.errors import ModelError, NetworkError  # noqa: E402
from norse_bridge.nir.graph import GraphState  # noqa: E402
from norse_bridge.nir.modules import IAFSubtractCell, IntegratorCell, IntegratorParameters, ScaledInput, Threshold  # noqa: E402

NEURONS = ("CubaLI", "CubaLIF", "I", "IF", "LI", "LIF")
SPIKING = ("CubaLIF", "IF", "LIF")


@pytest.fixture
def double():
    """Layers in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def through_file(graph, tmp_path):
    """The graph that was written and read again."""
    path = tmp_path / "graph.nir"
    nir.write(path, graph)
    return nb.load_nir(path)


def windows():
    """Nodes with windows, with the shape of their input and what torch makes of it."""
    w2, w1 = draw(1, (4, 1, 3, 2), -1, 1), draw(2, (4, 3, 3), -1, 1)
    b = draw(3, (4,), -1, 1)
    f = torch.nn.functional

    def t(a):
        return torch.tensor(a, dtype=torch.float32)

    return {
        "Conv2d": (
            nir.Conv2d((6, 7), w2, (2, 1), (1, 0), (1, 2), 2, b),
            (2, 6, 7),
            lambda x: f.conv2d(x, t(w2), t(b), (2, 1), (1, 0), (1, 2), 2),
        ),
        "Conv2d same": (
            nir.Conv2d((6, 7), w2[:, :, :, :1], 1, "same", 1, 2, b),
            (2, 6, 7),
            lambda x: f.conv2d(x, t(w2[:, :, :, :1]), t(b), 1, "same", 1, 2),
        ),
        "Conv1d": (nir.Conv1d(8, w1, 2, 1, 2, 1, b), (3, 8), lambda x: f.conv1d(x, t(w1), t(b), 2, 1, 2)),
        "SumPool2d": (
            nir.SumPool2d(np.array([3, 2]), np.array([2, 2]), np.array([1, 0])),
            (2, 6, 7),
            lambda x: 6 * f.avg_pool2d(x, (3, 2), 2, (1, 0)),
        ),
        "AvgPool2d": (
            nir.AvgPool2d(np.array([3, 2]), np.array([2, 2]), np.array([1, 0])),
            (2, 6, 7),
            lambda x: f.avg_pool2d(x, (3, 2), 2, (1, 0)),
        ),
        "Flatten": (nir.Flatten({"input": np.array([2, 3, 4])}, 1, 2), (2, 3, 4), lambda x: x.flatten(2, 3)),
        "Flatten all": (nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1), (2, 3, 4), lambda x: x.flatten(1)),
    }


def pointwise():
    """Nodes without time or window, with the shape of their input and what they do."""
    w, b, s = draw(1, (4, 5), -1, 1), draw(2, (4,), -1, 1), draw(3, (5,), -1, 1)

    def t(a):
        return torch.tensor(a, dtype=torch.float32)

    return {
        "Affine": (nir.Affine(w, b), (5,), lambda x: x @ t(w).T + t(b)),
        "Linear": (nir.Linear(w), (5,), lambda x: x @ t(w).T),
        "Scale": (nir.Scale(s), (5,), lambda x: t(s) * x),
        "Threshold": (nir.Threshold(s), (5,), lambda x: (x > t(s)).float()),
        "Input": (nir.Input(np.array([5])), (5,), lambda x: x),
        "Output": (nir.Output(np.array([5])), (5,), lambda x: x),
    }


STILL = windows() | pointwise()


@pytest.mark.parametrize("name", STILL)
def test_a_node_without_time_does_what_torch_does(name, tmp_path):
    node, shape, wanted = STILL[name]
    x = torch.randn(3, *shape)
    module = nb.from_nir(node)
    torch.testing.assert_close(module(x), wanted(x), rtol=1e-5, atol=1e-6)
    if type(node).__name__ not in ("Input", "Output"):
        again = nb.from_nir(through_file(nb.to_nir(module, x), tmp_path))
        assert torch.equal(run(again, x[None])[0], module(x))


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("kind", NEURONS)
def test_a_neuron_takes_the_euler_steps_of_its_equation(kind, soft, double):
    node = neuron(kind)
    x = draw(9, (400, 5), 0.0, 2.0)
    module = nb.from_nir(node, reset_method=nb.reset_subtract if soft else nb.reset_value)
    got = run(module, torch.tensor(x)[:, None])[:, 0].numpy()
    wanted = euler(node, x, soft)
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
    if kind in SPIKING:
        assert 100 < wanted.sum() < 1900


@pytest.mark.parametrize("kind", NEURONS)
def test_a_neuron_comes_back_from_a_file_spike_exact(kind, tmp_path):
    module = nb.from_nir(neuron(kind, (2, 3)))
    x = torch.tensor(draw(9, (300, 2, 2, 3), 0.0, 2.0), dtype=torch.float32)
    graph = through_file(nb.to_nir(module, x[0]), tmp_path)
    assert type(graph.nodes["norse"]).__name__ == kind
    assert torch.equal(run(nb.from_nir(graph), x), run(module, x))


def test_every_node_of_nir_is_tested():
    tested = {name.split()[0] for name in STILL} | set(NEURONS) | {"Delay", "NIRGraph"}
    assert tested == {name for name in nir.ir.__all__ if name not in ("NIRNode", "str2NIRNode", "dict2NIRNode")}


def test_norse_fires_at_the_same_steps():
    traces = np.load(Path(__file__).parent.parent / "data" / "norse_nir.npz")
    x = torch.tensor(traces["x"])[:, None]
    for kind in ("CubaLIF", "LIF", "IF"):
        fields = {name.split(".")[1]: traces[name] for name in traces.files if name.startswith(kind + ".")}
        spikes = fields.pop("spikes")
        if kind == "IF":
            fields["r"] = fields["r"] / DT  # Norse drops dt
        got = run(nb.from_nir(getattr(nir, kind)(**fields)), x)[:, 0].numpy()
        assert np.array_equal(got, spikes) and spikes.sum() > 50, kind


def per_neuron():
    return nb.LIFParameters(
        tau_syn_inv=torch.tensor([137.7, 200.0, 301.3, 49.0, 211.1]),
        tau_mem_inv=torch.tensor([83.3, 49.0, 101.7, 66.6, 120.0]),
        v_leak=torch.tensor([0.0, 0.1, -0.1, 0.05, 0.0]),
        v_th=torch.tensor([0.7, 0.8, 0.9, 1.0, 0.6]),
        v_reset=torch.tensor([0.0, -0.2, 0.1, 0.3, -0.4]),
    )


def lively(model):
    """The model with weights that are not negative, so that all of it fires."""
    for name, p in model.named_parameters():
        if name.endswith("weight"):
            p.data.abs_()
    return model


def models():
    """Models, with the shape of a sample: every layer that NIR has words for."""
    box = nb.LIFBoxParameters(torch.as_tensor(83.3), torch.as_tensor(-0.1), torch.as_tensor(0.4), torch.as_tensor(-0.3))
    return {
        "LIFCell": (nb.SequentialState(torch.nn.Linear(6, 5), nb.LIFCell(per_neuron())), (6,)),
        "LIFCell alone": (nb.LIFCell(per_neuron()), (5,)),
        "LICell": (nb.SequentialState(torch.nn.Linear(6, 5), nb.LIFCell(), torch.nn.Linear(5, 4, bias=False), nb.LICell()), (6,)),
        "LIFBoxCell": (nb.SequentialState(torch.nn.Linear(6, 5), nb.LIFBoxCell(box), nb.LIBoxCell()), (6,)),
        "IAFCell": (nb.SequentialState(torch.nn.Linear(6, 5), nb.IAFCell(nb.IAFParameters(v_reset=torch.tensor(-0.3)))), (6,)),
        "LIFRecurrentCell": (nb.SequentialState(nb.LIFRecurrentCell(6, 5, per_neuron()), torch.nn.Linear(5, 3), nb.LICell()), (6,)),
        "autapses": (nb.LIFRecurrentCell(6, 5, autapses=True), (6,)),
        "LILinearCell": (nb.SequentialState(nb.LIFCell(), nb.LILinearCell(6, 3)), (6,)),
        "nested": (
            nb.SequentialState(
                torch.nn.Linear(6, 5), nb.SequentialState(nb.LIFCell(), torch.nn.Sequential(torch.nn.Linear(5, 4))), nb.LIFCell()
            ),
            (6,),
        ),
        "dropout": (
            nb.SequentialState(torch.nn.Linear(6, 5), torch.nn.Dropout(0.5), torch.nn.Identity(), nb.LIFCell()).eval(),
            (6,),
        ),
        "conv2d": (
            nb.SequentialState(
                torch.nn.Conv2d(2, 4, (3, 2), stride=2, padding=1, groups=2),
                nb.LIFCell(),
                torch.nn.AvgPool2d(2),
                torch.nn.Flatten(),
                torch.nn.Linear(16, 3),
                nb.LIFCell(),
            ),
            (2, 8, 7),
        ),
        "conv1d": (
            nb.SequentialState(torch.nn.Conv1d(2, 3, 3, dilation=2, bias=False), nb.LIFCell(), torch.nn.Flatten(1, 2)),
            (2, 9),
        ),
    }


@pytest.mark.parametrize("name", models())
def test_a_model_comes_back_from_a_file_spike_exact(name, tmp_path):
    torch.manual_seed(3)
    model, shape = models()[name]
    lively(model)
    x = 8.0 * torch.rand(300, 2, *shape)
    graph = through_file(nb.to_nir(model, x[0]), tmp_path)
    wanted, got = run(model, x), run(nb.from_nir(graph), x)
    assert torch.equal(got, wanted)
    assert wanted.abs().sum() > 20


def test_a_model_of_float64_comes_back(double, tmp_path):
    model = models()["LIFRecurrentCell"][0].double()
    x = 8.0 * torch.rand(300, 2, 6)
    graph = through_file(nb.to_nir(model), tmp_path)
    assert graph.nodes["1"].weight.dtype == np.float64
    torch.testing.assert_close(run(nb.from_nir(graph), x), run(model, x), rtol=1e-12, atol=1e-14)


def test_layers_over_time_and_lifts_become_the_same_graph_as_cells():
    linear = torch.nn.Linear(6, 5)
    cells = nb.SequentialState(linear, nb.LIFCell(), torch.nn.Flatten(), nb.LICell())
    layers = nb.SequentialState(nb.Lift(linear), nb.LIF(), nb.Lift(torch.nn.Flatten()), nb.LI())
    x = 8.0 * torch.rand(300, 2, 6)
    again = nb.Lift(nb.from_nir(nb.to_nir(layers, x)))
    assert torch.equal(again(x)[0], layers(x)[0])
    for graph in (nb.to_nir(cells), nb.to_nir(layers)):
        assert [type(node).__name__ for node in graph.nodes.values()] == [
            "Input",
            "Affine",
            "CubaLIF",
            "Flatten",
            "CubaLI",
            "Output",
        ]


def test_what_stands_in_the_nodes():
    p = nb.LIFParameters(tau_syn_inv=torch.tensor(250.0), tau_mem_inv=torch.tensor(50.0), v_th=torch.tensor(0.5))
    graph = nb.to_nir(nb.SequentialState(torch.nn.Linear(3, 2), nb.LIFCell(p, dt=0.002)))
    node = graph.nodes["1"]
    assert graph.edges == [("input", "0"), ("0", "1"), ("1", "output")]
    for field, value in {"tau_syn": 0.004, "tau_mem": 0.02, "r": 1.0, "w_in": 2.0, "v_threshold": 0.5, "v_leak": 0.0}.items():
        np.testing.assert_array_equal(getattr(node, field), [value, value])
    node = nb.to_nir(nb.IAFCell(dt=0.002), torch.zeros(1, 2)).nodes["norse"]
    np.testing.assert_array_equal(node.r, [500.0, 500.0])
    node = nb.to_nir(nb.LIBoxCell(), torch.zeros(1, 2), model_name="readout").nodes["readout"]
    np.testing.assert_array_equal(node.tau, [0.01, 0.01])


def test_times_in_another_unit():
    """Parameters in ms, with dt = 1 ms: a graph in seconds."""
    model = lively(nb.SequentialState(torch.nn.Linear(3, 2), nb.LIFCell(nb.LIFParameters.bio_default(), dt=1.0)))
    graph = nb.to_nir(model, time_scaling_factor=0.001)
    np.testing.assert_allclose(graph.nodes["1"].tau_mem, 0.01, rtol=1e-7)
    np.testing.assert_allclose(graph.nodes["1"].w_in, 2.0, rtol=1e-7)
    x = 100.0 * torch.rand(200, 2, 3)
    assert torch.equal(run(nb.from_nir(graph, dt=0.001), x), run(model, x)) and run(model, x).sum() > 0
    for factor in (0, -1.0, float("inf"), True):
        with pytest.raises(ModelError, match="time_scaling_factor"):
            nb.to_nir(model, time_scaling_factor=factor)


def test_which_cells_come_out():
    assert type(nb.from_nir(neuron("LIF"))) is ScaledInput and type(nb.from_nir(neuron("CubaLIF"))) is nb.CubaLIF
    one = np.ones(2)
    assert type(nb.from_nir(nir.LIF(0.01 * one, one, one, one))) is nb.LIFBoxCell
    assert type(nb.from_nir(nir.LI(0.01 * one, one, one))) is nb.LIBoxCell
    assert type(nb.from_nir(nir.IF(1000.0 * one, one))) is nb.IAFCell
    assert type(nb.from_nir(nir.IF(1000.0 * one, one), reset_method=nb.reset_subtract)) is IAFSubtractCell
    cuba = nir.CubaLIF(0.005 * one, 0.01 * one, one, one, one, w_in=5.0)
    assert type(nb.from_nir(cuba)) is nb.LIFCell
    assert type(nb.from_nir(cuba, dt=0.002)) is nb.CubaLIF
    assert type(nb.from_nir(cuba, reset_method=nb.reset_subtract)) is nb.CubaLIF
    assert type(nb.from_nir(nir.CubaLI(0.005 * one, 0.01 * one, 0.5 * one, one, w_in=10.0))) is nb.LICell
    assert type(nb.from_nir(nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])))) is nb.SumPool2d


def test_names_of_a_chain_that_torch_does_not_take():
    ends = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
    nodes = {"a.b": nir.Scale(np.ones(2)), "a_b": nir.Scale(2 * np.ones(2)), "forward": nir.Scale(3 * np.ones(2))}
    chain = ["in", *nodes, "out"]
    module = nb.from_nir(nir.NIRGraph(ends | nodes, list(zip(chain[:-1], chain[1:], strict=True))))
    assert list(module._modules) == ["a_b", "a_b_", "forward_"]
    assert torch.equal(module(torch.ones(1, 2))[0], 6 * torch.ones(1, 2))


def cycle(inner, size=5, inputs=6):
    """Input -> w_in -> lif -> output, with ``inner`` nodes in a row from lif back to lif."""
    weight, one = draw(1, (size, inputs), -0.5, 1.0), np.ones(size)
    lif = nir.CubaLIF(0.005 * one, 0.01 * one, one, 0 * one, one, 0 * one, 5.0)
    nodes = {
        "input": nir.Input(np.array([inputs])),
        "w_in": nir.Linear(weight),
        "lif": lif,
        **inner,
        "out": nir.Output(np.array([size])),
    }
    back = ["lif", *inner, "lif"]
    edges = [("input", "w_in"), ("w_in", "lif"), ("lif", "out"), *zip(back[:-1], back[1:], strict=True)]
    return nir.NIRGraph(nodes, edges)


def by_hand(graph, x, steps):
    """The cycle with a delay of so many steps, one for each neuron, written out: spikes (time, neurons) for x (time, inputs)."""
    w_in = torch.tensor(graph.nodes["w_in"].weight)
    w_rec = torch.tensor(graph.nodes["w_rec"].weight)
    cell, state, spikes = nb.LIFCell(), None, [torch.zeros(5)]
    for t, row in enumerate(x):
        past = torch.stack([spikes[t + 1 - s][n] if t + 1 >= s else torch.tensor(0.0) for n, s in enumerate(steps)])
        z, state = cell((w_in @ row + w_rec @ past)[None], state)
        spikes.append(z[0].detach())
    return torch.stack(spikes[1:])


def test_a_cycle_takes_one_step(double):
    graph = cycle({"w_rec": nir.Linear(draw(2, (5, 5), -2.0, 2.0))})
    x = 2.0 * torch.rand(300, 6)
    wanted = by_hand(graph, x, [1] * 5)
    module = nb.from_nir(graph)
    assert type(module) is nb.LIFRecurrentCell and module.autapses
    assert torch.equal(run(module, x[:, None])[:, 0], wanted) and wanted.sum() > 100
    graph.nodes["w_rec"] = nir.Affine(graph.nodes["w_rec"].weight, np.zeros(5))
    module = nb.from_nir(graph)
    assert type(module) is GraphState and module.late == {("w_rec", "lif")}
    assert torch.equal(run(module, x[:, None])[:, 0], wanted)


def test_a_delay_that_closes_a_cycle_is_as_long_as_it_says(double, tmp_path):
    delay = np.array([0.001, 0.003, 0.002, 0.007, 0.001])
    graph = cycle({"delay": nir.Delay(delay), "w_rec": nir.Linear(draw(2, (5, 5), -2.0, 2.0))})
    x = 2.0 * torch.rand(300, 6)
    wanted = by_hand(graph, x, [1, 3, 2, 7, 1])
    module = nb.from_nir(graph)
    assert not module.late
    assert torch.equal(run(module, x[:, None])[:, 0], wanted) and wanted.sum() > 100
    again = nb.from_nir(through_file(nb.to_nir(module), tmp_path))
    assert torch.equal(run(again, x[:, None])[:, 0], wanted)


def test_delays_of_each_feature():
    x = torch.randn(12, 2, 3)
    for delay, steps in ((np.array([0.0, 0.002, 0.005]), [0, 2, 5]), (np.array(0.003), [3, 3, 3]), (np.zeros(3), [0, 0, 0])):
        got = run(nb.from_nir(nir.Delay(delay)), x)
        wanted = torch.stack([torch.cat([torch.zeros(s, 2), x[: 12 - s, :, n]]) for n, s in enumerate(steps)], dim=-1)
        assert torch.equal(got, wanted)


def test_what_does_not_fit_dt_is_told():
    node = nir.Delay(np.array([0.0026, 0.001]))
    with pytest.warns(UserWarning, match=r"the Delay: 1 of 2 delays are no multiples of dt = 0.001 s"):
        module = nb.from_nir(node)
    assert module.steps.tolist() == [3, 1]
    half = nir.Delay(np.array([0.0005, 0.0004, 0.0016]))
    assert nb.from_nir(half, ignore_warnings=True).steps.tolist() == [0, 0, 2]
    lif = nir.LIF(np.array([0.01, 0.0005]), np.ones(2), np.ones(2), np.ones(2))
    with pytest.warns(UserWarning, match=r"dt = 0.001 s is longer than tau = 0.0005 s"):
        nb.from_nir(lif)
    nb.from_nir(node, ignore_warnings=True)
    nb.from_nir(lif, True)


def branches(inner):
    """Two ways from the Input to the Output, which add up, the second through ``inner``."""
    nodes = {
        "input": nir.Input(np.array([3])),
        "a": nir.Linear(draw(1, (4, 3), -1, 1)),
        "b": inner,
        "lif": neuron("LIF", (4,)),
        "output": nir.Output(np.array([4])),
    }
    edges = [("input", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output"), ("a", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_branches_add_up_and_graphs_nest(double, tmp_path):
    inner = between(nir.Linear(draw(2, (4, 3), -1, 1)), neuron("CubaLIF", (4,)), shape=(3,))
    graph = branches(inner)
    module = nb.from_nir(graph)
    assert type(module) is GraphState and type(module.nodes["b"]) is nb.SequentialState
    x = draw(5, (200, 3), 0.0, 3.0)
    first, second = x @ graph.nodes["a"].weight.T, euler(inner.nodes["n1"], x @ inner.nodes["n0"].weight.T)
    wanted = euler(graph.nodes["lif"], first + second) + first
    np.testing.assert_allclose(run(module, torch.tensor(x)[:, None])[:, 0], wanted, rtol=1e-9, atol=1e-12)
    again = nb.from_nir(through_file(nb.to_nir(module), tmp_path))
    assert torch.equal(run(again, torch.tensor(x)[:, None]), run(module, torch.tensor(x)[:, None]))


def test_a_cycle_within_a_graph_within_a_graph(double):
    inner = cycle({"w_rec": nir.Linear(draw(2, (5, 5), -2.0, 2.0)), "scale": nir.Scale(np.ones(5))})
    x = 2.0 * torch.rand(200, 1, 6)
    assert torch.equal(run(nb.from_nir(between(inner, shape=(6,))), x), run(nb.from_nir(inner), x))


def test_names_of_a_graph_are_those_of_its_state_dict():
    graph = branches(nir.Linear(draw(2, (4, 3), -1, 1)))
    odd = {"a": "keys", "b": "w.b", "lif": ""}  # what torch does not take as names of modules
    called = [odd.get(name, name) for name in graph.nodes]
    edges = [(odd.get(a, a), odd.get(b, b)) for a, b in graph.edges]
    renamed = nir.NIRGraph(dict(zip(called, graph.nodes.values(), strict=True)), edges, type_check=False)
    first, second = nb.from_nir(graph), nb.from_nir(renamed)
    assert [name for name, _ in first.named_parameters()] == ["nodes.a.weight", "nodes.b.weight"]
    assert list(second.nodes) == ["keys_", "w_b", "_"] and second.names == ("keys", "w.b", "")
    x = 3.0 * torch.rand(50, 2, 3)
    assert torch.equal(run(second, x), run(first, x))


def test_several_inputs_and_outputs():
    nodes = {name: nir.Input(np.array([2])) for name in ("x", "y")} | {name: nir.Output(np.array([2])) for name in ("sum", "first")}
    nodes["s"] = nir.Scale(np.array([2.0, 3.0]))
    graph = nir.NIRGraph(nodes, [("x", "s"), ("y", "s"), ("s", "sum"), ("x", "first")], type_check=False)
    module = nb.from_nir(graph)
    x, y = torch.randn(2, 4, 2)
    out, _ = module({"x": x, "y": y})
    assert torch.equal(out["sum"], torch.tensor([2.0, 3.0]) * (x + y)) and torch.equal(out["first"], x)
    outputs, _ = nb.Lift(module)({"x": torch.stack([x, y]), "y": torch.stack([y, y])})
    assert torch.equal(outputs["first"], torch.stack([x, y])) and torch.equal(outputs["sum"][0], out["sum"])
    assert torch.equal(outputs["sum"][1], torch.tensor([2.0, 3.0]) * (y + y))
    with pytest.raises(nb.lifting.SimulationError, match="inputs x, y"):
        module(x)


def test_a_graph_learns_and_goes_on_from_a_state():
    graph = cycle({"w_rec": nir.Affine(draw(2, (5, 5), -2.0, 2.0), np.zeros(5))})
    module = nb.from_nir(graph)
    x = 2.0 * torch.rand(50, 2, 6)
    whole = run(module, x)
    state = None
    for row in x[:20]:
        _, state = module(row, state)
    kept = list(state.states)
    assert torch.equal(run(module, x[20:], state), whole[20:])
    assert all(a is b for a, b in zip(kept, state.states, strict=True))
    out, state = nb.Lift(module)(x)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_parameters_of_shape_nothing_are_those_of_all_features():
    """As Norse writes them; tensors in the place of arrays, too."""
    number = torch.tensor
    lif = nir.CubaLIF(number(0.005), number(0.01), number(1.0), number(0.0), number(1.0), np.array(0.0), np.array(5.0))
    weight = torch.randn(4, 3, requires_grad=True)
    module = nb.from_nir(between(nir.Linear(weight), lif, shape=(3,)))
    x = 8.0 * torch.rand(100, 2, 3)
    assert torch.equal(run(module, x), run(nb.SequentialState(module[0], nb.LIFCell()), x))


def test_sample_data_tell_the_shape():
    model = nb.SequentialState(nb.LIFCell(), torch.nn.Identity(), torch.nn.Linear(6, 5), nb.LIFCell())
    assert nb.to_nir(model).nodes["0"].tau_mem.shape == (6,)
    assert nb.to_nir(nb.LIFCell(), torch.zeros(1, 2, 3)).nodes["norse"].tau_mem.shape == (2, 3)
    assert nb.to_nir(nb.LIF(), torch.zeros(9, 1, 3)).nodes["norse"].tau_mem.shape == (3,)
    assert nb.to_nir(nb.LIFCell(per_neuron())).nodes["norse"].tau_mem.shape == (5,)
    for unknown in (nb.LIFCell(), nb.SequentialState(torch.nn.Conv2d(1, 1, 3), nb.LIFCell())):
        with pytest.raises(ModelError, match="give sample_data"):
            nb.to_nir(unknown)
    with pytest.raises(ModelError, match=r"sample_data must have shape \(batch, features"):
        nb.to_nir(model, torch.zeros(6))
    with pytest.raises(ModelError, match=r"module '2' \(Linear\): it takes 6 features on one axis, its input has shape \(7,\)"):
        nb.to_nir(model, torch.zeros(1, 7))
    with pytest.raises(ModelError, match=r"a parameter of shape \(5,\) does not fit neurons of shape \(4,\)"):
        nb.to_nir(nb.LIFCell(per_neuron()), torch.zeros(1, 4))


def soft():
    return nb.LIFBoxParameters(reset_method=nb.reset_subtract)


REFUSED = {
    "LSNN": (lambda: nb.LSNNCell(), "do not have the dynamics of LSNN"),
    "refractory": (lambda: nb.LIFRefracCell(), "no refractory period"),
    "random": (lambda: nb.LIFCell(nb.LIFParameters(method="logistic")), "fires by chance"),
    "soft reset": (lambda: nb.LIFBoxCell(soft()), "reset to v_reset"),
    "an integrator's start": (lambda: IntegratorCell(IntegratorParameters(torch.tensor(0.5))), "starts at 0, not at 0.5"),
    "soft IAF": (lambda: IAFSubtractCell(), "reset to v_reset"),
    "max pooling": (lambda: torch.nn.MaxPool2d(2), "has no words for it; supported are Linear"),
    "batch norm": (lambda: torch.nn.BatchNorm2d(2), "no words for it"),
    "an activation": (lambda: torch.nn.ReLU(), "no words for it"),
    "padding": (lambda: torch.nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular"), "padded with zeros, not by 'circular'"),
    "ceil mode": (lambda: torch.nn.AvgPool2d(2, ceil_mode=True), "whole and count the padding"),
    "padding not counted": (lambda: torch.nn.AvgPool2d(2, padding=1, count_include_pad=False), "count the padding"),
    "divisor": (lambda: torch.nn.AvgPool2d(2, divisor_override=3), "not by 3"),
    "flattened batch": (lambda: torch.nn.Flatten(0), "would join the batch axis"),
    "leaking synapse": (
        lambda: nb.CubaLIF(1.0, nb.LIBoxCell(nb.LIBoxParameters(v_leak=torch.tensor(0.1))), 1.0, nb.LIFBoxCell()),
        "v_leak = 0",
    ),
    "strange synapse": (lambda: nb.CubaLIF(1.0, nb.LICell(), 1.0, nb.LIFBoxCell()), "its synapse must be a LIBoxCell"),
    "no neuron": (lambda: ScaledInput(torch.ones(()), torch.nn.Identity()), "Identity is no layer of neurons"),
    "NaN": (lambda: Threshold(torch.tensor(float("nan"))), "NaN or infinite"),
    "negative rate": (lambda: nb.LIBoxCell(nb.LIBoxParameters(tau_mem_inv=torch.tensor(-1.0))), "tau must be above 0 s"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nir_cannot_say_is_refused_by_name(name):
    make, why = REFUSED[name]
    model = nb.SequentialState()
    model.add_module("odd", make())
    with pytest.raises((ModelError, NetworkError), match=rf"'odd'.*{why}"):
        nb.to_nir(model, torch.zeros(1, 2, 6, 6))


def test_other_refusals():
    class Backwards(torch.nn.Sequential):
        def forward(self, x):
            return x

    with pytest.raises(ModelError, match=r"module 'norse' \(Backwards\) cannot become NIR"):
        nb.to_nir(Backwards(torch.nn.Linear(2, 2)), torch.zeros(1, 2))
    with pytest.raises(ModelError, match="different time steps"):
        nb.to_nir(nb.SequentialState(torch.nn.Linear(2, 2), nb.LIFCell(), nb.LIFCell(dt=0.002)))
    model = nb.SequentialState()
    model.add_module("a/b", torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="slash"):
        nb.to_nir(model)


def test_malformed_graphs_are_refused_by_name():
    one = np.ones(2)
    broken = {
        "tau must be above 0 s, not -0.01": nir.LI(-0.01 * one, one, one),
        "2 of the 2 values of r are NaN or infinite": nir.LI(one, np.nan * one, one),
        "delay must not be negative": nir.Delay(-one),
        "real numbers, not of complex128": nir.Scale(1j * one),
        "weight must have 2 axes": nir.Linear(np.ones((2, 2, 2))),
        "bias one value an output": nir.Affine(np.ones((2, 2)), np.ones(3)),
        "padding 4 is too wide": nir.SumPool2d(np.array([3, 3]), np.array([1, 1]), np.array([4, 0])),
        "padding 2 is too wide": nir.AvgPool2d(np.array([3, 3]), np.array([1, 1]), np.array([2, 0])),
        "kernel_size must be 2 whole numbers of 1 or more": nir.AvgPool2d(np.array([0, 3]), np.array([1, 1]), np.array([0, 0])),
    }
    for why, node in broken.items():
        with pytest.raises(ModelError, match=f"the {type(node).__name__}.*{why}"):
            nb.from_nir(node)
    lif = neuron("LIF", (2,))
    lif.v_leak = np.ones(3)
    with pytest.raises(ModelError, match="one shape"):
        nb.from_nir(lif)
    for thing in (3, nir.ir.graph.Identity({"input": one}), None):
        with pytest.raises(ModelError, match="not one of NIR's nodes"):
            nb.from_nir(thing)
    for dt in (0, -1.0, float("inf"), "1"):
        with pytest.raises(ModelError, match="dt must be"):
            nb.from_nir(nir.Scale(one), dt=dt)
    with pytest.raises(ModelError, match="reset_method must be"):
        nb.from_nir(nir.Scale(one), reset_method=max)


def test_graphs_whose_edges_or_shapes_are_wrong():
    one = np.ones(2)

    def graph(edges, **nodes):
        ends = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
        return nir.NIRGraph(ends | nodes, edges, type_check=False)

    through = [("input", "a"), ("a", "output")]
    cases = {
        "names 'b', which is no node": graph([*through, ("a", "b")], a=nir.Scale(one)),
        "occurs twice": graph([*through, ("a", "output")], a=nir.Scale(one)),
        "enters an Input": graph([*through, ("a", "input")], a=nir.Scale(one)),
        "no Input leads to 'b'": graph(through, a=nir.Scale(one), b=nir.Scale(one)),
        r"its arrays have shape \(3,\), its input \(2,\)": graph(through, a=nir.Scale(np.ones(3))),
        r"its shape is \(2,\), but what arrives has shape \(3,\)": graph(through, a=nir.Linear(np.ones((3, 2)))),
        "inputs of different shapes arrive": graph(
            [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")], a=nir.Scale(one), b=nir.Linear(np.ones((3, 2)))
        ),
        "closes a cycle without a neuron": graph([*through, ("a", "b"), ("b", "a")], a=nir.Scale(one), b=nir.Scale(one)),
        "needs an Input and an Output": nir.NIRGraph({"a": nir.Scale(one)}, [], type_check=False),
        "does not say its shape": nir.NIRGraph({"i": nir.Input({"input": None}), "o": nir.Output(None)}, [], type_check=False),
    }
    for why, case in cases.items():
        with pytest.raises((ModelError, NetworkError), match=why):
            nb.from_nir(case)
    two = graph(through, a=graph([("input", "output"), ("input", "more")], more=nir.Output(np.array([2]))))
    with pytest.raises(NetworkError, match="node 'a'.*one Input and one Output"):
        nb.from_nir(two)


def test_without_the_package_the_extra_is_named():
    code = (
        "import sys; sys.modules['nir'] = None\n"
        "import norse_bridge as nb\n"
        "assert not {'h5py', 'matplotlib'} & set(sys.modules)\n"
        "for call in (lambda: nb.to_nir(nb.LIFCell()), lambda: nb.load_nir('x'), lambda: nb.from_nir(1)):\n"
        "    try: call()\n"
        "    except nb.nir.package.ModelError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'eventsim[nir]'") == 3
