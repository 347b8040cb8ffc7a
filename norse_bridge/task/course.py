"""The course of every task that trains a `Classifier`: build or load, train, test, save, simulate; and its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from eventsim.errors import ModelError, StorageError
from norse_bridge.task.classification import Classifier, Plan, Samples, fit
from norse_bridge.task.comparison import compare, in_words
from norse_bridge.task.options import COUNT, POSITIVE, choice, device, flag, option, simulation
from norse_bridge.task.report import Report
from norse_bridge.task.saving import load_model, save_model

STEPS_AT_ONCE = 1000  # of all samples together, in a comparison
OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rms": torch.optim.RMSprop}


def common(samples: str, epochs: int, batch_size: int, learning_rate: float) -> list[click.Option]:
    """The options of a task on ``samples`` (images, sounds), with its defaults."""
    loading = "A saved model to begin with; what is encoded and built how is taken from it, too."
    return [
        option("epochs", epochs, f"Passes over the training {samples}; 0 only tests a saved model.", click.IntRange(min=0)),
        option("batch-size", batch_size, f"{samples.capitalize()} in a batch.", COUNT),
        choice("optimizer", "adam", "What changes the weights.", OPTIMIZERS),
        option("learning-rate", learning_rate, "Its step size.", POSITIVE, "--lr"),
        flag("anneal", False, "Whether the step size falls to 0 along half a cosine, from the first batch to the last."),
        option("train-samples", None, f"So many training {samples}, drawn by chance, instead of all.", COUNT),
        option("log-interval", 10, "Batches between two entries of the curve of the loss.", COUNT),
        flag("save-model", True, "Whether the trained model is saved."),
        click.Option(["--load"], type=click.Path(exists=True, dir_okay=False), help=loading),
        device(),
        *simulation(1000),
    ]


def settings_and_net(
    task: str, options: dict[str, Any], settings: dict[str, Any], build: Callable[[dict[str, Any]], Classifier]
) -> tuple[dict[str, Any], Classifier]:
    """A new net of these settings, or the one to ``--load`` with its own."""
    if options["load"] is None:
        return settings, build(settings).to(options["device"])
    saved, state = load_model(options["load"], task)
    try:
        model = build(saved)
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise StorageError(f"--load: the model is not one that this version can build ({error})") from error
    return saved, model.to(options["device"])


def plan_of(options: dict[str, Any], model: Classifier) -> Plan:
    """How the options say that all of the model is trained."""
    optimizer = OPTIMIZERS[options["optimizer"]](model.parameters(), lr=options["learning_rate"])
    same = {name: options[name] for name in ("epochs", "batch_size", "anneal", "train_samples", "log_interval", "device")}
    return Plan(optimizer=optimizer, **same)


def follow(
    task: str,
    settings: dict[str, Any],
    model: Classifier,
    plan: Plan,
    sets: tuple[Samples, Samples],
    options: dict[str, Any],
    out: Path,
    report: Report,
) -> dict[str, Any]:
    """Train a model and test it, save it as ``out / "model.pt"``, simulate it if wanted: the results."""
    _, test = sets
    figures: dict[str, Any] = fit(model, plan, *sets, report)
    if options["save_model"]:
        save_model(out / "model.pt", task, model, settings)
    if options["simulate"]:
        compared = test.first(options["simulate_samples"])
        size = at_once(model, compared)
        batches = report.watch(compared.batches(size), "simulating", -(-compared.size // size))
        found = compare(model.cpu(), batches, getattr(torch, options["simulate_type"]))
        report.say(in_words(found))
        figures |= found
    return figures


@torch.no_grad()
def at_once(model: Classifier, test: Samples) -> int:
    """How many samples to simulate at once: the dense spikes of so many are a few hundred megabytes in the larger nets."""
    x, _ = test.get(torch.arange(1))
    return max(1, STEPS_AT_ONCE // len(model.encode(x.to(next(model.parameters()).device))))


def check_simulation(options: dict[str, Any], obstacle: str) -> None:
    """A ModelError if the net is to be simulated and there is an ``obstacle``, said before anything is trained."""
    if options["simulate"] and obstacle:
        raise ModelError(f"--simulate: {obstacle}")
