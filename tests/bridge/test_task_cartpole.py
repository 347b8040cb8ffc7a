"""CartPole at a small size: returns by hand, policies, environments, and that rewards grow."""

import pytest
import torch

from eventsim.errors import ModelError, SimulationError
from norse_bridge.task import cartpole, reinforce
from norse_bridge.task.cartpole import ARGUMENTS, OPTIONS, environments_of, run
from norse_bridge.task.policies import KINDS, policy_of
from norse_bridge.task.reinforce import Episodes, advantages, differentiate, play
from norse_bridge.task.report import Report
from norse_bridge.task.saving import load_model

POLE = "CartPole-v1"


def test_advantages_compare_with_the_other_episodes():
    rewards = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])  # three steps, and one
    places = torch.tensor([[0, 0], [1, 0], [0, 1], [0, 2]])
    found = advantages(rewards, places, gamma=0.5)  # returns 1.75, 1.5, 1 and 1, 0, 0
    assert found.tolist() == pytest.approx([0.5 * x for x in (0.375, -0.375, 0.75, 0.5)])


def test_alone_an_episode_is_compared_with_itself():
    rewards, places = torch.ones(1, 3), torch.tensor([[0, 0], [0, 1], [0, 2]])
    assert advantages(rewards, places, gamma=0.0).tolist() == [0.0, 0.0, 0.0]
    found = advantages(rewards, places, gamma=0.5)  # returns 1.75, 1.5, 1
    assert found.tolist() == pytest.approx([0.5 * (x - 4.25 / 3) for x in (1.75, 1.5, 1.0)])


def test_the_encoder_tells_signs_and_sizes():
    policy = policy_of("snn", environments_of(POLE, 1)[0])
    spikes = policy.encode(torch.tensor([[1.0, -1.0, 0.05, 0.0]]))
    assert spikes.shape == (40, 1, 8)
    counts = spikes.sum(0)[0].tolist()
    assert counts[0] == 40 and counts[5] == 40  # x = 50 reaches the threshold of 1 in the first step
    assert 0 < counts[2] < 40
    assert [counts[n] for n in (1, 3, 4, 6, 7)] == [0] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_episodes_and_their_gradient(kind):
    torch.manual_seed(2)
    made = environments_of(POLE, 3)
    policy = policy_of(kind, made[0], neurons=16, steps=10)
    found = play(policy, made, dropout=0.5, neurons=16)
    lengths = found.rewards.sum(1)
    assert found.rewards.shape == (3, int(lengths.max())) and len(found.observations) == int(lengths.sum())
    assert found.kept.unique().tolist() == [0.0, 2.0] and found.kept.shape == (len(found.actions), 16)
    assert sorted(map(tuple, found.places.tolist())) == [(n, t) for n in range(3) for t in range(int(lengths[n]))]
    before = [p.clone() for p in policy.parameters()]
    differentiate(policy, found, 0.99, 0.01)
    gradients = [p.grad.clone() for p in policy.parameters()]
    assert all(g.abs().sum() > 0 for g in gradients) and all(map(torch.equal, before, policy.parameters()))
    policy.zero_grad()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reinforce, "ROWS", 7)  # in pieces, the same gradient
        differentiate(policy, found, 0.99, 0.01)
    for whole, pieces in zip(gradients, policy.parameters(), strict=True):
        torch.testing.assert_close(pieces.grad, whole, rtol=1e-4, atol=1e-6)


def test_the_gradient_makes_good_actions_more_probable():
    torch.manual_seed(3)
    policy = policy_of("ann", environments_of(POLE, 1)[0], neurons=8)
    x, kept, actions = torch.randn(2, 4), torch.ones(2, 1), torch.tensor([0, 1])
    good_and_bad = Episodes(x, actions, kept, torch.tensor([[0, 0], [1, 0]]), torch.tensor([[1.0], [0.0]]))
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    before = policy(x, kept).log_softmax(-1).detach()
    differentiate(policy, good_and_bad, 0.9, 0.0)
    optimizer.step()
    after = policy(x, kept).log_softmax(-1).detach()
    assert after[0, 0] - after[1, 1] > before[0, 0] - before[1, 1]


def test_environments_of_another_kind_are_refused():
    with pytest.raises(SimulationError, match="Pendulum-v1 must take discrete actions"):
        environments_of("Pendulum-v1", 1)
    with pytest.raises(SimulationError, match="gymnasium has no environment 'NoSuch-v0'"):
        environments_of("NoSuch-v0", 1)


def test_rewards_grow_and_a_seed_says_it_all():
    state, seen = torch.get_rng_state(), []
    options = {"policy": "ann", "environments": 8, "neurons": 32, "learning_rate": 0.02, "random_seed": 5}
    found = cartpole.train(**options, episodes=240, report=lambda episode, **figures: seen.append((episode, figures)))
    assert torch.equal(torch.get_rng_state(), state)
    assert [episode for episode, _ in seen] == list(range(8, 241, 8)) and len(found.rewards) == 240
    assert sum(found.rewards[-40:]) > 2 * sum(found.rewards[:40])
    running = 10.0
    for reward, kept in zip(found.rewards, found.running, strict=True):
        running = 0.95 * running + 0.05 * reward
        assert kept == pytest.approx(running)
    assert cartpole.train(**options, episodes=16).rewards == found.rewards[:16]
    assert cartpole.train(**options | {"random_seed": 6}, episodes=16).rewards != found.rewards[:16]


def test_the_command_trains_saves_and_simulates(tmp_path):
    defaults = {option.name: option.default for option in OPTIONS}
    assert {name: defaults[name] for name in ARGUMENTS if name != "random_seed"} == {
        name: value for name, value in cartpole.train.__kwdefaults__.items() if name not in ("report", "random_seed")
    }
    small = {"episodes": 8, "environments": 4, "neurons": 16, "random_seed": 7}
    options = defaults | small | {"simulate": True, "simulate_samples": 20}
    figures = run(options, tmp_path, Report())
    assert figures["episodes"] == 8 and figures["greedy_reward"] >= 8.0
    assert figures["running_reward"] == cartpole.train(**small).running[-1]
    assert figures["samples"] == 20 and figures["spikes"] > 0
    assert figures["differing_spikes"] == figures["differing_decisions"] == 0
    settings, state = load_model(tmp_path / "model.pt", "cartpole")
    policy_of(settings["policy"], environments_of(settings["environment"], 1)[0], 16).load_state_dict(state)
    with pytest.raises(ModelError, match="--simulate: the policy ann has no spikes"):
        run(options | {"policy": "ann"}, tmp_path, Report())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["snn", "lsnn"])
def test_the_pole_is_balanced(kind):
    found = cartpole.train(policy=kind)
    assert found.running[-1] >= found.solved == 475.0
