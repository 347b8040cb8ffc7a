"""``eventsim resume``: go on with a run that was stopped, or that something has ended."""

from __future__ import annotations

from pathlib import Path

import click

from eventsim.cli import kept
from eventsim.cli.choose import force_option
from eventsim.cli.report import print_report, write_results


@click.command()
@click.argument("path", type=click.Path(exists=True))
@click.option(
    "--workers", type=click.IntRange(min=1), help="Number of threads; results do not depend on it.  [default: as it began]"
)
@force_option
def resume(path: str, workers: int | None, force: bool) -> None:
    """Go on with the run in PATH from its last checkpoint, to its end.

    PATH is the folder of results of 'eventsim run NETWORK --checkpoint-every MS', or a checkpoint in it, such as an older
    one. The results are those of
    a run that was never stopped, spike for spike.

    \b
    Examples:
      eventsim run brunel --duration 600000 --checkpoint-every 10000 --output long
      eventsim resume long
    """
    folder, checkpoint = (Path(path), kept.CHECKPOINT) if Path(path).is_dir() else (Path(path).parent, Path(path).name)
    with kept.alone(folder):
        done = kept.go_on(folder, workers, checkpoint, force)
        print_report(done)
        write_results(done, folder)
