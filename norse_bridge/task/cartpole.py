"""Reinforcement learning with spikes: a policy learns to balance a pole (CartPole-v1 of gymnasium).

Positive and negative parts of an observation drive LIF neurons, their spikes recurrent neurons, which leaky integrators read: the
mean voltages are the logits of the actions. For each update one episode is played in each of several environments, and an action
is made more probable the more reward followed than in the other episodes at the same step (REINFORCE, Williams, 1992).

The running reward starts at 10, and an episode of reward R makes it 0.95 of itself plus 0.05 R. Training stops when it reaches what
the environment calls solved (475). In the end 16 episodes are played with the most probable actions.

\b
Example:
  python -m norse_bridge.task cartpole --policy lsnn --simulate
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from eventsim.errors import ModelError, SimulationError
from norse_bridge.task.classification import Classifier
from norse_bridge.task.comparison import compare, in_words
from norse_bridge.task.options import COUNT, POSITIVE, choice, device, option, simulation
from norse_bridge.task.policies import KINDS, policy_of
from norse_bridge.task.reinforce import differentiate, play
from norse_bridge.task.report import Report
from norse_bridge.task.saving import save_model

RUNNING, KEPT = 10.0, 0.95  # the running reward in the beginning, and what an episode leaves of it
PLAYED = 16  # episodes in the end

PART = click.FloatRange(0.0, 1.0, max_open=True)
OPTIONS = [
    choice("policy", "snn", "LIF neurons, LSNN neurons, or ReLU.", KINDS),
    option("environment", "CartPole-v1", "A gymnasium environment: a row of numbers in, discrete actions out."),
    option("episodes", 4000, "Episodes at most; the last update may take some more.", COUNT),
    option("environments", 16, "Episodes between two updates, played at once.", COUNT),
    option("learning-rate", 5e-3, "Of Adam.", POSITIVE),
    option("gamma", 0.99, "What a reward counts for the step before it.", PART),
    option("entropy-factor", 0.01, "Weight of the policy's entropy.", click.FloatRange(0.0)),
    option("neurons", 128, "Recurrent (ann: hidden) neurons.", COUNT),
    option("dropout", 0.5, "Part of the neurons that are not read, drawn for each observation.", PART),
    option("scale", 50.0, "Current for an observation of 1.", POSITIVE),
    option("steps", 40, "Steps of 1 ms for which a policy sees an observation.", COUNT),
    device(),
    *simulation(1000),
]


def environments_of(name, count):
    """``count`` environments of gymnasium called ``name``."""
    try:
        import gymnasium
    except ImportError as error:
        raise SimulationError("cartpole: gymnasium is missing; pip install 'eventsim[tasks]'") from error
    try:
        made = [gymnasium.make(name) for _ in range(count)]
    except gymnasium.error.Error as error:
        raise SimulationError(f"cartpole: gymnasium has no environment {name!r}: {error}") from error
    seen, acts = made[0].observation_space, made[0].action_space
    if not (isinstance(seen, gymnasium.spaces.Box) and len(seen.shape) == 1 and isinstance(acts, gymnasium.spaces.Discrete)):
        raise SimulationError(f"cartpole: {name} must take discrete actions and show a row of numbers, not {acts} and {seen}")
    return made


class Trained(NamedTuple):
    """policy; rewards, running : the reward of every episode, and the running reward after it; solved : what it had to reach, None
    if the environment does not say"""

    policy: Any
    rewards: list
    running: list
    solved: float | None


def train(
    *,
    policy="snn",
    environment="CartPole-v1",
    episodes=4000,
    environments=16,
    learning_rate=5e-3,
    gamma=0.99,
    entropy_factor=0.01,
    neurons=128,
    dropout=0.5,
    scale=50.0,
    steps=40,
    device="cpu",
    random_seed=1234,
    report=None,
) -> Trained:
    """Train a policy; the arguments are those of the command line.

    random_seed : of everything; random numbers of the process stay as they are
    report : called after each update with the number of episodes so far, their mean reward, the running reward and the loss
    """
    made = environments_of(environment, environments)
    solved = made[0].spec.reward_threshold
    rewards: list[float] = []
    running: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed)
        net = policy_of(policy, made[0], neurons, scale, steps).to(device)
        optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
        while len(rewards) < episodes:
            played = play(net, made, dropout, neurons)
            of_episodes = played.rewards.sum(1).tolist()
            for reward in of_episodes:
                rewards.append(reward)
                running.append(KEPT * (running[-1] if running else RUNNING) + (1 - KEPT) * reward)
            optimizer.zero_grad()
            loss = differentiate(net, played, gamma, entropy_factor)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            if report is not None:
                report(len(rewards), reward=sum(of_episodes) / len(made), running_reward=running[-1], loss=loss)
            if solved is not None and running[-1] >= solved:
                break
    return Trained(net, rewards, running, solved)


ARGUMENTS = [name for name in inspect.signature(train).parameters if name != "report"]


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train, save the policy, play 16 episodes of the most probable actions, simulate if wanted; the results."""
    if options["simulate"] and options["policy"] == "ann":
        raise ModelError("--simulate: the policy ann has no spikes; choose snn or lsnn")
    report.expect(options["episodes"], "episode")
    trained = train(**{name: options[name] for name in ARGUMENTS}, report=report)
    settings = {name: options[name] for name in ("policy", "environment", "neurons", "scale", "steps")}
    save_model(out / "model.pt", "cartpole", trained.policy, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options["random_seed"])
        played = play(trained.policy, environments_of(options["environment"], PLAYED), greedy=True)
    figures = {
        "running_reward": trained.running[-1],
        "episodes": len(trained.rewards),
        "greedy_reward": played.rewards.sum(1).mean().item(),
    }
    if options["simulate"]:
        found = simulated(trained.policy, played, options["simulate_samples"], getattr(torch, options["simulate_type"]))
        report.say(in_words(found))
        figures |= found
    return figures


def simulated(policy, played, count, dtype):
    """Observations of some `Episodes` once more, in torch and in eventsim: the figures of `compare`; a decision is an action."""
    policy = copy.deepcopy(policy).cpu()
    model = Classifier(policy.encode, policy.exported_as(), lambda voltages: voltages.mean(0))
    return compare(model, [(played.observations[:count], played.actions[:count])], dtype)
