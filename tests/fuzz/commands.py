"""Entrances that are words: arguments of the command line, and variables of the environment."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner
from fuzz.draw import Draw

from eventsim import EventsimError, save
from eventsim.cli import main
from eventsim.jit import cache_folder
from norse_bridge.task.files import Source, find

WORDS = (
    "",
    "0",
    "-1",
    "1",
    "2",
    "0.5",
    "1e9",
    "1e308",
    "nan",
    "inf",
    "-inf",
    "1e-320",
    "99999999999999999999",
    "text",
    "a:v",
    "b:",
    ":v",
    "a:v:v",
    "--",
    "-h",
    "\0",
    "..",
    "exc:v",
)
OPTIONS = (
    "--dt", "--duration", "--discard", "--seed", "--workers", "--update", "--dtype", "--weights", "--method", "--record-state",
    "--checkpoint-every", "--overwrite", "--scale", "--drive", "--connectome", "--stimulus-rate", "--silent", "--neurons",
    "--synapses", "--delay", "--help",
)  # fmt: skip


def invoke(command: Any, words: list[str]) -> None:
    """Call a command as the shell does; what it refuses, in a line and by its exit code, becomes an `EventsimError`."""
    with mock.patch("eventsim.cli.report.raster"), mock.patch("eventsim.cli.report.traces"):  # pictures take seconds
        result = CliRunner().invoke(command, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 2):
        raise AssertionError(f"exit code {result.exit_code}: {result.output}")
    if result.exit_code == 2:
        raise EventsimError(result.output)


def command_line(draw: Draw, folder: Path) -> None:
    """``eventsim run`` and ``eventsim info`` of a saved or built-in network with odd options."""
    from fuzz.from_files import example

    save(example(), folder / "small.npz")
    command = draw.one(("run", "run", "info"))
    built_in = command == "info" and draw.chance(0.5)
    network = draw.one(("brunel", "vogels-abbott", "microcircuit", "fly")) if built_in else str(folder / "small.npz")
    words = [command, network] + ([] if built_in or draw.chance(0.1) else ["--dt", "0.5"])
    if command == "run":
        words += ["--duration", "4", "--output", str(folder / "out")]
    for _ in range(draw.one((0, 1, 1, 1, 2, 3))):
        option = draw.one(OPTIONS)
        words += [option] if option in ("--overwrite", "--help") else [option, _word(draw, option, folder)]
    if draw.chance(0.1):
        words[draw.below(len(words))] = draw.one(WORDS)
    with contextlib.chdir(folder):
        invoke(main, words)


def _word(draw: Draw, option: str, folder: Path) -> str:
    """Odd, but no run that takes as long as was asked for."""
    usual = {
        "--update": "dense",
        "--dtype": "float64",
        "--weights": "float16",
        "--method": "exact",
        "--record-state": "a:v",
        "--checkpoint-every": "1",
        "--dt": "0.25",
        "--seed": "3",
    }
    if option in usual and draw.chance(0.5):
        return usual[option]
    if option == "--connectome":
        return draw.one((str(folder), str(folder / "small.npz"), "nowhere.npz", ""))
    return draw.one([word for word in WORDS if word not in TOO_MUCH.get(option, ())])


TOO_MUCH = {
    "--duration": ("1e9", "1e308", "99999999999999999999"),
    "--discard": ("1e9", "1e308", "99999999999999999999"),
    "--workers": ("99999999999999999999",),
}
"""What is asked for plainly and takes as long as it takes."""


def environment(draw: Draw, folder: Path) -> None:
    """The variables that are read: where machine code is kept, and where data lie."""
    (folder / "file").write_text("x")
    (folder / "data").write_text("x")
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    odd = (
        "",
        "off",
        "OFF",
        "file",
        "file/below",
        "open",
        "new",
        "new/below",
        "x" * 300,
        "a" * 5000,
        "/proc/nothing",
        "/dev/null",
        "~",
        ".",
        "  ",
        "\udcff",
    )
    named = draw.one(("EVENTSIM_CACHE_DIR", "XDG_CACHE_HOME", "EVENTSIM_DATA", "HOME"))
    with contextlib.chdir(folder), mock.patch.dict(os.environ, {named: draw.one(odd)}):
        if named != "EVENTSIM_CACHE_DIR":
            os.environ.pop("EVENTSIM_CACHE_DIR", None)
        if named == "HOME":
            os.environ.pop("XDG_CACHE_HOME", None)
        cache_folder.cache_clear()
        try:
            found = cache_folder()
            assert found is None or found.is_dir()
            find(None, Source(("data.npz", "\0" if draw.chance(0.1) else "data"), "Get it."))
        finally:
            cache_folder.cache_clear()


ENTRANCES = {"command-line": command_line, "environment": environment}
