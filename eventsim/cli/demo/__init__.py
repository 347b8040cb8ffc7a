"""``eventsim demo``: train a small spiking net as dense layers, simulate it as a sparse network, compare.

The one part of eventsim that needs torch, through norse_bridge; both are imported only when the command runs.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from eventsim.cli.report import make_folder

NEEDED = {"torch": "torch", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def _check_installed() -> None:
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise click.UsageError(f"the demo needs {', '.join(missing)}: pip install 'eventsim[demo]'")


@click.command()
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits", show_default=True, help="What is learned.")
@click.argument("path", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Passes over the training images before pruning.  [default: 40; mnist 5]"
)
@click.option(
    "--keep", type=click.FloatRange(0.01, 1.0), default=0.3, show_default=True, help="Share of the weights kept by pruning."
)
@click.option("--test-images", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many are compared.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the split, the weights and the encoding.")
@click.option(
    "--output", type=click.Path(file_okay=False), default="eventsim-demo", show_default=True, help="Folder for the results."
)
def demo(data: str, path: str | None, epochs: int | None, keep: float, test_images: int, seed: int, output: str) -> None:
    """Train a small spiking net, prune it, run it sparsely, and compare: the same spikes for a fraction of the work.

    The digits are scikit-learn's 1,797 handwritten ones, which come with the package. MNIST is read from PATH, an .npz with
    x_train, y_train, x_test, y_test.

    \b
    Examples:
      eventsim demo
      eventsim demo --keep 0.1 --seed 1
      eventsim demo --data mnist mnist.npz
    """
    if (data == "mnist") != (path is not None):
        raise click.UsageError("--data mnist needs the PATH of its .npz" if data == "mnist" else "a PATH belongs to --data mnist")
    _check_installed()
    from eventsim.cli.demo.session import run_demo

    run_demo(data, path, epochs, keep, test_images, seed, make_folder(Path(output)))
