"""Feed-forward nets for the inference benchmark: random ones of a wanted activity and density, and ones trained on digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

import norse_bridge as nb
from eventsim.cli.demo.data import Images
from eventsim.cli.demo.training import DT, PLANS, Plan, decide, linear_layers, make_model, prune, train

TRIAL = 80  # steps in which the gain of a layer is found; the first quarter is not counted
HALVINGS = 25


class Net(NamedTuple):
    """weights : for each layer float32 (neurons, inputs); readout : whether the last one never fires
    spikes : uint8 (steps, batch, inputs), what it is given; about : lines for the report
    """

    weights: list[np.ndarray]
    readout: bool
    spikes: np.ndarray
    about: dict[str, float]

    def model(self) -> nb.SequentialState:
        """As layers of norse_bridge, over time."""
        modules: list[torch.nn.Module] = []
        for number, weight in enumerate(self.weights):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
            modules += [linear, nb.LI(dt=DT) if self.readout and number == len(self.weights) - 1 else nb.LIF(dt=DT)]
        return nb.SequentialState(*modules)

    @property
    def density(self) -> float:
        """Share of the weights that are not 0."""
        return sum(np.count_nonzero(weight) for weight in self.weights) / sum(weight.size for weight in self.weights)


def _fire(current: torch.Tensor, gain: float) -> torch.Tensor:
    """The spikes of LIF neurons that receive ``gain * current``: (steps, batch, neurons)."""
    with torch.no_grad():
        spikes, _ = nb.LIF(dt=DT)(gain * current)
    return spikes


def gain_for(current: torch.Tensor, activity: float) -> float:
    """The factor with which neurons that receive ``current`` fire in a share of ``activity`` of the steps: by halving, in logs."""
    low, high = 1e-3, 1e4
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        fired = float(_fire(current, middle)[TRIAL // 4 :].mean())
        low, high = (middle, high) if fired < activity else (low, middle)
    return high


def random_net(width: int, layers: int, activity: float, density: float, steps: int, batch: int, seed: int = 1) -> Net:
    """Normal weights, a share of ``density`` of them not 0, with gains at which all layers fire as the input: with ``activity``."""
    random = np.random.default_rng(seed)
    spikes = (random.random((steps, batch, width), np.float32) < activity).astype(np.uint8)
    x = torch.from_numpy((random.random((TRIAL, 4, width)) < activity).astype(np.float32))  # (steps, batch, neurons)
    weights = []
    for _ in range(layers):
        weight = random.standard_normal((width, width), np.float32)
        if density < 1.0:
            weight *= random.random((width, width), np.float32) < density
        current = x @ torch.from_numpy(weight).T
        gain = gain_for(current, activity)
        x = _fire(current, gain)
        weights.append((gain * weight).astype(np.float32))
    return Net(weights, False, spikes, {"wanted_activity": activity, "wanted_density": density})


class Trained(NamedTuple):
    """A net that has learned. weights : as in `Net`; accuracy : share of the test images that are right; keep : of the weights."""

    weights: list[np.ndarray]
    plan: Plan
    images: Images
    accuracy: float
    keep: float

    def net(self, steps: int, batch: int, seed: int = 1) -> Net:
        """The net with test images one after another, as spikes."""
        shown = -(-steps // self.plan.steps)  # images, for each item of the batch
        chosen = self.images.test[np.arange(shown * batch) % len(self.images.test)].reshape(shown, batch, -1)
        generator = torch.Generator().manual_seed(seed)
        spikes = torch.cat([_encode(pixels, self.plan, generator) for pixels in chosen])[:steps]
        about = {"accuracy": self.accuracy, "kept": self.keep}
        return Net(self.weights, True, spikes.numpy().astype(np.uint8), about)


def _encode(pixels: np.ndarray, plan: Plan, generator: torch.Generator) -> torch.Tensor:
    return nb.poisson_encode(torch.from_numpy(pixels), plan.steps, plan.f_max, DT, generator)


def learn(data: str, images: Images, keep: float, epochs: int | None, seed: int = 1) -> Trained:
    """Train and prune as ``eventsim demo`` does it. epochs : passes before pruning, and the most after it; None: the demo's."""
    plan = PLANS[data] if epochs is None else PLANS[data]._replace(epochs=epochs, tuning=min(epochs, PLANS[data].tuning))
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = make_model(images.train.shape[1], plan)
    train(model, images, plan, plan.epochs, generator, f"training on {data}")
    masks = prune(model, keep)
    train(model, images, plan, plan.tuning, generator, "after pruning", masks)
    with torch.no_grad():
        voltage, _ = model(_encode(images.test, plan, generator))
    right = float((decide(voltage).numpy() == images.test_labels).mean())
    return Trained([layer.weight.detach().numpy().copy() for layer in linear_layers(model)], plan, images, right, keep)
