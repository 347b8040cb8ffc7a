"""Policies: what an agent does next, given what it observes; with spikes and without.

Positive and negative parts of an observation, times ``scale``, are currents into LIF neurons; their spikes over a few steps drive
recurrent neurons, which leaky integrators read. The mean voltages of the readout are the logits of the actions.
"""

from __future__ import annotations

from collections import OrderedDict

import torch

from norse_bridge.neurons.li import LI
from norse_bridge.neurons.lif import LIFRecurrent
from norse_bridge.neurons.lif_box import LIFBox, LIFBoxParameters
from norse_bridge.neurons.lsnn import LSNNParameters, LSNNRecurrent
from norse_bridge.sequential import SequentialState

KINDS = ("snn", "lsnn", "ann")


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
            self.neurons = LIFRecurrent(2 * observed, neurons)
        else:  # thresholds fall back within the 40 steps; Norse's default, 800 s, would only let them rise
            self.neurons = LSNNRecurrent(2 * observed, neurons, LSNNParameters(tau_adapt_inv=50.0, beta=0.2))
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


def logits_of(policy, x, kept):
    """What a policy makes of observations, wherever it is: all but the policy stays on the CPU."""
    device = next(policy.parameters()).device
    return policy(x.to(device), kept.to(device)).cpu()
