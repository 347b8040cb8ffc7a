"""One demo from the images to the files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch

from eventsim.cli.demo.comparison import Compared, Comparison, compare
from eventsim.cli.demo.data import Images, load_digits, load_mnist
from eventsim.cli.demo.training import DT, PLANS, Plan, decide, make_model, prune, train
from eventsim.cli.waiting import waiting
from eventsim.network import Network
from eventsim.plot import raster
from eventsim.recording import Recording
from eventsim.stimuli import SpikeSource
from eventsim.storage import save
from eventsim.table import text_table
from norse_bridge import poisson_encode


def accuracy(model, spikes: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the encoded images whose class is found: spikes (time, images, pixels)."""
    with torch.no_grad():
        voltage, _ = model(spikes)
    return float((decide(voltage) == labels).double().mean())


def encode_test(images: Images, plan: Plan, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The spikes and labels of the first ``count`` test images: encoded once, so that both executions see the same."""
    generator = torch.Generator().manual_seed(seed + 1)
    pixels = torch.from_numpy(images.test[:count])
    return poisson_encode(pixels, plan.steps, plan.f_max, DT, generator), torch.from_numpy(images.test_labels[:count])


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread for a while: for layers this small a second one gains little, and costs tenfold where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def run_demo(data: str, path: str | None, epochs: int | None, keep: float, test_images: int, seed: int, folder: Path) -> None:
    """Train, prune, convert, simulate, compare, save; tables on the screen."""
    plan = PLANS[data] if epochs is None else PLANS[data]._replace(epochs=epochs)
    images = load_mnist(path) if path is not None else load_digits(seed)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = make_model(images.train.shape[1], plan)
    spikes, labels = encode_test(images, plan, test_images, seed)
    click.echo(
        f"{data}: {len(images.train):,} images to learn, {len(labels):,} to test; {plan.steps} steps of 1 ms; "
        f"{images.train.shape[1]} -> {plan.hidden[0]} -> {plan.hidden[1]} -> 10 neurons"
    )
    start = time.perf_counter()
    with waiting("compiling"):  # what the first batch needs: two steps and their gradient
        model(torch.zeros(2, 1, images.train.shape[1]))[0].sum().backward()
    train(model, images, plan, plan.epochs, generator, "training")
    click.echo(f"  trained  {100 * accuracy(model, spikes, labels):.1f} % of the test images right")
    masks = prune(model, keep)
    train(model, images, plan, plan.tuning, generator, "after pruning", masks)
    training_seconds = time.perf_counter() - start
    click.echo(f"  pruned   {100 * accuracy(model, spikes, labels):.1f} %, {training_seconds:.0f} s of training in all")
    done = compare(model, spikes, labels)
    print_comparison(done.comparison)
    write_demo(done, spikes, folder, {"data": data, "seed": seed, "keep": keep, "training_seconds": training_seconds})


def print_comparison(c: Comparison) -> None:
    """The table that the demo is about."""
    rows = [
        ("accuracy", f"{100 * c.accuracy_dense:.2f} %", f"{100 * c.accuracy_sparse:.2f} %"),
        ("synapses", f"{c.synapses_dense:,}", f"{c.synapses_kept:,}"),
        ("synaptic operations", f"{c.dense_operations:,}", f"{c.events:,}"),
        ("wall time", f"{c.dense_seconds:.2f} s", f"{c.sparse_seconds:.2f} s"),
    ]
    click.echo()
    click.echo(text_table((f"{c.images} images x {c.steps} steps, float64", "dense (torch)", "sparse (eventsim)"), rows))
    click.echo()
    click.echo(f"  differing spikes           {c.differing} of {c.spikes:,}")
    click.echo(f"  largest readout difference {c.readout_difference:.1e}")
    click.echo(f"  neurons firing per step    {100 * c.firing:.1f} %")
    click.echo(f"  dense operations per event {c.ratio:.1f}")


def first_image(recording: Recording) -> Recording:
    """What of a recording belongs to the first image."""

    def mine(data):
        keep = data.batch == 0
        return type(data)(data.times[keep], data.neurons[keep], data.batch[keep])

    return replace(recording, spikes={name: mine(data) for name, data in recording.spikes.items()}, states={})


def with_input(network: Network, spikes: np.ndarray, dt: float) -> Network:
    """The network with given input spikes (time, pixels) in it, so that it runs by itself."""
    steps, neurons = np.nonzero(spikes)
    source = SpikeSource((steps + 1) * dt, neurons)
    return replace(network, populations=(replace(network.populations[0], neuron=source), *network.populations[1:]))


def write_demo(done: Compared, spikes: torch.Tensor, folder: Path, about: dict) -> None:
    """The trained net, the network with the first test image as its input, a picture of that, and all numbers."""
    torch.save(done.model.state_dict(), folder / "model.pt")
    network = with_input(done.result.network, spikes[:, 0].numpy(), 1000.0 * DT)
    save(network, folder / "network.npz")
    raster(first_image(done.result.recording), network, folder / "raster.png", title="The first test image: spikes and rates")
    results = about | done.comparison._asdict() | {"dense_operations_per_event": done.comparison.ratio}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    click.echo(f"\nwritten to {folder}: model.pt, network.npz, raster.png, results.json")
    click.echo(f"the network runs by itself: eventsim run {folder / 'network.npz'} --dt 1 --duration {len(spikes)}")
