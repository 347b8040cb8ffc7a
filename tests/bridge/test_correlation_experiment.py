"""The correlation experiment at a small size: it learns, it is reproducible, and its synapses change by correlation."""

import copy

import torch

from norse_bridge.task.correlation_experiment import INPUTS, LABELS, CorrelationNetwork, train


def test_the_label_is_learnt_and_a_seed_says_it_all():
    state, seen = torch.get_rng_state(), []
    network, losses = train(episodes=12, timesteps=60, seed=1, report=lambda episode, loss: seen.append((episode, loss)))
    assert torch.equal(torch.get_rng_state(), state)
    assert seen == list(enumerate(losses, start=1)) and len(losses) == 12
    assert losses[0] > 0.2 and max(losses[-3:]) < 0.01
    again, repeated = train(episodes=3, timesteps=60, seed=1)
    assert repeated == losses[:3] and not torch.equal(again.input_weights, network.input_weights)


def test_synapses_change_within_an_episode():
    network, x = CorrelationNetwork(update_every=10), (torch.rand(30, 3, INPUTS) < 0.1).float()
    scores = network(x)
    assert scores.shape == (3, LABELS)
    scores.sum().backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert trained == {"input_weights", "recurrent_weights"} | {f"readout.{name}" for name, _ in network.readout.named_parameters()}
    frozen = copy.deepcopy(network)
    frozen.update_rate = 0.0
    assert torch.equal(frozen(x[:9]), network(x[:9])) and not torch.equal(frozen(x), network(x))
