"""``eventsim info``: how large a network is."""

from __future__ import annotations

from typing import Any

import click

from eventsim.cli.choose import choose, dtype_option, network_options, weights_option
from eventsim.estimate import estimate
from eventsim.memory import available_memory
from eventsim.table import bytes_text


@click.command()
@network_options
@dtype_option
@weights_option
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of threads.")
@click.option(
    "--method", type=click.Choice(["grid", "exact"]), default="grid", show_default=True, help="Steps, or continuous time."
)
def info(network: str, dt: float | None, dtype: str, weight_dtype: str | None, workers: int, method: str, **options: Any) -> None:
    """Show the sizes, degrees, delays and bytes of NETWORK, before anything is built.

    NETWORK is brunel, vogels-abbott, microcircuit, fly, or the path of a saved network (.npz).

    \b
    Examples:
      eventsim info brunel
      eventsim info microcircuit --scale 0.1 --drive dc
      eventsim info fly --connectome connectome.npz
    """
    example = choose(network, dt, options)
    click.echo(example.description)
    for note in example.notes:
        click.echo(f"  {note}")
    click.echo()
    found = estimate(example.network, example.dt, dtype, workers, weight_dtype=weight_dtype, method=method)
    click.echo(found.table())
    free = available_memory()
    click.echo(
        f"\n  at its peak {bytes_text(found.peak_bytes)}, beside the program; {bytes_text(free.bytes)} are available {free.whose}"
    )
