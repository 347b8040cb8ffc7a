"""The memory task at a small size: its figures by hand, its networks, and that it learns."""

import math

import pytest
import torch

import norse_bridge as nb
from norse_bridge.task.memory import ARGUMENTS, NEURON_MODELS, OPTIONS, MemoryNetwork, rate_loss, recall_loss, run, train
from norse_bridge.task.report import Report
from norse_bridge.task.saving import load_model

SMALL = {
    "neurons": 16,
    "seq_length": 20,
    "seq_periods": 2,
    "samples": 32,
    "batch_size": 16,
    "population_size": 5,
    "poisson_rate": 400.0,
}


def test_the_loss_is_that_of_the_recalled_bits_by_the_mean_voltage_of_their_period():
    voltages = torch.zeros(6, 1, 2)  # three periods of two steps
    voltages[2:4, 0] = torch.tensor([[3.0, -1.0], [1.0, -3.0]])  # means 2 and -2
    voltages[4:] = 100.0  # nothing is recalled here
    loss, accuracy = recall_loss(voltages, torch.tensor([[[0, 0], [1, 0], [0, 0]]], dtype=torch.uint8))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-6) and accuracy == 1.0
    loss, accuracy = recall_loss(voltages, torch.tensor([[[0, 0], [0, 1], [0, 0]]], dtype=torch.uint8))
    assert loss.item() == pytest.approx(math.log1p(math.exp(2.0)), rel=1e-6) and accuracy == 0.0


def test_rates_are_in_spikes_a_second():
    spikes = torch.zeros(100, 2, 2)
    spikes[::10, :, 0] = 1.0  # 100 spikes/s and none
    assert rate_loss(spikes, 10.0, 0.001).item() == pytest.approx((9.0**2 + 1.0**2) / 2)


@pytest.mark.parametrize("neuron_model", NEURON_MODELS)
def test_which_neurons_adapt(neuron_model):
    network = MemoryNetwork(neuron_model, 20, 6, tau_adapt=2.0)
    voltages, spikes = network((torch.rand(30, 3, 20) < 0.2).float())
    assert voltages.shape == (30, 3, 2) and spikes.shape == (30, 3, 6)
    p = network.neurons.p
    if neuron_model == "lif":
        assert isinstance(network.neurons, nb.LIFRecurrent)
    else:
        adapting = 6 if neuron_model == "lsnn" else 3
        assert (p.beta > 0).tolist() == [True] * adapting + [False] * (6 - adapting)
        assert p.tau_adapt_inv.unique().tolist() == [0.5]


def test_it_learns_and_a_seed_says_it_all():
    state, seen = torch.get_rng_state(), []
    options = SMALL | {"max_epochs": 12, "regularization_factor": 1e-4}
    found = train(**options, random_seed=3, report=lambda epoch, **figures: seen.append((epoch, figures)))
    assert torch.equal(torch.get_rng_state(), state)
    assert [epoch for epoch, _ in seen] == list(range(1, 13))
    assert [figures["loss"] for _, figures in seen] == found.losses
    assert found.losses[0] > 0.5 and found.losses[-1] < 0.4
    again = train(**SMALL | {"max_epochs": 2, "regularization_factor": 1e-4}, random_seed=3)
    assert again.losses == found.losses[:2]
    other = train(**SMALL | {"max_epochs": 2, "regularization_factor": 1e-4}, random_seed=4)
    assert other.losses != again.losses


def test_training_stops_at_the_loss_that_is_asked_for():
    assert len(train(**SMALL, max_epochs=3, stop_at=10.0).losses) == 1


def test_rates_go_where_they_are_drawn_to():
    rates = []
    train(**SMALL, max_epochs=30, regularization_factor=100.0, report=lambda epoch, **figures: rates.append(figures["rate"]))
    assert abs(rates[-1] - 10.0) < abs(rates[0] - 10.0) / 2


def test_the_command_trains_saves_and_simulates(tmp_path):
    defaults = {option.name: option.default for option in OPTIONS}
    assert {name: defaults[name] for name in ARGUMENTS if name != "random_seed"} == {
        name: value for name, value in train.__kwdefaults__.items() if name not in ("report", "random_seed")
    }
    options = defaults | SMALL | {"max_epochs": 3, "random_seed": 3, "simulate": True, "simulate_samples": 4}
    figures = run(options, tmp_path, Report())
    assert figures["epochs"] == 3 and figures["loss"] == train(**SMALL, max_epochs=3, random_seed=3).losses[-1]
    assert figures["samples"] == 4 and figures["spikes"] > 20
    assert figures["differing_spikes"] == figures["differing_decisions"] == 0
    settings, state = load_model(tmp_path / "model.pt", "memory")
    MemoryNetwork(**settings).load_state_dict(state)


@pytest.mark.slow
def test_a_bit_is_remembered_for_seconds():
    found = train(max_epochs=40)
    assert found.losses[-1] <= 0.05 and found.accuracies[-1] > 0.97
