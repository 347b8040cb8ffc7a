"""The command ``eventsim``: the group, its version, and how errors reach the user."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from eventsim.cli.demo import demo
from eventsim.cli.devices import devices
from eventsim.cli.info import info
from eventsim.cli.resume import resume
from eventsim.cli.run import run
from eventsim.errors import EventsimError


class Refusal(click.ClickException):
    """What was asked for cannot be done: one line, exit code 2, no traceback."""

    exit_code = 2


class Commands(click.Group):
    """The commands; the errors that eventsim raises on purpose become a `Refusal`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except EventsimError as error:
            raise Refusal(" ".join(str(error).split())) from error


def _show_version(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    try:
        number = version("eventsim")
    except PackageNotFoundError:
        number = "of this folder, not installed"
    click.echo(f"eventsim {number}")
    ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version and exit."
)
def main() -> None:
    """Simulate spiking neural networks: only spikes are computed, silent neurons cost nothing.

    \b
    A first look, a minute each:
      eventsim demo                            train a small spiking net, then run it sparsely: same spikes
      eventsim run brunel                      simulate a built-in network; tables, files and a picture
      eventsim info microcircuit               how large a network is, before anything is built
      eventsim devices                         on what it can run: the processor, and GPUs

    \b
    The built-in networks:
      brunel          10,000 neurons, balanced random network with delta synapses (Brunel 2000)
      vogels-abbott   4,000 neurons, activity that sustains itself (Vogels & Abbott 2005)
      microcircuit    77,169 neurons, 299 million synapses: a piece of cortex (Potjans & Diesmann 2014)
      fly             a fruit fly's whole brain, from a connectome file (Shiu et al. 2024)

    'eventsim COMMAND --help' explains each command.
    """


main.add_command(demo)
main.add_command(run)
main.add_command(resume)
main.add_command(info)
main.add_command(devices)
