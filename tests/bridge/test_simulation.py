"""The same model dense in torch and sparse in eventsim: 0 differing spikes."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from map_oracles import binary, run_cells, scaled

import norse_bridge as nb
from eventsim import Simulation, Spikes, States
from eventsim.errors import SimulationError

UPDATES = ["dense", "sparse", "auto"]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("kind", ["spikes", "real"])
def test_feed_forward_with_readout(update, kind):
    torch.manual_seed(1)
    model = scaled(
        nb.SequentialState(
            torch.nn.Linear(20, 30),
            nb.LIF(nb.LIFParameters(v_th=0.6, v_leak=-0.1, v_reset=-0.3, tau_mem_inv=80.0)),
            torch.nn.Linear(30, 25),
            nb.LIF(),
            torch.nn.Linear(25, 4),
            nb.LI(),
            return_hidden=True,
        ),
        4.0,
    )
    data = binary(400, 3, 20) if kind == "spikes" else torch.randn(400, 3, 20, dtype=torch.float64)
    hidden, _ = model(data)
    result = nb.simulate(model, data, update=update)
    for name, wanted in (("layer1", hidden[1]), ("layer2", hidden[3])):
        assert 0.01 < wanted.mean() < 0.5
        assert torch.count_nonzero(result.dense_spikes(name) != wanted) == 0
    assert result.outputs.dtype == torch.float64
    assert torch.allclose(result.outputs, hidden[5].detach(), rtol=1e-9, atol=1e-12)
    assert result.counters.steps == 400 * 3
    fired = data.count_nonzero() if kind == "spikes" else 0
    assert result.counters.spikes == fired + hidden[1].sum() + hidden[3].sum()


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("autapses", [False, True])
def test_recurrent(update, autapses):
    model = scaled(
        nb.SequentialState(torch.nn.Linear(10, 8), nb.LIF(), nb.LIFRecurrent(8, 12, autapses=autapses), nb.LIFRecurrent(12, 6)), 3.0
    )
    data = binary(500, 2, 10)
    wanted, state = model(data)
    result = nb.simulate(model, data, update=update)
    assert wanted.sum() > 100
    assert torch.count_nonzero(result.outputs != wanted) == 0
    assert result.outputs.shape == wanted.shape


@pytest.mark.parametrize("kind", ["spikes", "real"])
def test_convolutional_over_time(kind):
    model = scaled(
        nb.SequentialState(
            nb.Lift(torch.nn.Conv2d(2, 3, 3, stride=2, padding=1)),
            nb.LIF(),
            nb.Lift(torch.nn.AvgPool2d(2)),
            torch.nn.Flatten(2),
            torch.nn.Linear(27, 5),
            nb.LIF(),
        ),
        12.0,
    )
    data = binary(200, 2, 2, 12, 12, rate=0.3)
    data = data if kind == "spikes" else data * 0.7
    wanted, _ = model(data)
    result = nb.simulate(model, data)
    assert wanted.sum() > 50
    assert torch.count_nonzero(result.outputs != wanted) == 0
    assert result.dense_spikes("layer1").shape == (200, 2, 3, 6, 6)


def test_cells_are_stepped_over_time():
    model = scaled(
        nb.SequentialState(
            torch.nn.Conv2d(1, 2, 3),
            nb.LIFCell(),
            torch.nn.Flatten(),
            torch.nn.Linear(18, 6),
            nb.LIFRecurrentCell(6, 5),
            nb.LICell(),
        ),
        5.0,
    )
    data = binary(300, 2, 1, 5, 5)
    hidden_model = nb.SequentialState(*list(model)[:-1])
    spikes = run_cells(hidden_model, data)
    result = nb.simulate(model, data)
    assert spikes.sum() > 50
    assert torch.count_nonzero(result.dense_spikes("layer2") != spikes) == 0
    assert torch.allclose(result.outputs, run_cells(model, data).detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_a_single_layer_in_float32_is_equal_bit_for_bit(update):
    """1,000 steps of LIF in float32: the same increments into the engine and the layer give the same spikes and the same bits of v
    and i. One sum a step and neuron, so that nothing depends on the order of a matrix product."""
    p = nb.LIFParameters(
        tau_syn_inv=torch.tensor(137.7), tau_mem_inv=torch.tensor(83.3), v_leak=torch.tensor(-0.137), v_th=torch.tensor(0.713),
        v_reset=torch.tensor(-0.31),
    )  # fmt: skip
    layer = nb.LIF(p, record_states=True)
    data = (torch.rand(1000, 1, 40) < 0.2) * torch.randn(1000, 1, 40) * 0.5 + 0.1
    spikes, states = layer(data)
    network = nb.to_network(layer, 40)
    simulation = Simulation(
        network,
        dt=1.0,
        update=update,
        dtype="float32",
        record=(Spikes("layer1"), States("layer1", ("v", "i"))),
        increments={"layer1": data.numpy()},
    )
    recording = simulation.run(1000.0)
    fired = np.zeros((1000, 40))
    fired[np.rint(recording.spikes["layer1"].times).astype(int) - 1, recording.spikes["layer1"].neurons] = 1
    assert fired.sum() > 500
    assert np.count_nonzero(fired != spikes[:, 0].detach().numpy()) == 0
    exact = np.array_equal if update == "dense" else lambda a, b: np.allclose(a, b, rtol=1e-4, atol=1e-5)
    for name in ("v", "i"):
        assert exact(recording.states["layer1"].values[name], getattr(states, name)[:, 0].detach().numpy())


def test_exact_weights_in_float32_are_equal_bit_for_bit_through_a_whole_network():
    """Dyadic weights make every sum exact, whatever its order: float32 in the engine and in torch, over 1,000 steps."""
    model = nb.SequentialState(torch.nn.Linear(16, 24), nb.LIF(), nb.LIFRecurrent(24, 12), torch.nn.Linear(12, 3), nb.LI())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 16.0 if "bias" in name else 3.0
            parameter.copy_(torch.round(parameter * scale * 64) / 64)
    data = binary(1000, 2, 16).float()
    hidden = nb.SequentialState(*list(model)[:3])(data)[0]
    result = nb.simulate(model, data, update="dense")
    assert result.outputs.dtype == torch.float32
    assert hidden.sum() > 300
    assert torch.count_nonzero(result.dense_spikes("layer2") != hidden) == 0
    assert torch.equal(result.outputs, model(data)[0].detach())


def test_results_do_not_depend_on_workers_and_extra_recorders_work():
    model = scaled(nb.SequentialState(torch.nn.Linear(10, 30), nb.LIF(), torch.nn.Linear(30, 4), nb.LI()), 4.0)
    data = binary(100, 2, 10)
    one = nb.simulate(model, data, workers=1, record=(States("layer1", ("i",)),))
    two = nb.simulate(model, data, workers=2)
    assert torch.equal(one.outputs, two.outputs)
    assert one.recording.states["layer1"].values["i"].shape == (100, 2, 30)
    assert [p.name for p in one.network.populations] == ["input", "layer1", "layer2"]


def test_pruning_is_that_of_a_pruned_model():
    model = scaled(nb.SequentialState(torch.nn.Linear(10, 30, bias=False), nb.LIF()), 6.0)
    data = binary(200, 1, 10)
    for given in (data, data * 0.9):
        result = nb.simulate(model, given, threshold=0.5)
        pruned = torch.nn.Linear(10, 30, bias=False).double()
        pruned.weight.data = torch.where(model[0].weight.abs() > 0.5, model[0].weight, 0.0).detach()
        wanted = nb.SequentialState(pruned, model[1])(given)[0]
        assert 0 < wanted.sum()
        assert torch.equal(result.outputs, wanted.detach())
        assert not torch.equal(result.outputs, model(given)[0].detach())


def test_batch_of_one_and_types():
    model = scaled(nb.SequentialState(torch.nn.Linear(5, 8), nb.LIF(), torch.nn.Linear(8, 2), nb.LI()), 5.0)
    data = binary(80, 1, 5)
    wanted = model(data)[0].detach()
    assert torch.allclose(nb.simulate(model, data.numpy()).outputs, wanted)
    low = nb.simulate(model, data, dtype="float32").outputs
    assert low.dtype == torch.float32
    assert torch.allclose(low.double(), wanted, atol=1e-3)
    assert torch.allclose(nb.simulate(model, data.bool()).outputs, wanted)


@pytest.mark.parametrize(
    ("data", "message"),
    [(torch.zeros(5, 3), "shape"), (torch.zeros(0, 1, 3), "shape"), (torch.full((4, 1, 3), torch.nan), "finite")],
)
def test_malformed_data_are_refused(data, message):
    with pytest.raises(SimulationError, match=message):
        nb.simulate(nb.LIF(), data)


@pytest.mark.parametrize("kind", ["spikes", "real"])
def test_modules_may_have_the_names_that_are_made_here(kind):
    """Results stay addressable by the modules' names, and the input by its own."""
    parts = [
        ("0", torch.nn.Linear(5, 8)),
        ("1", nb.LIF()),
        ("2", torch.nn.Linear(8, 7)),
        ("input", nb.LIF()),
        ("layer1", nb.LIFRecurrent(7, 3)),
    ]
    model = scaled(nb.SequentialState(OrderedDict(parts), return_hidden=True), 12.0)
    data = binary(80, 2, 5, rate=0.4)
    data = data if kind == "spikes" else data * 0.7
    hidden, _ = model(data)
    result = nb.simulate(model, data, record=(Spikes("input_"),))
    assert [p.name for p in result.network.populations] == ["input_", "layer1_", "input", "layer1"]
    assert set(result.spikes) == {"layer1_", "input", "layer1"}
    for name, wanted in (("layer1_", hidden[1]), ("input", hidden[3]), ("layer1", hidden[4])):
        assert wanted.sum() > 0
        assert torch.equal(result.dense_spikes(name), wanted)
    assert len(result.recording.spikes["input_"].times) == (data.sum() if kind == "spikes" else 0)
    named = nb.simulate(model, data, input_name="layer1_", record=(Spikes("layer1_"),))
    assert [p.name for p in named.network.populations] == ["layer1_", "layer1__", "input", "layer1"]
    assert torch.equal(named.outputs, result.outputs)


def test_counters_leave_out_the_first_layers_products_of_analogue_data():
    model = scaled(nb.SequentialState(torch.nn.Linear(6, 9), nb.LIF(), torch.nn.Linear(9, 4), nb.LI()), 5.0)
    data = binary(60, 2, 6)
    spikes, real = nb.simulate(model, data), nb.simulate(model, data * 0.999999)
    assert torch.equal(spikes.dense_spikes("layer1"), real.dense_spikes("layer1"))
    hidden = real.dense_spikes("layer1").sum()
    assert hidden > 0
    assert real.counters.synaptic_events == 4 * hidden
    assert spikes.counters.synaptic_events == 4 * hidden + 9 * data.sum()
