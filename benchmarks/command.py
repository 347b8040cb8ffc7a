"""``python -m benchmarks NAME``: options that all benchmarks share, and the list of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

import click

from benchmarks import (
    brunel,
    exact,
    fly,
    growth,
    inference,
    kernels,
    layer,
    long,
    microcircuit,
    procedural,
    queue_study,
    silence,
    start,
    vogels_abbott,
)
from benchmarks.process import Failed
from benchmarks.report import header, publish
from benchmarks.simulators import paired
from eventsim.errors import EventsimError

BENCHMARKS = (
    microcircuit,
    fly,
    vogels_abbott,
    brunel,
    exact,
    queue_study,
    silence,
    inference,
    layer,
    growth,
    long,
    start,
    procedural,
    kernels,
)


def _command_line() -> str:
    """What was typed, without the paths of interpreters."""
    words, hidden = ["python", "-m", "benchmarks"], False
    for word in sys.argv[1:]:
        words.append("PYTHON" if hidden else shlex.quote(word))
        hidden = word == "--peer-python"
    return " ".join(words)


def _runner(module: Any) -> Callable[..., None]:
    """The function behind a command."""

    def run(json_file: str | None, peer: tuple[str, ...] = (), peer_python: tuple[str, ...] = (), **options: Any) -> None:
        started = header()
        if module.PEERS:
            options["peers"] = paired(peer, peer_python, module.PEERS)
        try:
            report = module.measure(**options)
        except EventsimError as error:
            raise Failed(" ".join(str(error).split())) from error
        publish(module.NAME, _command_line(), report, json_file, started)

    run.__doc__ = module.__doc__
    return run


def _command(module: Any) -> click.Command:
    options = [*module.OPTIONS, click.Option(["--repeats"], type=click.IntRange(min=1), default=5, show_default=True)]
    if module.PEERS:
        known = ", ".join(module.PEERS)
        options.append(click.Option(["--peer"], multiple=True, help=f"Run beside another simulator: {known}. May be repeated."))
        options.append(
            click.Option(["--peer-python"], multiple=True, metavar="PATH", help="The interpreter that has it: one for each --peer.")
        )
    options.append(click.Option(["--json", "json_file"], metavar="FILE", help="Write everything measured to FILE."))
    return click.Command(module.NAME, params=options, callback=_runner(module), help=module.__doc__)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Measure eventsim and norse_bridge; benchmarks/README.md says what each benchmark shows and how to read it."""


for _module in BENCHMARKS:
    main.add_command(_command(_module))
