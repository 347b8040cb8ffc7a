"""Nets that tell classes apart, and their training, as the tasks on images and sounds share them.

    x -> encode -> (time, batch, ...) -> network -> voltages (time, batch, classes) -> scores (batch, classes)

The class is that of the highest score; the loss is the cross-entropy of the scores (log_softmax, then the negative log
likelihood).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from eventsim.errors import ModelError
from norse_bridge.task.report import Report


class Classifier(torch.nn.Module):
    """x -> scores (batch, classes).

    encode : a module or function of x
    network : a module whose output are voltages, or these and a state
    scores : a function of voltages (time, batch, classes)
    noise : standard deviation of what is added to voltages in training: equal voltages are told apart
    """

    def __init__(self, encode, network, scores, noise=0.0):
        super().__init__()
        self.encode, self.network, self.scores, self.noise = encode, network, scores, noise

    def forward(self, x):
        found = self.network(self.encode(x))
        voltages = found[0] if isinstance(found, tuple) else found
        if self.training and self.noise:
            voltages = voltages + self.noise * torch.randn_like(voltages)
        return self.scores(voltages)


def highest(voltages):
    """The highest voltage over time: (time, batch, classes) -> (batch, classes)."""
    return voltages.amax(0)


def last(voltages):
    """The voltage at the end: (time, batch, classes) -> (batch, classes)."""
    return voltages[-1]


class Samples(NamedTuple):
    """Data with labels. size : how many; get : a function of rows (batch,) that returns (x, labels)"""

    size: int
    get: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

    def batches(self, at_once: int, order: torch.Tensor | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pairs (x, labels) of at most ``at_once`` samples, in a given order or in their own."""
        for rows in (torch.arange(self.size) if order is None else order).split(at_once):
            yield self.get(rows)

    def first(self, count: int) -> Samples:
        """The first samples, at most ``count``."""
        return self._replace(size=min(count, self.size))


def arrays(x, labels, change=lambda x: x) -> Samples:
    """The samples in two arrays. change : a function of a batch of x"""
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    return Samples(len(x), lambda rows: (change(x[rows]), labels[rows]))


class Plan(NamedTuple):
    """How `fit` trains.

    train_samples : so many training samples, drawn by chance; None: all
    anneal : whether the learning rate falls to 0 along half a cosine, from the first batch to the last
    clip : the greatest absolute value of a gradient's entries, or None
    log_interval : batches between two entries of the curve of the loss
    top : also count where the class is among the ``top`` highest scores; 1: not
    after : called with the number of every epoch that has ended
    """

    epochs: int
    batch_size: int
    optimizer: torch.optim.Optimizer
    train_samples: int | None = None
    anneal: bool = False
    clip: float | None = None
    label_smoothing: float = 0.0
    log_interval: int = 10
    top: int = 1
    device: str = "cpu"
    after: Callable[[int], Any] = lambda epoch: None


def fit(model, plan: Plan, train: Samples, test: Samples, report: Report) -> dict[str, float]:
    """Train a `Classifier` epoch by epoch: what `evaluate` finds at the end.

    The curves are the loss of the batches, and after each epoch the accuracy on the test data.
    """
    chosen = torch.randperm(train.size)[: plan.train_samples]
    count, batches = 0, plan.epochs * -(-len(chosen) // plan.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(plan.optimizer, max(1, batches)) if plan.anneal else None
    report.expect(batches, "batch")
    for epoch in range(1, plan.epochs + 1):
        start, total = time.perf_counter(), 0.0
        model.train()
        for x, labels in train.batches(plan.batch_size, chosen[torch.randperm(len(chosen))]):
            loss = step(model, plan, x, labels)
            if schedule is not None:
                schedule.step()
            count, total = count + 1, total + loss * len(labels)
            report(count, **({"loss": loss} if count % plan.log_interval == 0 else {}))
        trained = time.perf_counter() - start
        figures = evaluate(model, plan, test)
        report(count, accuracy=figures["accuracy"])
        told = f"loss {total / len(chosen):.4f}, test accuracy {100 * figures['accuracy']:.2f} %"
        report.say(f"epoch {epoch}: {told}, {trained:.0f} s of training")
        plan.after(epoch)
    return figures if plan.epochs else evaluate(model, plan, test)


def step(model, plan: Plan, x, labels) -> float:
    """One step of the optimizer: the loss before it. A ModelError where it is no longer finite."""
    scores = model(x.to(plan.device))
    loss = torch.nn.functional.cross_entropy(scores, labels.to(plan.device), label_smoothing=plan.label_smoothing)
    if not torch.isfinite(loss):
        raise ModelError("the loss is no longer finite; train with a lower --learning-rate")
    plan.optimizer.zero_grad()
    loss.backward()
    if plan.clip is not None:
        torch.nn.utils.clip_grad_value_(model.parameters(), plan.clip)
    plan.optimizer.step()
    return loss.item()


@torch.no_grad()
def evaluate(model, plan: Plan, test: Samples) -> dict[str, float]:
    """``{"accuracy": the share of the samples whose class is found, "loss": the mean cross-entropy}``, and ``"accuracy_top5"`` if
    the plan's ``top`` is 5."""
    model.eval()
    right, among, total = 0, 0, 0.0
    for x, labels in test.batches(plan.batch_size):
        scores, labels = model(x.to(plan.device)), labels.to(plan.device)
        right += int((scores.argmax(-1) == labels).sum())
        among += int((scores.topk(plan.top).indices == labels[:, None]).sum())
        total += float(torch.nn.functional.cross_entropy(scores, labels, reduction="sum"))
    figures = {"accuracy": right / test.size, "loss": total / test.size}
    return figures | ({f"accuracy_top{plan.top}": among / test.size} if plan.top > 1 else {})
