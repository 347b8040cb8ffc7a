"""The argument NETWORK and its options: a built-in network or a saved one, as an `Example`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from eventsim.networks import BUILT_IN, Example
from eventsim.storage import load

OPTIONS = {
    "brunel": ("neurons",),
    "vogels-abbott": ("neurons", "synapses", "delay"),
    "microcircuit": ("scale", "drive"),
    "fly": ("connectome", "stimulus_rate", "silent"),
}
"""Which options each built-in network takes; a saved one takes none."""


dtype_option = click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True, help="Type of states and weights."
)
weights_option = click.option(
    "--weights",
    "weight_dtype",
    type=click.Choice(["float16", "float32", "float64"]),
    help="Type of the weights that synapses have of their own; float16 halves their memory.  [default: that of --dtype]",
)
force_option = click.option(
    "--force", is_flag=True, help="Run what needs more memory than there is, as 'eventsim info' tells it, nevertheless."
)


def network_options(command: Callable) -> Callable:
    """Add the argument NETWORK and the options that shape it."""
    decorators = (
        click.argument("network"),
        click.option("--scale", type=float, help="microcircuit: share of its neurons and in-degrees, 0.001 to 1."),
        click.option(
            "--drive",
            type=click.Choice(["poisson", "dc"]),
            help="microcircuit: Poisson input or a constant current of the same mean.  [default: poisson]",
        ),
        click.option("--connectome", type=click.Path(dir_okay=False), help="fly: the connectome, an .npz file."),
        click.option("--stimulus-rate", type=float, help="fly: rate of the stimulus on each sugar-sensing neuron, spikes/s."),
        click.option("--silent", type=int, help="fly: number of unconnected neurons to add."),
        click.option("--neurons", type=int, help="brunel, vogels-abbott: number of neurons."),
        click.option(
            "--synapses",
            type=click.Choice(["cuba", "coba"]),
            help="vogels-abbott: synapses are currents or conductances.  [default: cuba]",
        ),
        click.option("--delay", type=float, help="vogels-abbott: delay of its synapses in ms.  [default: one step]"),
        click.option("--dt", type=float, help="Time step in ms.  [default: 0.1]"),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def choose(network: str, dt: float | None, options: dict[str, Any]) -> Example:
    """The network that the user named, with the options that were given; those of other networks are refused."""
    given = {name: value for name, value in options.items() if value is not None}
    if network not in BUILT_IN:
        return _saved(network, dt, given)
    for name in given:
        if name not in OPTIONS[network]:
            owners = [owner for owner, names in OPTIONS.items() if name in names]
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {' and '.join(owners)}, not to {network}")
    if network == "fly" and "connectome" not in given:
        raise click.UsageError("fly needs its connectome: eventsim run fly --connectome FILE.npz")
    if dt is not None:
        if not dt > 0:
            raise click.UsageError(f"--dt must be above 0 ms, not {dt}")
        given["dt"] = dt
    build: Any = BUILT_IN[network]
    return build(**given)


def _saved(network: str, dt: float | None, given: dict[str, Any]) -> Example:
    path = Path(network)
    if not path.exists():
        raise click.UsageError(f"{network!r} is neither a built-in network ({', '.join(BUILT_IN)}) nor a file")
    if given:
        raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} belongs to a built-in network, not to a saved one")
    loaded = load(path)
    record = tuple(population.name for population in loaded.populations if population.spiking)
    return Example(path.stem, loaded, 0.1 if dt is None else dt, 1000.0, 0.0, record, f"Saved network {path.name}.")
