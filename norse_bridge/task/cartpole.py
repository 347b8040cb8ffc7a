"""Reinforcement learning with spikes: a policy learns to balance a pole (CartPole-v1 of gymnasium) by REINFORCE (Williams, 1992).

Positive and negative parts of an observation, times ``scale``, are currents into LIF neurons; their spikes over a few steps drive
recurrent neurons, which leaky integrators read. The mean voltages of the readout are the logits of the actions.

For each update one episode is played in each of several environments. Minimised is the mean over all steps of all episodes of

    - log pi(a_t | s_t) A_t - entropy_factor * entropy of pi(. | s_t)        G_t = r_t + gamma G_(t+1)

where A_t is (1 - gamma) times the difference of G_t and its mean over the environments; an episode that is over has G_t = 0. With
one environment the mean is that over its own steps.

The running reward starts at 10, and an episode of reward R makes it 0.95 of itself plus 0.05 R. Training stops when it reaches what
the environment calls solved (475).

\b
Example:
  python -m norse_bridge.task cartpole --policy lsnn --simulate
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from eventsim.errors import ModelError, SimulationError
from norse_bridge.neurons.li import LI
from norse_bridge.neurons.lif import LIFParameters, LIFRecurrent
from norse_bridge.neurons.lif_box import LIFBox, LIFBoxParameters
from norse_bridge.neurons.lsnn import LSNNParameters, LSNNRecurrent
from norse_bridge.sequential import SequentialState
from norse_bridge.task.classification import Classifier
from norse_bridge.task.comparison import compare, lines
from norse_bridge.task.options import COUNT, POSITIVE, choice, option, simulation
from norse_bridge.task.report import Report
from norse_bridge.task.saving import save_model

POLICIES = ("snn", "lsnn", "ann")
ALPHA = 10.0  # of the surrogate gradient, SuperSpike
RUNNING, KEPT = 10.0, 0.95  # the running reward in the beginning, and what an episode leaves of it
SEEDS = 2**31
PLAYED = 16  # episodes in the end
ROWS = 2048  # observations that are differentiated at once: bounds the memory

OPTIONS = [
    choice("policy", "snn", "LIF neurons, LSNN neurons, or ReLU.", POLICIES),
    option("environment", "CartPole-v1", "A gymnasium environment: a row of numbers in, discrete actions out."),
    option("episodes", 4000, "Episodes at most.", COUNT),
    option("environments", 16, "Episodes between two updates, played at once.", COUNT),
    option("learning-rate", 5e-3, "Of Adam.", POSITIVE),
    option("gamma", 0.99, "What a reward counts for the step before it.", click.FloatRange(0.0, 1.0, max_open=True)),
    option("entropy-factor", 0.01, "Weight of the policy's entropy.", click.FloatRange(0.0)),
    option("neurons", 128, "Recurrent (ann: hidden) neurons.", COUNT),
    option(
        "dropout",
        0.0,
        "Part of the neurons that are not read, drawn for each observation.",
        click.FloatRange(0.0, 1.0, max_open=True),
    ),
    option("scale", 50.0, "Current for an observation of 1.", POSITIVE),
    option("steps", 40, "Steps of 1 ms for which a policy sees an observation.", COUNT),
    *simulation(1000),
]


class SpikingPolicy(torch.nn.Module):
    """Observations (batch, observed) -> logits (batch, actions), by recurrent LIF ("snn") or LSNN ("lsnn") neurons.

    neurons : number of recurrent neurons; scale : current for an observation of 1; steps : of 1 ms
    """

    def __init__(self, kind, observed, actions, neurons=128, scale=50.0, steps=40):
        super().__init__()
        self.scale, self.steps = scale, steps
        self.encoder = LIFBox(LIFBoxParameters(method="heaviside"))
        self.neurons: LIFRecurrent | LSNNRecurrent
        if kind == "snn":
            self.neurons = LIFRecurrent(2 * observed, neurons, LIFParameters(alpha=ALPHA))
        else:
            p = LSNNParameters(tau_adapt_inv=torch.tensor(50.0), beta=torch.tensor(0.2), alpha=ALPHA)
            self.neurons = LSNNRecurrent(2 * observed, neurons, p)
        self.weights, self.readout = torch.nn.Linear(neurons, actions, bias=False), LI()

    def exported_as(self):
        """The layers from the encoder's spikes to the voltages, for `norse_bridge.to_network` and `simulate`."""
        return SequentialState(OrderedDict(neurons=self.neurons, weights=self.weights, readout=self.readout))

    def encode(self, x):
        """The spikes (steps, batch, 2 * observed) that tell an observation."""
        currents = self.scale * torch.cat((x, -x), -1).clamp(min=0.0)
        with torch.no_grad():
            return self.encoder(currents.expand(self.steps, *currents.shape))[0]

    def forward(self, x, kept):
        spikes, _ = self.neurons(self.encode(x))  # (steps, batch, neurons)
        return self.readout(self.weights(spikes * kept))[0].mean(0)


class RatePolicy(torch.nn.Module):
    """Observations (batch, observed) -> logits (batch, actions), by one layer of ReLU."""

    def __init__(self, observed, actions, neurons=128):
        super().__init__()
        self.hidden, self.weights = torch.nn.Linear(observed, neurons), torch.nn.Linear(neurons, actions)

    def forward(self, x, kept):
        return self.weights(self.hidden(x).relu() * kept)


def policy_of(kind, environment, neurons=128, scale=50.0, steps=40):
    """A new policy for an environment."""
    observed, actions = int(environment.observation_space.shape[0]), int(environment.action_space.n)
    if kind == "ann":
        return RatePolicy(observed, actions, neurons)
    return SpikingPolicy(kind, observed, actions, neurons, scale, steps)


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


class Episodes(NamedTuple):
    """What happened in one episode of each environment, one row a step, environments side by side in each step.

    observations : (rows, observed); actions : (rows,); kept : (rows, neurons) factors of the readout, or a 1
    places : (rows, 2) environment and step; rewards : (environments, steps), 0 after the end
    """

    observations: torch.Tensor
    actions: torch.Tensor
    kept: torch.Tensor
    places: torch.Tensor
    rewards: torch.Tensor


def play(policy, environments, dropout=0.0, neurons=1, greedy=False) -> Episodes:
    """One episode in each environment, all of one step at once; random numbers are torch's own.

    dropout : the part of the ``neurons`` that the readout does not see, drawn for each step; greedy : the most probable actions
    """
    seeds = torch.randint(SEEDS, (len(environments),)).tolist()
    running = [(n, env, env.reset(seed=seed)[0]) for n, (env, seed) in enumerate(zip(environments, seeds, strict=True))]
    observations, actions, masks, places, rewards, step = [], [], [], [], [], 0
    while running:
        x = torch.stack([torch.as_tensor(seen, dtype=torch.float32) for _, _, seen in running])  # (running, observed)
        kept = torch.nn.functional.dropout(torch.ones(len(running), neurons), dropout) if dropout else torch.ones(len(running), 1)
        with torch.no_grad():
            logits = policy(x, kept)
        chosen = logits.argmax(-1) if greedy else logits.softmax(-1).multinomial(1)[:, 0]
        observations.append(x)
        actions.append(chosen)
        masks.append(kept)
        still, got = [], torch.zeros(len(environments))
        for (n, env, _), action in zip(running, chosen.tolist(), strict=True):
            seen, reward, ended, cut, _ = env.step(action)
            places.append((n, step))
            got[n] = float(reward)
            if not (ended or cut):
                still.append((n, env, seen))
        rewards.append(got)
        running, step = still, step + 1
    joined = torch.cat(observations), torch.cat(actions), torch.cat(masks)
    return Episodes(*joined, torch.tensor(places), torch.stack(rewards, 1))


def advantages(rewards, places, gamma):
    """A_t of each row of some `Episodes`: (rows,)."""
    returns, total = torch.empty_like(rewards), torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        total = rewards[:, t] + gamma * total
        returns[:, t] = total
    mean = returns.mean() if len(rewards) == 1 else returns.mean(0)
    return (1 - gamma) * (returns - mean)[tuple(places.T)]


def differentiate(policy, episodes, gamma, entropy_factor):
    """Add the gradient of the loss to that of the policy's parameters; returns the loss."""
    advantage, loss = advantages(episodes.rewards, episodes.places, gamma), 0.0
    rows = zip(*(part.split(ROWS) for part in (*episodes[:3], advantage)), strict=True)
    for x, chosen, kept, a in rows:
        log = policy(x, kept).log_softmax(-1)
        terms = log.gather(-1, chosen[:, None])[:, 0] * a - entropy_factor * (log.exp() * log).sum(-1)
        part = -terms.sum() / len(advantage)
        part.backward()
        loss += part.item()
    return loss


class Trained(NamedTuple):
    """policy; rewards, running : the reward of every episode, and the running reward after it; solved : what it had to reach"""

    policy: Any
    rewards: list
    running: list
    solved: float


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
    dropout=0.0,
    scale=50.0,
    steps=40,
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
        net = policy_of(policy, made[0], neurons, scale, steps)
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
        report.say(lines(found))
        figures |= found
    return figures


def simulated(policy, played, count, dtype):
    """Observations of some `Episodes` once more, in torch and in eventsim: the figures of `compare`; a decision is an action."""
    model = Classifier(policy.encode, copy.deepcopy(policy).exported_as(), lambda voltages: voltages.mean(0))
    return compare(model, [(played.observations[:count], played.actions[:count])], dtype)
