"""The command ``python -m norse_bridge.task``: one subcommand a task, and what all tasks have in common."""

from __future__ import annotations

import inspect
import json
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import torch

from eventsim.errors import EventsimError, StorageError
from norse_bridge.task.options import output, random_seed
from norse_bridge.task.report import Report

TASKS = ("mnist", "fashion-mnist", "cifar10", "speech-commands", "cartpole", "memory", "correlation-experiment")
CLOCK = 0.1  # s that the times of files may lag behind


class Refusal(click.ClickException):
    """What was asked for cannot be done: one line, exit code 2, no traceback."""

    exit_code = 2


class Tasks(click.Group):
    """The tasks by name; the module of a task is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(TASKS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return task_command(name) if name in TASKS else None


def task_command(name: str) -> click.Command:
    """The command of the task called ``name``."""
    module = import_module(f"norse_bridge.task.{name.replace('-', '_')}")

    def callback(**options: Any) -> None:
        try:
            execute(name, module, options)
        except EventsimError as error:
            raise Refusal(" ".join(str(error).split())) from error

    params = [*module.OPTIONS, random_seed(), output(f"eventsim-{name}")]
    text = inspect.cleandoc(module.__doc__ or "")
    if hasattr(module, "SOURCE"):
        text = f"{text}\n\n\b\n{module.SOURCE.advice}"
    return click.Command(name, params=params, help=text, callback=callback)


def execute(name: str, module: ModuleType, options: dict[str, Any]) -> None:
    """Run a task: seeded, with progress; its results on the screen and in the folder."""
    out, report, before = _folder(options["output"]), Report(), time.time()
    start, start_of_work = time.perf_counter(), time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options["random_seed"])
        try:
            figures = module.run(options, out, report)
        finally:
            report.close()
    took = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - start_of_work}
    results = {"task": name, "options": options, "figures": figures, **took, "curves": report.curves}
    (out / "results.json").write_text(json.dumps(results, indent=1, default=str) + "\n")
    if report.curves:
        try:
            report.draw(out / "curves.png", name)
        except ImportError:
            click.echo("no picture of the curves: it needs matplotlib: pip install 'eventsim[tasks]'", err=True)
    written = sorted(path.name for path in out.iterdir() if path.stat().st_mtime >= before - CLOCK)
    click.echo(f"written to {out}: {', '.join(written)}")
    told = ", ".join(f"{key} {_shown(value)}" for key, value in figures.items())
    click.echo(f"{name}: {told}; {took['seconds']:.1f} s, {took['processor_seconds']:.1f} s of processor time")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _folder(path: str) -> Path:
    """The folder for the results, made if need be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--output: the folder {path!r} cannot be made ({error.strerror})") from error
    return folder


SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 110,
    "token_normalize_func": lambda token: token.replace("_", "-"),  # Norse writes --batch-size here and --batch_size there
}


@click.command(cls=Tasks, context_settings=SETTINGS)
def main() -> None:
    """Train a spiking net from beginning to end, on local data; nothing is ever downloaded.

    Each task prints its results in its last line and writes the trained model (model.pt), curves (curves.png) and all numbers
    (results.json) into a folder. With --simulate the trained net also runs sparsely, in eventsim, and both are compared.

    'python -m norse_bridge.task NAME --help' explains each task. Options may be written with - or _ between their words.
    """
