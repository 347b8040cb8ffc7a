"""Training and pruning a small spiking net with norse_bridge, as anyone would write it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tqdm import tqdm

from eventsim.cli.demo.data import Images
from norse_bridge import LI, LIF, LIFParameters, SequentialState, poisson_encode

DT = 0.001  # s


class Plan(NamedTuple):
    """How a data set is learned.

    hidden : neurons of the two spiking layers
    steps, f_max : steps of 1 ms, and spikes/s of a white pixel
    epochs, tuning : passes before pruning and after
    rate_cost : weight of the mean number of hidden spikes in the loss
    """

    hidden: tuple[int, int]
    steps: int
    f_max: float
    epochs: int
    tuning: int
    batch: int
    learning_rate: float
    rate_cost: float


PLANS = {
    "digits": Plan((256, 128), 32, 600.0, 40, 20, 64, 4e-3, 0.1),
    "mnist": Plan((256, 128), 24, 400.0, 5, 2, 256, 4e-3, 0.1),
}


def make_model(pixels: int, plan: Plan, classes: int = 10) -> SequentialState:
    """pixels -> LIF -> LIF -> leaky readout, without biases; over time: (time, batch, pixels) -> (time, batch, classes)."""
    first, second = plan.hidden
    p = LIFParameters(alpha=torch.tensor(20.0))
    model = SequentialState(
        torch.nn.Linear(pixels, first, bias=False),
        LIF(p, dt=DT),
        torch.nn.Linear(first, second, bias=False),
        LIF(p, dt=DT),
        torch.nn.Linear(second, classes, bias=False),
        LI(dt=DT),
    )
    with torch.no_grad():  # a spike moves v by dt/tau_mem = 0.1 of a weight: torch's own initial weights would leave all silent
        for layer, gain in zip(linear_layers(model), (4.0, 4.0, 1.0), strict=True):
            layer.weight *= gain
    return model


def linear_layers(model: SequentialState) -> list[torch.nn.Linear]:
    """The layers that hold the weights."""
    return [module for module in model if isinstance(module, torch.nn.Linear)]


def hidden_outputs(model: SequentialState, spikes: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of all modules: (time, batch, neurons) each; 1 and 3 are spikes, the last is the readout's voltage."""
    model.return_hidden = True
    outputs, _ = model(spikes)
    model.return_hidden = False
    return outputs


def decide(voltage: torch.Tensor) -> torch.Tensor:
    """The class whose readout was highest on average: (time, batch, classes) -> (batch,)."""
    return voltage.mean(0).argmax(-1)


def train(model, images: Images, plan: Plan, epochs: int, generator: torch.Generator, what: str, masks=None) -> None:
    """Adam on the cross-entropy of the readout's mean voltage; a new encoding of every image in every epoch.

    With ``masks`` (one for each linear layer, 0 where pruned) the pruned weights stay 0.
    """
    layers = linear_layers(model)
    steps = epochs * -(-len(images.train) // plan.batch)
    optimizer = torch.optim.Adam(model.parameters(), plan.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.learning_rate, total_steps=steps)
    pixels, labels = torch.from_numpy(images.train), torch.from_numpy(images.train_labels)
    with tqdm(total=steps, desc=what, unit="batch", delay=1.0) as bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(pixels), generator=generator).split(plan.batch):
                spikes = poisson_encode(pixels[rows], plan.steps, plan.f_max, DT, generator)  # (time, batch, pixels)
                outputs = hidden_outputs(model, spikes)
                scores = 10.0 * outputs[-1].mean(0)  # (batch, classes)
                loss = torch.nn.functional.cross_entropy(scores, labels[rows])
                loss = loss + plan.rate_cost * (outputs[1].mean() + outputs[3].mean())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                if masks is not None:
                    with torch.no_grad():
                        for layer, mask in zip(layers, masks, strict=True):
                            layer.weight *= mask
                bar.update()


def prune(model: SequentialState, keep: float) -> list[torch.Tensor]:
    """Set all but the largest ``keep`` of each layer's weights to 0; the masks, 1 where kept.

    The readout's few weights keep at least half: they are the cheapest and hurt the most.
    """
    masks = []
    for number, layer in enumerate(linear_layers(model)):
        share = max(keep, 0.5) if number == 2 else keep
        magnitude = layer.weight.detach().abs()
        kept = magnitude.flatten().topk(max(1, round(share * magnitude.numel()))).indices
        mask = torch.zeros(magnitude.numel()).scatter_(0, kept, 1.0).reshape(magnitude.shape)
        with torch.no_grad():
            layer.weight *= mask
        masks.append(mask)
    return masks
