"""Options that several tasks have, and short ways to write others."""

from __future__ import annotations

from typing import Any

import click
import torch

COUNT = click.IntRange(min=1)
POSITIVE = click.FloatRange(min=0.0, min_open=True)


def option(name: str, default: Any, text: str, kind: Any = None, *other_names: str) -> click.Option:
    """``--name VALUE``; its type is that of the default unless ``kind`` says otherwise."""
    return click.Option([f"--{name}", *other_names], default=default, show_default=True, type=kind, help=text)


def choice(name: str, default: str, text: str, among: Any) -> click.Option:
    """``--name WORD`` with one of some words."""
    return option(name, default, text, click.Choice(tuple(among)))


def flag(name: str, default: bool, text: str) -> click.Option:
    """``--name`` and ``--no-name``."""
    return click.Option([f"--{name}/--no-{name}"], default=default, show_default=True, help=text)


def seconds() -> click.Option:
    """``--dt``"""
    return option("dt", 0.001, "Length of a step, in s.", POSITIVE)


def _device(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        torch.zeros(1, device=value)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise click.BadParameter(f"{value!r} cannot be used: {str(error).splitlines()[0]}") from error
    return value


def device() -> click.Option:
    """``--device``, checked by using it."""
    text = "Where torch computes: cpu, cuda, cuda:1 ..."
    return click.Option(["--device"], default="cpu", show_default=True, callback=_device, help=text)


def simulation(samples: int) -> list[click.Option]:
    """``--simulate`` and the number of test samples for it."""
    return [
        flag("simulate", False, "Run the trained net in eventsim on test samples, too, and compare."),
        option("simulate-samples", samples, "So many of the first test samples are compared.", COUNT),
        choice("simulate-type", "float64", "Type of both nets in the comparison.", ("float32", "float64")),
    ]


def random_seed() -> click.Option:
    """``--random-seed``; every command has it."""
    return option("random-seed", 1234, "Everything random follows from it.", click.IntRange(0, 2**63 - 1))


def output(default: str) -> click.Option:
    """``--output``; every command has it."""
    text = "Folder for the model, the curves and the results."
    return click.Option(["--output"], default=default, show_default=True, type=click.Path(file_okay=False), help=text)
