"""REINFORCE over episodes that are played at once (Williams, 1992).

Minimised is the mean over all steps of all episodes of

    - log pi(a_t | s_t) A_t - entropy_factor * entropy of pi(. | s_t)        G_t = r_t + gamma G_(t+1)

where A_t is (1 - gamma) times the difference of G_t and its mean over the episodes; one that is over has G_t = 0. For an episode
alone the mean is that over its own steps.

Episodes are played without gradients, one step of all environments at a time; the gradient then takes all steps of all episodes as
one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from norse_bridge.task.policies import logits_of

SEEDS = 2**31
ROWS = 2048  # observations that are differentiated at once: bounds the memory


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
            logits = logits_of(policy, x, kept)
        chosen = logits.argmax(-1) if greedy else logits.softmax(-1).multinomial(1)[:, 0]
        observations.append(x)
        actions.append(chosen)
        masks.append(kept)
        still, got = [], torch.zeros(len(environments))
        for (n, env, _), action in zip(running, chosen.tolist(), strict=True):
            seen, reward, ended, cut, _ = env.step(action + int(env.action_space.start))
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
        log = logits_of(policy, x, kept).log_softmax(-1)
        terms = log.gather(-1, chosen[:, None])[:, 0] * a - entropy_factor * (log.exp() * log).sum(-1)
        part = -terms.sum() / len(advantage)
        part.backward()
        loss += part.item()
    return loss
